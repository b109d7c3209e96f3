"""Everything on a GPU: probing and tuning of a 0.5B and a 7B shape, and the main job with a model of 98 million parameters.

    python benchmarks/gpu.py [--stage probe|tune|atlas|all] [--out FOLDER]
    python benchmarks/gpu.py --small --device cpu        tries this script out: tiny shapes; its numbers say nothing about GPUs

`probe` and `tune` take random weights, made on the device: facts and examples a second, the share of the card's rate (MFU), the peak
of memory beside the project's own estimate (goal: within 15%), and `generate` in the same run. `atlas` pre-trains atlas-100m, probes
it, runs the studies of amount and level with three seeds and writes their tables and findings. What is finished is not
measured again, so a run that is cut off goes on; the first two stages fit into one call of ten minutes, and the third into others.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parent))
from gpu_work import SHAPES, Peak, options_of, probe_rows, random_model, tune_row

from sftqa_core import workflows
from sftqa_core.artifacts import versions
from sftqa_core.cli.text import Console
from sftqa_core.errors import SftqaError
from sftqa_core.models.catalogue import find_model
from sftqa_core.models.loading import load_model
from sftqa_core.records import CorpusSettings, PretrainSettings, ProbeSettings, StudySettings

STAGES = ("probe", "tune", "atlas")


class Sheet:
    """Finished measurements by name, in a file; written after each, so that nothing is measured twice."""

    def __init__(self, folder: Path, options: argparse.Namespace):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.peak = folder, Peak.of(options.device)
        self.path = folder / f"{'trial' if options.small else 'gpu'}-{options.device}.json"
        name = torch.cuda.get_device_name() if options.device == "cuda" else f"processor, {torch.get_num_threads()} threads"
        self.about = {"device": name, "peak": self.peak.told, "small": options.small, "versions": versions()}
        kept = json.loads(self.path.read_text()) if self.path.exists() else {}
        same = kept.get("about", {}).get("device") == name and kept["about"]["versions"] == self.about["versions"]
        found: dict[str, list[dict[str, Any]]] = kept["found"] if same else {}
        self.found = {key: rows for key, rows in found.items() if not any("failed" in row for row in rows)}

    def measure(self, name: str, work: Callable[[], list[dict[str, Any]]]) -> None:
        """Do it unless it is there; a failure is told, and tried again the next time."""
        if name not in self.found:
            try:
                self.found[name] = work()
            except (torch.OutOfMemoryError, SftqaError) as error:
                self.found[name] = [{"failed": str(error).splitlines()[0]}]
            self.path.write_text(json.dumps({"about": self.about, "found": self.found}, indent=1), encoding="utf-8")
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
        print(f"\n### {name}\n\n{table(self.found[name])}", flush=True)

    def markdown(self) -> str:
        """All tables under what they were measured on."""
        trial = "**A trial with tiny shapes: these numbers say nothing about GPUs.**\n\n" if self.about["small"] else ""
        told = ", ".join(f"{name} {version}" for name, version in versions().items())
        head = f"{trial}Device: {self.about['device']}; peak: {self.about['peak']}.\n{told}\n"
        return head + "".join(f"\n### {name}\n\n{table(rows)}" for name, rows in self.found.items())


def table(rows: list[dict[str, Any]]) -> str:
    """Rows as a Markdown table; columns in the order in which they come up."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [names, ["---"] * len(names), *([shown(row.get(name)) for name in names] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def shown(value: Any) -> str:
    """Three digits of a number, nothing where there is none."""
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}" if isinstance(value, float) else str(value)


