"""The parts of the Memory page: how levels spread, the table of facts, one fact down to its completions."""

from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from pages._ui import resources, state
from pages._ui.charts import draw
from pages._ui.downloads import csv_button
from pages._ui.panels import planted
from pages._ui.titles import source_name
from pages._ui.wording import between, in_badge, literal, percent
from sftqa_core.figures.levels import level_shares_figure, right_answers_figure, score_histogram, template_hits_figure
from sftqa_core.figures.style import level_colours
from sftqa_core.jsonrecord import fingerprint
from sftqa_core.knowledge.atlas import is_atlas
from sftqa_core.records import DOMAIN_NAMES, METHODS

SHOWN = 2_000  # rows a browser is handed at once
SPLITS = {"domain": "domain", "relation": "relation", "contested": "contested or not", "echo": "echo or not"}
GROUP_NAMES = {
    "domain": {domain: name.capitalize() for domain, name in DOMAIN_NAMES.items()},
    "contested": {"True": "Contested", "False": "Uncontested"},
    "echo": {"True": "Answer in the subject", "False": "Answer not in the subject"},
}
COLUMNS = {
    "subject": st.column_config.TextColumn("Subject"),
    "answers": st.column_config.ListColumn("Correct answers"),
    "level": st.column_config.TextColumn("Level", width="small"),
    "score": st.column_config.ProgressColumn("R", min_value=0, max_value=1, format="%.3f", width="small"),
    "relation_label": st.column_config.TextColumn("Relation"),
    "domain": st.column_config.TextColumn("Domain", width="small"),
    "exposures": st.column_config.NumberColumn("Exposures", width="small", help="How often the pre-training text states the fact."),
    "contested": st.column_config.CheckboxColumn("Contested", width="small", help="The pre-training text also states another answer."),
    "echo": st.column_config.CheckboxColumn("Echo", width="small", help="An answer is part of the subject."),
}


def pretraining_note(model: str, source: str) -> bool:
    """Says what a model that was made here was pre-trained on; False when that is another source."""
    trained_on = resources.own_source(model)
    if trained_on is not None and source_name(trained_on) != source_name(source):
        read = "its invented world" if is_atlas(trained_on) else source_name(trained_on)
        st.info(
            f"{literal(resources.tuned_from(model) or model)} was pre-trained only on {literal(read)}; expect level L0 here.",
            icon=":material/menu_book:",
        )
        return False
    planted(source)
    return True


def spread(profile: Any, read: bool) -> None:
    """Shares of levels by a chosen split, and the histogram of R; `read`: the model may have read these facts."""
    scheme, columns = profile.scheme, profile.level_table.table
    splits = [name for name in SPLITS if name in columns and len(profile.groups(name)) > 1] or ["domain"]
    left, right = st.columns([3, 2], gap="large")
    with left:
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            st.markdown(f"**Facts per memory level**{'' if scheme.method == 'sampling' else ', estimated'}")
            by = st.segmented_control(
                "by", splits, format_func=SPLITS.get, default=splits[0], required=True, key="by", label_visibility="collapsed"
            )
        counts = profile.groups(by)
        names = {**GROUP_NAMES.get(by, {}), **(resources.relation_labels() if by == "relation" else {})}
        groups = {names.get(name, name): counts[name] for name in _ordered(counts, by)}
        figure = partial(level_shares_figure, groups, scheme.labels, 56 if len(groups) <= 3 else 30)
        draw(figure, key="shares", alt="Share of facts per memory level", of=(repr(groups), scheme.labels))
    with right:
        if scheme.few_shot:
            _right_answers(profile)
            return
        st.markdown("**Memory score R**" if scheme.method == "sampling" else f"**Expected memory score R**, by {METHODS[scheme.method]}")
        figure = partial(score_histogram, profile.scores, scheme.labels, scheme.cutoffs, estimated=scheme.method != "sampling")
        draw(figure, key="scores", alt="Facts by memory score", of=(repr(profile.scores), scheme))
        caption = "Dotted lines: cut-offs between levels."
        if scheme.method == "likelihood":
            caption += f" {scheme.labels[0]}: the full probe would probably find no hit, so the expected R is just above 0."
        st.caption(caption + (_templates_words(profile) if read and scheme.method != "likelihood" else ""))


def _right_answers(profile: Any) -> None:
    """Facts by how many of their greedy answers, and which share of their samples, are right."""
    scheme = profile.scheme
    probed = profile.take(profile.rows, ["hits_per_template", "score", "level"]).dropna(subset="level")
    greedy = [round(sum(hits[scheme.contexts :])) for hits in probed["hits_per_template"]]
    shares = (probed["score"] * 10).round().astype(int)
    levels = probed["level"].astype(int)
    for name, title, at_each, most in (
        ("greedy", "Correct greedy answers", greedy, scheme.contexts),
        ("sampled", "Correct samples, in tenths", shares, 10),
    ):
        counts = [[0] * (most + 1) for _ in scheme.labels]
        for level, at in zip(levels, at_each, strict=True):
            counts[level][at] += 1
        st.markdown(f"**{title}**")
        draw(partial(right_answers_figure, counts, scheme.labels), key=f"right-{name}", alt=title, of=(repr(counts), scheme.labels))
    unknown, weakly, maybe, highly = scheme.labels
    st.caption(
        f"{scheme.contexts} prompts per fact, each answered once greedily and {scheme.sampling.samples} times by sampling. All greedy "
        f"answers correct: {highly}; some: {maybe}; none, but at least one sample: {weakly}; none at all: {unknown}."
    )


