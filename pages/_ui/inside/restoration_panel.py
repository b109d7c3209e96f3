"""What happens when changed weights are put back? A chapter of the page Inside."""

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from pages._ui import background, drawn, panels, pickers, resources, state
from pages._ui.charts import draw
from pages._ui.columns import draw_table
from pages._ui.inside import chapter
from pages._ui.runs.job_panel import job_panel
from pages._ui.wording import literal, percent
from sftqa_core.evaluation.inside import restoration_tables as tables
from sftqa_core.evaluation.inside.look import Look
from sftqa_core.figures.inside_restoration import blocks_figure, levels_figure, own_figure, shares_figure
from sftqa_core.jsonrecord import declared
from sftqa_core.records import DOMAIN_NAMES, Job, TrainSettings
from sftqa_core.records.amounts import points
from sftqa_core.records.job import command_of
from sftqa_core.records.recipes import Restore

_WHAT = (
    "Tuning moves every parameter a little. Here a share of all parameters is put back to its value before tuning, and the model "
    "answers again: those with the largest relative change |s - p| / |p| (p before, s after), as the follow-up paper does, or with the "
    "largest |s - p|."
)
_FOOLED = (
    "Would any parameters do? Two controls put changed parameters back by chance: as many in each tensor as the relative ranking takes, "
    "or as many as hold the same squared update."
)
_METHOD = (
    "Greedy answers to the first test facts of each level and domain. Accuracy is the mean over levels; its difference from the tuned "
    "model is paired on the same facts, each averaged over draws and seeds, and facts are resampled. Verdicts are corrected for all claims "
    "of a kind together (Holm). Intervals do not include what other draws would give: that range stands in the table. A control is drawn "
    "several times at 5%, 10% and 20% and at the share that dev facts choose, else once. Tied weights count once; a parameter that was 0 "
    "ranks first by relative change. Own examples of several seeds are averaged over them and count once. Older looks do not name these "
    "facts: as many count as the seed with most has."
)
_CONTRADICTION = (
    "For 1,920 examples in-domain and nothing put back the paper gives two rows of means, by training level L0 to L4: 44.96, 52.43, 58.80, "
    "57.70, 55.22 in this table, and 45.47, 52.69, 57.53, 55.15, 53.93 as means of its table by test level."
)
_TITLES = {
    "way": "which are put back", "share": "put back", "level": "test level", "low": "95% from", "high": "to", "draw_low": "least draw",
    "draw_high": "best draw", "restored": "parameters", "undone": "squared update put back",
}  # fmt: skip
_SIZES = (240, 1920)  # of the paper's tables


def restoration_panel(chosen: Sequence[Look], others: Sequence[Look]) -> None:
    """Words, charts against the share, one share by level with a way to keep that model, blocks of layers, the run's own examples."""
    st.subheader(chapter.QUESTIONS["restoration"], anchor=False)
    st.markdown(literal(_WHAT))
    seen = [look for look in chosen if tables.MEASURE in look.tables]
    if not seen:
        st.caption("This was not measured for this run yet.")
        return
    stamp = _stamp(seen)
    curve, picks = _kept("curve", stamp, seen), tables.chosen_shares(seen)
    chapter.told(_kept("sentences", stamp, seen))
    st.markdown(literal(f"{_FOOLED} {tables.undone_words(curve, picks.get('relative', 0.0))}"))
    _over_shares(curve, picks, seen[0].settings, stamp)
    _one_share(curve, picks, seen, stamp)
    left, right = st.columns(2, gap="large")
    own = tables.own(seen)
    with left:
        _blocks(_kept("blocks", stamp, seen), stamp)
    with right:
        _own(own, seen[0], stamp)
    _settings([look for look in others if look.tables.get(tables.MEASURE)])
    with chapter.table_and_method():
        _table(curve[curve["level"].isin([tables.MEAN, tables.ALL])])
        if len(own):
            st.markdown("**The run's own training examples**")
            draw_table(
                own.drop(columns="correct").fillna({"level": "not known"}),
                {**_TITLES, "level": "level", "facts": "examples"},
                name="own examples",
            )
        st.caption(literal(_METHOD))


def _stamp(looks: Sequence[Look]) -> Hashable:
    """Names what all that is shown depends on."""
    return tuple((look.name, repr(look.settings), hash(b"".join(look.tables[tables.MEASURE]["answers"]["correct"]))) for look in looks)


@st.cache_resource(show_spinner=False, max_entries=60)
def _kept(name: str, stamp: Hashable, _looks: Sequence[Look]) -> Any:
    """A table of these looks, or the words: resampling takes longer than drawing."""
    makers: dict[str, Callable[[Sequence[Look]], Any]] = {
        "curve": tables.curve, "blocks": tables.blocks, "sentences": tables.sentences, "settings": tables.settings_table,
    }  # fmt: skip
    return makers[name](_looks)


