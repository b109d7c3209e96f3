"""Measurements of a device are made once, kept in a file that anybody's program can read, and compared only where they are alike."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from sftqa_core.artifacts import versions
from sftqa_core.cli.bench_commands import bench_text
from sftqa_core.cli.main import main
from sftqa_core.errors import NotEnoughFacts, NotFound, SettingsError, Stopped
from sftqa_core.evaluation import device_speed
from sftqa_core.models import devices
from sftqa_core.progress import Recorder
from sftqa_core.records.benching import BenchSettings, BenchSheet, Measurement
from sftqa_core.workflows import benchmarking
from sftqa_core.workflows.benchmarking import NO_OURS, Bench, bench, bench_device, compare_sheets, read_sheet

ROOT = Path(__file__).parents[2]
TRIAL = BenchSettings(device="cpu", small=True)
SHEET = BenchSheet("NVIDIA A", "cuda", "580.82", 1e12, "1 TFLOP/s, as told", False, {"torch": "2.13.0"})
BARE: dict[str, Any] = {"name": "probe", "settings": {}, "rows": []}
ROW = {"model": "0.5B", "way": "exact", "parameters": 500, "facts/s": 10.0, "note": None}


@pytest.fixture(autouse=True)
def rate(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest):
    """No product is timed, and no test changes the number of threads."""
    if "card" not in request.fixturenames:
        monkeypatch.setattr(device_speed.Peak, "of", classmethod(lambda cls, device: cls(1e12, "1 TFLOP/s, as told")))
    monkeypatch.setattr(device_speed, "calm_threads", lambda device: None)


def written(folder: Path, name: str = "a.json", **changes: Any) -> Path:
    """A result file with one measurement; `changes` of the JSON."""
    sheet = replace(SHEET, measurements=(Measurement("probe", {"facts": 24}, (ROW,)),))
    path = folder / name
    path.write_text(json.dumps({**sheet.to_dict(), **changes}))
    return path


def stages(monkeypatch: pytest.MonkeyPatch, *rows: list[dict[str, Any]] | Exception, how: int = 24) -> list[str]:
    """Replaces the stages by measurements "one", "two" ... with these rows; returns the names of those that were made."""
    made: list[str] = []

    def measured(work: Bench, stage: str) -> None:
        for name, found in zip(("one", "two", "three"), rows, strict=False):

            def do(name: str = name, found: Any = found) -> list[dict[str, Any]]:
                made.append(name)
                if isinstance(found, Exception):
                    raise found
                return found

            work.measure(name, {"facts": how}, do)

    monkeypatch.setattr(benchmarking, "_shapes", measured)
    return made


# ---- measuring ----
@pytest.mark.parametrize(
    ("card", "tera"),
    [("NVIDIA H100 80GB HBM3", 989), ("NVIDIA H100 PCIe", 756), ("NVIDIA A100-SXM4-80GB", 312), ("NVIDIA GeForce RTX 4090", 165)],
)
def test_a_known_card_has_its_makers_rate(card: str, tera: int, monkeypatch: pytest.MonkeyPatch):
    """The variants of a card are told apart by the driver's name for it."""
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: card)
    assert device_speed.Peak.of("cuda").flops == tera * 1e12
    assert device_speed.device_name("rocm") == card


def test_nothing_is_measured_without_a_gpu(monkeypatch: pytest.MonkeyPatch):
    """Nor a processor with shapes that would take days; the refusal names the trial."""
    monkeypatch.setattr(devices, "why_no_gpu", lambda: "no NVIDIA GPU is visible here")
    with pytest.raises(SettingsError, match=r"no GPU to measure \(no NVIDIA GPU is visible here\); nothing was measured\. .*--small"):
        bench_device(BenchSettings())
    with pytest.raises(SettingsError, match=r"no GPU to measure \(the device is cpu\)"):
        bench_device(BenchSettings(device="cpu"))
    assert bench_device(TRIAL) == "cpu"


