"""What an exported model's README.md says: settings, examples, accuracy with intervals, and whose licence holds."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import yaml

from sftqa_core.models.origin import repository

if TYPE_CHECKING:
    from sftqa_core.records import DomainAccuracy
    from sftqa_core.training.runs import Run

_DOMAINS = {"in": "in-domain", "out": "out-of-domain"}


def model_card(run: Run, *, merged: bool, adapter: bool) -> str:
    """Markdown with a head of settings, as model hubs read it. Names from outside stand in code marks."""
    settings, told = run.settings, run.manifest["model"]
    base = repository(settings.model, told.get("kind"))
    head = yaml.safe_dump(
        {"base_model": base, "library_name": "peft" if adapter else "transformers", "pipeline_tag": "text-generation"},
        sort_keys=False, allow_unicode=True,
    )  # fmt: skip
    revision = f", revision {_code(told['revision'])}" if told.get("revision") else ""
    kind = "A LoRA adapter for" if adapter else "A LoRA adapter merged (in float32) into" if merged else "All weights of"
    measured = (
        "**4 bits.** The adapter was tuned on, and the accuracy below measured with, base weights in 4 bits (NF4, QLoRA). "
        + ("Merged into whole weights it" if merged else "On whole weights it")
        + " gives somewhat other answers."
    )
    lines = [
        f"---\n{head}---",
        f"# {_code(base)} tuned on {run.summary.n:,} questions",
        f"{kind} {_code(base)}{revision}, tuned by SFT-QA Explorer (run {_code(run.id)}).",
        f"**Licence.** These weights come from {_code(base)}: its licence and terms hold for them, too; look them up there.",
        f"**Data.** {run.summary.n:,} questions of {_code(settings.source)}, asked as {_code(settings.prompt.prompt)}"
        f"{', in the chat template of the model' if settings.prompt.chat else ''}; seed {settings.seed}.",
        *([measured] if settings.quantization == "nf4" else []),
        "**Accuracy** on held-out facts, with 95% intervals; levels are what the base model knew before.",
        _table(run),
        f"**Made again by**\n\n```\n{_fenced(run.manifest['command'])}\n```",
        f"**All settings**\n\n```json\n{_fenced(json.dumps(settings.to_dict(), indent=1, ensure_ascii=False))}\n```",
    ]
    return "\n\n".join(lines) + "\n"


def _table(run: Run) -> str:
    labels = run.settings.scheme.labels
    rows = [["", *labels, "mean over levels", "as facts come"]]
    for domain, name in _DOMAINS.items():
        for stage, found in (("before", run.summary.before), ("after", run.summary.after)):
            if domain in found and found[domain].natural_n:
                rows.append([f"{name}, {stage}", *_cells(found[domain])])
    rows.insert(1, ["---"] * len(rows[0]))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cells(found: DomainAccuracy) -> list[str]:
    levels = [f"{_share(level.accuracy)} (n = {level.n:,})" for level in found.per_level]
    macro = _with_interval(found.macro, found.macro_low, found.macro_high)
    return [*levels, macro, _with_interval(found.natural, found.natural_low, found.natural_high)]


def _with_interval(value: float | None, low: float | None, high: float | None) -> str:
    return _share(value) if low is None or high is None else f"{_share(value)} ({_share(low)} to {_share(high)})"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _code(text: Any) -> str:
    """A name as code: nothing in it is markup."""
    return "`" + " ".join(str(text).replace("`", "'").split()) + "`"


def _fenced(text: str) -> str:
    return text.replace("```", "'''")
