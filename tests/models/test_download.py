"""Models come from a hub that behaves, and from hubs that do not: nothing half-made ever counts as a model."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import time
from pathlib import Path

import pytest
from huggingface_hub import constants

from sftqa_core.errors import ModelUnavailable, Stopped, StorageError
from sftqa_core.models.catalogue import find_model, list_models, weights_fingerprint
from sftqa_core.models.hub import fetch as fetching
from sftqa_core.models.hub import hub_cache as hub_cache_module
from sftqa_core.models.hub.fetch import download
from sftqa_core.models.hub.hub_cache import hub_cache, hub_name
from sftqa_core.models.loading import load_model
from sftqa_core.models.model_files import ModelFolder
from sftqa_core.progress import Phase, Progress
from tests.fake_hub import LARGE_BYTES, FakeHub

NAME = "owner/small"
UNWANTED = {"onnx/model.safetensors": b"o", "pytorch_model.bin": b"p", "modeling.py": b"raise SystemExit", "consolidated.safetensors": b"c"}


class Told:
    """What a reporter was told; stops the work at the first progress where asked to."""

    def __init__(self, stop: bool = False):
        self.lines: list[str] = []
        self.updates: list[Progress] = []
        self.stop = stop

    def progress(self, update: Progress) -> None:
        self.updates.append(update)

    def log(self, line: str) -> None:
        self.lines.append(line)

    def check(self) -> None:
        if self.stop and any(hub_cache().rglob("*.incomplete")):
            raise Stopped("Stopped.")


@pytest.fixture
def files(tiny_folder: Path) -> dict[str, bytes]:
    found = {path.name: path.read_bytes() for path in tiny_folder.iterdir()}
    assert {name for name, content in found.items() if len(content) >= LARGE_BYTES} >= {"model.safetensors", "tokenizer.json"}
    return found


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A standstill is one after a second."""
    monkeypatch.setattr(fetching, "STILL_S", 1.0)


def sent(hub: FakeHub) -> set[str]:
    """Files whose content was asked for."""
    return {line.rsplit("/", 1)[-1] for line in hub.asked if line.startswith("GET") and "/resolve/" in line}


def left() -> list[Path]:
    """What half a download would leave in the cache."""
    return [*hub_cache().rglob("*.incomplete"), *hub_cache().rglob("refs/*")]


def test_a_model_is_fetched_at_the_commit_of_its_branch(fake_hub, files):
    """Weights and settings come, code and other formats do not; the card knows the commit; the progress counts bytes."""
    commit = fake_hub.put(NAME, {**files, **UNWANTED}).branches["main"]
    assert (find_model(NAME).path, find_model(NAME).revision) == (None, None)
    told = Told()
    folder = download(NAME, told)
    assert sent(fake_hub) == set(files)
    card = find_model(NAME)
    assert (card.path, card.revision, card.kind) == (str(folder), commit, "hub")
    assert NAME in [listed.name for listed in list_models()]
    assert (hub_cache() / "models--owner--small" / "refs" / "main").read_text() == commit
    size = sum(map(len, files.values()))
    assert (told.updates[-1].done, told.updates[-1].total, told.updates[-1].unit) == (size, size, "bytes")
    assert load_model(card, "cpu").fingerprint.weights == weights_fingerprint(card)
    fake_hub.asked.clear()
    assert download(NAME) == folder
    assert fake_hub.asked == [f"GET /api/models/{NAME}"]


BAD = {
    "gated": "is gated: accept its terms",
    "limited": r"is rate limited \(429\): try again in 300 s, or log in with `hf auth login`",
    "limited files": r"is rate limited \(429\): try again in 300 s, or log in with `hf auth login`",
    "portal": r"The answer to the request for owner/bad did not come from the hub: a login page of the network",
    "list": r"The answer to the request for owner/bad did not come from the hub",
    "short": r"The download of owner/bad does not match what the hub announced: .*safetensors has [\d,]+ bytes of [\d,]+.*were deleted",
    "stalled": r"Fetching owner/bad stalled: no data came for 1 s\. .*model\.safetensors.* still missing",
    "cut": r"Fetching owner/bad stalled: no data came for 1 s\. .*model\.safetensors.* still missing",
}


