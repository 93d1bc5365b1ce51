"""Both hubs' real clients against a local hub: whole and verified, or not published, with one clear line."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import pytest

from t2s.download import Downloaded, download
from t2s.errors import AccessRefused, DigestMismatch, ObjectMissing, StorageError, T2SError
from t2s.model_folder import resolve_model
from t2s.storage.cache import NodeCache
from tests.download.conftest import OpenHub, access_to, settings
from tests.download.small_model import others, small_model
from tests.hub_server import HubServer
from tests.hub_server_repos import Repo, sha256
from tests.hub_server_troubles import Trouble

SCHEMES = pytest.mark.parametrize("scheme", ["modelscope", "hf"])
SHARD = "model-00002-of-00002.safetensors"  # the last one that is asked for
FILES = small_model()


def bring(hub: HubServer, tmp_path: Path, scheme: str, **values: object) -> Downloaded:
    [done] = download(settings(tmp_path, f"{scheme}://LLM-Research/tiny", **values), access_to(hub))
    return done


def check_whole(done: Downloaded, files: dict[str, bytes]) -> None:
    folder = Path(done.uri)
    found = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "manifest.json"}
    assert found == files
    assert {file.name: file.sha256 for file in done.published.files} == {n: sha256(d) for n, d in files.items()}
    assert done.published.digest == NodeCache(folder.parent / "another cache").folder(done.uri).digest


def check_nothing_published(tmp_path: Path, error: T2SError) -> None:
    assert "\n" not in str(error), "one line"
    assert not list((tmp_path / "models").rglob("manifest.json"))
    assert not [path for path in (tmp_path / "models" / "tiny").glob("*") if not path.name.startswith(".t2s-")]


@SCHEMES
def test_a_model_comes_whole_a_second_run_does_nothing_and_a_new_commit_is_a_new_folder(
    scheme: str, open_hub: OpenHub, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    repo = Repo("LLM-Research/tiny", FILES | others(), licence="llama3")
    hub = open_hub(repo)
    with caplog.at_level("INFO", "t2s"):
        done = bring(hub, tmp_path, scheme)
        check_whole(done, FILES)
        assert "left out, since pickles run code when they are loaded: " in caplog.text
        assert "original/consolidated.00.pth, pytorch_model.bin" in caplog.text
        assert done.is_new
        published = done.published
        assert (published.revision, published.licence, published.name) == (repo.head, "llama3", "tiny")
        assert Path(done.uri) == tmp_path / "models" / "tiny" / repo.head
        assert published.model is not None
        assert (published.model.dtype, published.model.num_parameters) == ("BF16", 2 * 60_010)
        checked = {file.name: file.checked for file in published.files}
        assert checked[SHARD] == "sha256"
        assert checked["config.json"] == ("sha256" if scheme == "modelscope" else "git")

        sent = hub.troubles.sent()
        assert sent == sum(map(len, FILES.values())), "nothing but what is wanted, and that once"
        again = bring(hub, tmp_path, scheme)
        assert not again.is_new
        assert again.published == published
        assert hub.troubles.sent() == sent
        assert f"nothing to do, {done.uri} is published" in caplog.text

    newer = FILES | {"config.json": b'{"architectures": ["Another"]}'}
    repo.commit(newer | others())
    third = bring(hub, tmp_path, scheme)
    check_whole(third, newer)
    assert third.uri != done.uri
    assert resolve_model(third.uri, "", str(tmp_path / "cache")).digest == third.published.digest
    pinned = f"{scheme}://LLM-Research/tiny@{published.revision}"
    hub.troubles.log.clear()
    [earlier] = download(settings(tmp_path, pinned), access_to(hub))
    assert earlier.uri == done.uri
    assert hub.troubles.log == [], "a commit that is published needs no hub"


@SCHEMES
@pytest.mark.parametrize(
    ("trouble", "times"),
    [
        pytest.param(Trouble("cdn", SHARD, status=503), 2, id="the bytes answer 503"),
        pytest.param(Trouble("file", SHARD, status=500), 2, id="the file answers 500"),
        pytest.param(Trouble("list", status=503), 2, id="the list answers 503"),
        pytest.param(Trouble("info", status=502), 1, id="the facts answer 502"),
        pytest.param(Trouble("cdn", SHARD, cut_after=40_000), 2, id="the connection is cut"),
        pytest.param(Trouble("cdn", SHARD, cut_after=0), 2, id="the connection is cut before the first byte"),
        pytest.param(Trouble("cdn", SHARD, bytes_per_s=100_000), 1, id="the body is slow"),
        pytest.param(Trouble("cdn", SHARD, flip=True), 1, id="a wrong bit"),
        pytest.param(Trouble("list", left_out=SHARD), 1, id="a list without a file"),
        pytest.param(Trouble("list", grown="config.json"), 1, id="a list with another size"),
        pytest.param(Trouble("cdn", SHARD, status=429, headers={"Retry-After": "1"}), 2, id="429 for the bytes"),
        pytest.param(Trouble("list", status=429, headers={"Retry-After": "1"}), 1, id="429 for the list"),
        pytest.param(Trouble("file", SHARD, expired=True), 2, id="an expired address"),
    ],
)
def test_what_passes_is_waited_for(
    scheme: str, trouble: Trouble, times: int, open_hub: OpenHub, tmp_path: Path
) -> None:
    hub = open_hub(Repo("LLM-Research/tiny", FILES | others()))
    hub.troubles.add(trouble, times)
    began = time.monotonic()
    check_whole(bring(hub, tmp_path, scheme), FILES)
    if trouble.status == 429:
        assert time.monotonic() - began >= times, "as long as it was asked to"
    again = trouble.flip  # the wrong bytes of one file came beside the right ones
    assert hub.troubles.sent() == sum(map(len, FILES.values())) + again * len(FILES[SHARD])


@SCHEMES
@pytest.mark.parametrize(
    ("trouble", "error", "words"),
    [
        pytest.param(Trouble("cdn", SHARD, status=503), StorageError, f"{SHARD} does not come.*503", id="503"),
        pytest.param(Trouble("list", status=503), StorageError, "list of files does not come.*503", id="list"),
        pytest.param(Trouble("cdn", SHARD, flip=True), DigestMismatch, f"{SHARD}.*promise", id="a wrong bit"),
        pytest.param(Trouble("file", SHARD, expired=True), StorageError, "signed address", id="expired"),
        pytest.param(
            Trouble("cdn", SHARD, status=429, headers={"Retry-After": "3600"}),
            StorageError, "asks to come less often.*wait 3600 s more", id="429 for an hour",
        ),
        pytest.param(
            Trouble("list", status=429, headers={"Retry-After": "3600"}),
            StorageError, "asks to come less often", id="429 for the list, for an hour",
        ),
    ],
)  # fmt: skip
def test_what_does_not_pass_is_one_line_and_nothing_is_published(
    scheme: str, trouble: Trouble, error: type[T2SError], words: str, open_hub: OpenHub, tmp_path: Path
) -> None:
    hub = open_hub(Repo("LLM-Research/tiny", FILES | others()))
    hub.troubles.add(trouble, -1)
    with pytest.raises(error, match=words) as caught:
        bring(hub, tmp_path, scheme, retry_budget_s=1.0, num_files_at_once=1)
    check_nothing_published(tmp_path, caught.value)
    hub.troubles.clear()
    check_whole(bring(hub, tmp_path, scheme), FILES)
    if not trouble.flip:
        assert hub.troubles.sent() == sum(map(len, FILES.values())), "what the first run had brought did not come again"


@SCHEMES
def test_a_list_that_is_never_the_same_twice_publishes_nothing(scheme: str, open_hub: OpenHub, tmp_path: Path) -> None:
    hub = open_hub(Repo("LLM-Research/tiny", FILES | others()))
    for number in range(100):
        hub.troubles.add(Trouble("list", left_out=SHARD if number % 2 else "README.md"))
    with pytest.raises(StorageError, match="changes from one answer to the next") as caught:
        bring(hub, tmp_path, scheme)
    check_nothing_published(tmp_path, caught.value)


@SCHEMES
def test_a_list_that_shrinks_while_files_come_is_noticed_before_the_manifest(
    scheme: str, open_hub: OpenHub, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The hub's list lacked a file at first, twice the same way: what it lacked comes too, or it is not this commit."""
    hub = open_hub(Repo("LLM-Research/tiny", FILES | others()))
    lists_before = {"modelscope": 6, "hf": 2}[scheme]
    hub.troubles.add(Trouble("list", left_out="README.md"), lists_before)
    check_whole(bring(hub, tmp_path, scheme), FILES)
    assert "its list of files changed meanwhile" in caplog.text


