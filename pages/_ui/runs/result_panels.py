"""The parts of a run's results: charts, headline, what it was made with."""

import json
import shlex
from functools import partial
from typing import Any

import streamlit as st

from pages._ui import address, drawn, resources
from pages._ui.charts import draw
from pages._ui.fields import label
from pages._ui.panels import share_metric
from pages._ui.pickers import linked_choice
from pages._ui.titles import differing, shown_value
from pages._ui.wording import duration, literal
from sftqa_core.figures.curves import looks_figure, loss_figure
from sftqa_core.figures.levels import accuracy_figure
from sftqa_core.records import DOMAIN_NAMES, RunSummary, TrainSettings
from sftqa_core.records.result_names import bundle_of
from sftqa_core.reports import run_words

PARTS = {"all": "all test facts", "uncontested": "uncontested", "contested": "contested"}


def accuracy_charts(summary: RunSummary, settings: TrainSettings, where: str, height: int = 380, clickable: bool = False) -> None:
    """In and out of domain side by side (one above the other where it is narrow). A point that is clicked, where that is wanted, lists the
    predictions of its level and domain below."""
    of = repr((summary.before, summary.after, summary.baselines, height, settings.shots))
    others = {shots: stage for stage, shots in settings.few_shot_stages.items() if stage != "few_shot" and stage in summary.baselines}
    tested = [domain for domain, after in summary.after.items() if after.natural_n]  # the headline says which has none
    for domain, column in zip(tested, st.columns(len(tested), gap="large"), strict=True) if tested else ():
        title = f"{DOMAIN_NAMES.get(domain, domain).capitalize()} facts"
        few_shot, majority = (summary.baselines.get(name, {}).get(domain) for name in ("few_shot", "majority"))
        with column:
            st.markdown(f"**{title}** · {literal(run_words.domain_words(domain, settings))}")
            more = {shots: summary.baselines[stage][domain] for shots, stage in others.items()}
            both = (summary.before[domain], summary.after[domain], few_shot, majority)
            figure = partial(accuracy_figure, *both, height, settings.shots, more)
            alt = f"Accuracy per memory level. {title}."
            point = draw(figure, key=f"accuracy-{where}-{domain}", alt=alt, of=of, clickable=clickable)
            levels = summary.after[domain].per_level
            if point is not None and isinstance(point.x, int | float) and 0 <= round(point.x) < len(levels):
                address.put(level=levels[round(point.x)].level, change="none", page=None, **{"in": domain})


def headline(summary: RunSummary) -> None:
    """Mean over levels and micro average of each domain that has facts, with intervals, the change, and the value without echo facts."""
    tiles = run_words.tiles(summary)
    for column, tile in zip(st.columns(len(tiles)), tiles, strict=True) if tiles else ():
        with column:
            share_metric(*tile)
    if empty := run_words.untested_domains(summary):
        st.caption(empty)


def completions_of(facts: Any) -> int:
    """Completions that were drawn of each test fact, the most of any; 0 where that is not known."""
    most = facts["completions"].max() if "completions" in facts and len(facts) else None
    return int(most) if most == most and most is not None else 0


def parts_picker(facts: Any) -> str:
    """Which of the test facts the page is about, where some are known to be contested (METHOD 8.8)."""
    if "contested" not in facts or not facts["contested"].fillna(False).astype(bool).any():
        return "all"
    return linked_choice("Test facts", list(PARTS), "part", PARTS.__getitem__, label_visibility="collapsed")


def part_of(tables: tuple[Any, Any], part: str) -> tuple[Any, Any]:
    """Predictions and facts of that part only."""
    predictions, facts = tables
    if part == "all":
        return predictions, facts
    facts = facts[facts["contested"].fillna(False).astype(bool) == (part == "contested")]
    return predictions[predictions["fact_id"].isin(facts["fact_id"])], facts


