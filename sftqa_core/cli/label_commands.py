"""`sftqa label`: name, tags, note and pin of a run or study; without one, the list of all of them. And names in place of ids."""

import argparse
from typing import Any

from sftqa_core import workflows
from sftqa_core.artifacts import in_words
from sftqa_core.cli.text import table
from sftqa_core.errors import SettingsError, SftqaError
from sftqa_core.jsonrecord import declared
from sftqa_core.records import LABELLED, RUN, Label, Labelled

_RUNS = ("run", "runs", "reference", "against")  # options that hold ids of runs, or names of cells
_STUDIES = ("cells",)


def add_options(parser: argparse.ArgumentParser) -> None:
    """`sftqa label [RUN|STUDY]`."""
    known = declared(Label)
    words = "a run or study by its id or its unique name; without one: list all, pinned ones first"
    parser.add_argument("what", nargs="?", metavar="RUN|STUDY", help=words)
    name, tags, note, pinned = (known[field] for field in ("name", "tags", "note", "pinned"))
    parser.add_argument(name.flag, metavar="TEXT", help=f"{name.help}; at most {name.longest} characters, '' takes it away")
    more = f"add one of at most {tags.most} {tags.help}; may be given more than once"
    parser.add_argument(tags.flag, action="append", default=[], metavar="TAG", help=more)
    parser.add_argument("--untag", action="append", default=[], metavar="TAG", help="take a tag away; may be given more than once")
    parser.add_argument(note.flag, metavar="TEXT", help=f"{note.help}; at most {note.longest:,} characters, '' takes it away")
    parser.add_argument(pinned.flag, dest="pinned", action=argparse.BooleanOptionalAction, default=None, help=pinned.help)


def label(options: argparse.Namespace) -> dict[str, Any]:
    """Change what was typed, and tell the label as it is then."""
    changes = {"name": options.name, "note": options.note, "pinned": options.pinned, "add": options.tag, "remove": options.untag}
    if options.what is None:
        if any(value not in (None, []) for value in changes.values()):
            raise SettingsError("Name the run or study to label; 'sftqa label' alone lists them.")
        return {"labelled": _all(), "problems": list(workflows.labels().problems)}
    thing = workflows.find(options.what)
    if any(value not in (None, []) for value in changes.values()):
        workflows.change_label(thing, **changes)
    return _row(thing, workflows.labels().of(thing.kind).get(thing.id, Label()))


def _all() -> list[dict[str, Any]]:
    """A row a run and study, pinned ones first; then those of which only a label is left."""
    things = [Labelled("run", run.id, run.shipped) for run in workflows.runs() if not run.bundle]
    things += [Labelled("study", study.name, study.shipped) for study in workflows.studies()]
    given, here = workflows.labels(), {(thing.kind, thing.id) for thing in things}
    things += [Labelled(kind, name, gone=True) for kind in LABELLED for name in given.of(kind) if (kind, name) not in here]
    rows = [_row(thing, given.of(thing.kind).get(thing.id, Label())) for thing in things]
    return sorted(rows, key=lambda row: not row["pinned"])


def _row(thing: Labelled, label: Label) -> dict[str, Any]:
    try:
        counted = thing.kind == "run" or not thing.shipped  # the cells of what ships can't be freed, and counting them takes seconds
        size = workflows.size_on_disk(thing) if counted else None
    except SftqaError:  # a study whose model or facts are gone: which cells are its own can't be told
        size = None
    return {**thing.to_dict(), **label.to_dict(), "size_bytes": size}


def as_text(result: dict[str, Any]) -> str:
    """A line a run or study, or one with all that was said about it."""
    if "labelled" not in result:
        words = Label.from_dict({name: result[name] for name in declared(Label)}).words or "no name and no tags"
        state = f" ({_state(result)})" if _state(result) else ""
        lines = [f"{result['kind']} {result['id']}{state}: {words}{', pinned' if result['pinned'] else ''}"]
        return "\n".join([*lines, *([result["note"]] if result["note"] else [])])
    rows = []
    for row in result["labelled"]:
        size = "-" if row["size_bytes"] is None else in_words(row["size_bytes"])
        said = ("pinned" if row["pinned"] else "", row["kind"], row["id"], row["name"], ", ".join(row["tags"]))
        rows.append((*said, size, _state(row)))
    head = ("", "kind", "id", "name", "tags", "size", "")
    listed = table(head, rows) if rows else "There is no run and no study yet. Make one: sftqa train --model atlas-llama --n 60"
    return "\n".join([listed, *result["problems"]])


def _state(row: dict[str, Any]) -> str:
    return "shipped" if row["shipped"] else "gone: only its label is left" if row["gone"] else ""


# ---- names in place of ids ----
def with_ids(options: argparse.Namespace) -> None:
    """Put ids in place of the names that people gave to runs and studies, wherever an id can be typed: settings, results and keys hold
    ids alone. Raises `SettingsError` for a name that several have."""
    for option, value in vars(options).items():
        if isinstance(value, str):
            setattr(options, option, _id(option, value))
        elif isinstance(value, (list, tuple)) and all(isinstance(one, str) for one in value):
            setattr(options, option, type(value)(_id(option, one) for one in value))


def _id(option: str, text: str) -> str:
    if text.startswith(RUN):
        return RUN + workflows.id_of(text.removeprefix(RUN), "run")
    if option in _STUDIES:
        return workflows.id_of(text, "study")
    if option not in _RUNS:
        return text
    study, colon, cell = text.partition(":")
    return f"{workflows.id_of(study, 'study')}:{cell}" if colon else workflows.id_of(text, "run")
