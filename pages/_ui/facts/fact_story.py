"""A fact's own page: its level in each model, its answer in each run, and the way to its neighbours in the list it was opened from."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from pages._ui import address, pickers, resources
from pages._ui.asking.ask_panel import ask_panel
from pages._ui.facts import fact_list, fact_reads
from pages._ui.links import open_page, page_link
from pages._ui.rows import clicked_row
from pages._ui.titles import model_name, run_names
from pages._ui.wording import between, literal, percent
from sftqa_core.records import METHODS, RUN, LevelScheme

_ASKED = 3  # runs that stand beside the model
MOST_RUNS = 50  # the newest ones; others by the filters
_METHODS = {**METHODS, "slick": "SliCK's prompts"}
_LEVEL_COLUMNS = {
    "model": st.column_config.TextColumn("Model", width=170),
    "score": st.column_config.ProgressColumn("R", min_value=0, max_value=1, format="%.3f", width=85),
    "level": st.column_config.TextColumn("Level", width=60),
    "samples": st.column_config.TextColumn("95% over samples", width="small", help="If the same templates were sampled again."),
    "templates": st.column_config.TextColumn("95% over templates", width="small", help="If other templates had been written (bootstrap)."),
    "hits": st.column_config.TextColumn("Hits", width="small"),
    "method": st.column_config.TextColumn("Measured by", width="small"),
    "sure": st.column_config.TextColumn("Confidence", width="small", help="Probability that the full probe gives this level."),
}
_RUN_COLUMNS = {
    "change": st.column_config.TextColumn("Change", width=80, help="From the base model's answer to the tuned model's."),
    "after": st.column_config.TextColumn("Answer after", width=140),
    "run": st.column_config.TextColumn("Run", width=330),
    "before": st.column_config.TextColumn("Answer before", width=140),
    "few_shot": st.column_config.TextColumn("k-shot baseline", width=140),
    "majority": st.column_config.TextColumn("Majority object", width=140),
    "trained": st.column_config.CheckboxColumn("Trained on", width="small", help="The fact is one of the run's training examples."),
    "level": st.column_config.TextColumn("Level in the run", width="small"),
}


def levels_section(source: str, fact: Any, scheme: LevelScheme, model: str, stamp: str) -> None:
    """The fact's level in each model that has one. A row that is clicked shows that model's completions above."""
    st.subheader("Level in each model", anchor=False)
    label = "With estimates (adaptive probe, likelihood)"
    estimates = pickers.linked_toggle(label, "estimates", help="Ways of measuring without every completion.")
    rows = fact_reads.fact_levels(model, source, str(fact["fact_id"]), scheme, estimates, stamp)
    if not rows:
        st.caption("No model has been probed on this fact yet. The Probe button is on the Memory page.")
        return
    table = pd.DataFrame([_level_row(row) for row in rows])
    table = table if table["sure"].any() else table.drop(columns="sure")  # full probes have no confidence
    st.caption("Click a row to see that model's completions.")
    by = scheme.method if scheme.by_statements else scheme.name
    current = next((at for at, row in enumerate(rows) if row["model"] == model and row["method"] == by), None)
    clicked = clicked_row(table, "fact-models", current, height="content", column_config=_LEVEL_COLUMNS)
    if clicked is not None:
        slick = rows[clicked]["method"] == "slick"
        method = None if slick or rows[clicked]["method"] == "sampling" else rows[clicked]["method"]
        levels = "slick" if slick else None if address.value("levels") == "slick" else address.value("levels")
        address.put(model=rows[clicked]["model"], levels=levels, method=method)
        st.rerun()  # the pickers stand above


def _level_row(row: dict[str, Any]) -> dict[str, Any]:
    counted = row["completions"] and row["method"] in ("sampling", "slick")
    return {
        "model": model_name(row["model"]),
        "score": row["score"],
        "level": row["level"],
        "samples": "" if row["low_samples"] is None else between(row["low_samples"], row["high_samples"]),
        "templates": "" if row["low_templates"] is None else between(row["low_templates"], row["high_templates"]),
        "hits": f"{int(row['hits']):,} of {int(row['completions']):,}" if counted else "",
        "method": _METHODS.get(row["method"], row["method"]),
        "sure": "" if row["confidence"] is None else percent(row["confidence"]),
    }


def runs_section(source: str, fact_id: str, stamp: str) -> None:
    """The answer in each of the newest runs on this source, and whether they were trained on the fact. A row opens its run."""
    st.subheader("Answers in runs", anchor=False)
    infos = [info for info in resources.runs(stamp) if info.source == source]
    if not infos:
        st.caption("No run on these facts has finished yet.")
        return
    chosen = _chosen_runs(infos, stamp)
    found = fact_reads.fact_in_runs(fact_id, tuple(info.id for info in chosen[:MOST_RUNS]), stamp)
    if len(chosen) > MOST_RUNS:
        st.caption(f"The newest {MOST_RUNS} of {len(chosen):,} runs. Pick a model or runs to see others.")
    told = [one for one in found if one.answers or one.trained_on]
    st.markdown(_summary(found))
    for problem in [one.problem for one in found if one.problem][:3]:
        st.caption(literal(problem))
    if not told:
        st.caption("None of these runs was tested or trained on this fact.")
        return
    names = run_names(stamp)
    table = pd.DataFrame([_run_row(one, names.get(one.run.id, one.run.id)) for one in told])
    clicked = clicked_row(table, "fact-runs", height=min(38 + 35 * len(table), 388), column_config=_RUN_COLUMNS)
    if clicked is not None:
        open_page("pages/results.py", {"run": told[clicked].run.id})


def _chosen_runs(infos: Sequence[Any], stamp: str) -> list[Any]:
    """The runs that the filters leave."""
    names = run_names(stamp)
    first, second = st.columns([2, 5])
    with first:
        of = pickers.linked(
            "Model", ["", *dict.fromkeys(info.model for info in infos)], "of", lambda name: model_name(name) if name else "all"
        )
    chosen = pickers.linked_many("Runs", [info.id for info in infos], "runs", lambda run: names.get(run, run), second, placeholder="all")
    return [info for info in infos if (not of or info.model == of) and (not chosen or info.id in chosen)]


def _summary(found: Sequence[Any]) -> str:
    tested = [one for one in found if "after" in one.answers]
    right = {stage: sum(one.answers.get(stage, ("", False))[1] for one in tested) for stage in ("before", "after")}
    trained = sum(one.trained_on for one in found)
    words = [f"**Trained on in {trained:,} of {len(found):,} runs.**"]
    if tested:
        words.append(f"Tested in {len(tested):,}: right before tuning in {right['before']:,}, after it in {right['after']:,}.")
    return " ".join(words)


def _run_row(one: Any, name: str) -> dict[str, Any]:
    def answer(stage: str) -> str | None:
        text, right = one.answers.get(stage, (None, False))
        return None if text is None else f"{'✓' if right else '✗'} {text}"

    was, now = (one.answers.get(stage, ("", False))[1] for stage in ("before", "after"))
    change = "" if "after" not in one.answers else "kept" if was and now else "gained" if now else "lost" if was else "still wrong"
    answers = {stage: answer(stage) for stage in ("before", "few_shot", "majority")}
    return {"change": change, "after": answer("after"), "run": name, **answers, "trained": one.trained_on, "level": one.level}


def neighbours(profile: Any, fact_id: str, model: str, source: str, stamp: str) -> None:
    """The ways back and on: the list that the fact was opened from, and the facts before and after it there."""
    found = fact_list.chosen(profile, model, source, stamp)
    at = profile.find(fact_id, found.rows)
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        link = address.with_values(runs=None, of=None, estimates=None)
        st.page_link("pages/memory.py", label="List of facts", icon=":material/list:", query_params=link)
        if not len(at):
            return
        place = int((found.rows == at[0]).argmax())
        for label, icon, other in (("Previous", ":material/arrow_back:", place - 1), ("Next", ":material/arrow_forward:", place + 1)):
            there = 0 <= other < len(found.rows)
            to = profile.take(found.rows[[other]], ["fact_id"])["fact_id"].iloc[0] if there else fact_id
            link = address.with_values(fact=str(to))
            page_link("pages/fact.py", label, label.lower(), icon=icon, to=link, off=not there)
        st.caption(f"{place + 1:,} of {len(found.rows):,} in the list", width="content")


def ask_section(fact: Any, model: str) -> None:
    """What the model, and those runs of the address that kept theirs, say to the fact's question once they are asked."""
    st.subheader("Ask about this fact", anchor=False)
    kept = [f"{RUN}{run}" for run in (address.value("runs") or "").split(",") if run and resources.model_card(f"{RUN}{run}")]
    columns = list(dict.fromkeys([model, *kept[:_ASKED]]))
    rival = fact.get("rival")  # of a contested fact: how probable is it beside the right answer?
    ask_panel(str(fact["question"]), columns, (rival,) if isinstance(rival, str) and rival else (), where="fact")
    link = {"q": str(fact["question"]), "columns": ",".join(columns)}
    if len(link["q"]) <= address.LONGEST:
        st.page_link("pages/ask.py", label="Change the question, ask others", icon=":material/edit:", query_params=link)