@panels.piece
def _over_shares(curve: pd.DataFrame, picks: dict[str, float], settings: TrainSettings, stamp: Hashable) -> None:
    """Both domains side by side, with the paper's lines where they are wanted."""
    first, second = st.columns([4, 1], vertical_alignment="bottom")
    levels = list(dict.fromkeys(curve["level"]))
    with first:
        level = pickers.linked_choice("Change of accuracy", levels, "restored-at", wrap=True)
    beside = pickers.linked_toggle("Show published results", "published", second, help="What the follow-up paper measured on LLaMA-3-8B.")
    reference, paper = resources.published("restoration") if beside and level == tables.MEAN else (None, "")
    size = min(_SIZES, key=lambda size: abs(math.log(size / max(1, settings.n))))
    for domain, place in zip(_domains(curve), st.columns(len(_domains(curve)), gap="large"), strict=True):
        place.markdown(f"**{DOMAIN_NAMES[domain].capitalize()}**")
        lines = None if reference is None else reference[(reference["n"] == size) & (reference["domain"] == domain)]
        figure = partial(shares_figure, curve, domain, level, tables.WAYS, picks, lines)
        alt = f"Change of accuracy by the share put back, {DOMAIN_NAMES[domain]}"
        draw(figure, key=f"restored-{domain}", alt=alt, place=place, of=(stamp, domain, level, size if beside else 0))
    st.caption(
        "Against the tuned model, in points; bars are 95% intervals of the paired difference. A larger sign is the share that dev facts "
        "choose. An arrow at the lower edge: a loss of more than 16 points, which the pointer tells with its interval. Hollow: fewer than "
        "30 facts at a level."
    )
    if paper:
        st.caption(
            f"Dashed: {paper}; here n = {size:,}. Each line against its own share 0, and cut at the lower edge; compare shapes, not "
            f"values. {_CONTRADICTION}"
        )
    elif beside:
        st.caption("Only means over levels are published.")


@panels.piece
def _one_share(curve: pd.DataFrame, picks: dict[str, float], looks: Sequence[Look], stamp: Hashable) -> None:
    """All levels at a share of the reader's choice, and a way to keep that model as a run."""
    shares = {f"{share:g}": share for share in sorted(curve["share"].unique()) if share}
    usual = f"{picks.get('relative') or 0.05:g}"
    default = usual if usual in shares else next(iter(shares))
    share = shares[pickers.linked_slider("Share put back", list(shares), "restored-share", default, lambda name: f"{shares[name]:.0%}")]
    for domain, place in zip(_domains(curve), st.columns(len(_domains(curve)), gap="large"), strict=True):
        place.markdown(f"**{DOMAIN_NAMES[domain].capitalize()}, by memory level**")
        figure = partial(levels_figure, curve, domain, share, looks[0].labels, tables.WAYS)
        alt = f"Change of accuracy by level with {share:.0%} put back, {DOMAIN_NAMES[domain]}"
        draw(figure, key=f"restored-levels-{domain}", alt=alt, place=place, of=(stamp, domain, share))
    shown = curve[(curve["share"] == share) & curve["level"].isin([tables.MEAN, tables.ALL])]
    _table(shown.drop(columns=["share", "level"]))
    _keep_model(looks, share)


def _keep_model(looks: Sequence[Look], share: float) -> None:
    """The model with these parameters put back as a run of its own, which can be asked, compared and exported."""
    plain = next((look.settings for look in looks if look.settings.recipe is None), None)
    if plain is None:
        return
    ways = declared(Restore)["ranked"].choices
    with st.container(horizontal=True, vertical_alignment="bottom"):
        way = st.selectbox("Keep this model as a run", list(ways), format_func=lambda way: tables.WAYS[way], key="restored-way", width=320)
        wanted = replace(plain, recipe=Restore(share=share, ranked=way), save_model=True)
        jobs = state.watched_jobs("train", lambda job: _restores(job, plain))
        active = any(job.settings == wanted.to_dict() for job in jobs if job.state in background.ACTIVE)
        expected = background.expected_s(wanted) if not resources.missing_torch() else ()
        st.button(
            "In progress" if active else "Train and keep", icon=":material/save:", key="restored-keep", on_click=_submit,
            args=(wanted, expected), disabled=active or resources.missing_torch(),
        )  # fmt: skip
    seed = f" with seed {plain.seed}" if len(looks) > 1 else ""
    st.caption(f"Trains again{seed}, puts these parameters back and keeps the weights: then ask, compare or export it like any run.")
    st.code(command_of(wanted), language="bash", wrap_lines=True)
    for job in jobs:
        job_panel(job, "restoration", charts=False)