@SCHEMES
def test_a_branch_that_moves_on_while_files_come_does_not_mix_two_commits(
    scheme: str, open_hub: OpenHub, tmp_path: Path
) -> None:
    repo = Repo("LLM-Research/tiny", FILES)
    hub = open_hub(repo)
    first = repo.head

    class Moves(dict[str, bytes]):
        """Blobs that are asked for when the first big file comes: that is when somebody pushes."""

        def __getitem__(self, digest: str) -> bytes:
            if repo.head == first:
                repo.commit(small_model(seed=7))
            return super().__getitem__(digest)

    hub.blobs = Moves()
    done = bring(hub, tmp_path, scheme)
    check_whole(done, FILES)
    assert done.published.revision == first != repo.head


@SCHEMES
def test_a_gated_model_needs_the_token_and_nobody_else_is_told_it(
    scheme: str, open_hub: OpenHub, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    token = "a-secret-token-of-somebody"
    hub = open_hub(Repo("LLM-Research/tiny", FILES, token=token))
    variable = {"modelscope": "MODELSCOPE_API_TOKEN", "hf": "HF_TOKEN"}[scheme]
    with pytest.raises((AccessRefused, ObjectMissing), match=f"set {variable}") as caught:
        bring(hub, tmp_path, scheme)
    check_nothing_published(tmp_path, caught.value)
    with caplog.at_level(logging.DEBUG):
        [done] = download(settings(tmp_path, f"{scheme}://LLM-Research/tiny"), access_to(hub, token))
    check_whole(done, FILES)
    assert token not in caplog.text
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in written if token.encode() in path.read_bytes()]
    assert any(one.authorized for one in hub.troubles.log if one.host == "127.0.0.1")
    assert not any(one.authorized for one in hub.troubles.log if one.host == "localhost")


