"""Settings of the job download, and how the hubs are reached."""

from __future__ import annotations

import os
from typing import ClassVar

from t2s.download.config import DownloadConfig
from t2s.download.origins import Access, HubAccess
from t2s.settings.base import JobSettings


class DownloadSettings(JobSettings, DownloadConfig):
    """The job `download`: its `DownloadConfig`; `run_uri` keeps what was asked for, and how far it is."""

    model_config = JobSettings.model_config

    job: ClassVar[str] = "download"


def hub_access() -> Access:
    """Addresses and tokens of the hubs, by the variables of their own clients; tokens come from nowhere else."""
    modelscope = os.environ.get("MODELSCOPE_ENDPOINT") or os.environ.get("MODELSCOPE_DOMAIN")
    return Access(
        modelscope=HubAccess(modelscope or None, os.environ.get("MODELSCOPE_API_TOKEN") or None),
        huggingface=HubAccess(os.environ.get("HF_ENDPOINT") or None, os.environ.get("HF_TOKEN") or None),
    )
