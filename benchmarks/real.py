"""Real models on this machine's processor: our engine beside transformers' `generate`, vLLM and OpenVINO, on the same facts.

    python benchmarks/real.py MODEL [MODEL ...] [--source entity-questions] [--facts 1] [--rounds 2] [--formats float32,bfloat16]
        [--ways exact,likelihood,greedy,generate] [--places 8,16,32] [--vllm ENV] [--openvino ENV --ir FOLDER [FOLDER ...]]

MODEL and SOURCE are named as the explorer names them (a folder, a hub id; SFTQA_ENTITY_QUESTIONS may name a folder with that data).
Every way is a process of its own that loads the model once; the rounds go through all of them in turn, one at a time, and medians are
printed. So peak memory is each way's own, and all see the same other work on the machine. `--vllm` and `--openvino` name virtual
environments that hold these packages, and --ir each model in OpenVINO's format, in the models' order; real_peers.py runs in them.
Formats: what this processor computes by itself (bfloat16 only where oneDNN has it), unless --formats says otherwise.

The floor of a way is the time that its arithmetic takes at the rate of matrix products in its format, which each process measures just
before each of its turns. Exact: the tokens that went through the model. Likelihood and greedy: a plain prefill, that is every prompt
with its answer read once, nothing shared. Peers: prompts once and the tokens drawn.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
WAYS = ("exact", "likelihood", "greedy", "generate")
MARK = "RESULT "  # in front of a worker's lines, among whatever else its packages print


@dataclass
class Way:
    """One process: a way of reading one model in one number format."""

    name: str
    format: str
    command: list[str]
    results: list[dict[str, Any]] = field(default_factory=list)
    failed: str = ""
    process: subprocess.Popen[str] | None = None

    def start(self, log: Path) -> None:
        """Load the model."""
        with log.open("a") as errors:
            self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True)
        self._line()

    def turn(self) -> None:
        """Work once through all facts."""
        if self.failed or not self.process or not self.process.stdin:
            return
        with contextlib.suppress(BrokenPipeError):  # the next line says that it ended
            print("go", file=self.process.stdin, flush=True)
        if result := self._line():
            self.results.append(result)
            print(f"  {self.name}, {self.format}: {result['facts'] / result['seconds']:.3f} facts/s", flush=True)

    def end(self) -> None:
        """Close its input, which ends it."""
        if self.process and self.process.stdin:
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()
            self.process.wait()

    def _line(self) -> dict[str, Any]:
        if self.process and self.process.stdout:
            for line in self.process.stdout:
                if line.startswith(MARK):
                    return dict(json.loads(line.removeprefix(MARK)))
            self.failed = f"it ended with {self.process.wait()}"
        return {}

    def row(self) -> str:
        """Its line of the table."""
        if self.failed or not self.results:
            return f"{self.name} | {self.format} | does not run here: {self.failed} | | | |"

        def median(of: Callable[[dict[str, Any]], float]) -> float:
            return statistics.median(of(result) for result in self.results)

        rounds = ", ".join(f"{r['facts'] / r['seconds']:.3f}" for r in self.results)
        rated = all(r["matrix_rate"] for r in self.results)
        share = f"{median(lambda r: r['flops'] / r['seconds'] / r['matrix_rate']):.0%}" if rated else "-"
        cells = (
            f"{self.name}{self.results[-1].get('said', '')}",
            self.format,
            f"{median(lambda r: r['facts'] / r['seconds']):.3f} ({rounds})",
            f"{median(lambda r: r['tokens'] / r['seconds']):.0f}",
            f"{median(lambda r: r['flops'] / r['seconds']) / 1e9:.0f}",
            share,
            f"{max(r['peak_bytes'] for r in self.results) / 1e9:.2f}",
        )
        return " | ".join(cells)


def main() -> None:
    """Measure each model and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--source", default="entity-questions")
    parser.add_argument("--facts", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--formats", help="number formats, by default what this processor computes by itself")
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--places", default="", help="prompts that the exact probe reads together, several to compare")
    parser.add_argument("--vllm", help="a virtual environment with vllm")
    parser.add_argument("--openvino", help="a virtual environment with openvino-genai")
    parser.add_argument("--ir", nargs="*", default=[], help="each model in OpenVINO's format")
    options = parser.parse_args()
    if options.openvino and len(options.ir) != len(options.models):
        parser.error("--openvino needs as many folders behind --ir as there are models.")
    formats = options.formats.split(",") if options.formats else own_formats()
    with tempfile.TemporaryDirectory() as folder:
        for number, model in enumerate(options.models):
            measure(options, number, model, formats, Path(folder))


def own_formats() -> list[str]:
    """What the processor computes by itself: others are emulated, and slow."""
    import torch

    return ["float32", *(["bfloat16"] if torch.ops.mkldnn._is_mkldnn_bf16_supported() else [])]


def measure(options: argparse.Namespace, number: int, model: str, formats: list[str], folder: Path) -> None:
    """All ways on one model, in turn, round after round."""
    prompts, log = folder / f"prompts-{number}.json", Path(tempfile.gettempdir()) / "real-benchmark.log"
    ways = [way for name in formats for way in own_ways(options, model, name, prompts)]
    ways += [way for name in formats for way in peers(options, number, model, name, prompts)]
    print(f"{model}, {options.facts} facts; the processes' own words: {log}", flush=True)
    try:
        for way in ways:  # the first one writes the prompts
            way.start(log)
        for turn in range(options.rounds):
            print(f" round {turn + 1}", flush=True)
            for way in ways:
                way.turn()
    finally:
        for way in ways:
            way.end()
    print("\nway | format | facts/s, median (rounds) | tokens/s | GFLOP/s | of the floor | peak memory, GB\n" + "--- | " * 6 + "---")
    print("\n".join(way.row() for way in ways) + "\n", flush=True)


def own_ways(options: argparse.Namespace, model: str, name: str, prompts: Path) -> list[Way]:
    """The package's ways and transformers' own, which run in this environment."""
    found = []
    for way in options.ways.split(","):
        for places in options.places.split(",") if way == "exact" else [""]:
            asked = [str(HERE / "real_worker.py"), way, model, name, str(prompts), options.source, str(options.facts), places or "0"]
            found.append(Way(f"{way}{f', {places} prompts' if places else ''}", name, [sys.executable, *asked]))
    return found


def peers(options: argparse.Namespace, number: int, model: str, name: str, prompts: Path) -> list[Way]:
    """Other engines, each in its own environment."""
    found = []
    for engine, environment, folder in (
        ("vllm", options.vllm, model),
        ("openvino", options.openvino, options.ir[number] if options.ir else ""),
    ):
        if environment:
            python = str(Path(environment) / "bin" / "python")
            found.append(Way(engine, name, [python, str(HERE / "real_peers.py"), engine, folder, name, str(prompts)]))
    return found


if __name__ == "__main__":
    main()
