"""Hugging Face, through its own client: alone imports `huggingface_hub` (and `httpx`, whose errors it raises).

What the client does, as installed (huggingface_hub 1.33.0; read in its source):
- `repo_info` resolves a branch to its commit and tells the licence, `list_repo_tree` lists sizes, and a sha256 for LFS
  files; other files have git's own digest, which can be held against as well;
- `hf_hub_download` starts a file anew in every process, since its temporary name is random and is deleted on failure:
  5 GB would come again after a kill. `http_get`, which it uses, takes up a file where it stopped, and so does this;
- `http_get` waits for 10 MB before it writes any, so that a line that breaks every few seconds would never get on:
  here it writes what comes; it sleeps for as long as a 429's Retry-After says, were it a day: here only ours do;
- a stored login is used when no token is given: `token=False` says that there is none;
- lists are asked for without any time-out, and warnings hold signed addresses: the first gets one, the second go.
No telemetry is sent by these calls; HF_HUB_DISABLE_TELEMETRY takes details out of the user agent.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from t2s.download.origins import PARTIAL_ENDING, HubAccess, Listing, RemoteFile, Source, Unsettled
from t2s.errors import AccessRefused, MissingExtra, ObjectMissing, StorageError
from t2s.storage.os_errors import told
from t2s.storage.ranges import OnBytes

_ANSWER_S = 60.0


class HuggingFaceOrigin:
    """A repository of Hugging Face, or of a mirror that speaks its API.

    Args:
        source: Which, and at which branch, tag or commit.
        access: Endpoint and token; no endpoint: HF_ENDPOINT, or huggingface.co.
    """

    def __init__(self, source: Source, access: HubAccess) -> None:
        try:
            import huggingface_hub
        except ImportError as error:
            raise MissingExtra(f"{source.text}: needs the package huggingface_hub; run: make setup") from error
        _tame()
        self._source, self._token = source, access.token or False
        self._api = huggingface_hub.HfApi(endpoint=access.endpoint, token=self._token)
        self._host = urlsplit(self._api.endpoint).netloc
        self._commit = source.revision

    def listing(self) -> Listing:
        """What the branch, tag or commit has now."""
        from huggingface_hub.hf_api import RepoFile

        repo, kind = self._source.path, self._source.kind
        with self._told("its list of files"):
            facts = self._api.repo_info(repo, revision=self._source.revision, repo_type=kind, timeout=_ANSWER_S)
            self._commit = str(facts.sha)
            tree = list(self._api.list_repo_tree(repo, recursive=True, revision=self._commit, repo_type=kind))
        files = sorted(_file(entry, self._commit) for entry in tree if isinstance(entry, RepoFile))
        return Listing(self._commit, tuple(files), _licence(facts), "")

    def fetch(self, file: RemoteFile, folder: Path, on_bytes: OnBytes, cancelled: threading.Event) -> Path:
        """Bring a file whole to this machine; see `Origin`."""
        from huggingface_hub import hf_hub_url
        from huggingface_hub.file_download import http_get
        from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]
        from tqdm import tqdm  # type: ignore[import-untyped]

        path, partial = folder / file.name, folder / f"{file.name}{PARTIAL_ENDING}"
        kind = self._source.kind
        url = hf_hub_url(self._source.path, file.name, repo_type=kind, revision=file.ref, endpoint=self._api.endpoint)
        # The same address each time: the hub answers it with a redirect that is signed anew.
        headers = build_hf_headers(token=self._token, headers={"Accept-Encoding": "identity"})
        with told("write", partial):
            path.parent.mkdir(parents=True, exist_ok=True)
            if partial.is_file() and partial.stat().st_size > file.size:
                partial.unlink()
            with partial.open("ab") as stream:
                before = stream.tell()
                with self._told(file.name):
                    http_get(
                        url,
                        _Counting(stream, on_bytes),  # type: ignore[arg-type]
                        resume_size=before,
                        headers=headers,
                        expected_size=file.size,
                        displayed_filename=file.name,
                        _nb_retries=0,
                        tqdm_class=functools.partial(tqdm, disable=True),  # type: ignore[arg-type]
                    )
            os.replace(partial, path)
        return path

    def close(self) -> None:
        """Nothing: the connections are the whole process's, and its package closes them at the end."""

    @contextlib.contextmanager
    def _told(self, what: str) -> Iterator[None]:
        """Translate everything that the client raises: the one place where that happens."""
        import httpx
        from huggingface_hub import errors

        at = f"{self._source.text}: {what}"
        try:
            yield
        except errors.OfflineModeIsEnabled as error:
            raise StorageError(f"{at}: HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is set; unset it to download") from error
        except errors.GatedRepoError as error:
            raise self._refused(at) from error
        except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.EntryNotFoundError) as error:
            raise self._missing(at) from error
        except errors.HfHubHTTPError as error:
            raise self._from_status(at, error) from error
        except httpx.HTTPError as error:
            raise Unsettled(f"the connection to {self._host} broke ({type(error).__name__})") from error
        except ValueError as error:  # an answer that broke off in the middle of its JSON
            raise Unsettled(f"{self._host} answers what makes no sense ({type(error).__name__})") from error
        except OSError as error:
            if error.errno is not None:
                raise
            raise Unsettled("another number of bytes came than the hub lists") from error

    def _from_status(self, at: str, error: Any) -> Exception:
        answer = error.response
        status, after = answer.status_code, answer.headers.get("Retry-After", "")
        retry_after_s = float(after) if after.isdecimal() else None
        if status in (401, 403):
            if urlsplit(str(answer.url)).netloc != self._host:
                return Unsettled(f"the signed address of the file is refused ({status})", retry_after_s)
            return self._refused(at)
        if status in (416, 425) or status >= 500:
            return Unsettled(f"it answers {status}", retry_after_s)
        return StorageError(f"{at}: {self._host} refuses ({status})")

    def _missing(self, at: str) -> ObjectMissing:
        return ObjectMissing(
            f"{at}: {self._host} has no such {self._source.kind} or file at {self._source.revision}, or not for "
            f"{'this token' if self._token else 'everybody: set HF_TOKEN if it is gated or private'}"
        )

    def _refused(self, at: str) -> AccessRefused:
        done = "the token has no right to it" if self._token else "it is not open: set HF_TOKEN"
        return AccessRefused(f"{at}: {self._host} refuses, {done}; accept its licence on its page first")


