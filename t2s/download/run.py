"""The job download: from sources to published folders, whole or not at all.

    list (until two lists agree) -> choose -> small files -> could it be a model? -> big files -> is it one?
    -> list once more -> manifest

What is published already is not touched: a second run says so, and a new revision is a new folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import logging
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import closing
from pathlib import Path
from typing import NamedTuple, Protocol

from t2s.dataset.location import split_uri
from t2s.download.config import DownloadConfig, SourceConfig
from t2s.download.fetching import Cancelled, Fetcher
from t2s.download.model_check import ModelCheck
from t2s.download.origins import (
    Access,
    FindPython,
    Listing,
    Origin,
    RemoteFile,
    Source,
    Unsettled,
    open_origin,
    parse_source,
)
from t2s.download.package_origin import packaged_version
from t2s.download.progress import TransferProgress
from t2s.download.selection import Selection, select
from t2s.download.target import KeptFile, Place, Target, refuse_other
from t2s.errors import ModelError, Stopped, StorageError
from t2s.manifest import now
from t2s.sample_model import SAMPLE_MODEL_NAME
from t2s.storage.cache import folder_digest
from t2s.storage.patience import Patience
from t2s.storage.published import ModelFacts, Published, PublishedFile

logger = logging.getLogger(__name__)

_MAX_LISTS = 6
_LISTS_PAUSE_S = 1.0
_MAX_TRIES = 3
_POLL_S = 0.2
_FOLDER = re.compile(r"\w[\w.-]*")


class Stop(Protocol):
    """A request to stop, from a signal."""

    @property
    def requested(self) -> bool:
        """Whether it came."""


class Downloaded(NamedTuple):
    """What came of one source.

    Attributes:
        uri: The published folder.
        published: Its manifest.
        is_new: False where an earlier run had published it.
    """

    uri: str
    published: Published
    is_new: bool


class Never:
    """No stop is ever asked for."""

    requested = False


def download(
    config: DownloadConfig,
    access: Access,
    *,
    stop: Stop | None = None,
    progress: TransferProgress | None = None,
    predict_python: FindPython | None = None,
) -> list[Downloaded]:
    """Download everything that the settings name, one after the other.

    Args:
        config: What, from where, to where.
        access: How the hubs are reached.
        stop: Ends it; what is complete stays, and the next run goes on.
        progress: Told of every byte.
        predict_python: Finds the interpreter that converts the packaged small model where this one cannot.

    Raises:
        InputError: A source, a file or a model is not what it must be; nothing of it was published.
        StorageError: A hub, a store or the disk failed; nothing of that source was published.
        Stopped: A stop was asked for.
    """
    sources = [(parse_source(one), one) for one in config.wanted]  # all of them, before the first one comes
    job = _Job(config, access, stop or Never(), progress or TransferProgress(), predict_python)
    return [job.bring(source, one) for source, one in sources]


def place_of(config: DownloadConfig, source: Source, one: SourceConfig, name: str, revision: str) -> Place:
    """Where a source is published, under a name of its own where it has one."""
    uri = config.models_uri
    if source.kind == "dataset":
        beside = split_uri(config.models_uri.rstrip("/")).folder
        uri = config.datasets_uri or f"{beside.rstrip('/')}/datasets"
    name = one.name or name or source.name
    for word, found in (("name", name), ("revision", revision)):
        if not _FOLDER.fullmatch(found):  # a manifest or a hub that somebody else wrote
            raise ModelError(f"{source.text}: wanted a {word} of letters, digits, '.', '_' and '-', found {found!r}")
    return Place(uri, name, revision, source.kind)


class _Job:
    def __init__(
        self,
        config: DownloadConfig,
        access: Access,
        stop: Stop,
        progress: TransferProgress,
        predict_python: FindPython | None,
    ) -> None:
        self._config, self._access, self._stop, self._progress = config, access, stop, progress
        self._predict_python = predict_python
        self._cache_dir = Path(config.cache_dir).expanduser()
        self._staging = Path(config.staging_dir).expanduser() if config.staging_dir else self._cache_dir / "downloads"

    def bring(self, source: Source, one: SourceConfig) -> Downloaded:
        """Download one source."""
        place = self._known_place(source, one)
        if place is not None:
            published = Target(place, self._staging).published()
            if published is not None and one.include is None:
                return self._nothing_to_do(source, place.folder_uri, published)
        work = self._staging / f"client-{hashlib.sha256(source.text.encode()).hexdigest()[:20]}"
        with closing(open_origin(source, self._access, work, self._cache_dir, self._predict_python)) as origin:
            for _ in range(_MAX_TRIES):
                listing = self._listing(source, origin)
                found = self._bring_listed(source, one, origin, listing)
                if found is not None:
                    shutil.rmtree(work, ignore_errors=True)
                    return found
                logger.warning("%s: its list of files changed meanwhile, looking again", source.text)
        raise _changing(source)

    def _known_place(self, source: Source, one: SourceConfig) -> Place | None:
        """Where it goes, if that can be told without asking its origin."""
        if source.scheme == "pypi":
            return place_of(self._config, source, one, SAMPLE_MODEL_NAME, packaged_version())
        return place_of(self._config, source, one, "", source.revision) if source.is_pinned else None

    def _nothing_to_do(self, source: Source, uri: str, published: Published) -> Downloaded:
        logger.info("%s: nothing to do, %s is published (verified %s)", source.text, uri, published.verified_at)
        return Downloaded(uri, published, False)

    def _listing(self, source: Source, origin: Origin) -> Listing:
        """What there is, once two lists in a row agree."""
        earlier = None
        for number in range(_MAX_LISTS):
            if number > 1:
                self._pause(_LISTS_PAUSE_S)
            listing = self._asked(source, origin)
            if listing == earlier:
                return listing
            earlier = listing
        raise _changing(source)

    def _asked(self, source: Source, origin: Origin) -> Listing:
        patience = Patience(self._config.retry_budget_s)
        while True:
            try:
                return origin.listing()
            except Unsettled as reason:
                pause = patience.next_pause()
                asked = reason.retry_after_s
                if pause is None or (asked is not None and asked > max(patience.left_s, pause)):
                    raise StorageError(
                        f"{source.text}: its list of files does not come, {reason}; tried for "
                        f"{patience.waited_s:.0f} s (retry_budget_s {self._config.retry_budget_s:.0f}); nothing was "
                        "published"
                    ) from reason
                pause = max(pause, asked or 0.0)
                logger.warning("%s: its list of files: %s; trying again in %.1f s", source.text, reason, pause)
                self._pause(pause)

    def _pause(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._check_stop()
            time.sleep(min(left, _POLL_S))

    def _check_stop(self) -> None:
        if self._stop.requested:
            raise Stopped("stopped as asked; what has come is kept, the same command goes on from here")

    def _bring_listed(self, source: Source, one: SourceConfig, origin: Origin, listing: Listing) -> Downloaded | None:
        """Publish exactly what was listed; None if the origin now lists something else under the same revision."""
        is_hub = source.scheme in ("modelscope", "hf")
        chosen = select(source.text, listing.files, source.kind, one, is_hub=is_hub)
        place = place_of(self._config, source, one, listing.name, listing.revision)
        target = Target(place, self._staging)
        with target.locked():
            published = target.published()
            if published is not None:
                refuse_other(target.uri, published, chosen.files)
                target.tidy()
                return self._nothing_to_do(source, target.uri, published)
            kept, facts = self._filled(source, one, origin, target, chosen)
            after = self._asked(source, origin)
            if after != listing:
                if after.revision == listing.revision:
                    return None
                logger.info("%s has moved on to %s meanwhile; %s is what was downloaded", source.text, after.revision,
                            listing.revision)  # fmt: skip
            manifest = _manifest(source, place, listing, kept, facts)
            target.publish(manifest)
        logger.info(
            "%s: published %s, %d files, %.1f MB%s",
            source.text, target.uri, len(manifest.files), manifest.num_bytes / 1e6,
            f", {facts.num_parameters:,} parameters, most of them {facts.dtype}" if facts else "",
        )  # fmt: skip
        return Downloaded(target.uri, manifest, True)

    def _filled(
        self, source: Source, one: SourceConfig, origin: Origin, target: Target, chosen: Selection
    ) -> tuple[dict[str, KeptFile], ModelFacts | None]:
        """All chosen files in the target, and what the check as a model found."""
        target.begin()
        wanted = {file.name: file for file in chosen.files}
        kept = {
            name: file
            for name, file in target.kept(wanted).items()
            if file.size == wanted[name].size and wanted[name].sha256 in ("", file.sha256)
        }
        sizes = {file.name: file.size for file in chosen.files}
        if chosen.pickles:
            logger.info("%s: left out, since pickles run code when they are loaded: %s", source.text,
                        ", ".join(chosen.pickles))  # fmt: skip
        logger.info(
            "%s: %d files, %.1f MB, to %s%s", source.text, len(sizes), chosen.num_bytes / 1e6, target.uri,
            f"; {len(kept)} of them are there" if kept else "",
        )  # fmt: skip
        self._progress.plan(sizes, {name: sizes[name] for name in kept}, uploads=not target.is_local)
        to_come = [file for file in chosen.files if file.name not in kept]
        at_once = target.check_room([file.size for file in to_come], self._config.num_files_at_once)
        fetcher = Fetcher(source.text, origin, target, source.kind, self._progress, self._config.retry_budget_s)
        check = None
        if source.kind == "model":
            check = ModelCheck(source.text, wanted, chosen.pickles, one.chat_template)
            small = [file for file in to_come if file.name in check.small_files]
            kept |= self._brought(fetcher, small, at_once)
            check.before(target.read)
        kept |= self._brought(fetcher, [file for file in to_come if file.name not in kept], at_once)
        return kept, check.after(kept, target.read) if check else None

    def _brought(self, fetcher: Fetcher, files: Sequence[RemoteFile], at_once: int) -> dict[str, KeptFile]:
        """Bring files side by side; the first that fails ends all."""
        pool = ThreadPoolExecutor(at_once, "fetch")
        try:
            futures: list[Future[KeptFile]] = [pool.submit(fetcher.bring, file) for file in files]
            left: set[Future[KeptFile]] = set(futures)
            while left:
                self._check_stop()
                done, left = wait(left, timeout=_POLL_S, return_when=FIRST_EXCEPTION)
                for error in [future.exception() for future in done]:
                    if error is not None and not isinstance(error, Cancelled):  # the others only follow that one
                        raise error
        except BaseException:
            fetcher.cancelled.set()
            raise
        finally:
            # Threads inside a client see the end within a second, at worst after its read time-out of 10 s. They must
            # be gone before anybody else may write to the same parts.
            pool.shutdown(cancel_futures=True)
        return {future.result().name: future.result() for future in futures}


def _manifest(
    source: Source, place: Place, listing: Listing, kept: dict[str, KeptFile], facts: ModelFacts | None
) -> Published:
    files = [kept[name] for name in sorted(kept)]
    return Published(
        kind=source.kind,
        name=place.name,
        revision=place.revision,
        origin=source.text,
        licence=listing.licence,
        digest=folder_digest({file.name: file.sha256 for file in files}),
        num_bytes=sum(file.size for file in files),
        files=tuple(
            PublishedFile(name=file.name, size=file.size, sha256=file.sha256, checked=file.checked) for file in files
        ),
        model=facts,
        verified_at=now(),
        packages=dict(_versions()),
    )


def _versions() -> Iterator[tuple[str, str]]:
    for name in ("t2s", "modelscope", "modelscope-hub", "huggingface-hub", "boto3", "tokenizers"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            yield name, importlib.metadata.version(name)


def _changing(source: Source) -> StorageError:
    return StorageError(
        f"{source.text}: its list of files changes from one answer to the next; nothing was published; wait until who "
        "writes there is done, or name a commit"
    )
