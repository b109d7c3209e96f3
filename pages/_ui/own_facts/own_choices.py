"""The first two steps: which facts, and which model is made from them."""

from typing import Any

import streamlit as st

from pages._ui import panels, pickers, resources
from pages._ui.facts.fetch_panel import facts_here
from pages._ui.facts.relations_panel import missing_templates
from pages._ui.facts.upload_panel import upload_button
from pages._ui.own_facts import own_reads
from pages._ui.own_facts.own_steps import Step, section, stands, work
from pages._ui.wording import sentence
from sftqa_core.artifacts import in_words
from sftqa_core.errors import SftqaError
from sftqa_core.knowledge.atlas import is_atlas
from sftqa_core.knowledge.sources import SAMPLE, is_built_in
from sftqa_core.records import SPREADS, PretrainSettings

_SIZES = (500, 1_000, 2_000, 4_000, 10_000, 50_000)  # facts that a model can be cut to
_ALL = "all"
_TRIED = "atlas-llama"  # templates of new relations are tried with it


def facts_step() -> tuple[Step, str]:
    """Choose or upload; the step, and the source's name. An empty name: there is nothing to go on with."""
    step, source = Step(1, "not started"), ""
    with section(step):
        left, right = st.columns([3, 2], vertical_alignment="bottom")
        with left:
            chosen = pickers.pick_source(next((name for name in resources.sources() if not is_built_in(name)), SAMPLE))
        with right:
            upload_button(_TRIED)
        if is_atlas(chosen):
            st.info(
                "These are the built-in world's facts, and models that read it ship already. Add a file of your own, or pick another "
                "source.",
                icon=":material/upload_file:",
            )
            return step, source
        if not facts_here(chosen, "own"):
            return step, source
        try:
            missing_templates(_TRIED, chosen)
            report = own_reads.report(chosen)
            step.state, source = "done", chosen
        except SftqaError as error:
            step.state = "problem"
            panels.problem(str(error))
            return step, source
        splits = {name: sum(counts.get(name, 0) for counts in report.relations.values()) for name in ("train", "dev", "test")}
        count = len(report.relations)
        st.markdown(
            f":green[:material/check_circle:] {report.facts:,} facts of {count:,} relation{'' if count == 1 else 's'}: "
            + ", ".join(f"{n:,} {name}" for name, n in splits.items())
            + "."
        )
        for note in own_reads.source_notes(chosen):
            st.caption(sentence(note))
    return step, source


def model_step(source: str, stamp: str) -> tuple[Step, PretrainSettings | None, Any]:
    """Choose size and mentions, see the cost, make it; the step, its settings, and what its text holds (None: it can't be made)."""
    if not source:
        return _waiting(2), None, None
    place = st.container()
    with place:
        st.subheader("2. Pre-train", anchor=False)
        settings = _chosen(source)
        size = resources.forecast(settings, stamp).pretraining
        if size.problems:
            step = Step(2, "problem")
            panels.problem("\n".join(size.problems))
            return step, None, None
        step = stands(2, "pretrain", settings, _made_words(settings, stamp))
        _text_words(settings, size)
        for said in step.said:
            st.markdown(f":green[:material/check_circle:] {sentence(said)}")
        work(step, "pretrain", settings, "Pre-train this model", "Pre-training")
    return step, settings, size


def _waiting(number: int) -> Step:
    step = Step(number)
    with section(step):
        st.caption("Needs the step before.")
    return step


def _chosen(source: str) -> PretrainSettings:
    known, usual = own_reads.report(source).facts, own_reads.usual_limit(source)
    names, recorded = own_reads.architectures(), own_reads.has_mentions(source)
    left, middle, right = st.columns([2, 4, 2], vertical_alignment="bottom")
    with left:
        like = pickers.linked("Architecture", list(names), "like", names.__getitem__)
    with middle:
        spread = pickers.linked(
            "How often facts are stated", list(SPREADS), "stated", lambda name: SPREADS[name].label, disabled=recorded,
            help="A fact's number is drawn by its name: the same in every model that is made with this choice.",
        )  # fmt: skip
    with right:
        sizes = {str(size): f"{size:,}" for size in _SIZES if size < known} | {_ALL: f"all {known:,}"}
        facts = pickers.linked("Facts", list(sizes), "facts", sizes.__getitem__, default=str(usual or _ALL))
    if recorded:
        st.caption("The file itself says how often each fact is stated (exposures).")
    return own_reads.own_model(source, like, spread, None if facts == _ALL else int(facts))


def _text_words(settings: PretrainSettings, size: Any) -> None:
    """What the model will read, and what it will never read."""
    again = f", read {settings.epochs} times over" if settings.epochs > 1 else ""
    st.caption(
        f"Its text: {size.statements:,} statements of {size.facts:,} facts ({size.unstated:,} of them never stated), and "
        f"{settings.corpus.qa_documents:,} documents with questions of {size.carriers:,} train facts{again}. Those {size.carriers:,} are "
        f"left out of tuning and testing; no question of any other fact is ever read. To tune on: {size.train:,}; to test: {size.test:,}. "
        f"The model has {size.parameters:,} parameters and takes {in_words(size.written_bytes)} on disk."
    )


def _made_words(settings: PretrainSettings, stamp: str) -> list[str]:
    card = own_reads.made(settings, stamp)
    if card is None:
        return []
    told = card.details.get("training", {})
    return [
        f"{card.name} is made: {card.parameters or 0:,} parameters, {told.get('tokens', 0):,} tokens in {told.get('steps', 0):,} steps, "
        f"{told.get('seconds', 0):,.0f} s. One training; another seed may differ."
    ]
