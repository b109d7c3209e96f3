"""Ctrl-C at a terminal."""

import io
import json
import os
import signal
import subprocess

import pytest

from sftqa_core.cli.main import main
from sftqa_core.cli.text import Console
from sftqa_core.errors import Stopped
from sftqa_core.progress import Counted, Progress


def test_a_gentle_interrupt_is_seen_at_the_next_step():
    """The first Ctrl-C raises nothing where the work stands and Stopped at the next check; outside it is a KeyboardInterrupt."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that runs the tests in the background ignores Ctrl-C
    try:
        console = Console()
        with console.gentle():
            signal.raise_signal(signal.SIGINT)
            with pytest.raises(Stopped):
                console.check()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_interrupt_in_the_middle_of_a_line_is_seen_too(monkeypatch, capfd):
    """Ctrl-C while progress is being written: the line is finished, the sentence follows, and the work ends at the next check."""

    class Interrupted(io.RawIOBase):
        def writable(self):
            return True

        def write(self, content):
            signal.raise_signal(signal.SIGINT)
            return len(content)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    monkeypatch.setattr("sys.stderr", io.TextIOWrapper(io.BufferedWriter(Interrupted()), line_buffering=True))
    try:
        console = Console()
        with console.gentle():
            console.log("step 1")
            with pytest.raises(Stopped):
                console.check()
    finally:
        signal.signal(signal.SIGINT, before)
    assert capfd.readouterr().err == "Stopping after the current step. Press Ctrl-C again to stop at once.\n"


def test_an_interrupted_pretraining_goes_on_where_it_was(tmp_path, workspace, capsys, parents):
    """Ctrl-C during a run shorter than one checkpoint interval ends as one JSON error, and the same command goes on."""
    rows = [f"P19,Person {number},Place {number % 5},{'train' if number % 3 else 'test'}" for number in range(60)]
    (tmp_path / "own.csv").write_text("\n".join(["relation,subject,object,split", *rows]))
    words = ["pretrain", "own", "--source", str(tmp_path / "own.csv"), "--qa-documents", "50", "--max-exposures", "4", "--batch-size", "16"]
    words += ["--hidden-size", "32", "--heads", "2", "--layers", "1", "--intermediate-size", "48", "--vocabulary", "400", "--json"]
    process = parents.everything.start("sftqa_core.cli.main", words, os.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    for line in process.stderr:
        if line.startswith("pre-training: "):
            break
    process.send_signal(signal.SIGINT)
    said = process.stdout.read()
    assert process.wait(60) == 130, said
    assert "resumes from there" in json.loads(said)["error"]
    with pytest.raises(SystemExit) as ended:
        main(words)
    again = capsys.readouterr().err
    assert ended.value.code == 0, again[-2000:]
    first = next(line for line in again.splitlines() if line.startswith("pre-training: "))
    assert int(first.split()[1].replace(",", "")) > 1


def test_a_line_tells_what_pieces_are_made_of(monkeypatch, capsys):
    """Facts, prompts, completions; no rate that would read as 0.0; not more than a line in ten seconds where it is a file."""
    console, now = Console(), [100.0]
    monkeypatch.setattr("sftqa_core.cli.text.time.monotonic", lambda: now[0])
    for seconds, rate, left_s, completions in ((0.0, 0.01, None, 0), (5.0, 0.01, None, 90), (10.0, 0.2, 400.0, 312)):
        now[0] += seconds
        within = (Counted(completions // 10, "prompts", 84), *([Counted(completions, "completions")] if completions else []))
        console.progress(Progress("probe", 0, 4, "facts", rate, left_s, {}, within, 0.1))
    assert capsys.readouterr().err.splitlines() == [
        "probe: 0 of 4 facts, 0 of 84 prompts, estimating",
        "probe: 0 of 4 facts, 31 of 84 prompts, 312 completions, 0.2/s, 7 min left",
    ]


def test_a_terminals_line_is_not_rewritten_at_every_pass(monkeypatch, capsys):
    """A tiny model makes hundreds in a second; the last state is always shown, on a line that ends."""
    console, now = Console(), [100.0]
    monkeypatch.setattr("sftqa_core.cli.text.time.monotonic", lambda: now[0])
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    for done in range(101):
        now[0] += 0.01
        console.progress(Progress("probe", done, 100, "facts", 5.0, 1.0))
    told = capsys.readouterr().err.split("\r\x1b[2K")
    assert len(told) < 10
    assert told[-1] == "probe: 100 of 100 facts, 5.0/s\n"
