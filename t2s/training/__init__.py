"""Fine-tuning: SFT files, the run of LLaMA-Factory, the check that it trains on what inference sees, the adapter."""