@pytest.mark.parametrize("trouble", BAD)
def test_a_bad_hub_is_told_in_bounded_time(fake_hub, files, trouble: str, monkeypatch):
    """The sentence says what to do; nothing half-made counts, by branch or by commit; a good model can still be had, and later this one."""
    repository = fake_hub.put("owner/bad", files, trouble)
    began = time.monotonic()
    with monkeypatch.context() as patch:
        patch.setattr(fetching, "STILL_S", 1.0 if "stalled" in BAD[trouble] else fetching.STILL_S)
        with pytest.raises(ModelUnavailable, match=BAD[trouble]):
            download("owner/bad")
    assert time.monotonic() - began < 40
    for name in ("owner/bad", f"owner/bad@{repository.branches['main']}"):
        assert find_model(name).path is None
    assert [card.name for card in list_models() if card.kind == "hub"] == []
    assert left() == []
    fake_hub.put(NAME, files)
    download(NAME)
    repository.trouble = ""
    download("owner/bad")
    assert weights_fingerprint(find_model("owner/bad")) == weights_fingerprint(find_model(NAME))


def test_what_is_not_there_is_told(fake_hub, files):
    """No such model, no such revision, no weights that could be loaded; none of it is tried for long."""
    fake_hub.put("owner/pickled", {"config.json": b"{}", **UNWANTED})
    fake_hub.put("owner/rounded", {"config.json": b"{}", "rounded-Q4_K_M.gguf": b"GGUF"})
    fake_hub.put("owner/bare", {"model.safetensors": files["model.safetensors"]})
    fake_hub.put(NAME, files)
    for name, message in {
        "owner/missing": "The hub has no model 'owner/missing', or it is private",
        "owner/rounded": "owner/rounded has its weights on the hub as GGUF files alone. Download the one that you want, and give its path",
        "owner/pickled": "owner/pickled has no safetensors weights on the hub",
        "owner/bare": r"owner/bare has weights on the hub but no config\.json",
        f"{NAME}@v9": "The hub has no revision 'owner/small@v9'",
        f"{NAME}@{'a' * 40}": "The hub has no revision",
    }.items():
        with pytest.raises(ModelUnavailable, match=message):
            download(name)
        assert find_model(name).path is None
    assert sent(fake_hub) == set()


def test_a_second_try_fetches_only_what_is_missing(fake_hub, files, monkeypatch):
    """What came whole the first time is kept."""
    monkeypatch.setattr(fetching, "STILL_S", 2.5)  # so long the small files may take on a busy machine
    repository = fake_hub.put(NAME, files, "cut")
    with pytest.raises(ModelUnavailable):
        download(NAME)
    fake_hub.asked.clear()
    repository.trouble = ""
    download(NAME)
    assert sent(fake_hub) == {"model.safetensors", "tokenizer.json"}


@pytest.mark.usefixtures("quick")
def test_a_slow_line_is_no_standstill(fake_hub, files):
    """It takes longer than a standstill may, and something comes all the while."""
    fake_hub.put(
        NAME, {"model.safetensors": files["model.safetensors"], "config.json": files["config.json"], "large.json": b" " * 700_000}, "slow"
    )
    told, began = Told(), time.monotonic()
    download(NAME, told)
    assert time.monotonic() - began > 2
    done = [update.done for update in told.updates]
    assert len(set(done)) > 3
    assert done == sorted(done)
    assert find_model(NAME).available


def test_another_process_that_fetches_is_waited_for(fake_hub, files, monkeypatch):
    """It has the lock of a file that comes slowly, after one came whole, while nothing comes to this process any more."""
    fake_hub.put(NAME, files)
    promised, sizes = fetching.ask(fetching.as_hub_name(NAME)), iter([9_000, 9_500, 100, 200, 300, 400, 500, 600, 700, 800])
    lines: queue.Queue[dict] = queue.Queue()
    lines.put({"ready": True})
    lines.put({"done": 50_000, "moved": 50_000})

    def lay(name: object) -> int:
        size = next(sizes)
        if size == 800:
            lines.put({"folder": "there"})
        return size

    monkeypatch.setattr(fetching, "_bytes_under_way", lay)
    monkeypatch.setattr(fetching, "_LOOK_S", 0.1)
    monkeypatch.setattr(fetching, "STILL_S", 0.4)
    assert fetching._watched(promised, lines, Phase(Told(), "download", 60_000, "bytes")) == {"folder": "there"}


def test_a_short_wait_is_waited_for(fake_hub, files):
    """A hub that asks for a second of patience gets it, and the log says so."""
    fake_hub.put(NAME, files, "limited files", retry_s=0, refusals=1)
    told = Told()
    download(NAME, told)
    assert find_model(NAME).available
    assert "The hub asks to wait 0 s." in told.lines


def test_weights_that_are_cut_off_on_the_hub_are_named(fake_hub, files):
    """Whatever sizes the hub tells: the file's own header tells how long it has to be."""
    fake_hub.put(NAME, {**files, "model.safetensors": files["model.safetensors"][:-100]})
    with pytest.raises(ModelUnavailable, match=r"model\.safetensors is not a readable safetensors file \(it is truncated: it has"):
        download(NAME)
    assert find_model(NAME).path is None
    assert left() == []


