"""ModelScope, through its own client: alone imports `modelscope_hub`, the part of `modelscope` that speaks to the hub.

What the client does, as installed (modelscope 1.40.2, modelscope_hub 0.5.1; read in its source):
- `repo/files` lists path, size, sha256 (of every file, not of LFS objects alone) and the commit that changed each file
  last; what a branch stands for is in `LatestCommitter` of the answer, often as a short id only, and dropped by the
  client: that one request is made here, through the client's own transport;
- a download goes into `<file>.incomplete`, is taken up again by a ranged request, hashed on the way and held against
  size and sha256 (three tries); its five retries, half a minute without a word, are switched off: ours say what for;
- it keeps a random id, sent with every request, below `~/.modelscope`, takes a stored login from there, and writes
  locks below `~/.cache/modelscope`: here all of that is in the download's own folder, and the token is the given one;
- it prints bars and logs to standard error by handlers of its own: both are taken away, since its lines hold signed
  addresses.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import logging
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from t2s.download.origins import PARTIAL_ENDING, HubAccess, Listing, RemoteFile, Source, Unsettled, is_commit
from t2s.errors import AccessRefused, DigestMismatch, MissingExtra, ObjectMissing, StorageError
from t2s.storage.os_errors import told
from t2s.storage.ranges import OnBytes

_LIST_S = 600.0  # a list of a hundred thousand files takes a minute
_SHA256 = re.compile(r"[0-9a-f]{64}")


class ModelScopeOrigin:
    """A repository of ModelScope.

    Args:
        source: Which, and at which branch, tag or commit.
        access: Endpoint and token; no endpoint: MODELSCOPE_ENDPOINT, or modelscope.cn.
        work: Folder for what the client keeps.
    """

    def __init__(self, source: Source, access: HubAccess, work: Path) -> None:
        try:
            import modelscope_hub
            from modelscope_hub.config import HubConfig
        except ImportError as error:
            raise MissingExtra(f"{source.text}: needs the package modelscope; run: make setup") from error
        _silence()
        self._source, self._has_token, self._work = source, bool(access.token), work
        # An empty token means none; no token at all would take the login that somebody left on this machine.
        config = HubConfig(endpoint=access.endpoint, token=access.token or "", cache_dir=work, config_dir=work)
        self._api = modelscope_hub.HubApi(config=config)
        self._host = urlsplit(str(config.endpoint)).netloc

    def listing(self) -> Listing:
        """What the branch, tag or commit has now; `Unsettled` when somebody commits at this very moment."""
        from modelscope_hub._download_control import _DownloadControl

        client, repo, kind = self._api.legacy, self._source.path, self._source.kind
        # Under a control the client waits for nothing by itself, and for no answer longer than this.
        control = _DownloadControl(total_timeout=_LIST_S)
        with self._told("its list of files"), control, client.read_context(control):
            facts = client.get_repo_info(repo, kind)
            before = self._latest_commit()
            found = client.list_repo_files(repo, kind, revision=self._source.revision)
            if getattr(client._read_state, "listing_incomplete", False):
                raise StorageError(f"{self._source.text}: ModelScope does not list all files of so big a folder")
            if self._latest_commit() != before:
                raise Unsettled("somebody commits to it right now")
        files = sorted(_file(entry, self._source.revision) for entry in found if entry.get("Type") != "tree")
        licence = facts.get("License") if isinstance(facts, dict) else None
        commits = {str(entry.get("Revision") or "") for entry in found}
        return Listing(self._commit(before, commits, files), tuple(files), str(licence) if licence else None, "")

    def _latest_commit(self) -> str:
        """The commit that the revision stands for, as far as ModelScope tells it: 40 digits, 8, or nothing."""
        rest = "repo/tree" if self._source.kind == "dataset" else "repo/files"
        params = {"Revision": self._source.revision, "Recursive": "False"}
        answer = self._api.legacy._request("GET", f"{self._source.kind}s/{self._source.path}/{rest}", params=params)
        latest = (answer.json().get("Data") or {}).get("LatestCommitter") or {}
        return str(latest.get("Id") or latest.get("ShortId") or "")

    def _commit(self, latest: str, commits: set[str], files: list[RemoteFile]) -> str:
        if self._source.is_pinned:
            return self._source.revision
        whole = [commit for commit in sorted(commits) if latest and commit.startswith(latest) and is_commit(commit)]
        if whole or latest:
            return whole[0] if whole else latest
        listed = json.dumps([file[:3] for file in files], ensure_ascii=False)
        return f"list-{hashlib.sha256(listed.encode()).hexdigest()[:16]}"

    def fetch(self, file: RemoteFile, folder: Path, on_bytes: OnBytes, cancelled: threading.Event) -> Path:
        """Bring a file whole to this machine; see `Origin`."""
        from modelscope_hub._download import ProgressCallback

        partial = folder / f"{file.name}{PARTIAL_ENDING}"
        before = partial.stat().st_size if partial.is_file() else 0

        class Progress(ProgressCallback):
            told_of_earlier = before == 0

            def update(self, size: int) -> None:
                if not self.told_of_earlier and size == before:  # what was there before this call
                    self.told_of_earlier = True
                    return
                on_bytes(size)

        with told("write", folder / file.name), self._told(file.name):  # in this order: its errors are OSErrors too
            path = self._api.downloader.download_file(
                self._source.path,
                self._source.kind,
                file.name,
                revision=file.ref,
                local_dir=folder,
                cache_dir=self._work,
                expected_sha256=file.sha256 or None,
                file_size=file.size,
                progress_callbacks=[Progress],
                _cancel_event=cancelled,
            )
        return Path(path)

    def close(self) -> None:
        """Give connections back."""
        for own in (self._api.legacy._session, self._api.legacy._read_session):
            own.close()

    @contextlib.contextmanager
    def _told(self, what: str) -> Iterator[None]:
        """Translate everything that the client raises: the one place where that happens."""
        import requests
        from modelscope_hub import errors

        at = f"{self._source.text}: {what}"
        try:
            yield
        except errors.FileSizeMismatchError as error:
            raise StorageError(f"{at}: the hub lists it with another size than it sends ({error.message})") from error
        except errors.FileIntegrityError as error:
            raise DigestMismatch(
                f"{at}: wanted the bytes that the hub promises by their sha256, found others three times; nothing was "
                "published; try again later, or tell the hub"
            ) from error
        except errors.RateLimitError as error:
            raise Unsettled("it asks to come less often (429)", error.retry_after) from error
        except errors.NotExistError as error:
            raise self._missing(at) from error
        except (errors.AuthenticationError, errors.PermissionDeniedError) as error:
            if urlsplit(str(error.url)).netloc != self._host:
                raise Unsettled(f"the signed address of the file is refused ({error.status_code})") from error
            raise self._refused(at) from error
        except errors.ServerError as error:
            raise Unsettled(f"it answers {error.status_code}", getattr(error, "retry_after", None)) from error
        except (errors.NetworkError, requests.RequestException, json.JSONDecodeError) as error:
            raise Unsettled(f"the connection to {self._host} broke ({type(error).__name__})") from error
        except errors.HubError as error:
            raise StorageError(f"{at}: ModelScope refuses: {' '.join(str(error.message).split())}") from error

    def _missing(self, at: str) -> ObjectMissing:
        return ObjectMissing(
            f"{at}: ModelScope has no such {self._source.kind} or file at {self._source.revision}, or not for "
            f"{'this token' if self._has_token else 'everybody: set MODELSCOPE_API_TOKEN if it is gated or private'}"
        )

    def _refused(self, at: str) -> AccessRefused:
        done = "the token has no right to it" if self._has_token else "it is not open: set MODELSCOPE_API_TOKEN"
        return AccessRefused(
            f"{at}: ModelScope refuses, {done}; accept its licence on its page first, where it asks so"
        )


def _file(entry: dict[str, Any], revision: str) -> RemoteFile:
    sha256 = str(entry.get("Sha256") or "").lower()
    # The commit that changed it last: it stays what it is when the branch moves on meanwhile.
    changed = str(entry.get("Revision") or "")
    return RemoteFile(
        name=str(entry.get("Path") or entry.get("Name") or ""),
        size=int(entry.get("Size") or 0),
        sha256=sha256 if _SHA256.fullmatch(sha256) else "",
        ref=changed if is_commit(changed) else revision,
        checked="sha256" if _SHA256.fullmatch(sha256) else "nothing",
    )


def _silence() -> None:
    from modelscope_hub import _download, _legacy_api
    from tqdm import tqdm  # type: ignore[import-untyped]

    _download.tqdm = functools.partial(tqdm, disable=True)  # type: ignore[attr-defined]
    # Who tries again is `Fetcher`: for as long as the user wants, and with a line that says what for.
    _download.DOWNLOAD_RETRY_TIMES = 0  # type: ignore[attr-defined]
    _legacy_api.REPO_TREE_PAGE_MAX_ATTEMPTS = 1  # type: ignore[attr-defined]
    own = logging.getLogger("modelscope_hub")
    own.handlers.clear()
    own.addHandler(logging.NullHandler())
    own.setLevel(logging.CRITICAL)
