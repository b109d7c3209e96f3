"""A run's tuned model as a folder that other tools read: what `save_pretrained` writes, and a card that says what it is.

    OUT/config.json, model.safetensors, generation_config.json    after full fine-tuning, or with the adapter merged (in float32)
        adapter_config.json, adapter_model.safetensors            after LoRA: the adapter, which names its base model and revision
        tokenizer files, chat template
        README.md                                                 settings, examples, accuracy with intervals, base model, licence
        manifest.json                                             written last: the run, its settings, checksums

Copying needs no torch; only merging loads the model.
"""

import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from sftqa_core.artifacts import require_whole, write_folder
from sftqa_core.errors import NotFound, SettingsError
from sftqa_core.models.catalogue import base_card, find_model, folder_card, repository, weights_fingerprint
from sftqa_core.models.hub.hub_cache import hub_name
from sftqa_core.models.model_files import ADAPTER_CONFIG, ModelFolder
from sftqa_core.records import DOMAIN_NAMES, ModelCard
from sftqa_core.records.job import command_of
from sftqa_core.training.runs import Run


def model_card(run: Run, *, merged: bool, adapter: bool) -> str:
    """Markdown with a head of settings, as model hubs read it. Names from outside stand in code marks."""
    settings, model = run.settings, run.manifest["model"]
    base = repository(settings.model, model.get("kind"))
    head = yaml.safe_dump(
        {"base_model": base, "library_name": "peft" if adapter else "transformers", "pipeline_tag": "text-generation"},
        sort_keys=False, allow_unicode=True,
    )  # fmt: skip
    revision = f", revision {_code(model['revision'])}" if model.get("revision") else ""
    kind = "A LoRA adapter for" if adapter else "A LoRA adapter merged (in float32) into" if merged else "All weights of"
    measured = (
        "**4 bits.** The adapter was tuned on base weights in 4 bits (NF4, QLoRA), and the accuracy below was measured with them. "
        + ("Merged into" if merged else "On")
        + " unquantised weights some answers differ."
    )
    rounded = model.get("quantisation")
    lines = [
        f"---\n{head}---",
        f"# {_code(base)} tuned on {run.summary.n:,} questions",
        f"{kind} {_code(base)}{revision}, tuned by SFT-QA Explorer (run {_code(run.id)}).",
        f"**Licence.** These weights come from {_code(base)}: its licence and terms hold for them, too; look them up there.",
        f"**Data.** {run.summary.n:,} questions of {_code(settings.source)}, asked as {_code(settings.prompt.prompt)}"
        f"{', in the chat template of the model' if settings.prompt.chat else ''}; seed {settings.seed}.",
        *([measured] if settings.quantization == "nf4" else []),
        *([f"**Quantised.** The model was read from a file with rounded values ({_code(rounded)})."] if rounded else []),
        "**Accuracy** on held-out facts, with 95% intervals; levels are what the base model knew before.",
        _table(run),
        f"**Made again by**\n\n```\n{_fenced(run.manifest['command'])}\n```",
        f"**All settings**\n\n```json\n{_fenced(json.dumps(settings.to_dict(), indent=1, ensure_ascii=False))}\n```",
    ]
    return "\n\n".join(lines) + "\n"


def _table(run: Run) -> str:
    labels = run.settings.scheme.labels
    rows = [["", *labels, "mean over levels", "as facts come"]]
    for domain, name in DOMAIN_NAMES.items():
        for stage, accuracies in (("before", run.summary.before), ("after", run.summary.after)):
            if domain in accuracies and accuracies[domain].natural_n:
                accuracy = accuracies[domain]
                levels = [f"{_share(level.accuracy)} (n = {level.n:,})" for level in accuracy.per_level]
                macro = _with_interval(accuracy.macro, accuracy.macro_low, accuracy.macro_high)
                natural = _with_interval(accuracy.natural, accuracy.natural_low, accuracy.natural_high)
                rows.append([f"{name}, {stage}", *levels, macro, natural])
    rows.insert(1, ["---"] * len(rows[0]))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _with_interval(value: float | None, low: float | None, high: float | None) -> str:
    return _share(value) if low is None or high is None else f"{_share(value)} ({_share(low)} to {_share(high)})"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _code(text: Any) -> str:
    """A name as code: nothing in it is markup."""
    return "`" + " ".join(str(text).replace("`", "'").split()) + "`"