def test_a_configuration_that_can_not_be_read_is_no_success(fake_hub, files):
    """It came as the hub promised and is no model all the same: that is said now, not when a run needs it."""
    fake_hub.put(NAME, {**files, "config.json": b'{"architectures": 5}'})
    with pytest.raises(ModelUnavailable, match="architectures must be a list of names, got 5"):
        download(NAME)
    assert find_model(NAME).path is None
    assert left() == []


def test_a_link_to_itself_is_replaced(fake_hub, files):
    """In the place of a file; it is removed, and the file fetched."""
    commit = fake_hub.put(NAME, files).branches["main"]
    snapshot = hub_cache() / "models--owner--small" / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").symlink_to("config.json")
    assert download(NAME) == snapshot
    assert (snapshot / "config.json").read_bytes() == files["config.json"]


def test_a_cache_is_named_by_variables_too(fake_hub, files, tmp_path, monkeypatch):
    """As the hub's own client reads it, so both mean the same folder."""
    monkeypatch.setenv("MY_DISK", str(tmp_path / "disk"))
    monkeypatch.setenv("HF_HUB_CACHE", "$MY_DISK/hub")
    fake_hub.put(NAME, files)
    assert download(NAME).is_relative_to(tmp_path / "disk" / "hub")


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json"])
def test_a_file_that_lost_its_end_later_is_fetched_again(fake_hub, files, file: str):
    """A full disk or a copy that broke off: it is no model until the file is whole again."""
    fake_hub.put(NAME, files)
    folder = download(NAME)
    (folder / file).resolve().write_bytes(files[file][:-10])
    assert find_model(NAME).path is None
    fake_hub.asked.clear()
    download(NAME)
    assert sent(fake_hub) == {file}
    assert (folder / file).read_bytes() == files[file]
    assert find_model(NAME).path == str(folder)


def test_content_that_is_not_the_promised_one_is_thrown_away(fake_hub, files, monkeypatch):
    """Large files are named by their SHA-256, which every fingerprint here relies on."""
    fake_hub.put(NAME, files)
    monkeypatch.setattr(fetching, "sha256", lambda path: "0" * 64)
    with pytest.raises(ModelUnavailable, match=r"model\.safetensors has different content"):
        download(NAME)
    assert find_model(NAME).path is None
    assert left() == []


def test_a_branch_that_moves_on_is_followed_and_a_commit_stays(fake_hub, files):
    """Another download of the branch is another model; the commit that a name pins is the same for ever."""
    repository = fake_hub.put(NAME, files)
    first = repository.branches["main"]
    repository.branches["v1"] = first
    download(NAME)
    other = {**files, "config.json": files["config.json"] + b"\n"}
    second = repository.move(other)
    assert find_model(NAME).revision == first
    assert download(NAME).name == second
    assert find_model(NAME).revision == second
    pinned = find_model(f"{NAME}@{first}")
    assert (pinned.revision, pinned.available) == (first, True)
    assert weights_fingerprint(pinned) != weights_fingerprint(find_model(NAME))
    assert find_model(f"{NAME}@v1").path is None  # nobody has asked where it points
    fake_hub.asked.clear()
    assert download(f"{NAME}@v1").name == first
    assert sent(fake_hub) == set()
    assert {card.name for card in list_models() if card.kind == "hub"} == {NAME, f"{NAME}@v1"}


@pytest.mark.parametrize("revision", ["v1.0", "refs/pr/1", "feature/x", "commit"])
def test_a_revision_is_fetched_alone(fake_hub, files, revision: str):
    """A tag, a pull request, a branch in a folder, a commit: main is not here then."""
    commit = fake_hub.put(NAME, {**files, "config.json": b"{}"}).move(files, revision)
    revision = commit if revision == "commit" else revision
    assert download(f"{NAME}@{revision}").name == commit
    card = find_model(f"{NAME}@{revision}")
    assert (card.revision, card.available) == (commit, True)
    assert find_model(NAME).path is None
    assert [card.name for card in list_models() if card.kind == "hub"] == [f"{NAME}@{revision}"]


def test_offline_afterwards_everything_is_there(fake_hub, files, monkeypatch):
    """Nothing is asked any more."""
    fake_hub.put(NAME, files)
    download(NAME)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    fake_hub.asked.clear()
    assert load_model(find_model(NAME), "cpu").card.revision == find_model(NAME).revision
    with pytest.raises(ModelUnavailable, match=r"owner/small@v1 is not on this machine and the hub can't be reached"):
        load_model(find_model(f"{NAME}@v1"), "cpu")
    assert fake_hub.asked == []


