"""Made-up results for page tests: seeded numbers in the documented formats, never shown by the program itself."""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pandas as pd

from sftqa_core.artifacts import write_folder
from sftqa_core.errors import ModelUnavailable, NotFound, SettingsError
from sftqa_core.knowledge import sources
from sftqa_core.memory.profiles import LevelTable, Profile
from sftqa_core.memory.stored_levels import Ids
from sftqa_core.records import (
    Agreement,
    Check,
    DomainAccuracy,
    LevelAccuracy,
    LevelScheme,
    ModelCard,
    Preflight,
    RunSummary,
    SourcePreview,
    TrainSettings,
)
from sftqa_core.studies import config
from sftqa_core.workflows.gallery import Prepared
from sftqa_core.workflows.label_files import Labels
from sftqa_core.workflows.lookups import Trust
from sftqa_core.workflows.study_reports import study_name
from sftqa_core.workflows.tested.fact_stories import FactInRun
from tests.pages import ask_standin, consistency_standin, exposure_standin, real_standin

RELATIONS = {"P17": "in", "P19": "in", "P36": "in", "P106": "out", "P26": "out"}
NASTY = ["<b>bold</b> $x^2$ :smile:", "=HYPERLINK(1)", "[link](http://example.invalid) **x**"]
SHARES = [0.3, 0.3, 0.12, 0.1, 0.18]
RUN = "20261123-120000-stand-in"