def made_with(run: Any) -> None:
    """The command that repeats the run, the settings that are not the default, the versions; the whole record behind a button."""
    command = run.manifest.get("command")
    if command:
        st.markdown("**Command to repeat this run**")
        st.code(command if isinstance(command, str) else shlex.join(map(str, command)), language="bash", wrap_lines=True)
    if not bundle_of(run.id):
        st.markdown("**Command to hand it over as a bundle**, which another explorer imports")
        st.code(f"sftqa bundle {shlex.quote(run.id)} --out run.zip", language="bash", wrap_lines=True)
    if getattr(run, "model", None) is not None:
        merge = " (--merge merges the adapter into the base model)" if run.settings.method == "lora" else ""
        st.markdown(f"**Command to export the tuned model for other tools**{merge}")
        st.code(f"sftqa export {shlex.quote(run.id)} --out tuned-model", language="bash", wrap_lines=True)
        st.markdown("**Command to put it on the hub** (private; shows first what would be sent)")
        st.code(f"sftqa push {shlex.quote(run.id)} --repo OWNER/NAME", language="bash", wrap_lines=True)
    took = {run_words.TIMES[name]: seconds for name, seconds in run.summary.seconds.items() if name in run_words.TIMES and seconds >= 0.5}
    times = ", ".join(f"{name} {duration(seconds)}" for name, seconds in took.items())
    st.text(f"Took: {times}" if times else "")
    first, second = st.columns(2)
    values = {name: getattr(run.settings, name) for name in ("model", "source", "n")} | differing(run.settings)
    settings = {label(TrainSettings, name): shown_value(name, value, run.settings) for name, value in values.items()}
    if rounded := run.manifest.get("model", {}).get("quantisation"):
        settings["Quantisation"] = rounded
    with first:
        st.markdown("**Settings** (all others are defaults)")
        _rows("Setting", settings)
    with second:
        st.markdown("**Versions**")
        _rows("Package", dict(run.versions))
    with st.popover("Full manifest", icon=":material/data_object:"):
        manifest = {**{key: value for key, value in run.manifest.items() if key != "files"}, "settings": run.settings.to_dict()}
        st.code(json.dumps(manifest, indent=2, ensure_ascii=False, default=str), language="json", wrap_lines=True)


def _rows(name: str, values: dict[str, Any]) -> None:
    table = {name: list(values), "Value": [str(value) for value in values.values()]}
    drawn.note_table(f"{name.lower()}s", lambda: table)
    st.dataframe(table, hide_index=True, height="content")


def training_charts(run: Any, curve: Any) -> None:
    """The loss, and beside it accuracy on dev facts, where the run was evaluated during training."""
    steps = curve[curve["loss"].notna()]
    if not len(steps):
        st.caption("Nothing was trained in this run.")
        return
    loss = partial(loss_figure, steps["step"].tolist(), steps["loss"].tolist())
    if run.settings.eval_every is None:
        draw(loss, key="results-loss", alt="Training loss by step", of=run.id)
        return
    left, right = st.columns(2, gap="large")
    draw(loss, key="results-loss", alt="Training loss by step", of=run.id, place=left)
    looks, training = resources.run_looks(run.id), run.manifest.get("training", {})
    if not len(looks):
        right.caption("These facts have no dev split, so nothing was evaluated during training.")
        return
    kept = training.get("kept_step")
    draw(partial(looks_figure, looks, kept), key="results-looks", alt="Accuracy on dev facts by step", of=run.id, place=right)
    if run.settings.patience is not None:
        restored = f"the weights of step {kept:,} were restored" if kept else "the last evaluation was the best"
        done, planned = training.get("steps", 0), training.get("planned_steps", 0)
        over = f"ended early, after step {done:,} of {planned:,}" if done < planned else f"ran to the last step, {done:,}"
        over = f"was {run.cut}" if run.cut else over
        right.caption(f"Patience {run.settings.patience}: training {over}; {restored}.")