def test_what_is_finished_is_not_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What failed is told and tried again; what is asked for in another way is measured again; the file is there after each."""
    rows = [{"way": "exact", "facts/s": 12.5}]
    made = stages(monkeypatch, rows, NotEnoughFacts("No facts.\nAt all."))
    for _ in range(2):
        sheet, path = bench(replace(TRIAL, stage="probe"), tmp_path)
    assert made == ["one", "two", "two"]
    assert path == tmp_path / "trial-cpu.json"
    assert read_sheet(path) == sheet
    assert [(one.name, one.rows, one.failed) for one in sheet.measurements] == [("one", tuple(rows), ""), ("two", (), "No facts.")]
    assert (sheet.kind, sheet.small, sheet.peak_flops, sheet.versions) == ("cpu", True, 1e12, versions())
    made = stages(monkeypatch, rows, rows, how=8)
    sheet, _ = bench(replace(TRIAL, stage="probe"), tmp_path)
    assert made == ["one", "two"]
    assert [one.settings for one in sheet.measurements] == [{"facts": 8}] * 2


def test_a_wish_to_stop_keeps_what_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """It is no failure of a measurement, and neither is a fault of the program."""
    for error in (Stopped("Stopped."), ZeroDivisionError("a fault")):
        stages(monkeypatch, [{"n": 1}], error)
        with pytest.raises(type(error)):
            bench(replace(TRIAL, stage="tune"), tmp_path / type(error).__name__)
        assert [one.name for one in read_sheet(tmp_path / type(error).__name__ / "trial-cpu.json").measurements] == ["one"]


def test_memory_that_runs_out_is_a_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """In torch's words, of which the first line is kept."""
    stages(monkeypatch, torch.OutOfMemoryError("CUDA out of memory. Tried\nto"), [{"n": 1}])
    sheet, _ = bench(replace(TRIAL, stage="tune"), tmp_path)
    assert [one.failed for one in sheet.measurements] == ["CUDA out of memory. Tried", ""]


