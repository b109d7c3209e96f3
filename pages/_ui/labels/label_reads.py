"""What pages ask of the core about labels and about what was deleted, and what they tell it to change. See resources.py."""

from typing import Any

from pages._ui import resources
from sftqa_core.errors import SftqaError
from sftqa_core.records import Deleted, Label, Labelled


def label_of(kind: str, name: str) -> Label:
    """The label of a run or study; an empty one where it has none."""
    return resources.labels().of(kind).get(name) or Label()


def known_tags() -> list[str]:
    """Every tag that any run or study has."""
    given = resources.labels()
    return sorted({tag for kind in ("run", "study") for label in given.of(kind).values() for tag in label.tags})


def change(thing: Labelled, **changes: Any) -> Label:
    """Change parts of a label. Raises `SftqaError`."""
    from sftqa_core import workflows

    return workflows.change_label(thing, **changes)


def delete(thing: Labelled) -> Deleted:
    """Delete a run or study; it can come back. Raises `SftqaError` where it ships, is in use or has gone."""
    from sftqa_core import workflows
    from sftqa_core.jobs.users import in_use

    return workflows.delete(thing, in_use)


def undelete(entry: Deleted) -> tuple[str, ...]:
    """Bring it back; what has to be told. Raises `SftqaError`."""
    from sftqa_core import workflows

    return workflows.undelete(entry)


def deleted() -> list[Deleted]:
    """What can come back, deleted last first."""
    from sftqa_core import workflows

    return workflows.deleted()


def why_gone(name: str) -> str:
    """Where a run or study of that id was deleted: a sentence that says so; else empty."""
    entry = next((entry for entry in deleted() if entry.id == name), None)
    return f"It was deleted. `sftqa undelete {name}` brings it back, and so does Results." if entry else ""


def size_of(thing: Labelled) -> tuple[int | None, str]:
    """Bytes on the disk that a run, or the cells of a study, take in the person's layer (None: they can't be told), and why not."""
    from sftqa_core import workflows

    try:
        return workflows.size_on_disk(thing), ""
    except SftqaError as error:
        return None, str(error)
