"""What typed options mean: the record of a command's settings. An option that was not given is None: then the record's default, a
built-in model's or a file's value holds.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sftqa_core import records
from sftqa_core.cli.option_texts import USUAL_SHOTS
from sftqa_core.cli.recipe_options import recipe_of
from sftqa_core.cli.setting_options import SAMPLING, given
from sftqa_core.errors import SettingsError
from sftqa_core.jsonrecord import declared
from sftqa_core.records.presets import PRESETS


def probe_settings(options: argparse.Namespace) -> records.ProbeSettings:
    """`sftqa probe`'s options as a record; --seed is the sampler's."""
    return records.ProbeSettings(**given(options, records.ProbeSettings) | {"scheme": scheme_of(options, seed=options.seed)})


def train_settings(options: argparse.Namespace) -> records.TrainSettings:
    """`sftqa train`'s file, preset and options as a record, later ones over earlier ones; `--n all` is TrainSettings.ALL until the pool
    is known."""
    from sftqa_core import workflows

    start = workflows.read_run(Path(options.config)) if options.config is not None else None
    typed = given(options, records.TrainSettings) | {"recipe": recipe_of(options, start.recipe if start else None)}
    if options.skip_baselines and "shots" in typed:
        raise SettingsError("Give --skip-baselines or --shots, not both.")
    if "shots" in typed or "more_shots" in typed or options.skip_baselines:
        usual = (0, ()) if options.skip_baselines else (start.shots, start.more_shots) if start else (USUAL_SHOTS, ())
        shots, others = typed.pop("shots", usual)
        typed |= {"shots": shots, "more_shots": tuple(sorted({*others, *typed.pop("more_shots", ())} - {0, shots}))}
    model = typed.get("model", start.model if start else "")
    if options.preset is not None:
        values, notes = workflows.preset(options.preset, model)
        print(" ".join((PRESETS[options.preset].source + ".", *notes)), file=sys.stderr)
        typed = values | typed
    scheme = {"scheme": scheme_of(options, start.scheme if start else None)}
    return replace(start, **typed | scheme) if start else records.TrainSettings(**typed | scheme)


def study_settings(options: argparse.Namespace, builtin: Sequence[str]) -> records.StudySettings:
    """`sftqa study`'s file and options as a record; options override the file."""
    typed = given(options, records.StudySettings)
    if options.config is None:
        if not options.kind:
            raise SettingsError(f"Name a study ({', '.join(records.STUDIES)}), or a file with --config.")
        typed["recipe"] = recipe = recipe_of(options, None)
        usual: dict[str, Any] = {"models": tuple(builtin), **(recipe.needs if recipe else {})}
        return records.StudySettings(**usual | typed | {"scheme": scheme_of(options)})
    from sftqa_core.workflows import read_study

    start = read_study(Path(options.config))
    typed["recipe"] = recipe_of(options, start.recipe)
    if options.kind and options.kind != start.kind:
        raise SettingsError(f"{options.config} holds a study of kind {start.kind}, and {options.kind} was asked for.")
    return replace(start, **typed | {"scheme": scheme_of(options, start.scheme)})


def scheme_of(options: argparse.Namespace, start: records.LevelScheme | None = None, seed: int | None = None) -> records.LevelScheme:
    """The scheme that --scheme gives, else `start` or the paper's, with the other options in place of its own values.

    `seed` is the sampler's, where the scheme has a name (train's --seed draws examples; the levels keep the probe's own seed).
    """
    scheme = options.scheme or start or records.LevelScheme()
    if options.cutoffs is not None:
        scheme = records.with_cutoffs(options.cutoffs, scheme)
    drawn = {name: value for name in SAMPLING if (value := getattr(options, name)) is not None}
    if seed is not None and options.scheme in (None, *records.SCHEMES.values()):
        drawn["seed"] = seed
    measured = {"method": getattr(options, "level_method", None), "confidence": options.confidence}
    given_here = {name: value for name, value in measured.items() if value is not None}
    return replace(scheme, sampling=replace(scheme.sampling, **drawn), **given_here)


def pretrain_settings(options: argparse.Namespace, known: dict[str, records.PretrainSettings]) -> records.PretrainSettings:
    """The options over the settings of the known model of that name, over those of one that goes on from another, or over the defaults."""
    made = records.PretrainSettings
    start = known.get(options.name) or (made.going_on(options.name, options.base) if options.base else made(options.name))
    typed, corpus = given(options, records.PretrainSettings), start.corpus
    flagged = [name for name, about in declared(records.CorpusSettings).items() if about.flag]
    corpus = replace(corpus, **{name: value for name in flagged if (value := getattr(options, name)) is not None})
    return replace(start, **typed | {"corpus": corpus} | _batch(options, start))


def _batch(options: argparse.Namespace, start: records.PretrainSettings) -> dict[str, int]:
    """--batch-tokens as a number of sequences; a remainder is left out, so that a batch never has more."""
    if options.batch_tokens is None:
        return {}
    if options.batch_size is not None:
        raise SettingsError("Give --batch-tokens or --batch-size, not both: one is the other times --sequence-length.")
    length, parts = options.sequence_length or start.sequence_length, options.accumulate or start.accumulate
    sequences = options.batch_tokens // length // parts * parts if length > 0 and parts > 0 else 0
    if sequences < 1:
        raise SettingsError(f"--batch-tokens must hold a sequence ({length} tokens) for each of {parts} parts, got {options.batch_tokens}.")
    return {"batch_size": sequences}