def _fenced(text: str) -> str:
    return text.replace("```", "'''")


def export_model(run: Run, out: Path, merge: bool = False) -> Path:
    """Write the run's model to `out`, a new folder, whole or not at all.

    Raises `NotFound` for a run that kept no weights, `SettingsError` where `out` exists, there is nothing to merge, or an adapter's
    base model is not the one it was trained on any more.
    """
    folder = run.model
    if folder is None:
        again = command_of(replace(run.settings, save_model=True))
        raise NotFound(f"Run {run.id} did not keep its weights. Train again with them kept: {again}")
    if out.exists() or out.is_symlink():
        raise SettingsError(f"{out} exists already and is left as it is. Choose another name.")
    adapter = ModelFolder(folder).is_adapter
    if merge and not adapter:
        raise SettingsError(f"Run {run.id} tuned all weights, so there is no adapter to merge. Export it without --merge.")
    require_whole(run.folder, f"Train again: {run.manifest['command']}")
    base = _same_base(run) if adapter else None

    def fill(work: Path) -> None:
        if merge:
            _merge(folder, work, base, run.manifest["model"].get("revision"))
        else:
            shutil.copytree(folder, work, dirs_exist_ok=True)
            if base is not None:
                _name_base(work, base, run.manifest["model"].get("revision"))
        (work / "README.md").write_text(model_card(run, merged=merge, adapter=adapter and not merge), encoding="utf-8")

    manifest = {"run": run.id, "settings": run.settings.to_dict(), "command": run.manifest["command"], "merged": merge}
    return write_folder(out.absolute(), fill, {"kind": "export", **manifest})


def _same_base(run: Run) -> ModelCard:
    """The adapter's base model. Raises `SettingsError` where other weights lie under its name now."""
    card, revision = find_model(run.settings.model), run.manifest["model"].get("revision")
    hub = hub_name(card.name) if card.kind == "hub" else None
    if hub and revision and card.revision != revision:  # its branch has moved on since, or it was removed
        card = find_model(str(replace(hub, revision=revision)))
        if card.path is None:
            raise SettingsError(f"Run {run.id} was trained on {card.name}, which is not on this machine: sftqa fetch {card.name}")
    if weights_fingerprint(base_card(card) or card) != run.manifest["model"]["weights"]:
        raise SettingsError(
            f"{run.settings.model} is not what run {run.id} was trained on any more: its files have changed. Put those back, or train "
            f"again: {run.manifest['command']}"
        )
    return card


def _name_base(work: Path, base: ModelCard, revision: str | None) -> None:
    """By hub id and revision; a folder by its place. Built-in models have a name that this program knows."""
    path = work / ADAPTER_CONFIG
    config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = (
        str(base.path) if base.kind in ("folder", "pretrained", "gguf", "tuned") else repository(base.name, base.kind)
    )
    config["revision"] = revision
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _merge(adapter: Path, work: Path, base: ModelCard | None, revision: str | None) -> None:
    """Heavy. The adapter is read from a copy that names the base as it is known now: an old run's may say no revision."""
    from sftqa_core.models.loading import load_model, no_progress_bar

    with tempfile.TemporaryDirectory() as copied, no_progress_bar():
        place = Path(shutil.copytree(adapter, Path(copied) / adapter.parent.name))
        if base is not None:
            _name_base(place, base, revision)
        loaded = load_model(folder_card(place, adapter.parent.name, "folder"), "cpu")
        loaded.model.save_pretrained(work)
        loaded.tokenizer.save_pretrained(work)
