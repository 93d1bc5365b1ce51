"""Look at the images and at the lists they are made of: known holes, waiting updates, what is in them (an SBOM each).

    .venvs/dev/bin/python scripts/check_images.py                       lists, Dockerfiles, and every image that is here
    .venvs/dev/bin/python scripts/check_images.py --image t2s-base:0.1.0
    .venvs/dev/bin/python scripts/check_images.py --osv-url URL         another database of holes than PyPI's own

    ok    docker/Dockerfile     hadolint
    fail  locks/core.txt        jinja2 2.4.1: PYSEC-2014-82, fixed in 2.7.3
    warn  localhost/t2s-base    2 updates of the distribution: libssl3 perl-base
    ok    localhost/t2s-base    SBOM of 214 packages: .cache/sbom/t2s-base-0.1.0.cdx.json

A hole that was looked at and does no harm here stands in docker/accepted-holes.txt, with its reason. A package that
nobody could be asked about is a failure, too: silence is no clean bill.
Exit: 0 nothing to do, 1 something is, 2 wrong words.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ("t2s-base", "t2s-train", "t2s-predict", "t2s-predict-cpu", "t2s-s3")
LISTS = ("core", "train", "predict", "predict-cpu", "train-cuda12", "predict-cuda12")
ACCEPTED = ROOT / "docker" / "accepted-holes.txt"
SBOM_FOLDER = ROOT / ".cache" / "sbom"

INVENTORY = r"""
import importlib.metadata, json, subprocess
found = []
for one in importlib.metadata.distributions():
    fields = one.metadata
    licence = fields.get("License-Expression") or (fields.get("License") or "").split("\n")[0][:80]
    found.append({"kind": "pypi", "name": fields["Name"], "version": one.version, "licence": licence})
words = ["dpkg-query", "-W", "-f", "${binary:Package}\t${Version}\n"]
for line in subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines():
    name, version = line.split("\t")
    found.append({"kind": "deb", "name": name.partition(":")[0], "version": version, "licence": ""})
print(json.dumps(found))
"""
"""Runs inside an image: what Python and the distribution know to be installed there."""

UPDATES = (
    "apt-get update -qq >/dev/null 2>&1 || exit 3; apt-get --simulate upgrade | sed -n 's/^Inst \\([^ ]*\\).*/\\1/p'"
)


class Line(NamedTuple):
    """One thing that was looked at."""

    state: Literal["ok", "warn", "fail"]
    about: str
    text: str


class Hole(NamedTuple):
    """A known hole in a package."""

    package: str
    version: str
    ids: tuple[str, ...]
    fixed_in: tuple[str, ...]


class Audit(NamedTuple):
    """What pip-audit found in one list, and whom it could not ask about."""

    holes: tuple[Hole, ...]
    unknown: tuple[str, ...]
    num_packages: int


def read_audit(output: str) -> Audit:
    """pip-audit's JSON: `{"dependencies": [{"name", "version", "vulns": [...]} or {"name", "skip_reason"}]}`."""
    holes, unknown = [], []
    dependencies = json.loads(output)["dependencies"]
    for one in dependencies:
        if "skip_reason" in one:
            unknown.append(one["name"])
        for hole in one.get("vulns", ()):
            ids = (hole["id"], *hole.get("aliases", ()))
            holes.append(Hole(one["name"], one["version"], ids, tuple(hole.get("fix_versions", ()))))
    return Audit(tuple(holes), tuple(unknown), len(dependencies))


def read_accepted(text: str) -> dict[str, str]:
    """`ID reason` a line -> id -> reason; a line without a reason is refused."""
    found = {}
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            name, _, reason = line.strip().partition(" ")
            if not reason.strip():
                sys.exit(f"check_images: {ACCEPTED.name}: wanted a reason behind {name}, found none")
            found[name] = reason.strip()
    return found


def judge(about: str, audit: Audit, accepted: dict[str, str]) -> Iterator[Line]:
    """A line for each hole, and one for what nobody knows."""
    num_open = 0
    for hole in audit.holes:
        reasons = [accepted[one] for one in hole.ids if one in accepted]
        fixed = f"fixed in {', '.join(hole.fixed_in)}" if hole.fixed_in else "no fixed version"
        text = f"{hole.package} {hole.version}: {hole.ids[0]}, {fixed}"
        num_open += not reasons
        yield Line("warn" if reasons else "fail", about, f"{text}; accepted: {reasons[0]}" if reasons else text)
    if audit.unknown:
        missing = f"{len(audit.unknown)} of {audit.num_packages} packages"
        yield Line("fail", about, f"{missing} could not be looked up: the database of holes does not know them")
    elif not num_open:
        yield Line("ok", about, f"{audit.num_packages} packages, no open hole")


def audit_list(path: Path, osv_url: str | None) -> Audit:
    """Ask for every package of a hash-pinned list."""
    words = [str(tool("pip-audit")), "--disable-pip", "--require-hashes", "--requirement", str(path)]
    words += ["--format", "json", "--progress-spinner", "off"]
    if osv_url:
        words += ["--vulnerability-service", "osv", "--osv-url", osv_url]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    try:
        return read_audit(done.stdout)
    except (ValueError, KeyError):
        sys.exit(f"check_images: pip-audit ended with {done.returncode} on {path.name}:\n{done.stderr[-2000:]}")


