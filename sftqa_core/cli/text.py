"""What the terminal shows: each command's JSON object as plain lines, a study's tables and findings, and progress."""

import os
import shlex
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from sftqa_core.artifacts import in_words
from sftqa_core.errors import Stopped
from sftqa_core.models.serving.addresses import KIND as SERVER
from sftqa_core.progress import SLOW, Progress
from sftqa_core.records import DOMAIN_NAMES
from sftqa_core.records.amounts import duration, moment, signed
from sftqa_core.records.recipes import Recipe

WIDEST = 40  # characters of a cell in a preview
LEAST = 30  # facts: agreement on fewer is not reported
METHODS = {"sampling": "", "adaptive": "estimated by the adaptive probe", "likelihood": "estimated by the likelihood"}


def facts(result: dict[str, Any]) -> str:
    """A source's counts, a line a relation, and what should be known of it; or how it would be read."""
    if "columns" in result:
        return _preview(result)
    rows = [(name, *(counts[split] for split in ("train", "dev", "test"))) for name, counts in result["relations"].items()]
    shown = ("facts", "unique", "merged", "excluded_from_train", "echo", "unparsed")
    notes = [f"{name.replace('_', ' ')}: {result[name]:,}" for name in shown]
    said = [f"note: {note}" for note in result["notes"]]
    return "\n".join([result["source"], table(("relation", "train", "dev", "test"), rows), *notes, *said])


def _preview(result: dict[str, Any]) -> str:
    cut = [tuple(cell if len(cell) <= WIDEST else f"{cell[: WIDEST - 1]}…" for cell in row) for row in result["rows"]]
    lines = [result["source"], table(tuple(result["columns"]), cut) if cut else "It has no rows."]
    lines += [f"read as: {result['layout']}"] if result["layout"] else []
    lines += [f"{role}: {column}" for role, column in result["roles"].items()]
    lines += [f"ignored: {', '.join(result['ignored'])}"] if result["ignored"] else []
    if result["faults"]:
        return "\n".join([*lines, "It can't be used as it is:", *result["faults"]])
    counts = ", ".join(f"{count:,} {split}" for split, count in result["splits"].items())
    lines.append(table(("question", "answers, as read", "split"), result["read"]))
    return "\n".join([*lines, f"{result['facts']:,} facts: {counts}", *(f"note: {note}" for note in result["notes"])])


def fetch(result: dict[str, Any]) -> str:
    """Where the model is now, and what it is."""
    size = f", {result['parameters']:,} parameters" if result["parameters"] else ""
    if result["quantisation"]:
        return f"{result['name']} ({result['quantisation']}{size}) was read into {result['path']}"
    return f"{result['name']} is on this machine, commit {result['revision']}{size}: {result['path']}"


def probe(result: dict[str, Any]) -> str:
    """Facts per level in each domain."""
    labels = result["scheme"]["labels"]
    rows = [(DOMAIN_NAMES[domain], *counts, sum(counts)) for domain, counts in result["levels"].items() if sum(counts)]
    rate = f", {result['facts_per_s']:.1f} facts/s" if result["facts_per_s"] else " (nothing left to probe)"
    rate += f", {METHODS[method]}" if (method := result["scheme"]["method"]) != "sampling" else ""
    return "\n".join([f"{result['model']} on {result['source']}: {result['facts']:,} facts{rate}", table(("", *labels, "all"), rows)])


def complete(result: dict[str, Any]) -> str:
    """Each prompt, and its completions below it with line breaks as \\n."""
    told = zip(result["prompts"], result["texts"], strict=True)
    return "\n".join(line for prompt, texts in told for line in (repr(prompt)[1:-1], *(f"    {text!r}" for text in texts)))


def ask(result: dict[str, Any]) -> str:
    """What is known of the fact, then a block a model: greedy answer, samples, probabilities of answers, and the first step's tokens."""
    lines, fact = [], result["fact"]
    if fact:
        known = ", ".join(f"{known['level']} in {known['model']} (R = {known['score']:.2f})" for known in result["levels"])
        lines.append(f"fact of {fact['source']}, {fact['relation']}: {' / '.join(fact['answers'])}{f'; {known}' if known else ''}")
    for reply in result["replies"]:
        adapter = f", adapter {reply['adapter']}" if reply["adapter"] else ""
        where = "on its server" if reply["device"] == SERVER else f"{reply['dtype']} on {reply['device']}"
        lines += ["", f"{reply['model']}  ({'model' if reply['device'] == SERVER else 'weights'} {reply['weights']}{adapter}, {where})"]
        lines.append(f"    greedy: {reply['answer']!r}{_right(reply['right'])}{'' if reply['ended'] else ', cut off'}")
        lines += [f"    {sample['count']:>3} x {sample['text']!r}{_right(sample['right'])}" for sample in reply["samples"]]
        rows = [
            (repr(s["answer"]), f"{s['logprob']:.3f}", s["tokens"], f"{s['logprob'] / s['tokens']:.3f}", f"{s['end_logprob']:.3f}")
            for s in reply["scored"]
        ]
        head = ("answer", "log-probability", "tokens", "per token", "then the end")
        lines += [f"    {line}" for line in table(head, rows).splitlines()] if rows else []
        first = reply["steps"][0]["top"] if reply["steps"] else []
        likely = ", ".join(f"{candidate['text'] or '(end)'!r} {_percent(candidate['probability'])}" for candidate in first)
        lines.append(f"    first token: {likely}")
    return "\n".join(lines).strip("\n")