def test_results_of_another_device_are_never_written_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Nor those of other versions: another folder has to be named."""
    stages(monkeypatch, [{"n": 1}])
    settings = replace(TRIAL, stage="probe")
    _, path = bench(settings, tmp_path)
    before = path.read_text()
    for change, told in (({"device": "another"}, "another device"), ({"versions": {"torch": "1"}}, "another version")):
        path.write_text(json.dumps({**json.loads(before), **change}))
        with pytest.raises(SettingsError, match=rf"holds measurements of {told} \(.*It is kept: name another folder with --out"):
            bench(settings, tmp_path)


def test_a_trial_tunes_a_shape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """In both ways, with what was foretold beside it; the settings say how, and the log what is being measured."""
    monkeypatch.setattr(device_speed, "SHAPES", {"0.5B (Qwen2)": device_speed.SHAPES["0.5B (Qwen2)"]})
    monkeypatch.setattr(device_speed, "SMALL", {name: {**shape, "num_hidden_layers": 1} for name, shape in device_speed.SMALL.items()})
    told = Recorder()
    sheet, _ = bench(replace(TRIAL, stage="tune"), tmp_path, told)
    (tuned,) = sheet.measurements
    assert tuned.name == "tune, 0.5B (Qwen2), random weights"
    assert tuned.settings == {"examples": 32, "batch size": 8, "LoRA rank": 8}
    assert [row["method"] for row in tuned.rows] == ["lora", "full"]
    assert all(row["examples/s"] > 0 and row["foretold GB"] > 0 for row in tuned.rows)
    assert told.lines[0] == "tune, 0.5B (Qwen2), random weights ..."


# ---- files of other people ----
@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "it is not JSON"),
        (b"{", "it is not JSON"),
        (b"\xff\xfe", "it is not JSON"),
        (b"[" * 100_000, "it is not JSON"),
        (b'{"a": 1, "a": 2}', "it is not JSON"),
        (b"[]", "it has no schema and no measurements"),
        (b'{"schema": 1}', "it has no schema and no measurements"),
        (b'{"schema": 2, "measurements": []}', "has schema 2; this program reads 1"),
        (b'{"schema": true, "measurements": []}', "has schema True; this program reads 1"),
        (b'{"schema": "__import__", "measurements": []}', "has schema '__import__'; this program reads 1"),
        (b'{"schema": 1, "measurements": []}', "BenchSheet needs 'device'"),
        (b" " * 1_000_001, "more than 1,000,000 bytes"),
    ],
)
def test_a_file_that_is_something_else_is_refused(tmp_path: Path, content: bytes, told: str):
    """Each with its path and what is wrong."""
    path = tmp_path / "theirs.json"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match=rf"theirs\.json.*{told}"):
        read_sheet(path)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"device": 7}, "BenchSheet.device: must be str, got 7"),
        ({"device": "A\x1b[2J"}, "'device' must be a printable text"),
        ({"device": "A" * 301}, "'device' must be a printable text of at most 300 characters"),
        ({"kind": "tpu"}, "kind must be one of cuda, rocm, mps, cpu, got 'tpu'"),
        ({"peak_flops": 0}, "peak_flops must be above 0, got 0"),
        ({"peak_flops": float("nan")}, "peak_flops must be above 0, got nan"),
        ({"extra": 1}, "BenchSheet has no setting 'extra'"),
        ({"versions": {"torch": 2}}, "BenchSheet.versions"),
        ({"versions": {f"p{n}": "1" for n in range(41)}}, "may be 40 versions, got 41"),
        ({"measurements": {"probe": 1}}, "BenchSheet.measurements: must be a list"),
        ({"measurements": [{**BARE, "rows": [{"a": float("inf")}]}]}, "'a' must be a text or a finite number, got inf"),
        ({"measurements": [{**BARE, "rows": [{"a": [1]}]}]}, "'a' must be a text or a finite number"),
        ({"measurements": [{**BARE, "rows": [{"a\n": 1}]}]}, "'a name' must be a printable text"),
        ({"measurements": [{**BARE, "rows": [{}] * 201}]}, "may be 200 rows of a measurement, got 201"),
        ({"measurements": [BARE, BARE]}, "A measurement may stand in it once"),
        ({"measurements": [{"name": "probe"}]}, "Measurement needs 'settings'"),
    ],
)
def test_what_a_file_must_not_hold_is_refused(tmp_path: Path, change: dict[str, Any], told: str):
    """Wrong types, unknown names, texts that a terminal would obey, and more than anybody measures."""
    with pytest.raises(SettingsError) as refused:
        read_sheet(written(tmp_path, **change))
    assert told in str(refused.value)
    assert "a.json: " in str(refused.value)


def test_no_file_and_no_files(tmp_path: Path):
    """A name that is nothing is not found; none or too many can't be compared."""
    for name in ("none.json", "."):
        with pytest.raises(NotFound, match=r"There is no result file .*`sftqa bench gpu` writes one"):
            read_sheet(tmp_path / name)
    for count in (0, 9):
        with pytest.raises(SettingsError, match=f"Name 1 to 8 result files, got {count}"):
            compare_sheets([written(tmp_path)] * count)


# ---- side by side ----
def test_files_stand_side_by_side_with_ratios_to_the_first(tmp_path: Path):
    """Rows are matched by what they are; a count has no ratio, what one file lacks is empty, and without a result of ours that is said."""
    theirs = [{**ROW, "facts/s": 25.0}, {"model": "7B", "way": "exact", "facts/s": 2.0}]
    second = written(tmp_path, "b.json", device="AMD B", measurements=[{"name": "probe", "settings": {"facts": 24}, "rows": theirs}])
    compared = compare_sheets([written(tmp_path), second])
    (probe,) = compared.measurements
    assert [(value.row, value.column, value.values, value.ratios) for value in probe.values] == [
        ("0.5B, exact", "parameters", (500, 500), (None, None)),
        ("0.5B, exact", "facts/s", (10.0, 25.0), (1.0, 2.5)),
        ("0.5B, exact", "note", (None, None), (None, None)),
        ("7B, exact", "facts/s", (None, 2.0), (None, None)),
    ]
    assert compared.notes == (NO_OURS,)
    text = bench_text(compared.to_dict())
    assert "A: " in text
    assert "AMD B (cuda, driver 580.82); peak: 1 TFLOP/s, as told" in text
    assert "25 (2.50x)" in text
    assert text.endswith(NO_OURS)


