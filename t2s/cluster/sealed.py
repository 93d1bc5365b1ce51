"""Environment variables that reach a submitted job without a word of them in Ray's logs.

    t2s submit                      the head                                      the job
    PUT /api/packages/…/<id>.zip -> its key-value store, in memory only  -> taken and deleted by the entrypoint

    python -m t2s.cluster.sealed gcs://_ray_pkg_<id>.zip -- jobs/predict.py CONFIG.yaml key=value ...

Ray's own way, `runtime_env: {env_vars: …}`, writes every value in clear into runtime_env_agent.log on each node and
shows it in the job's details. The id is random and the object is gone once it was read; who can read it before could as
well run code on the cluster.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
import urllib.request
from collections.abc import Mapping

from t2s import process_env
from t2s.errors import ClusterError

TIMEOUT_S = 30.0


def seal(url: str, headers: Mapping[str, str], variables: Mapping[str, str]) -> str:
    """Leave the variables with the head at `url`; returns the URI to unseal them by."""
    name = f"_ray_pkg_{secrets.token_hex(16)}.zip"  # Ray's package store takes names of this form alone
    body = json.dumps(dict(variables), ensure_ascii=False).encode()
    request = urllib.request.Request(f"{url}/api/packages/gcs/{name}", data=body, headers=dict(headers), method="PUT")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S):
            return f"gcs://{name}"
    except (OSError, ValueError) as error:
        raise ClusterError(f"{url}: the cluster did not take the job's environment variables: {error}") from error


def unseal(uri: str) -> dict[str, str]:
    """Take the variables out of the cluster that this process belongs to; they are gone from there then."""
    from ray._raylet import GcsClient  # type: ignore[attr-defined]  # a Cython module
    from ray.experimental import internal_kv

    address = process_env.ray_addresses().get("RAY_ADDRESS", "")
    internal_kv._initialize_internal_kv(GcsClient(address=address))
    data = internal_kv._internal_kv_get(uri)
    if data is None:
        raise ClusterError(f"{uri}: wanted the variables of this submission at {address}, found none: submit it again")
    internal_kv._internal_kv_del(uri)
    variables: dict[str, str] = json.loads(data)
    return variables


def main() -> None:
    """Become the command behind `--`, with the variables in its environment."""
    uri, separator, *words = sys.argv[1:]
    assert separator == "--" and words, "written by submit"
    variables = unseal(uri)
    os.execve(sys.executable, [sys.executable, *words], process_env.with_carried(variables))


if __name__ == "__main__":
    main()
