"""What a disk refuses is told in one sentence, and leaves what was there as it was."""

import errno
import os
import pickle
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from sftqa_core.artifacts import (
    fetching,
    in_sentence,
    in_words,
    keep_json,
    read_manifest,
    refusal,
    storing,
    write_bytes,
    write_folder,
    write_json,
)
from sftqa_core.errors import ArtifactDamaged, FactsError, StorageError
from tests.artifacts.disks import fill_up, make_read_only, mounted


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def large(folder: Path) -> None:
    (folder / "large").write_bytes(b"x" * 400_000)


def test_a_full_disk_is_told_and_the_old_result_stays(tmp_path):
    """On a disk of 1 MB with 100 kB left neither a folder nor a file is written: the sentence names both, and what can be done."""
    with mounted(tmp_path / "disk") as disk:
        write_folder(disk / "cells" / "one", lambda folder: (folder / "text").write_text("old") and None, {"kind": "test"})
        write_bytes(disk / "file", b"old")
        fill_up(disk, 100_000)
        with pytest.raises(StorageError, match=r"cells/one can't be written: the disk is full \((\d+|\d+\.\d) (kB|bytes) free\)") as told:
            write_folder(disk / "cells" / "one", large, {"kind": "test"})
        assert "what was there before is as it was. Free space (`sftqa cache gc` lists what can be removed)" in str(told.value)
        assert told.value.errno == errno.ENOSPC
        with pytest.raises(StorageError, match=r"disk/file can't be written: the disk is full"):
            write_bytes(disk / "file", b"x" * 400_000)
        assert (disk / "cells" / "one" / "text").read_text() == "old"
        assert (disk / "file").read_bytes() == b"old"
        assert (names(disk), names(disk / "cells")) == (["ballast", "cells", "file"], ["one"])
        (disk / "ballast").unlink()
        write_folder(disk / "cells" / "one", large, {"kind": "test"})
        assert read_manifest(disk / "cells" / "one")["files"].keys() == {"large"}


def parquet(folder: Path) -> None:
    import numpy as np
    import pandas as pd

    pd.DataFrame({"x": np.random.default_rng(0).random(50_000)}).to_parquet(folder / "x.parquet")


def tensors(folder: Path) -> None:
    import numpy as np
    from safetensors.numpy import save_file

    save_file({"x": np.zeros(50_000)}, folder / "x.safetensors")


def checkpoint(folder: Path) -> None:
    import torch

    with (folder / "state.pt").open("wb") as handle:
        torch.save({"x": torch.zeros(100_000)}, handle)


@pytest.mark.parametrize("fill", [parquet, tensors, checkpoint])
def test_a_full_disk_is_told_whichever_library_met_it(tmp_path, fill):
    """pyarrow, safetensors and torch each raise an error of their own; people read the same sentence, and nothing stays."""
    with mounted(tmp_path / "disk") as disk:
        fill_up(disk, 100_000)
        with pytest.raises(StorageError, match=r"disk/one can't be written: the disk is full"):
            write_folder(disk / "one", fill, {"kind": "test"})
        assert names(disk) == ["ballast"]


def test_a_limit_on_file_sizes_is_told(tmp_path):
    """Where the system lets no file be larger than 100 kB, that is what is said, and the old file stays."""
    code = (
        "import resource, signal, sys; from pathlib import Path; from sftqa_core.artifacts import write_bytes\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "write_bytes(Path(sys.argv[1]), b'x' * 400_000)"
    )
    write_bytes(tmp_path / "file", b"old")
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "file")], capture_output=True, text=True, check=False)
    assert "larger than the disk, or your limit (`ulimit -f`), lets a file be" in done.stderr
    assert (names(tmp_path), (tmp_path / "file").read_bytes()) == (["file"], b"old")


def test_a_read_only_disk_is_told_and_still_read(tmp_path, workspace, monkeypatch):
    """Writing says that the disk is read-only and which setting names another; what is only kept to save time is passed over."""
    with mounted(tmp_path / "disk") as disk:
        monkeypatch.setenv("SFTQA_CACHE", str(disk / "cache"))
        write_folder(disk / "cache" / "one", lambda folder: (folder / "text").write_text("old") and None, {"kind": "test"})
        make_read_only(disk)
        with pytest.raises(StorageError, match=r"one can't be written: the disk is mounted read-only.*set SFTQA_CACHE to a"):
            write_folder(disk / "cache" / "one", large, {"kind": "test"})
        with pytest.raises(StorageError, match=r"b can't be written: the disk is mounted read-only"):
            write_json(disk / "a" / "b", 1)
        assert keep_json(disk / "a" / "b", 1) is False
        assert read_manifest(disk / "cache" / "one")["files"].keys() == {"text"}