def _submit(settings: TrainSettings, expected: tuple[float, ...]) -> None:
    state.start(lambda: background.submit("train", settings, expected))


def _restores(job: Job, plain: TrainSettings) -> bool:
    """Whether a training job puts parameters of this run back."""
    wanted = {**plain.to_dict(), "recipe": None, "save_model": None}
    about = job.settings.get("recipe") or {}
    return about.get("name") == Restore.name and {**job.settings, "recipe": None, "save_model": None} == wanted


def _blocks(found: pd.DataFrame, stamp: Hashable) -> None:
    """Whole blocks of layers put back."""
    st.markdown("**Whole layers put back**")
    if not len(found):
        st.caption("Not measured.")
        return
    names = {block: tables.block_name(block) for block in dict.fromkeys(found["block"])}
    draw(partial(blocks_figure, found, names), key="restored-blocks", alt="Change of accuracy with a block of layers put back", of=stamp)
    st.caption(
        "Mean over levels against the tuned model, in points; bars are 95% intervals. Published, LLaMA-3-8B of 32 layers: layers 0-3 put "
        "back break the model, a middle group of four hardly matters, layers 28-31 cost L2 some 25 points."
    )


def _own(own: pd.DataFrame, look: Look, stamp: Hashable) -> None:
    """Accuracy on what the run was trained on, beside the paper's."""
    st.markdown("**Does it still answer its own training examples?**")
    if not len(own):
        st.caption("The run has no examples.")
        return
    table, paper = resources.published("own")
    size = min(_SIZES, key=lambda size: abs(math.log(size / max(1, look.settings.n))))
    figure = partial(own_figure, own, look.labels, table[table["n"] == size])
    draw(figure, key="restored-own", alt="Training examples answered rightly, by level and share put back", of=stamp)
    st.caption(
        "The run's own training examples, by their level before tuning. Put back by relative change; bars are 95% intervals (a fact of "
        "several seeds counts once; looks that do not store each answer have Wilson's), hollow: fewer than 30 examples. "
        f"Crosses: {paper}; each level was trained on alone there. Drawn is n = {size:,}."
    )


def _settings(others: Sequence[Look]) -> None:
    """The gain by number of examples and training level, where there are several of them."""
    if len(tables.by_setting(others)) < 2:
        return
    st.markdown("**Other runs of this model**")
    found = _kept("settings", _stamp(others), others)
    rows = [
        {
            "": DOMAIN_NAMES[row["domain"]], "n": row["n"], "Trained on": row["levels"], "Put back": f"{row['share']:.0%}",
            "Tuned": percent(row["tuned"]), "With it put back": percent(row["accuracy"]),
            "Difference (95%)": f"{points(row['difference'])} ({points(row['low'])} to {points(row['high'])})", "Helps": row["verdict"],
            "Facts": row["facts"], "Seeds": row["seeds"],
        }
        for row in _rows(found)
    ]  # fmt: skip
    if rows:
        drawn.note_table("other runs", lambda: pd.DataFrame(rows))
        st.dataframe(pd.DataFrame(rows), hide_index=True)
    nothing = tables.nothing_chosen(others)
    without = f" Without a row, as dev facts choose to put nothing back: {'; '.join(nothing)}." if nothing else ""
    st.caption(
        literal(
            f"By relative change, at the share that dev facts choose for each; verdicts are corrected for all rows (Holm).{without} "
            "Published, LLaMA-3-8B trained on L2, n = 1,920: 58.80 to 62.21% in-domain and 54.04 to 57.10% out-of-domain with 20% put back."
        )
    )


def _table(rows: pd.DataFrame) -> None:
    shown = rows.assign(
        domain=[DOMAIN_NAMES[domain] for domain in rows["domain"]], way=[tables.WAYS[way] for way in rows["way"]],
        undone=[percent(part) for part in rows["undone"]], draw_low=[percent(each) for each in rows["draw_low"]],
        draw_high=[percent(each) for each in rows["draw_high"]],
    )  # fmt: skip
    if "share" in shown:
        shown["share"] = [f"{share:.0%}" for share in rows["share"]]
    first = ["domain", "share", "way", "accuracy", "difference", "low", "high"]
    order = [*(name for name in first if name in shown), *(name for name in shown if name not in (*first, "least", "verdict"))]
    draw_table(shown[order], _TITLES, name="restoration by level")


def _domains(curve: pd.DataFrame) -> list[str]:
    return list(dict.fromkeys(curve["domain"]))


def _rows(table: pd.DataFrame) -> list[dict[Any, Any]]:
    return table.to_dict("records")
