"""What a predict run takes on a GPU that need not be here: memory, interactions at once, time. Arithmetic alone.

devices.py        figures of GPUs, as their makers publish them
served_model.py   a model's size, from its configuration and the headers of its weights
memory.py         what it takes of a GPU's memory, and what to change where that is too much
pace.py           vLLM's steps in simulated time, behind the real admission gate
forecast.py       all of it for one GPU and one test set
"""
