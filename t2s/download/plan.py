"""What a download would do: asks the hubs for their lists, fetches nothing."""

from __future__ import annotations

import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from t2s.download.config import DownloadConfig, SourceConfig
from t2s.download.origins import Access, Source, Unsettled, open_origin, parse_source
from t2s.download.run import place_of
from t2s.download.selection import select
from t2s.download.target import Target
from t2s.errors import StorageError

if TYPE_CHECKING:
    from rich.console import Console


def show_download_plan(config: DownloadConfig, access: Access, console: Console) -> None:
    """Print, for each source, the commit, the files that would come, what is left, and where it would go."""
    for one in config.wanted:
        source = parse_source(one)
        if source.scheme == "pypi":
            console.print(f"{source.text}: converted in the predict environment, 0.5 GB", markup=False)
            continue
        with tempfile.TemporaryDirectory(prefix="t2s-plan-") as work:
            _show(config, source, one, access, Path(work), console)


def _show(
    config: DownloadConfig, source: Source, one: SourceConfig, access: Access, work: Path, console: Console
) -> None:
    from rich.table import Table

    with closing(open_origin(source, access, work, Path(config.cache_dir))) as origin:
        try:
            listing = origin.listing()
        except Unsettled as reason:
            raise StorageError(f"{source.text}: its list of files does not come, {reason}") from reason
    is_hub = source.scheme in ("modelscope", "hf")
    chosen = select(source.text, listing.files, source.kind, one, is_hub=is_hub)
    target = Target(place_of(config, source, one, listing.name, listing.revision), work)
    state = "published already: nothing to do" if target.published() else "not published yet"
    table = Table(title=f"{source.text}, {source.kind}", title_justify="left", box=None, pad_edge=False)
    for title in ("file", "MB", "held against"):
        table.add_column(title, justify="right" if title == "MB" else "left", overflow="fold")
    for file in chosen.files:
        against = {"sha256": "the hub's sha256", "git": "git's digest", "record": "its manifest", "nothing": "its size"}
        table.add_row(file.name, f"{file.size / 1e6:.1f}", against[file.checked])
    console.print(table)
    left = sorted({file.name for file in listing.files} - {file.name for file in chosen.files})
    console.print(
        f"{len(chosen.files)} files, {chosen.num_bytes / 1e6:.1f} MB; licence: {listing.licence or 'not told'}"
    )
    if left:
        console.print(f"left: {', '.join(left[:20])}{', …' if len(left) > 20 else ''}", markup=False)
    console.print(f"to {target.uri}: {state}", markup=False)