def _right(right: bool | None) -> str:
    return "" if right is None else ", right" if right else ", wrong"


def trust(result: dict[str, Any]) -> str:
    """Agreement with the full probe, a line a way of measuring, and a line a budget."""
    if not result["facts"]:
        command = f"sftqa probe --model {result['model']} --source {result['source']} --split {result['split']}"
        return f"No facts of {result['source']} ({result['split']}) have a full probe by {result['model']} yet. Run: {command}"
    lines = [f"{result['model']} on {result['source']}: {result['facts']:,} facts with the full probe"]
    rows = [
        (name, a["facts"], _percent(a["same"]), *map(_number, (a["kappa"], a["kappa_low"], a["kappa_high"], a["spearman"])), *_shift(a))
        if a["facts"] >= LEAST
        else (name, a["facts"], "too few", *"-------")
        for name, a in result["agreements"].items()
    ]
    head = ("compared with", "facts", "same level", "kappa", "95% from", "to", "Spearman", "R differs by", "95% from", "to")
    lines += [table(head, rows)] if rows else []
    if (other := result.get("against")) and other not in result["agreements"]:
        command = f"sftqa probe --model {other} --source {result['source']} --split {result['split']}"
        lines.append(f"None of these facts has a full probe by {other} yet. Run: {command}")
    lines += _slick(result["slick"]) if result.get("slick") else []
    if result["adaptive_margin"]:
        value, low, high = result["adaptive_margin"]
        lines.append(f"kappa(adaptive, full) - kappa(full, second): {signed(value, 3)} [{signed(low, 3)}, {signed(high, 3)}]")
    if result["budget"]:
        against = "a second full probe" if result["floor_measured"] else "the full probe they are part of"
        budget = [(b["templates"], b["samples"], b["completions"], _number(b["kappa"])) for b in result["budget"]]
        lines += ["", f"Smaller budgets compared with {against}:", table(("templates", "samples", "completions", "kappa"), budget)]
    lines.append(f"Two full probes: kappa {_number(result['floor'])} ({'measured' if result['floor_measured'] else 'simulated'})")
    return "\n".join(lines)


def _shift(agreement: dict[str, Any]) -> list[str]:
    """Mean difference of R and its interval."""
    values = (agreement[name] for name in ("score_difference", "score_low", "score_high"))
    return ["-" if value is None else signed(value, 4) for value in values]


def _slick(cross: dict[str, Any]) -> list[str]:
    """The levels against SliCK's: facts in each cell, and how well the orders agree."""
    rows = [(label, *counts, sum(counts)) for label, counts in zip(cross["rows"], cross["counts"], strict=True)]
    tau = f"{_number(cross['tau'])} [{_number(cross['tau_low'])}, {_number(cross['tau_high'])}]"
    head = f"Compared with SliCK's levels, {cross['facts']:,} facts, Kendall's tau-b {tau}:"
    return ["", head, table(("", *cross["columns"], "all"), rows), ""]


