"""The GPU benchmark says what it ran on, measures nothing twice, and nothing at all without a GPU."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import gpu
import gpu_work

from sftqa_core.errors import NotEnoughFacts

OPTIONS = Namespace(device="cpu", small=True)


@pytest.fixture(autouse=True)
def rate(monkeypatch: pytest.MonkeyPatch):
    """No product is timed."""
    monkeypatch.setattr(gpu.Peak, "of", classmethod(lambda cls, device: cls(1e12, "1 TFLOP/s, as told")))


@pytest.mark.parametrize(
    ("name", "tera"),
    [("NVIDIA H100 80GB HBM3", 989), ("NVIDIA H100 PCIe", 756), ("NVIDIA A100-SXM4-80GB", 312), ("NVIDIA GeForce RTX 4090", 165)],
)
def test_a_known_card_has_its_makers_rate(name: str, tera: int, monkeypatch: pytest.MonkeyPatch):
    """The variants of a card are told apart by the driver's name for it."""
    monkeypatch.undo()
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: name)
    assert gpu_work.Peak.of("cuda").flops == tera * 1e12


def test_nothing_is_measured_without_a_gpu(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    """It ends at once, says so and writes nothing."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as ended:
        gpu.main()
    assert ended.value.code == 2
    assert "No GPU that torch can use is visible here; nothing was measured" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_what_is_finished_is_not_measured_again(tmp_path: Path):
    """A second start has the rows of the first; what failed is told and tried again; a trial is marked as one."""
    times = []

    def fails() -> list[dict]:
        times.append("failing")
        raise NotEnoughFacts("No facts.")

    for _ in range(2):
        sheet = gpu.Sheet(tmp_path, OPTIONS)
        sheet.measure("good", lambda: times.append("good") or [{"way": "exact", "facts/s": 12.3456, "n": 1_000}])  # type: ignore[func-returns-value]
        sheet.measure("bad", fails)
    assert times == ["good", "failing", "failing"]
    told = sheet.markdown()
    assert "these numbers say nothing about GPUs" in told
    assert "| way | facts/s | n |\n| --- | --- | --- |\n| exact | 12.3 | 1,000 |\n" in told
    assert "| failed |\n| --- |\n| No facts. |\n" in told
    assert "torch 2." in told