class _Counting:
    """What `http_get` writes to: tells of every byte, and of those that it takes back to begin anew."""

    def __init__(self, stream: IO[bytes], on_bytes: OnBytes) -> None:
        self._stream, self._on_bytes = stream, on_bytes
        self.tell, self.seek = stream.tell, stream.seek

    def write(self, data: bytes) -> int:
        self._on_bytes(len(data))
        return self._stream.write(data)

    def truncate(self) -> int:
        self._stream.flush()
        gone = os.fstat(self._stream.fileno()).st_size - self._stream.tell()
        self._on_bytes(-gone)
        return self._stream.truncate()


def _file(entry: Any, commit: str) -> RemoteFile:
    if entry.lfs is not None:
        return RemoteFile(entry.path, entry.lfs.size, sha256=entry.lfs.sha256.lower(), ref=commit, checked="sha256")
    return RemoteFile(entry.path, entry.size, git_sha1=entry.blob_id, ref=commit, checked="git")


def _licence(facts: Any) -> str | None:
    card = facts.card_data
    if card is not None and isinstance(card.get("license"), str):
        return str(card.get("license"))
    tags = [str(tag) for tag in facts.tags or [] if str(tag).startswith("license:")]
    return tags[0].partition(":")[2] if tags else None


def _do_not_sleep(answer: Any) -> None:
    """Come before the client's own sleep: called for every answer."""
    if answer.status_code in (408, 429):
        after = answer.headers.get("Retry-After", "")
        asks = "it asks to come less often (429)" if answer.status_code == 429 else "it answers 408"
        raise Unsettled(asks, float(after) if after.isdecimal() else None)


@functools.cache  # a new factory closes the connections of the old one, under whoever uses them
def _tame() -> None:
    import httpx
    from huggingface_hub import constants, set_client_factory

    constants.DOWNLOAD_CHUNK_SIZE = None  # type: ignore[assignment]
    hooks = {"response": [_do_not_sleep]}
    set_client_factory(lambda: httpx.Client(event_hooks=hooks, follow_redirects=True, timeout=_ANSWER_S))
    logging.getLogger("huggingface_hub").setLevel(logging.CRITICAL)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs every address at INFO
