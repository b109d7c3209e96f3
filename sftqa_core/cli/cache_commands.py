"""`sftqa cache ls | verify | gc`: what lies on the disk, whether it is whole, and what can go."""

import argparse
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime
from typing import Any

from sftqa_core.artifacts import in_words
from sftqa_core.cli.text import table
from sftqa_core.errors import SettingsError, SftqaError
from sftqa_core.records import Job
from sftqa_core.workflows import upkeep
from sftqa_core.workspace import Workspace

SLACK_S = 3600.0  # between a job's times in the queue and those of what it wrote, a shared disk's clock included
STATES = ("damaged", "other version", "not readable now")


def add_options(parser: argparse.ArgumentParser) -> None:
    """`sftqa cache ls | verify | gc`."""
    parser.add_argument("action", choices=("ls", "verify", "gc"), help="ls: list results; verify: check them; gc: list what can be removed")
    parser.add_argument("--set-aside", action="store_true", help="verify: rename damaged results, so that they are computed again")
    parser.add_argument("--yes", action="store_true", help="gc: remove what is listed")


def cache(options: argparse.Namespace) -> dict[str, Any]:
    """The command."""
    for flag, action in (("set_aside", "verify"), ("yes", "gc")):
        if getattr(options, flag) and options.action != action:
            raise SettingsError(f"--{flag.replace('_', '-')} belongs to 'sftqa cache {action}', not to 'sftqa cache {options.action}'.")
    workspace = Workspace.current()
    place = {"cache": str(workspace.root), "shipped": str(workspace.shipped)}
    if options.action == "ls":
        return {**place, "kinds": [row.to_dict() for row in upkeep.holdings(workspace)]}
    if options.action == "verify":
        checked, faults, moved = upkeep.verify(options.set_aside, workspace)
        whole = not any(fault.state != "other version" for fault in faults)
        report = {"checked": checked, "faults": [fault.to_dict() for fault in faults]}
        return {"ok": whole, **place, **report, "set_aside": [{"path": path, "now": now} for path, now in moved]}
    items = upkeep.removable(in_use(), workspace)
    if options.yes:
        items = upkeep.clear(items, workspace)
    size = sum(item.size_bytes for item in items)
    return {**place, "removed": options.yes, "size_bytes": size, "items": [item.to_dict() for item in items]}


def in_use() -> Callable[[str, str, float], bool]:
    """Tells whether a queued, running or resumable job may continue from a checkpoint; all are in use where the queue is unreadable."""
    from sftqa_core.jobs import current_executor

    try:
        jobs = [job for job in current_executor().jobs() if job.state != "done"]
    except (SftqaError, OSError):
        return lambda kind, name, when: True

    def used(kind: str, name: str, when: float) -> bool:
        if kind == "pretrain":
            return any(job.kind == kind and job.settings.get("name") == name for job in jobs)
        return any(job.kind != "pretrain" and _may_have_written(job, when) for job in jobs)

    return used


def _may_have_written(job: Job, when: float) -> bool:
    """Whether a checkpoint of that time can be the job's: its name does not tell whose it is."""
    if job.state not in ("failed", "cancelled") or job.finished is None:
        return True
    created, finished = (datetime.fromisoformat(time).timestamp() for time in (job.created, job.finished))
    return created - SLACK_S <= when <= finished + SLACK_S


def as_text(result: dict[str, Any]) -> str:
    """What people read of any of the three."""
    if "kinds" in result:
        return _listed(result)
    return _verified(result) if "faults" in result else _cleared(result)


def _listed(result: dict[str, Any]) -> str:
    """A line a kind and layer."""
    head = ("", "kind", "results", "size", "set aside", "damaged", "other version")
    rows = []
    for row in result["kinds"]:
        faults = (str(row[name] or "-") for name in ("set_aside", "damaged", "other_version"))
        rows.append(("here" if row["own"] else "shipped", row["kind"], row["results"], in_words(row["size_bytes"]), *faults))
    size = sum(row["size_bytes"] for row in result["kinds"] if row["own"])
    lines = [f"{result['cache']}: {in_words(size)}; what ships is in {result['shipped']}", table(head, rows)]
    if any(row["set_aside"] for row in result["kinds"]):
        lines.append("Damaged results were set aside and are computed again. `sftqa cache gc` lists it.")
    if any(row["other_version"] for row in result["kinds"]):
        lines.append("Results of another version of the program are left as they are. `sftqa cache verify` lists them.")
    return "\n".join([*lines, "Every file is checked by `sftqa cache verify`."])


def _verified(result: dict[str, Any]) -> str:
    """What is wrong, a line each, and what can be done."""
    lines = []
    for state in STATES:
        lines += [f"{state}: {fault['path']}\n  {fault['why']}" for fault in result["faults"] if fault["state"] == state]
    lines += [f"set aside: {row['path']}\n  is now {row['now']}" for row in result["set_aside"]]
    bad = [fault for fault in result["faults"] if fault["state"] == "damaged" and fault["own"]]
    if bad and not result["set_aside"]:
        lines.append("`sftqa cache verify --set-aside` renames what is damaged, so that the same work makes it again.")
    if not lines:
        return f"All {result['checked']:,} results are as they were written."
    return "\n".join([*lines, f"{result['checked']:,} results were checked."])


def _cleared(result: dict[str, Any]) -> str:
    """What can go, or has gone: a line a reason."""
    sizes: dict[str, list[int]] = defaultdict(list)
    for item in result["items"]:
        sizes[item["what"]].append(item["size_bytes"])
    if not sizes:
        return "Nothing to remove."
    lines = [table(("", "number", "size"), [(what, len(bytes_each), in_words(sum(bytes_each))) for what, bytes_each in sizes.items()])]
    if result["removed"]:
        return "\n".join([*lines, f"Removed: {in_words(result['size_bytes'])}."])
    names = [f"  {item['path']}" for item in result["items"][:20]]
    more = [f"  ... and {len(result['items']) - 20:,} more"] if len(result["items"]) > 20 else []
    return "\n".join([*lines, *names, *more, f"`sftqa cache gc --yes` removes these {in_words(result['size_bytes'])}."])
