"""How levels spread over the facts of the Memory page. A bar that is clicked filters the list of facts below."""

from functools import partial
from typing import Any

import streamlit as st

from pages._ui import address, panels, pickers, resources
from pages._ui.charts import Point, draw
from pages._ui.facts.fact_list import quoted
from pages._ui.links import page_link
from pages._ui.titles import source_name
from pages._ui.wording import literal, percent
from sftqa_core.figures.levels import bins_of_levels, level_shares_figure, right_answers_figure, score_histogram
from sftqa_core.knowledge.atlas import is_atlas
from sftqa_core.records import DOMAIN_NAMES, METHODS

SPLITS = {"domain": "domain", "relation": "relation", "contested": "contested or not", "echo": "echo or not"}
GROUP_NAMES = {
    "domain": {domain: name.capitalize() for domain, name in DOMAIN_NAMES.items()},
    "contested": {"True": "Contested", "False": "Uncontested"},
    "echo": {"True": "Answer in the subject", "False": "Answer not in the subject"},
}
_ONLY = {("contested", "True"): "contested", ("contested", "False"): "uncontested", ("echo", "True"): "echo", ("echo", "False"): "no-echo"}


def pretraining_note(model: str, source: str) -> bool:
    """Says what a model that was made here was pre-trained on; False when that is another source."""
    trained_on = resources.own_source(model)
    if trained_on is not None and source_name(trained_on) != source_name(source):
        read = "its invented world" if is_atlas(trained_on) else source_name(trained_on)
        st.info(
            f"{literal(resources.tuned_from(model) or model)} was pre-trained only on {literal(read)}; expect level L0 here.",
            icon=":material/menu_book:",
        )
        if not is_atlas(source):
            page_link(
                "pages/own_facts.py", "Pre-train a model on these facts", "own-facts", icon=":material/school:", to={"source": source}
            )
        return False
    panels.planted(source)
    return True


def not_probed(model: str, scheme: Any) -> None:
    """No level is known yet: where they come from, or why they can't come."""
    if why := resources.why_not_here(model):
        panels.empty(literal(why), "pages/available_models.py", "Open Models")
        return
    how = "probed with this model" if scheme.method == "sampling" else f"measured by the {METHODS[scheme.method]} yet"
    panels.empty(f"None of these facts has been {how}. Use Probe above; it runs in the background.")


@panels.piece
def spread(profile: Any, read: bool) -> None:
    """Shares of levels by a chosen split, and the histogram of R; `read`: the model may have read these facts."""
    scheme, columns = profile.scheme, profile.level_table.table
    splits = [name for name in SPLITS if name in columns and len(profile.groups(name)) > 1] or ["domain"]
    left, right = st.columns([3, 2], gap="large")
    with left:
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            st.markdown(f"**Facts per memory level**{'' if scheme.method == 'sampling' else ', estimated'}")
            by = pickers.linked_choice("by", splits, "by", SPLITS.__getitem__, label_visibility="collapsed")
        counts = profile.groups(by)
        names = {**GROUP_NAMES.get(by, {}), **(resources.relation_labels() if by == "relation" else {})}
        if by in GROUP_NAMES:
            order = [name for name in GROUP_NAMES[by] if name in counts]
        else:  # the best known first
            order = sorted(counts, key=lambda name: -sum(at * n for at, n in enumerate(counts[name])) / max(sum(counts[name]), 1))
        groups = {names.get(name, name): counts[name] for name in order}
        figure = partial(level_shares_figure, groups, scheme.labels, 56 if len(groups) <= 3 else 30)
        alt = "Share of facts per memory level"
        if (point := draw(figure, key="shares", alt=alt, of=(repr(groups), scheme.labels), clickable=True)) is not None:
            _filter_by_bar(by, order, scheme.labels, point)
    with right:
        if scheme.few_shot:
            _right_answers(profile)
            return
        st.markdown("**Memory score R**" if scheme.method == "sampling" else f"**Expected memory score R**, by {METHODS[scheme.method]}")
        figure = partial(score_histogram, profile.scores, scheme.labels, scheme.cutoffs, estimated=scheme.method != "sampling")
        point = draw(figure, key="scores", alt="Facts by memory score", of=(repr(profile.scores), scheme), clickable=True)
        if point is not None:
            level = point.trace if scheme.method != "sampling" else bins_of_levels(scheme.cutoffs)[point.at]
            address.put(level=scheme.labels[level], page=None)
            st.rerun()
        caption = "Dotted lines: cut-offs between levels. Click a bar to list the facts of its level."
        if scheme.method == "likelihood":
            caption += f" {scheme.labels[0]}: the full probe would probably find no hit, so the expected R is just above 0."
        st.caption(caption + (_templates_words(profile) if read and scheme.method != "likelihood" else ""))


def _filter_by_bar(by: str, order: list[str], labels: tuple[str, ...], point: Point) -> None:
    """List the facts behind a piece of a bar, those of its group and level: below, or everywhere where the group is a domain."""
    if not (point.at < len(order) and point.trace < len(labels)):  # of a figure that has been replaced
        return
    group, change = order[point.at], {"level": labels[point.trace], "page": None}
    if by == "relation":
        address.put(**change, relation=quoted(group))
    elif by == "domain":
        address.put(**change, domain=group)
    else:
        address.put(**change, only=_ONLY[by, group])
    st.rerun()


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