def facts_table(profile: Any, place: str) -> Any:
    """The facts with filters; returns the fact picked last at `place` (the first one until somebody picks), or None."""
    names, labels = resources.relation_labels(), [*profile.scheme.labels, "not probed"]
    rows = _filtered(profile, names, labels)
    columns = [name for name in (*COLUMNS, "fact_id", "relation") if name in profile.level_table.table]
    shown = _named(profile, rows[:SHOWN], names, labels, columns)
    picked = st.dataframe(
        shown[[name for name in COLUMNS if name in shown]],
        hide_index=True,
        height=320,
        placeholder="",
        column_config=COLUMNS,
        on_select="rerun",
        selection_mode="single-row",
        key=f"facts-{fingerprint([place, len(rows), list(shown['fact_id'])])}",  # a tick is kept by row number: other rows, another table
    )
    first_ones = f" Only the first {SHOWN:,} are listed; use the filters to find others." if len(rows) > SHOWN else ""
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.caption(f"{len(rows):,} of {profile.facts:,} facts. Tick the box at the left of a row to see its completions.{first_ones}")
        csv_button("Download these facts", lambda: _named(profile, rows, names, labels), "facts", "facts-csv", not len(rows))
    ticked = [row for row in picked.selection.rows if row < len(shown)]
    wanted = state.remembered_fact(place, shown.iloc[ticked[0]]["fact_id"] if ticked else None)
    if wanted is not None and len(at := profile.find(wanted, rows)):
        return _named(profile, at, names, labels).iloc[0]
    return _named(profile, rows[:1], names, labels).iloc[0] if len(rows) else None


def _filtered(profile: Any, names: dict[str, str], labels: list[str]) -> Any:
    """Row numbers of the facts that fit what is filled in."""
    relations = {names.get(relation, relation): relation for relation in profile.relations}
    first, second, third = st.columns([2, 3, 3])
    levels = first.multiselect("Level", labels, key="fact-levels", placeholder="all")
    chosen = second.multiselect("Relation", sorted(relations), key="fact-relations", placeholder="all")
    words = third.text_input("Search", key="fact-search", placeholder="subject or answer").strip()
    at = [-1 if label == labels[-1] else labels.index(label) for label in levels]
    return profile.choose(at, [relations[label] for label in chosen], words)


def _named(profile: Any, rows: Any, names: dict[str, str], labels: list[str], columns: list[str] | None = None) -> Any:
    """The facts of these rows with levels and relations as words."""
    table = profile.take(rows, columns)
    relations = table["relation"].astype("str")
    levels = [labels[-1] if pd.isna(level) else labels[int(level)] for level in table["level"]]
    return table.assign(level=levels, relation_label=relations.map(lambda relation: names.get(relation, relation)))


def fact_detail(model: str, source: str, fact: Any, scheme: Any, stamp: str, read: bool) -> None:
    """One fact: its score with both intervals, hits per template, and the model's completions."""
    read = read and pd.notna(fact.get("exposures")) and scheme.by_statements  # only then did these very sentences stand in its text
    with st.container(border=True):
        st.markdown("**Selected fact**")
        st.text(fact["question"])
        st.text(f"Correct: {' | '.join(fact['answers'])}")
        _flags(fact)
        if pd.isna(fact["score"]):
            st.caption("This fact has not been probed. Use the Probe button above.")
            return
        if scheme.few_shot:
            greedy = round(sum(list(fact["hits_per_template"])[scheme.contexts :]))
            right = f"{greedy} of {scheme.contexts} greedy answers and {int(fact['hits'])} of {int(fact['completions'])} samples correct"
            st.caption(f"{right} · level {fact['level']}")
        else:
            _score_row(fact, read)
        counted = scheme.method == "sampling"
        rows = resources.completions(model, source, fact["fact_id"], stamp, None if scheme.by_statements else scheme)
        prompts = rows.drop_duplicates("template").set_index("template")["prompt"].to_dict() if len(rows) else {}
        hits = list(fact["hits_per_template"])[: scheme.contexts if scheme.few_shot else None]  # without the greedy answers
        samples = round(fact["completions"] / max(len(hits), 1)) or scheme.sampling.samples  # a likelihood: hits to be expected of these
        colour = level_colours(len(scheme.labels))[list(scheme.labels).index(fact["level"])]
        seen = rows.drop_duplicates("template").set_index("template")["seen"].to_dict() if read and "seen" in rows else {}
        order = range(len(hits))
        unit = "hits" if scheme.method != "likelihood" else "expected hits"
        bars = (hits, samples, [prompts.get(at, "") for at in order], colour, [seen.get(at) for at in order], unit)
        each = "template" if scheme.by_statements else "prompt"
        draw(partial(template_hits_figure, *bars, each), key="fact-templates", alt="Hits per prompt", of=repr((bars, each)))
        if not len(rows):
            st.caption("The completions behind these levels are not stored here. Probe these facts again to store them.")
            return
        if not counted:
            st.caption("For comparison, the completions of the full probe:")
        if scheme.few_shot:
            st.caption("A prompt starts with its examples; its last two lines are the question.")
        st.dataframe(
            rows.assign(hit=rows["matched"].notna(), matched=rows["matched"].fillna(""), template=rows["template"] + 1),
            hide_index=True,
            height=300,
            column_order=["template", "prompt", "text", *(["greedy"] if scheme.few_shot else []), "count", "hit", "matched", "stop"],
            column_config=COMPLETION_COLUMNS,
        )