@cache
def _kept_weights() -> Path:
    """A run's folder with tuned weights in it, as far as its names go."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "model").mkdir()
    return folder


def facts_and_levels() -> pd.DataFrame:
    """Fact columns joined with level columns; every tenth fact is not probed."""
    return _facts_and_levels().copy()


@cache
def _facts_and_levels(per_relation: int = 60) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    rows = []
    for relation, domain in RELATIONS.items():
        for at in range(per_relation):
            level = int(draw.choice(5, p=SHARES))
            hits = 0 if level == 0 else int(draw.integers(52 * (level - 1) + 1, 52 * level + 1))
            per_template = draw.multinomial(hits, np.full(21, 1 / 21)).clip(max=10)
            hits, probed = int(per_template.sum()), at % 10 != 9
            score = hits / 210
            subject = NASTY[at] if at < len(NASTY) else f"Subject {relation}-{at}"
            contested = bool(draw.random() < 0.4)
            rows.append(
                {
                    "fact_id": f"{relation[1:]}{at:04d}".ljust(16, "0"), "source": "atlas", "relation": relation, "subject": subject,
                    "answers": [f"Answer {at % 7}"], "question": f"What is the {relation} of {subject}?", "split": "test", "domain": domain,
                    "echo": at % 20 == 3, "subject_in_train": False, "exposures": int(draw.integers(0, 200)), "contested": contested,
                    "rival": "Rival" if contested else None, "rival_share": 0.4 if contested else 0.0,
                    "hits": hits, "completions": 210, "score": score if probed else np.nan, "low_samples": max(score - 0.04, 0.0),
                    "high_samples": min(score + 0.04, 1.0), "low_templates": max(score - 0.1, 0.0), "high_templates": min(score + 0.1, 1.0),
                    "seen_score": min(score * 1.1, 1.0), "unseen_score": score * 0.8,
                    "level": sum(score > cut for cut in LevelScheme().cutoffs) if probed else pd.NA,
                    "hits_per_template": list(map(int, per_template)),
                }
            )  # fmt: skip
    table = pd.DataFrame(rows)
    table["level"] = table["level"].astype("Int64")
    table["exposures"] = table["exposures"].astype("Int64").mask(table.index == 0)  # not every fact's are known
    return table


def domain_accuracy(rates: list[float], counts: list[int]) -> DomainAccuracy:
    levels = tuple(
        LevelAccuracy(f"L{at}", n, round(rate * n), round(rate * n) / n, max(rate - 0.05, 0.0), min(rate + 0.05, 1.0)) if n
        else LevelAccuracy(f"L{at}", 0, 0, None, None, None)
        for at, (rate, n) in enumerate(zip(rates, counts, strict=True))
    )  # fmt: skip
    known = [level for level in levels if level.accuracy is not None]
    macro = sum(level.accuracy or 0 for level in known) / len(known) if len(known) == len(levels) else None
    total = sum(counts)
    natural = sum(level.correct for level in levels) / total
    return DomainAccuracy(
        levels,
        macro,
        macro and macro - 0.02,
        macro and macro + 0.02,
        tuple(level.level for level in known),
        natural,
        natural - 0.03,
        natural + 0.03,
        total,
    )


def summary(n: int = 60) -> RunSummary:
    low = {
        "in": domain_accuracy([0, 0.02, 0.05, 0.1, 0.2], [300, 280, 120, 90, 210]),
        "out": domain_accuracy([0, 0.03, 0.06, 0.1, 0.2], [300, 280, 25, 90, 210]),
    }
    high = {
        "in": domain_accuracy([0, 0.12, 0.4, 0.65, 0.92], [300, 280, 120, 90, 210]),
        "out": domain_accuracy([0, 0.05, 0.2, 0.35, 0.6], [300, 280, 25, 90, 210]),
    }
    shot = {
        "in": domain_accuracy([0, 0.05, 0.2, 0.3, 0.5], [300, 280, 120, 90, 210]),
        "out": domain_accuracy([0, 0.05, 0.1, 0.2, 0.4], [300, 280, 25, 90, 210]),
    }
    most = {"in": domain_accuracy([0.1] * 5, [300, 280, 120, 90, 210]), "out": domain_accuracy([0.05] * 5, [300, 280, 25, 90, 210])}
    bare = {**high, "in": domain_accuracy([0, 0.12, 0.4, 0.65, 0.92], [300, 280, 120, 90, 200])}
    return RunSummary(RUN, n, low, high, {"few_shot": shot, "majority": most}, {"train": 3.2, "eval": 21.0}, {"before": low, "after": bare})


def predictions(facts: pd.DataFrame) -> pd.DataFrame:
    draw = np.random.default_rng(1)
    rows = []
    for fact_id, level in zip(facts["fact_id"], facts["level"].fillna(0), strict=True):
        for stage, rate in (("before", 0.05 * level), ("few_shot", 0.1 * level), ("majority", 0.1), ("after", 0.22 * level)):
            right = bool(draw.random() < rate)
            text = "Answer" if right else str(draw.choice(["=1+1", "Rival", "<script>alert(1)</script>"]))
            rows.append((fact_id, stage, text, text if right else None, right, text == "Rival", -0.4, 3))
    return pd.DataFrame(rows, columns=["fact_id", "stage", "text", "matched", "correct", "rival", "mean_logprob", "tokens"])


def write_run(runs: Path, name: str = RUN) -> Path:
    """A finished run folder as training/runs.py documents it (without weights)."""
    return Path(shutil.copytree(_made_run(), runs / name, dirs_exist_ok=True))


_usual_summary = summary  # for what is made once: a test may put another in its place


@cache
def _made_run() -> Path:
    facts = facts_and_levels()
    settings = TrainSettings(model="stand-in")

    def fill(folder: Path) -> None:
        (folder / "settings.json").write_text(json.dumps(settings.to_dict()))
        (folder / "summary.json").write_text(json.dumps(_usual_summary().to_dict()))
        (folder / "curve.jsonl").write_text(
            "".join(json.dumps({"step": s, "loss": 4 / s, "learning_rate": 4e-4}) + "\n" for s in range(1, 9))
        )
        (folder / "examples.jsonl").write_text("")
        predictions(facts).to_parquet(folder / "predictions.parquet")
        facts.to_parquet(folder / "levels.parquet")

    command = "sftqa train --model stand-in --source atlas --n 60"
    runs = Path(tempfile.mkdtemp(prefix="sftqa-tests-"))
    atexit.register(shutil.rmtree, runs)
    return write_folder(
        runs / RUN, fill, {"kind": "run", "settings": settings.to_dict(), "command": command, "created": "2026-11-23T12:00:00+00:00"}
    )


def workflows(
    *,
    with_runs: bool = True,
    with_models: bool = True,
    probed: bool = True,
    read: str | None = None,
    second_probe: bool = True,
    saying: dict[str, list[str]] | None = None,
    answers: bool = False,
    counted: int = 0,
    finished: bool = True,
) -> ModuleType:
    """A module that answers like sftqa_core.workflows."""
    module = ModuleType("sftqa_core.workflows")
    cards = [
        ModelCard(
            "stand-in",
            "built-in",
            "/nowhere",
            True,
            "llama",
            2_350_000,
            note="Made up for tests.",
            details={"source": {"name": read}} if read else {},
        )
    ]

    def profile(model: str, source: str, split: str = "test", domain: str = "all", scheme: object = None) -> Profile:
        if model != "stand-in":
            raise ModelUnavailable(f"There is no model {model!r} here. Pick one from the list.")
        table = facts_and_levels()
        if not probed:
            table = table.assign(score=np.nan, level=pd.NA)
        return LevelTable(table, LevelScheme(), (), Ids(table)).profile(split, domain)

    def trust(model: str, source: str, split: str = "test", domain: str = "all") -> Trust:
        cells = tuple(tuple(40 if row == column else 2 for column in range(5)) for row in range(5))
        same = Agreement(LevelScheme().labels, 240, 0.83, 0.88, 0.85, 0.91, 0.97, cells, 0.0041, -0.0012, 0.0094)
        rows = [(t, s, t * s, 0.5 + t * s / 500, 0.45 + t * s / 500, 0.55 + t * s / 500, 0.6) for t in (1, 7, 21) for s in (1, 5, 10)]
        curve = pd.DataFrame(rows, columns=["templates", "samples", "completions", "kappa", "low", "high", "same"])
        others = ("second probe", "adaptive", "likelihood") if second_probe else ()
        return Trust(300, dict.fromkeys(others, same), (0.01, 0.0, 0.02), curve, 0.88, second_probe)

    def completions(model: str, source: str, fact_id: str) -> pd.DataFrame:
        texts = [
            (at, f"Subject is in {at}", text, 5, "Answer 0" if text.startswith(" Answer") else None, "hit")
            for at in range(21)
            for text in (" Answer 0", NASTY[at % 3])
        ]
        return pd.DataFrame(texts, columns=["template", "prompt", "text", "count", "matched", "stop"])

    def run(run_id: str) -> SimpleNamespace:
        if run_id != RUN:
            raise NotFound(f"There is no run {run_id!r}.")
        facts = facts_and_levels()
        curve = pd.DataFrame({"step": range(1, 9), "loss": [4 / step for step in range(1, 9)]})
        manifest = {"command": "sftqa train --model stand-in --n 60", "versions": {"torch": "2"}, "created": "2026-11-23T12:00:00+00:00"}
        tables = {"predictions": lambda: predictions(facts), "facts": lambda: facts, "curve": lambda: curve}
        return SimpleNamespace(
            id=RUN, settings=TrainSettings(model="stand-in"), summary=summary(), manifest=manifest, cut="",
            versions=manifest["versions"], **tables,
        )  # fmt: skip

    def smaller_footprint(kind: str, settings: dict) -> dict | None:
        return {"batch_size": settings["batch_size"] // 2} if settings.get("batch_size", 1) > 1 else None

    def forecast(settings: object) -> SimpleNamespace:
        if getattr(settings, "n", 0) > 5000:
            raise SettingsError("Asked for too many examples.")
        problems = ["Only 1,500 facts are there; 1,920 were asked for."] if getattr(settings, "n", 0) == 1920 else []
        return SimpleNamespace(
            examples=60,
            steps=8,
            test_facts=3000,
            probes_needed=0 if hasattr(settings, "n") else 30,
            seconds_low=20.0,
            seconds_high=60.0,
            notes=["Measured on 2 cores."],
            problems=problems,
            fit=None,
            runs=6,
        )

    def add_upload(name: str, content: bytes, query: str = "", templates: str = "") -> str:
        return f"{name}{query}"

    def preview_upload(name: str, content: bytes, query: str = "", templates: str = "") -> SourcePreview:
        found = SourcePreview(name, ("ask", "say"), (("Who?", "*Bo*"),), ("ask", "say"), {"question": "ask"})
        if content == b"x":
            return replace(found, faults=("Row 1: no question.", "Row 2: no answer."))
        if content == b"other columns" and not query:
            return replace(found, faults=("It has no column for the answers.",))
        if content == b"new relations" and not (templates or "read=pairs" in query):
            return replace(
                found, layout="own", new_relations={"mouth": ["Rhine"]}, faults=("Row 2: 'mouth' is not built in and brings no templates.",)
            )
        roles = {"question": "ask", "answers": "say"}
        return replace(found, layout="PopQA", roles=roles, facts=13, splits={"train": 9, "dev": 0, "test": 4}, notes=("2 of 13 *end*.",))

    def preflight(settings: object, cost: object = None) -> Preflight:
        problem = [Check("disk", "problem", "The disk is full.", "Free some space.")] if getattr(settings, "n", 0) == 960 else []
        return Preflight("train", (Check("model", "ok", "It is here."), *problem))

    module.preflight = preflight
    module.models = lambda: cards if with_models else []
    module.facts = lambda source: SimpleNamespace(relations={"P19": {"train": 6, "dev": 0, "test": 3}, "qa": {"train": 3, "test": 1}})
    module.source_is_here = lambda source: not source.startswith("hub:")
    module.sources = lambda: ["atlas", "entity-questions"]
    module.profile, module.completions, module.run, module.forecast = profile, completions, run, forecast
    module.profile_stamp = lambda model, source, scheme: model
    info = SimpleNamespace(
        id=RUN, model="stand-in", source="atlas", n=60, method="full", seed=0, created="2026-11-23T12:00:00+00:00", shipped=True,
        quantisation="", folder=_kept_weights(), bundle="",
    )  # fmt: skip
    module.runs = lambda: [info] if with_runs else []
    module.imported_bundles = list
    module.looks = list  # nobody has looked inside a run
    module.labels, module.labels_stamp, module.deleted, module.size_on_disk = Labels, str, list, lambda thing: 12_345
    ask_standin.add(module)
    consistency_standin.add(module, facts_and_levels(), answers)
    exposure_standin.add(module, facts_and_levels(), counted)
    real_standin.add(module, facts_and_levels(), finished)
    module.facts_saying = lambda model, source, words, scheme: (saying or {}).get(words, [])

    def fact_levels(
        source: str, fact_id: str, scheme: LevelScheme, estimates: bool = False, models: object = None
    ) -> list[dict[str, object]]:
        fact = facts_and_levels().set_index("fact_id").loc[fact_id]
        names = ("hits", "completions", "score", "low_samples", "high_samples", "low_templates", "high_templates")
        row = {"model": "stand-in", "method": "sampling", "level": f"L{fact['level']}", "confidence": None}
        return [{**row, **{name: fact[name] for name in names}}]

    def fact_in_runs(fact_id: str, run_ids: tuple[str, ...], infos: object = None) -> list[FactInRun]:
        answers = {"before": ("Rival", False), "few_shot": ("Rival", False), "majority": ("Most", False), "after": ("Answer", True)}
        return [FactInRun(info, answers, True, "L2") for _ in run_ids]

    module.fact_levels, module.fact_in_runs = fact_levels, fact_in_runs
    module.default_learning_rate = lambda method, model: 4e-4 if method == "full" else 3e-3
    module.trust = trust
    module.run_part = lambda run_id, part: summary(30)
    module.run_rule = lambda run_id: ""
    module.moved_levels = lambda run_id: (30, 270)
    module.run_yaml, module.run_of = config.run_yaml, config.run_of
    module.study_yaml, module.study_of = config.study_yaml, config.study_of
    module.study_name = study_name
    module.why_no_chat = lambda model: "" if model == "stand-in-chat" else f"{model} has no chat template."
    module.prompt_preview = lambda model, form: ("<|user|>" + form.prompt, form.answer) if form.chat else (form.prompt, form.answer)
    module.add_upload, module.preview_upload, module.smaller_footprint = add_upload, preview_upload, smaller_footprint
    module.unreadable_results = lambda: []
    lost = {"run": RUN, "change": "lost"}
    module.gallery = lambda: (
        Prepared("Do 60 examples suffice?", "cannot tell", "stand-in, in-domain", "60 examples reach *90%*.", "pages/how_much_data.py"),
        Prepared("Which facts did it lose?", "", "stand-in", "Of 40, 3 are wrong.", "pages/results.py", lost),
    )
    module.own_relations = sources.own_relations
    module.save_relations = sources.save_relations
    return module