def test_no_ratio_is_told_of_what_was_measured_in_another_way(tmp_path: Path):
    """Other settings, or a trial beside a measurement; a failure is told as one."""
    other = written(tmp_path, "b.json", measurements=[{"name": "probe", "settings": {"facts": 8}, "rows": [ROW]}])
    trial = written(tmp_path, "c.json", small=True)
    failed = written(tmp_path, "d.json", measurements=[{"name": "probe", "settings": {"facts": 24}, "rows": [], "failed": "No room."}])
    compared = compare_sheets([written(tmp_path), other, trial, failed])
    (probe,) = compared.measurements
    assert {value.ratios for value in probe.values if value.column == "facts/s"} == {(1.0, None, None, None)}
    assert [note.rpartition("/")[2] for note in probe.notes] == [
        "d.json failed: No room.",
        "b.json measured in another way (facts 8; the first: facts 24), so no ratio is told.",
        "c.json measured in another way (facts 24; the first: facts 24), so no ratio is told.",
    ]
    assert compared.notes[0].endswith("c.json is a trial with tiny shapes, whose numbers say nothing about the device.")


def test_a_result_of_ours_comes_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Where the shipped layer holds one."""
    monkeypatch.setenv("SFTQA_SHIPPED", str(tmp_path / "shipped"))
    (tmp_path / "shipped" / "bench").mkdir(parents=True)
    written(tmp_path / "shipped" / "bench", "gpu-cuda.json")
    compared = compare_sheets([written(tmp_path)])
    assert (compared.names[1], compared.notes) == ("ours: gpu-cuda", ())


# ---- the command ----
def test_the_command_shows_files_and_refuses_what_has_no_meaning(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """One JSON object, also of a refusal; options of measuring are none of showing."""
    path = str(written(tmp_path))
    with pytest.raises(SystemExit) as ended:
        main(["bench", "show", path, "--json"])
    assert ended.value.code == 0
    assert json.loads(capsys.readouterr().out)["names"] == [path]
    for words, told in (
        (["show", path, "--small"], "--small belongs to 'sftqa bench gpu'"),
        (["gpu", path], "To read one: sftqa bench show FILE"),
        (["gpu", "--device", "cpu"], "nothing was measured"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(["bench", *words, "--json"])
        assert ended.value.code == 1
        assert told in json.loads(capsys.readouterr().out)["error"]


def test_a_measurement_is_printed_with_how_to_share_it(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    """A table a measurement; one that failed makes the command fail."""
    stages(monkeypatch, [{"way": "exact", "facts/s": 12.3456, "n": 1_000}], NotEnoughFacts("No facts."))
    with pytest.raises(SystemExit) as ended:
        main(["bench", "gpu", "--stage", "probe", "--small", "--device", "cpu", "--out", str(tmp_path / "out")])
    assert ended.value.code == 1
    told = capsys.readouterr().out
    assert "This is a trial with tiny shapes" in told
    assert "way    facts/s  n\nexact     12.3  1,000\n" in told
    assert "two\nfailed: No facts.\n" in told
    assert f"Written: {tmp_path / 'out' / 'trial-cpu.json'}. It holds the device's name, versions and these numbers" in told


def test_the_script_needs_no_installed_package_and_nothing_of_the_pages(tmp_path: Path):
    """From another folder, where streamlit, plotly and datasets can't be imported."""
    blocked = "import sys\nfor name in ('streamlit', 'plotly', 'datasets'):\n    sys.modules[name] = None\n"
    run = f"import runpy\nsys.argv = ['gpu.py']\nrunpy.run_path({str(ROOT / 'benchmarks' / 'gpu.py')!r}, run_name='__main__')"
    environment = {"PATH": "", "CUDA_VISIBLE_DEVICES": "", "HIP_VISIBLE_DEVICES": "", "HOME": str(tmp_path)}
    command = [sys.executable, "-P", "-c", blocked + run]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert "There is no GPU to measure" in done.stderr