def test_too_many_open_files_is_no_damage(tmp_path):
    """A manifest that can't be opened now is not called damaged, and writing says what to do."""
    write_folder(tmp_path / "one", lambda folder: None, {"kind": "test"})
    old = resource.getrlimit(resource.RLIMIT_NOFILE)
    with pytest.raises(StorageError), storing(tmp_path):  # what is imported when it is first needed needs files, too
        raise OSError(errno.EACCES, "")
    handles = []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 4, old[1]))
        while True:
            try:
                handles.append(os.open("/dev/null", os.O_RDONLY))
            except OSError:
                break
        with pytest.raises(StorageError, match=r"manifest\.json can't be read: this program has too many files open.*ulimit -n"):
            read_manifest(tmp_path / "one")
        with pytest.raises(StorageError, match="two can't be written: this program has too many files open"):
            write_bytes(tmp_path / "two", b"")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, old)
        for handle in handles:
            os.close(handle)
    assert read_manifest(tmp_path / "one")["kind"] == "test"


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EDQUOT, "your disk quota is used up"),
        (errno.EACCES, r".* belongs to .*, and this program runs as .*Ask its owner"),
        (errno.EPERM, ".* belongs to .*, and this program runs as .*"),
        (errno.ENFILE, "this machine has too many files open"),
        (errno.ESTALE, "the network folder it lies in was removed or replaced.*Mount it again"),
        (errno.EIO, "the disk reports a fault"),
        (errno.ENAMETOOLONG, "its name is too long"),
    ],
)
def test_each_error_number_has_its_sentence(tmp_path, number, words):
    """What the system says as a number people read as words, with the path and what to do."""
    with pytest.raises(StorageError, match=rf"thing can't be written: {words}") as told, storing(tmp_path / "thing"):
        raise OSError(number, "in the system's words", "somewhere")
    assert (told.value.errno, str(told.value).count("{")) == (number, 0)
    assert isinstance(told.value, OSError)
    again = pickle.loads(pickle.dumps(told.value))
    assert (str(again), again.errno) == (str(told.value), number)


def test_what_the_disk_refused_elsewhere_is_told_by_the_same_sentences(workspace):
    """An error of the system with its file's name becomes the sentence; one without a name, or of another kind, does not."""
    told = in_sentence(OSError(errno.EROFS, "Read-only file system", str(workspace.state / "lock")))
    assert str(told).startswith(f"{workspace.state}/lock can't be used: the disk is mounted read-only.")
    assert "set SFTQA_STATE to a folder on another disk" in str(told)
    assert in_sentence(OSError(errno.EROFS, "Read-only file system")) is None
    assert in_sentence(FileNotFoundError(errno.ENOENT, "none", "x")) is None


def test_what_is_no_refusal_passes_as_it_is(tmp_path):
    """A lacking file, a damaged one, an error in words for people, and a fault of ours stay what they are."""
    for error in (FileNotFoundError(errno.ENOENT, "none"), OSError("Couldn't deserialize thrift"), KeyError("x"), FactsError("Row 3")):
        for work in (storing, fetching):
            with pytest.raises(type(error)) as raised, work(tmp_path):
                raise error
            assert raised.value is error
        assert refusal(error) is None
    with pytest.raises(ArtifactDamaged) as told:
        raise ArtifactDamaged("half") from OSError(errno.ENOSPC, "full")
    assert refusal(told.value) == errno.ENOSPC


def test_sizes_are_told_in_words():
    """From bytes to terabytes, with one decimal below a hundred."""
    told = [in_words(size) for size in (0, 999, 1000, 12_345, 99_950_000, 123_456_789, 5e9, 2e15)]
    assert told == ["0 bytes", "999 bytes", "1.0 kB", "12.3 kB", "100.0 MB", "123 MB", "5.0 GB", "2,000.0 TB"]