def run(result: dict[str, Any]) -> str:
    """Accuracy per level before and after, both domains, and what a recipe says; of an export the file's name."""
    if "file" in result:
        return f"Written to {result['file']}. Run it with: sftqa train --config {result['file']}"
    estimated = METHODS[result["levels_by"]]
    cut = f"; {result['cut']}" if result.get("cut") else ""
    lines = [f"run {result['run']}: {result['n']} examples{cut}" + (f"; levels {estimated}" if estimated else "")]
    for domain, name in DOMAIN_NAMES.items():
        if domain not in result["after"]:
            continue
        stages = {"before": result["before"][domain], "after": result["after"][domain]}
        stages |= {kind.replace("_", "-"): values[domain] for kind, values in result["baselines"].items() if domain in values}
        head = [level["level"] for level in result["after"][domain]["per_level"]]
        rows = [(stage, *(_percent(level["accuracy"]) for level in d["per_level"]), _macro(d), _micro(d)) for stage, d in stages.items()]
        rows.append(("facts", *(level["n"] for level in result["after"][domain]["per_level"]), "", result["after"][domain]["natural_n"]))
        lines += ["", table((name, *head, "mean over levels [95%]", "micro average [95%]"), rows)]
    lines += ["", "seconds: " + ", ".join(f"{name} {value:.1f}" for name, value in result["seconds"].items())]
    if recipe := result.get("recipe"):
        commands = [f"    {name}: {command}" for name, command in recipe["beside"].items()]
        lines += [
            "",
            f"Recipe {recipe['title']}. {' '.join(recipe['notes'])}".rstrip(),
            "Runs to compare it with (sftqa compare RUN RUN):",
            *commands,
        ]
    return "\n".join([*lines, *([result["note"]] if "note" in result else [])])


def select(result: dict[str, Any]) -> str:
    """Where the examples were written and how many there are."""
    estimated = METHODS[result["levels_by"]]
    chosen = f"chosen by the levels of {result['probed']} train facts" + (f", {estimated}" if estimated else "")
    return f"{result['n']} examples written to {result['file']} ({chosen})"


def runs(result: dict[str, Any]) -> str:
    """A line a run, pinned ones first, then newest first; columns of names, tags and recipes where there are any."""
    if not result["runs"]:
        return "No runs yet. Make one: sftqa train --model atlas-llama --source atlas --n 60"
    used = [run["settings"].get("recipe") for run in result["runs"]]
    rows = [
        {
            **run, "recipe": str(Recipe.from_dict(recipe)) if recipe else "", "created": moment(run.get("created")),
            "called": " ".join(filter(None, ["*" if run.get("pinned") else "", run.get("name", "")])),
            "origin": "imported" if run.get("bundle") else "",
            "tagged": ", ".join(run.get("tags", ())), "size": in_words(run["size_bytes"]) if "size_bytes" in run else "",
        }
        for run, recipe in zip(result["runs"], used, strict=True)
    ]  # fmt: skip
    sometimes = ("called", "recipe", "origin", "tagged", "size")
    known = ("run", "called", "model", "source", "n", "method", "recipe", "origin", "created", "size", "tagged", "cut")
    names = tuple(name for name in known if name not in sometimes or any(row[name] for row in rows))
    heads = {"called": "name (*: pinned)", "tagged": "tags", "created": "made", "cut": ""}
    return table([heads.get(name, name) for name in names], [[row.get(name, "") for name in names] for row in rows])


def export(result: dict[str, Any]) -> str:
    """Where the model was written, and how to use it."""
    lines, four_bits = [f"{result['folder']}: {', '.join(result['files'])}"], result["quantization"] == "nf4"
    if four_bits:
        lines.append("The run's numbers were measured with base weights in 4 bits (nf4); with unquantised weights some answers differ.")
    option = " --quantize nf4" if four_bits and not result["merged"] else ""
    return "\n".join([*lines, f"Next: sftqa probe --model {shlex.quote(result['folder'])}{option}"])


def jobs(result: dict[str, Any]) -> str:
    """The queue, one job's new state, or a log."""
    if "log" in result:
        return "\n".join(result["log"])
    if "cancelled" in result:
        return f"{len(result['cancelled']):,} queued jobs were cancelled."
    if "job" in result:
        place = f", position {result['position']} in the queue" if result.get("position") else ""
        return f"{result['job']['id']}: {result['job']['state']}{place}"
    if not result["jobs"]:
        return "No jobs. Runs started in the browser are listed here."
    ends = [job["error"] or (_made(job) if job["state"] == "done" else "") for job in result["jobs"]]
    rows = [(job["id"], job["kind"], job["state"], moment(job["created"]), end) for job, end in zip(result["jobs"], ends, strict=True)]
    return table(("job", "kind", "state", "created", "result"), rows)


def _made(job: dict[str, Any]) -> str:
    """The name of what a job made; texts are counted."""
    prompts = len(job["settings"].get("prompts") or ())
    return f"{prompts:,} prompt{'' if prompts == 1 else 's'}" if job["kind"] == "complete" else job["result"] or ""


def pretrain(result: dict[str, Any]) -> str:
    """The new model's name and place."""
    return f"{result['name']}: {count(result['parameters'])} parameters, in {result['path']}\nNext: sftqa probe --model {result['name']}"