@SCHEMES
@pytest.mark.parametrize("source", ["LLM-Research/none", "LLM-Research/tiny@no-such-branch"])
def test_what_the_hub_does_not_have_is_told(scheme: str, source: str, open_hub: OpenHub, tmp_path: Path) -> None:
    hub = open_hub(Repo("LLM-Research/tiny", FILES))
    with pytest.raises(ObjectMissing, match="has no such model or file at") as caught:
        download(settings(tmp_path, f"{scheme}://{source}"), access_to(hub))
    check_nothing_published(tmp_path, caught.value)


@SCHEMES
def test_a_hub_that_is_not_there_is_told_after_the_budget(scheme: str, open_hub: OpenHub, tmp_path: Path) -> None:
    hub = open_hub(Repo("LLM-Research/tiny", FILES))
    gone = access_to(hub)
    hub.__exit__(None, None, None)
    with pytest.raises(StorageError, match=r"list of files does not come, the connection to 127\.0\.0\.1"):
        download(settings(tmp_path, f"{scheme}://LLM-Research/tiny", retry_budget_s=0.5), gone)
    hub.closing.clear()


@SCHEMES
def test_a_dataset_comes_with_its_folders_and_its_manifest_is_hidden(
    scheme: str, open_hub: OpenHub, tmp_path: Path
) -> None:
    files = {"dev.json": b"[]", "database/城市/城市.sqlite": bytes(30_000), "notes.pkl": b"\x80\x04x"}
    hub = open_hub(Repo("o/questions", files, kind="dataset"), page_size=2)
    [done] = download(settings(tmp_path, f"{scheme}://datasets/o/questions"), access_to(hub))
    folder = Path(done.uri)
    assert folder.parent == tmp_path / "datasets" / "questions"
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()) == [
        ".manifest.json",
        "database/城市/城市.sqlite",
        "dev.json",
    ]
    assert (folder / "database/城市/城市.sqlite").read_bytes() == bytes(30_000)
    assert not download(settings(tmp_path, f"{scheme}://datasets/o/questions"), access_to(hub))[0].is_new


def test_several_come_in_one_run_and_what_is_there_under_a_name_is_not_written_to(
    open_hub: OpenHub, tmp_path: Path
) -> None:
    hub = open_hub(Repo("LLM-Research/tiny", FILES | others()), Repo("o/d", {"train.json": b"[1]"}, kind="dataset"))
    both = settings(tmp_path, sources=["modelscope://LLM-Research/tiny", "hf://datasets/o/d"])
    assert [one.published.kind for one in download(both, access_to(hub))] == ["model", "dataset"]
    [same] = download(settings(tmp_path, "hf://LLM-Research/tiny"), access_to(hub))
    assert not same.is_new, "the same commit, the same bytes: wherever they come from"
    more = {"include": ("*.safetensors", "*.json", "original/*")}
    with pytest.raises(T2SError, match=r"published without original/params\.json .*another name"):
        download(settings(tmp_path, "hf://LLM-Research/tiny", **more), access_to(hub))
    [mine] = download(settings(tmp_path, "hf://LLM-Research/tiny", name="mine", **more), access_to(hub))
    assert Path(mine.uri).parent.name == "mine"
    assert (Path(mine.uri) / "original" / "params.json").read_bytes() == b"{}"
