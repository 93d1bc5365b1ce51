"""make check-images: holes that are found, accepted, or cannot be looked up; and the list of what is in an image."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from scripts import check_images
from scripts.check_images import Audit, Hole, judge, read_accepted, read_audit, sbom
from tests.containers.podman import program

HOLE = {
    "id": "PYSEC-2014-82",
    "aliases": ["CVE-2014-0012"],
    "summary": "FileSystemBytecodeCache uses a guessable folder.",
    "affected": [
        {
            "package": {"name": "jinja2", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.7.3"}]}],
        }
    ],
}


@contextmanager
def database_of_holes() -> Iterator[str]:
    """A server on 127.0.0.1 that answers like OSV: it knows one hole, and fails where it is asked about six."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            name = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["package"]["name"]
            body = json.dumps({"vulns": [HOLE]} if name == "jinja2" else {}).encode()
            self.send_response(500 if name == "six" else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1/query"
        finally:
            server.shutdown()
            thread.join()


def pinned(folder: Path, *packages: str) -> Path:
    path = folder / "list.txt"
    path.write_text("".join(f"{one} --hash=sha256:{'0' * 64}\n" for one in packages), encoding="utf-8")
    return path


def test_a_hole_of_a_pinned_package_is_found_and_an_accepted_one_is_named(tmp_path: Path) -> None:
    program("pip-audit")
    with database_of_holes() as url:
        audit = check_images.audit_list(pinned(tmp_path, "jinja2==2.7", "rich==15.0.0"), url)
    assert audit == Audit((Hole("jinja2", "2.7", ("PYSEC-2014-82", "CVE-2014-0012"), ("2.7.3",)),), (), 2)
    (line,) = judge("locks/x.txt", audit, {})
    assert (line.state, line.text) == ("fail", "jinja2 2.7: PYSEC-2014-82, fixed in 2.7.3")
    accepted = list(judge("locks/x.txt", audit, {"CVE-2014-0012": "no bytecode cache is used"}))
    assert [one.state for one in accepted] == ["warn", "ok"]
    assert "no bytecode cache is used" in accepted[0].text


def test_a_database_that_does_not_answer_is_no_clean_bill(tmp_path: Path) -> None:
    program("pip-audit")
    with database_of_holes() as url, pytest.raises(SystemExit, match="pip-audit ended with"):
        check_images.audit_list(pinned(tmp_path, "six==1.17.0"), url)


def test_packages_that_nobody_knows_fail_the_check() -> None:
    output = {"dependencies": [{"name": "a", "version": "1", "vulns": []}, {"name": "b", "skip_reason": "not found"}]}
    audit = read_audit(json.dumps(output))
    assert audit == Audit((), ("b",), 2)
    (line,) = judge("locks/x.txt", audit, {})
    assert line.state == "fail" and "1 of 2 packages could not be looked up" in line.text
    assert [one.state for one in judge("locks/x.txt", Audit((), (), 2), {})] == ["ok"]


def test_a_hole_is_accepted_for_a_reason_alone() -> None:
    assert read_accepted("# head\n\nCVE-1 read only by us\n") == {"CVE-1": "read only by us"}
    with pytest.raises(SystemExit, match="wanted a reason behind CVE-2"):
        read_accepted("CVE-2\n")
    assert isinstance(read_accepted(check_images.ACCEPTED.read_text(encoding="utf-8")), dict)


def test_the_list_of_an_image_names_every_package_once_and_is_the_same_each_time() -> None:
    inventory = [
        {"kind": "pypi", "name": "PyYAML", "version": "6.0.3", "licence": "MIT"},
        {"kind": "deb", "name": "libssl3", "version": "3.0.17-1~deb12u2", "licence": ""},
        {"kind": "pypi", "name": "torch", "version": "2.13.0+cpu", "licence": "BSD-3-Clause"},
    ]
    labels = {"org.opencontainers.image.version": "0.1.0", "org.opencontainers.image.revision": "abc"}
    first = sbom("t2s-base:0.1.0", inventory, labels)
    assert first == sbom("t2s-base:0.1.0", inventory[::-1], labels)
    assert [one["purl"] for one in first["components"]] == [
        "pkg:deb/debian/libssl3@3.0.17-1~deb12u2",
        "pkg:pypi/pyyaml@6.0.3",
        "pkg:pypi/torch@2.13.0%2Bcpu",
    ]
    assert (first["bomFormat"], first["specVersion"]) == ("CycloneDX", "1.6")
    assert first["serialNumber"] != sbom("t2s-base:0.1.0", inventory[:2], labels)["serialNumber"]


@pytest.mark.containers
@pytest.mark.timeout(3600)
def test_an_image_is_listed_and_its_waiting_updates_are_told(
    base_image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONTAINERS_CONF", str(Path(__file__).with_name("containers.conf")))
    found = list(check_images.look_into("podman", base_image))
    assert found[0].state == "ok" and found[1].state in ("ok", "warn")
    name = f"{base_image.rpartition('/')[2].replace(':', '-')}.cdx.json"
    listed = json.loads((check_images.SBOM_FOLDER / name).read_text(encoding="utf-8"))
    purls = [one["purl"] for one in listed["components"]]
    assert any(purl.startswith("pkg:pypi/ray@2.60.0") for purl in purls)
    assert any(purl.startswith("pkg:deb/debian/libc6@") for purl in purls)
    assert len(purls) == len(set(purls)) > 150