def doctor(result: dict[str, Any]) -> str:
    """A line a check."""
    states = ["ok" if row["ok"] else "absent" if row["optional"] else "MISSING" for row in result["checks"]]
    named = [f"{state:<7}  {row['check']}" for state, row in zip(states, result["checks"], strict=True)]
    width = max(map(len, named))
    return "\n".join(f"{name:<{width}}  {row['message']}" for name, row in zip(named, result["checks"], strict=True))


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Aligned columns: numbers right, words left."""
    cells = [[str(cell) for cell in head], *[[f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row] for row in rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    lines = ["  ".join(_aligned(cell, width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    return "\n".join(lines).strip("\n")


def _aligned(cell: str, width: int) -> str:
    return cell.rjust(width) if cell[:1].isdigit() and "-" not in cell else cell.ljust(width)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}%"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:z.3f}"


def _macro(domain: dict[str, Any]) -> str:
    if domain["macro"] is None:
        return f"none: no facts in a level (has {', '.join(domain['macro_levels']) or 'none'})"
    return f"{_percent(domain['macro'])} [{_percent(domain['macro_low'])}, {_percent(domain['macro_high'])}]"


def _micro(domain: dict[str, Any]) -> str:
    return f"{_percent(domain['natural'])} [{_percent(domain['natural_low'])}, {_percent(domain['natural_high'])}]"


def count(value: int | None) -> str:
    """A number of parameters as people say it."""
    return "?" if value is None else f"{value / 1e9:.1f}B" if value >= 1e9 else f"{value / 1e6:.1f}M"


def study(result: dict[str, Any]) -> str:
    """What `sftqa study` prints; of an export the file's name."""
    if "file" in result:
        return f"Written to {result['file']}. Run it with: sftqa study --config {result['file']}"
    from sftqa_core.studies.registry import find_study

    settings = result["settings"]
    head = f"study {settings['kind']} of {', '.join(settings['models'])} on {settings['source']}: "
    lines = [f"{head}{result['done']:,} of {result['planned']:,} runs are done, seeds {', '.join(map(str, settings['seeds']))}", ""]
    printed = [(how, result["tables"].get(how.table)) for how in find_study(settings["kind"]).printed]
    lines.append("\n\n".join(table(*how.cells(rows)) for how, rows in printed if rows))
    question = ""
    for finding in sorted(result["findings"], key=lambda finding: finding["question"]):
        if finding["question"] != question:
            lines += ["", question := finding["question"]]
        lines.append(f"  {finding['verdict']:<12}{finding['about']}: {finding['text']}")
    return "\n".join([*lines, "", *(f"- {note}" for note in result["notes"])])


EVERY_S, REWRITTEN_S = 10.0, 0.2  # between lines where standard error is a file, and between two states of a terminal's line


@dataclass
class Console:
    """Progress as one rewritten line on standard error; where that is not a terminal, a whole line now and then."""

    phase: str = ""
    stopping: bool = False
    printed_s: float = 0.0

    def progress(self, update: Progress) -> None:
        if not update.total:  # nothing is counted; the log says what is done
            return
        left = "" if update.done >= update.total else f", {duration(update.left_s)} left" if update.left_s is not None else ", estimating"
        values = "".join(f", {name} {value:.3g}" for name, value in update.values.items())
        done, total, rate = f"{update.done:,}", f"{update.total:,} {update.unit}", f", {update.rate or 0:.1f}/s"
        if update.unit == "bytes":
            done, total, rate = in_words(update.done), in_words(update.total), f", {in_words(update.rate or 0)}/s"
        elif (update.rate or 0) < SLOW:
            rate = ""
        terminal, over = sys.stderr.isatty(), update.done >= update.total
        if over or update.phase != self.phase or time.monotonic() - self.printed_s > (REWRITTEN_S if terminal else EVERY_S):
            line = f"{update.phase}: {done} of {total}{update.details}{rate}{left}{values}"
            print(f"\r\x1b[2K{line}" if terminal else line, end="" if terminal and not over else "\n", file=sys.stderr, flush=True)
            self.printed_s = time.monotonic()
        self.phase = update.phase

    def log(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    def check(self) -> None:
        if self.stopping:
            raise Stopped("Stopped. Finished work is kept; the same command resumes from there.")

    @contextmanager
    def gentle(self) -> Iterator[None]:
        """Within it a first Ctrl-C ends the work at its next step, so that its state is saved; a second one ends it at once.

        Elsewhere Ctrl-C arrives as KeyboardInterrupt, wherever the work stands.
        """

        def ask(number: int, frame: object) -> None:
            self.stopping = True
            signal.signal(signal.SIGINT, before)
            with suppress(OSError):  # not by print, which may be what the signal interrupted, and can't be entered twice
                os.write(2, b"Stopping after the current step. Press Ctrl-C again to stop at once.\n")

        before = signal.signal(signal.SIGINT, ask)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)