def lint() -> Iterator[Line]:
    """Hadolint over every Dockerfile."""
    for path in sorted((ROOT / "docker").rglob("*Dockerfile")):
        done = subprocess.run([tool("hadolint"), "--no-color", path], capture_output=True, text=True, check=False)
        about = path.relative_to(ROOT).as_posix()
        lines = done.stdout.splitlines()
        yield from (Line("fail", about, line.removeprefix(f"{path}:")) for line in lines)
        if done.returncode == 0 and not lines:
            yield Line("ok", about, "hadolint")


def sbom(name: str, inventory: Iterable[dict[str, str]], labels: dict[str, str]) -> dict[str, Any]:
    """CycloneDX 1.6; the same inventory gives the same bytes."""
    components = []
    for one in sorted(inventory, key=lambda one: (one["kind"], one["name"].lower(), one["version"])):
        place = one["name"].lower().replace("_", "-") if one["kind"] == "pypi" else f"debian/{one['name']}"
        purl = f"pkg:{one['kind']}/{place}@{one['version'].replace('+', '%2B')}"
        component = {"type": "library", "bom-ref": purl, "name": one["name"], "version": one["version"], "purl": purl}
        if one["licence"]:
            component["licenses"] = [{"license": {"name": one["licence"]}}]  # type: ignore[assignment]
        components.append(component)
    about = {"type": "container", "name": name, "version": labels.get("org.opencontainers.image.version", "")}
    about["bom-ref"] = name
    revision = labels.get("org.opencontainers.image.revision", "")
    serial = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps([name, revision, components], sort_keys=True))
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {"component": about, "properties": [{"name": "revision", "value": revision}]},
        "components": components,
    }


def look_into(engine: str, image: str) -> Iterator[Line]:
    """The image's updates and its SBOM."""
    python = "python3" if "t2s-s3" in image else "/opt/venv/bin/python"
    done = run_in(engine, image, ["--network=none"], python, "-c", INVENTORY)
    if done.returncode != 0:
        yield Line("fail", image, f"its packages cannot be listed: {done.stderr.strip()[-300:]}")
        return
    inventory = json.loads(done.stdout)
    described = subprocess.run([engine, "image", "inspect", image], capture_output=True, text=True, check=True).stdout
    labels = json.loads(described)[0]["Config"].get("Labels") or {}
    SBOM_FOLDER.mkdir(parents=True, exist_ok=True)
    path = SBOM_FOLDER / f"{image.rpartition('/')[2].replace(':', '-')}.cdx.json"
    path.write_text(json.dumps(sbom(image, inventory, labels), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    yield Line("ok", image, f"SBOM of {len(inventory)} packages: {path.relative_to(ROOT)}")
    done = run_in(engine, image, ["--user=0"], "bash", "-c", UPDATES)
    waiting = done.stdout.split()
    if done.returncode != 0:
        yield Line("fail", image, "the distribution's updates could not be looked up: its mirror does not answer")
    elif waiting:
        yield Line(
            "warn", image, f"{len(waiting)} updates of the distribution, build from a newer base: {' '.join(waiting)}"
        )
    else:
        yield Line("ok", image, "no update of the distribution is waiting")


def run_in(engine: str, image: str, options: Sequence[str], *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a container that goes with it."""
    words = [engine, "run", "--rm", "--entrypoint", command[0], *options, image, *command[1:]]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def images_here(engine: str, version: str) -> list[str]:
    """Which of our images this machine has."""
    listed = subprocess.run(
        [engine, "images", "--format", "{{.Repository}}:{{.Tag}}"], capture_output=True, text=True, check=True
    ).stdout.split()
    tags = (version, f"{version}-cuda12")
    return [one for one in listed if re.sub(r".*/", "", one) in {f"{name}:{tag}" for name in IMAGES for tag in tags}]


def tool(name: str) -> Path:
    """A program of the development environment, or of this machine."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        sys.exit(f"check_images: no {beside}; make setup-dev brings it")
    return Path(found)


def container_engine() -> str | None:
    """Docker where its daemon answers, else podman, else nothing."""
    if shutil.which("docker") and subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0:
        return "docker"
    return "podman" if shutil.which("podman") else None


def look(wanted: Sequence[str], osv_url: str | None) -> Iterator[Line]:
    """Everything, the quick things first."""
    yield from lint()
    engine = container_engine()
    (version,) = re.findall(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    found = wanted or (images_here(engine, version) if engine else [])
    if not found:
        yield Line("warn", "images", f"none of version {version} is here; scripts/build_images.sh builds them")
    for image in found:
        if engine is None:
            sys.exit("check_images: neither a Docker daemon nor podman is here")
        yield from look_into(engine, image)
    accepted = read_accepted(ACCEPTED.read_text(encoding="utf-8"))
    for name in LISTS:
        path = ROOT / "locks" / f"{name}.txt"
        if path.exists():
            yield from judge(f"locks/{name}.txt", audit_list(path, osv_url), accepted)


def main(argv: Sequence[str] | None = None) -> int:
    """Print a line for each thing; 1 when one of them fails."""
    parser = argparse.ArgumentParser(description="Look at the images and the lists they are made of.")
    parser.add_argument("--image", action="append", default=[], help="this one, in place of all that are here")
    parser.add_argument("--osv-url", help="a database of holes that speaks OSV's protocol")
    words = parser.parse_args(argv)
    failed = False
    for line in look(words.image, words.osv_url):
        failed |= line.state == "fail"
        print(f"{line.state:<5} {line.about:<32} {line.text}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