COMPLETION_COLUMNS = {
    "template": st.column_config.NumberColumn("Template", width="small"),
    "prompt": st.column_config.TextColumn("Prompt"),
    "text": st.column_config.TextColumn("Completion"),
    "greedy": st.column_config.CheckboxColumn("Greedy", width="small"),
    "count": st.column_config.NumberColumn("Count", width="small"),
    "hit": st.column_config.CheckboxColumn("Hit", width="small"),
    "matched": st.column_config.TextColumn("Matched answer", width="small"),
    "stop": st.column_config.TextColumn("Stopped at", width="small", help="End token, hit, end of the line (few-shot) or length limit."),
}


def _score_row(fact: Any, read: bool) -> None:
    first, second, third, fourth = st.columns(4)
    if pd.isna(fact["low_samples"]):
        _estimate(first, second, fact)
    else:
        first.metric("Memory score R", f"{fact['score']:.3f}", help=f"{int(fact['hits'])} hits in {int(fact['completions'])} completions")
        first.caption(f"{int(fact['hits'])} of {int(fact['completions'])} completions · level {fact['level']}")
        second.metric("Interval over samples", between(fact["low_samples"], fact["high_samples"]))
        second.caption("95%, if the same templates were sampled again")
        third.metric("Interval over templates", between(fact["low_templates"], fact["high_templates"]))
        third.caption("95%, if other templates had been written (bootstrap)")
    seen, unseen = fact.get("seen_score"), fact.get("unseen_score")
    if read and pd.notna(seen):
        fourth.metric("Seen / unseen templates", f"{seen:.2f} / {unseen:.2f}")
        fourth.caption("R on templates that the pre-training text used, and on others")


def _estimate(first: Any, second: Any, fact: Any) -> None:
    """A score that was not fully sampled: what the full probe is expected to give, and how sure its level is."""
    first.metric("Expected R", f"{fact['score']:.3f}", help="What the full probe is expected to give. An estimate has no intervals.")
    if pd.isna(fact["confidence"]):
        first.caption(f"likelihood estimate · level {fact['level']}")
        return
    first.caption(f"adaptive, {int(fact['completions'])} completions counted · level {fact['level']}")
    second.metric("Confidence", percent(fact["confidence"]))
    second.caption("probability that the full probe gives this level")


def _flags(fact: Any) -> None:
    with st.container(horizontal=True):
        if bool(fact["echo"]):
            st.badge("echo: the answer is in the subject", color="orange")
        if pd.notna(fact.get("contested")) and fact["contested"]:
            rival = fact.get("rival")
            st.badge(f"contested: the text also says {in_badge(rival)}" if isinstance(rival, str) else "contested", color="violet")
        if pd.notna(fact.get("exposures")):
            st.badge(f"stated {int(fact['exposures'])} times in pre-training", color="gray")


def _templates_words(profile: Any) -> str:
    """Hit rates on wordings of the pre-training text and on others, over facts that are known to stand in it."""
    if "exposures" not in profile.level_table.table:
        return ""
    table = profile.take(profile.rows, ["seen_score", "unseen_score", "exposures"])
    stated = table[table["seen_score"].notna() & table["exposures"].notna()]
    if not len(stated):
        return ""
    seen, unseen = percent(stated["seen_score"].mean()), percent(stated["unseen_score"].mean())
    return f" Mean hit rate {seen} on templates that the pre-training text used, {unseen} on others."


def _ordered(counts: dict[str, list[int]], by: str) -> list[str]:
    """Fixed order for known groups, the best known relation first."""
    if by in GROUP_NAMES:
        return [name for name in GROUP_NAMES[by] if name in counts]
    return sorted(counts, key=lambda name: -sum(at * n for at, n in enumerate(counts[name])) / max(sum(counts[name]), 1))
