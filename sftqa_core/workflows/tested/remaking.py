"""Making a tested model again whose weights or words were not kept, and checking what came out against the stored numbers."""

from __future__ import annotations

from dataclasses import replace

from sftqa_core.errors import SettingsError
from sftqa_core.evaluation.comparing import facts_in_common
from sftqa_core.records import Remade, TrainSettings
from sftqa_core.training import runs
from sftqa_core.workflows.tested.tested_models import Tested, tested_models


def settings_again(model: Tested) -> TrainSettings:
    """The settings of the run that makes a tested model again and keeps its weights, on whatever device is here.

    Raises `SettingsError` for an untouched model, of which nothing can be made again, and for one that a time limit cut.
    """
    if model.cut:
        raise SettingsError(
            f"{model.name} was {model.cut}: how far it got depended on the machine, so it can't be made again. "
            "Train with its settings and no time limit instead; that is another run."
        )
    if model.settings.n == 0:
        raise SettingsError(f"{model.name} is the untouched model: there are no tuned weights to make again.")
    return replace(model.settings, save_model=True, device="auto")


def made_again(model: Tested) -> list[str]:
    """Ids of other runs with the same settings that keep their weights, newest first: `check_again` tells whether they are the same.

    No run that a time limit cut is one, nor has one; a limit that cut nothing is none.
    """
    from sftqa_core.studies.cells import canonical

    if model.cut:
        return []
    wanted = canonical(model.settings)
    return [
        info.id
        for info in runs.list_runs()
        if info.id != model.name
        and not info.cut
        and (info.model, info.source) == (model.settings.model, model.settings.source)
        and info.seed == model.settings.seed
        and canonical(replace(info.settings, time_limit_min=None)) == wanted
        and (info.folder / "model").is_dir()
    ]


def check_again(old: str, new: str) -> Remade:
    """Compare the stored answers of two runs or cells of the same settings, fact by fact. Raises `NotFound`."""
    first, second = tested_models([old, new])
    common = facts_in_common([first.facts, second.facts])
    answers = [model.facts["correct"].to_numpy()[rows].astype(bool) for model, rows in zip((first, second), common.places, strict=True)]
    differing, facts = int((answers[0] != answers[1]).sum()), len(common.facts)
    same = first.setting == second.setting and first.settings.seed == second.settings.seed
    checked = Remade(old, new, facts, differing, len(first.facts), len(second.facts), same, "")
    return replace(checked, said=_said(checked))


def _said(checked: Remade) -> str:
    facts = f"{checked.facts:,} facts"
    if not checked.same_settings:
        return f"{checked.new} was made from other settings, base weights or facts: {checked.differing:,} of {facts} differ."
    if not checked.facts:
        return "The two have no facts in common, so nothing could be checked."
    if not checked.facts == checked.facts_old == checked.facts_new:
        facts += f" in common, of {checked.facts_old:,} and {checked.facts_new:,},"
    if not checked.differing:
        return f"Right and wrong are equal on all {facts.rstrip(',')}."
    share = checked.differing / checked.facts
    return f"{checked.differing:,} of {facts} differ in right or wrong ({share:.1%}): other machines and versions round differently."
