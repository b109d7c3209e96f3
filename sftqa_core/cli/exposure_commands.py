"""`sftqa exposures`: how often facts stand in a model's training corpus, asked of a public service; first what would be sent."""

import argparse
import sys
from dataclasses import asdict
from typing import Any

from sftqa_core import workflows
from sftqa_core.cli.setting_options import add_scheme, add_settings, given
from sftqa_core.cli.text import Console
from sftqa_core.cli.typed_records import scheme_of
from sftqa_core.records import ExposurePlan, ExposureSettings
from sftqa_core.records.amounts import duration


def add_options(parser: argparse.ArgumentParser) -> None:
    """`sftqa exposures --model M`."""
    add_settings(parser, ExposureSettings, required=("model", "source"))
    add_scheme(parser)
    parser.add_argument("--yes", action="store_true", help="send it; without this it is shown what would be sent, and nothing is sent")


def exposures(options: argparse.Namespace) -> dict[str, Any]:
    """What would be sent; with --yes it is. Then what is known beside the memory score."""
    settings = ExposureSettings(**given(options, ExposureSettings))
    workflows.bring_facts(settings.source, Console())
    plan = workflows.exposure_plan(settings)
    result: dict[str, Any] = {"plan": plan.to_dict(), "asked": None}
    if options.yes and plan.requests:
        print(_told(plan, "Now sent"), file=sys.stderr, flush=True)
        result["asked"] = workflows.ask_exposures(settings, Console()).to_dict()
        plan = workflows.exposure_plan(settings)
    known = workflows.exposures(settings.model, settings.source, settings.split, settings.domain, scheme_of(options))
    result["missing"] = plan.facts - plan.left_out - plan.kept
    return result | {"known": None if known is None else _known(known)}


def _known(known: workflows.Exposures) -> dict[str, Any]:
    from sftqa_core.evaluation.exposure_ranks import ranks_words

    told = {name: getattr(known, name) for name in ("corpus", "index", "service", "window", "first_asked", "last_asked")}
    return {
        **told,
        "facts": len(known.table),
        "ranks": [asdict(ranks) for ranks in known.ranks],
        "words": [ranks_words(ranks) for ranks in known.ranks],
    }


def _told(plan: ExposurePlan, begins: str) -> str:
    """What is sent, to whom, how much of it."""
    new = plan.facts - plan.left_out - plan.kept
    lines = [
        f"{begins} to {plan.service}, a public service that writes down what it is asked: the subjects and answers of {new:,} facts of "
        f"{plan.source}, in at most {plan.requests:,} requests, which take {duration(plan.seconds)} or more. Such as:",
        *(f"    {query}" for query in plan.examples),
        f"It counts them in {plan.corpus} ({plan.index}), which {plan.model} was trained on.",
        *plan.notes,
    ]
    if plan.left_out:
        lines.append(f"{plan.left_out:,} facts can't be asked about (no subject but the question, too long, or AND or OR in the subject).")
    return "\n".join(lines)


def as_text(result: dict[str, Any]) -> str:
    """What would be sent; or what came of it, and the correlations."""
    plan, asked, known = ExposurePlan.from_dict(result["plan"]), result["asked"], result["known"]
    lines = []
    if plan.requests and asked is None:
        lines += [_told(plan, "To be sent"), "Nothing was sent. Send it: the same command with --yes"]
    elif asked is not None:
        refused = f" The service failed on those of {asked['refused']:,} others." if asked["refused"] else ""
        lines.append(f"{asked['asked']:,} facts counted in {asked['requests']:,} requests, kept in {asked['file']}.{refused}")
    else:
        lines.append(f"Counts of all {plan.kept:,} facts that can be asked about are kept. Nothing was sent.")
    if known is None and not plan.kept and asked is None:
        return "\n".join(lines)
    if known is None:
        return "\n".join([*lines, f"None of the counted facts has a level yet: sftqa probe --model {plan.model} --source {plan.source}"])
    lines += ["", f"Counts in {known['corpus']}, subject and answer within {known['window']} tokens of each other, {known['service']}:"]
    return "\n".join([*lines, *(f"  {words}" for words in known["words"]), "A text that names both need not state the fact."])