def test_a_person_can_stop_it_at_any_moment(fake_hub, files):
    """In the midst of a file that does not come: the process is gone at once, and what it wrote."""
    fake_hub.put(NAME, files, "stalled")
    began = time.monotonic()
    with pytest.raises(Stopped):
        download(NAME, Told(stop=True))
    assert time.monotonic() - began < 40
    assert left() == []
    assert find_model(NAME).path is None


def test_the_process_that_fetches_ends_with_its_parent(fake_hub, files):
    """However the parent ended: it is told by the pipe that closes."""
    repository = fake_hub.put(NAME, files, "stalled")
    command = [sys.executable, "-m", "sftqa_core.models.hub.fetch_child"]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        child.stdin.write(json.dumps({"repository": NAME, "commit": repository.branches["main"], "prefix": ""}) + "\n")
        child.stdin.flush()
        assert json.loads(child.stdout.readline()) == {"ready": True}
        child.stdin.close()
        assert child.wait(60) == 1
    finally:
        child.kill()
        child.stdout.close()


def test_a_shared_cache_that_is_read_only_is_used(fake_hub, files, monkeypatch):
    """A model that is there whole is written to in no way when it is asked for again."""
    fake_hub.put(NAME, files)
    folder = download(NAME)
    monkeypatch.setattr(hub_cache_module, "write_bytes", lambda *_: pytest.fail("written"))
    assert download(NAME) == folder


def test_a_disk_without_room_is_told_before_anything_comes(fake_hub, files, monkeypatch):
    """With the place to change."""
    fake_hub.put(NAME, files)
    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda place: type("Usage", (), {"free": 1_000})())
    with pytest.raises(StorageError, match=r"owner/small takes .* .*1\.0 kB is free in .*set HF_HOME"):
        download(NAME)
    assert sent(fake_hub) == set()


@pytest.mark.parametrize(("place", "here"), [("refs/main", False), ("trees/COMMIT.json", True)])
@pytest.mark.parametrize("kind", ["pipe", "device", "huge"])
def test_what_others_put_into_the_cache_is_not_waited_for(fake_hub, files, place: str, here: bool, kind: str):
    """A pipe, a device without end, a file as large as a disk in the place of a branch, or of the hub's list of files."""
    fake_hub.put(NAME, files)
    commit = download(NAME).name
    path = hub_cache() / "models--owner--small" / place.replace("COMMIT", commit)
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.write_bytes(b"")
        os.truncate(path, 10**12)
    assert find_model(NAME).available is here
    assert NAME in [card.name.partition("@")[0] for card in list_models()]


@pytest.mark.parametrize(
    "revision", ["", "..", "../x", "a/../b", "/etc", "a//b", "a/", ".git", "x.lock", "a b", "a\0b", "-x", "x" * 101, "@", "é", "a:b", "~"]
)
def test_hostile_revisions_are_refused(revision: str):
    """They would become paths and addresses."""
    with pytest.raises(ModelUnavailable, match=r"There is no model named .*a branch, a tag or a commit of 40 digits must follow @"):
        find_model(f"{NAME}@{revision}")


def test_names_are_taken_apart():
    """The repository, the revision, and whether that is a commit."""
    commit = "0123456789" * 4
    for text, parts in {
        "owner/name": ("owner/name", None, None),
        "owner/name@v1": ("owner/name", "v1", None),
        "gpt2@refs/pr/1": ("gpt2", "refs/pr/1", None),
        "owner/name/step/10@v1": ("owner/name", "v1", None),
        f"owner/name@{commit}": ("owner/name", commit, commit),
        f"owner/name@{commit[:39]}": ("owner/name", commit[:39], None),
    }.items():
        found = hub_name(text)
        assert found is not None
        assert (found.repository, found.revision, found.commit, str(found)) == (*parts, text)
    assert [hub_name(text) for text in ("a/b/../c", "a/b/.c", "", "@v1", "o w/n@v1", "é/x", "a" * 201 + "/b", "owner/a..b")] == [None] * 8


def test_the_folder_of_a_model_is_no_second_name_of_it(fake_hub, files):
    """The client writes owner/small as owner--small, which no model of the hub can be called."""
    fake_hub.put(NAME, files)
    download(NAME)
    with pytest.raises(ModelUnavailable, match="There is no model named 'owner--small'"):
        find_model("owner--small")


def test_a_snapshot_that_is_named_by_no_commit_has_no_revision(fake_hub, tiny_folder):
    """Someone put it there by hand; a revision is never invented."""
    place = hub_cache() / "models--owner--small"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text("mine")
    (place / "snapshots").mkdir()
    tiny_folder.rename(place / "snapshots" / "mine")
    card = find_model(NAME)
    assert (card.available, card.revision) == (True, None)
    assert ModelFolder(Path(card.path or "")).parameters() > 0
