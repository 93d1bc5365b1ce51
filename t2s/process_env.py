"""The environment that other processes get; nothing else in the library writes one.

Settings are read from the environment in `settings`, credentials by boto3 and Ray themselves. What runs on another node
needs the same variables: they travel as data (`cluster.sealed`), never in Ray's `runtime_env`, whose values Ray writes
into its own logs in clear (runtime_env_agent.log, tried with 2.60).
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

CARRIED_PREFIXES = ("AWS_", "T2S_", "WANDB_", "SWANLAB_", "MLFLOW_")
"""Where the store is and who may use it, our own settings, and the same for what train reports to."""
CARRIED = frozenset({"MODELSCOPE_API_TOKEN", "MODELSCOPE_ENDPOINT", "MODELSCOPE_DOMAIN", "HF_TOKEN", "HF_ENDPOINT"})

NOT_CARRIED = frozenset({"AWS_PROFILE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "T2S_IMAGE_DIGEST"})
"""They name files, or the image, of the machine that they are set on: elsewhere they are wrong."""


def carried() -> dict[str, str]:
    """Variables of this process that a job needs on every node: store and hubs, credentials for them, settings."""
    return {
        name: value
        for name, value in os.environ.items()
        if (name.startswith(CARRIED_PREFIXES) or name in CARRIED) and name not in NOT_CARRIED
    }


def with_carried(variables: Mapping[str, str]) -> dict[str, str]:
    """This process's environment with `variables` laid over it, for a child process."""
    return {**os.environ, **variables}


def adopt(variables: Mapping[str, str]) -> None:
    """Lay `variables` over this process's environment before anything reads them; for a cluster's workers."""
    os.environ.update(variables)


def ray_addresses() -> dict[str, str]:
    """RAY_API_SERVER_ADDRESS and RAY_ADDRESS as far as they are set, in the order in which Ray looks at them."""
    names = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
    return {name: os.environ[name] for name in names if os.environ.get(name)}


LIFELINE_VARIABLE = "_T2S_LIFELINE"
"""Marks the processes of one engine (see engine/lifeline.py); every process started by a marked one is marked too."""

_ENGINE_DEFAULTS = {
    # Models are local folders: nothing is asked of a hub, nothing is reported to anyone.
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_DO_NOT_TRACK": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",  # its warnings are about builds and defaults, a dozen at each start
    "VLLM_LOGGING_STREAM": "ext://sys.stderr",  # standard output is the job's own
    # A forked engine would share the marker-less environment of its driver, and CUDA does not survive a fork.
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
    # vLLM renames its processes with setproctitle, which otherwise writes over /proc/PID/environ and the marker there.
    "SPT_NOENV": "1",
    # flashinfer's sampler is compiled on first use, by an nvcc that a machine for inference often lacks.
    "VLLM_USE_FLASHINFER_SAMPLER": "0",
    # OpenMP's threads spin while they wait for each other; where the engine has not all cores for itself (its own
    # driver runs beside it) they take each other's time. Two cores, busy / idle, tokens/s: spinning for long, the
    # default, 21 to 60 / 235 to 245; shortly, as here, 105 to 130 / 225 to 235; never 118 to 139 / 208 to 220.
    "GOMP_SPINCOUNT": "1000",
    # Threads inside one tokenizer call bring nothing for one prompt, and a warning for each fork after it.
    "TOKENIZERS_PARALLELISM": "false",
}

_CPU_ENGINE_DEFAULTS = {
    # One process under the driver instead of two, each of which imports vLLM: ready in 25 s instead of 43, and 240
    # tokens/s instead of 155 on two cores (vLLM 0.32, the sample model), since no step crosses a pipe.
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
}


def prepare_engine_libraries() -> None:
    """Set what vLLM and transformers read when they are imported; what the user has set stays."""
    for name, value in _ENGINE_DEFAULTS.items():
        os.environ.setdefault(name, value)


def prepare_cpu_engine() -> None:
    """Set what vLLM's CPU build reads before its engine starts; what the user has set stays."""
    for name, value in _CPU_ENGINE_DEFAULTS.items():
        os.environ.setdefault(name, value)


_TRAINING_DEFAULTS = {
    # Models and data are local folders: nothing is asked of a hub, nothing is reported to anyone.
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "TOKENIZERS_PARALLELISM": "false",  # workers fork for data loading
    "LLAMAFACTORY_VERBOSITY": "ERROR",  # each file that it reads would be several lines
}


def prepare_training_libraries() -> None:
    """Set what LLaMA-Factory and transformers read when they are imported; what the user has set stays."""
    for name, value in _TRAINING_DEFAULTS.items():
        os.environ.setdefault(name, value)


_BOARD_DEFAULTS = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "LLAMAFACTORY_VERBOSITY": "INFO",  # the page shows its training's log
}


def prepare_board(programs: str, temporary: str) -> None:
    """Set what LLaMA Board and the trainings that it starts read; what the user has set stays.

    Args:
        programs: The folder of `llamafactory-cli`, which the page starts by its name.
        temporary: Where gradio keeps files.
    """
    for name, value in {**_TRAINING_DEFAULTS, **_BOARD_DEFAULTS, "GRADIO_TEMP_DIR": temporary}.items():
        os.environ.setdefault(name, value)
    os.environ["PATH"] = os.pathsep.join([programs, *filter(None, [os.environ.get("PATH")])])
    # The page asks itself whether it is up.
    found = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
    without_proxy = ",".join(filter(None, [found, "localhost,127.0.0.1,0.0.0.0"]))
    os.environ |= {"no_proxy": without_proxy, "NO_PROXY": without_proxy}


def set_tensorboard_folder(path: str) -> None:
    """Tell transformers where TensorBoard's event files go: it asks the environment alone."""
    os.environ["TENSORBOARD_LOGGING_DIR"] = path


def guard_own_ray() -> None:
    """Give the Ray that this process is about to start a token of its own: its ports are open to the network.

    To be called before `ray` is imported, which reads these.
    """
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    os.environ.pop("RAY_AUTH_TOKEN_PATH", None)
    # A Ray of this machine's own, whatever cluster the user works with otherwise.
    os.environ.pop("RAY_ADDRESS", None)


def prepare_ray_train() -> None:
    """Set what Ray Train reads in the driver; it hands them on to its controller and workers."""
    os.environ.setdefault("RAY_TRAIN_V2_ENABLED", "1")
    os.environ.setdefault("RAY_TRAIN_METRICS_ENABLED", "0")  # nobody collects them
    os.environ.setdefault("RAY_TRAIN_ENABLE_PRINT_PATCH", "0")


@contextmanager
def marking_children(marker: str) -> Iterator[None]:
    """Processes started inside carry `marker`; afterwards this process's environment is as it was.

    vLLM writes libraries of its own into LD_PRELOAD while it starts; the processes that this one starts later must not
    get them.
    """
    before = {name: os.environ.get(name) for name in (LIFELINE_VARIABLE, "LD_PRELOAD")}
    os.environ[LIFELINE_VARIABLE] = marker
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