def main() -> None:
    """Measure what is left of the stages asked for; print and write tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stage", choices=(*STAGES, "all"), default="all")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--out", default=os.environ.get("OUT", "gpu-results"), help="folder for tables (default: $OUT, or gpu-results)")
    parser.add_argument("--small", action="store_true", help="a trial of this script with tiny shapes")
    options = options_of(parser)
    if options.small and options.device == "cpu":
        torch.set_num_threads(1)  # of shapes so tiny more threads only wait for each other
    sheet = Sheet(Path(options.out), options)
    for stage in STAGES if options.stage == "all" else (options.stage,):
        {"probe": shapes, "tune": shapes, "atlas": atlas}[stage](sheet, options, stage)
    sheet.path.with_suffix(".md").write_text(sheet.markdown(), encoding="utf-8")
    print(f"\nWritten: {sheet.path.with_suffix('.md')}")


def shapes(sheet: Sheet, options: argparse.Namespace, stage: str) -> None:
    """Probe or tune a model of each shape with random weights."""
    like = load_model(find_model("atlas-llama"), options.device)
    for name in SHAPES:
        many = 1 if options.small else 24 if name.startswith("0.5B") else 8

        def probed(name: str = name, many: int = many) -> list[dict[str, Any]]:
            sizes = (16,) if options.small else (16, 64)
            return probe_rows(random_model(name, options.small, like), sheet.peak, many, max(1, many // 8), sizes)

        def tuned(name: str = name) -> list[dict[str, Any]]:
            loaded, count = random_model(name, options.small, like), 32 if options.small else 160
            return [tune_row(loaded, sheet.peak, method, count) for method in ("lora", "full")]

        sheet.measure(f"{stage}, {name}, random weights", probed if stage == "probe" else tuned)


def recipe(options: argparse.Namespace) -> PretrainSettings:
    """atlas-100m, or a tiny model on the shipped world in its place."""
    if options.small:
        corpus = CorpusSettings(qa_documents=100, filler_documents=20, exposure_scale=0.2)
        return PretrainSettings(
            "atlas-100m-trial", hidden_size=32, layers=1, heads=2, intermediate_size=64, limit=72, corpus=corpus, device=options.device
        )
    return replace(workflows.unmade_recipes()["atlas-100m"], device=options.device)


def atlas(sheet: Sheet, options: argparse.Namespace, stage: str) -> None:
    """The main job: pre-train, probe, two studies."""
    made, few = recipe(options), 1 if options.small else 50
    sheet.measure(f"{stage}: pre-training", lambda: [pretrained(made, sheet.peak)])
    sheet.measure(f"{stage}: probe of test facts", lambda: [probed(made, options, 12 if options.small else 24 * few)])
    sizes = {"amount": (0, 2) if options.small else (0, 60, 240, 960), "level": (2,) if options.small else (240,)}
    for kind in ("amount", "level"):
        settings = StudySettings(kind, (made.name,), made.source, sizes=sizes[kind], test_limit=few, device=options.device, seeds=(0, 1, 2))
        sheet.measure(f"{stage}: study {kind}", lambda settings=settings: studied(settings, sheet.folder))  # type: ignore[misc]


def pretrained(made: PretrainSettings, peak: Peak) -> dict[str, Any]:
    """Make the model, or go on making it; tokens a second and MFU of its steps."""
    card = workflows.pretrain(made, Console())
    told = card.details["training"]
    rate = told["tokens"] / max(told["seconds"], 1e-9)
    found = {"model": made.name, "source": made.source, "parameters": card.parameters, "tokens": told["tokens"], "seconds": told["seconds"]}
    return {**found, "tokens/s": rate, "MFU": 6 * (card.parameters or 0) * rate / peak.flops, "final loss": told["final_loss"]}


def probed(made: PretrainSettings, options: argparse.Namespace, limit: int) -> dict[str, Any]:
    """Levels of test facts through the workflow, and how fast."""
    found = workflows.probe(ProbeSettings(made.name, made.source, limit=limit, device=options.device), Console())
    levels = {f"L{at}": count for at, count in enumerate(map(sum, zip(*found.levels.values(), strict=True)))}
    return {"model": made.name, "facts": found.facts, "facts/s": found.facts_per_s, **levels}


def studied(settings: StudySettings, folder: Path) -> list[dict[str, Any]]:
    """Run what is left of a study; its tables as JSON and, where plotly is there, its first chart; its findings as rows."""
    report = workflows.study(settings, Console())
    (folder / f"study-{settings.kind}.json").write_text(json.dumps(report.to_dict(), indent=1), encoding="utf-8")
    draw(report.tables, settings, folder)
    return [{"about": one.about, "question": one.question, "verdict": one.verdict} for one in report.findings] or [{"runs": report.done}]


def draw(tables: dict[str, Any], settings: StudySettings, folder: Path) -> None:
    """The study's chart, in-domain, as a page of its own."""
    try:
        import pandas as pd

        from sftqa_core.figures.curves import amount_figure
        from sftqa_core.figures.matrices import matrix_figure
    except ImportError:
        return
    if settings.kind == "amount":
        figure = amount_figure(pd.DataFrame(tables["curve"]), "in", "mean over levels")
    else:
        figure = matrix_figure(pd.DataFrame(tables["matrix"]), settings.models[0], "in", settings.scheme.labels)
    figure.write_html(folder / f"study-{settings.kind}.html", include_plotlyjs="directory")


if __name__ == "__main__":
    main()
