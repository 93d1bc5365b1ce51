"""The environment that other processes get; nothing else in the library writes one.

Settings are read from the environment in `settings`, credentials by boto3 and Ray themselves. What runs on another node
needs the same variables: they travel as data (`cluster.sealed`), never in Ray's `runtime_env`, whose values Ray writes
into its own logs in clear (runtime_env_agent.log, tried with 2.60).
"""

from __future__ import annotations

import os
from collections.abc import Mapping

CARRIED_PREFIXES = ("AWS_", "T2S_")

NOT_CARRIED = frozenset({"AWS_PROFILE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "T2S_IMAGE_DIGEST"})
"""They name files, or the image, of the machine that they are set on: elsewhere they are wrong."""


def carried() -> dict[str, str]:
    """Variables of this process that a job needs on every node: where the store is, credentials for it, settings."""
    return {
        name: value
        for name, value in os.environ.items()
        if name.startswith(CARRIED_PREFIXES) and name not in NOT_CARRIED
    }


def with_carried(variables: Mapping[str, str]) -> dict[str, str]:
    """This process's environment with `variables` laid over it, for a child process."""
    return {**os.environ, **variables}


def adopt(variables: Mapping[str, str]) -> None:
    """Lay `variables` over this process's environment before anything reads them; for workers that a cluster started."""
    os.environ.update(variables)


def ray_addresses() -> dict[str, str]:
    """RAY_API_SERVER_ADDRESS and RAY_ADDRESS as far as they are set, in the order in which Ray looks at them."""
    names = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
    return {name: os.environ[name] for name in names if os.environ.get(name)}
