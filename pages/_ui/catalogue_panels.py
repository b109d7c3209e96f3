"""The parts of the Models page: filters, the table of models, one model's card, and the form that adds one."""

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from pages._ui import address, background, pickers, resources, state
from pages._ui.rows import clicked_row
from pages._ui.titles import model_name
from pages._ui.wording import in_badge, literal, sentence
from sftqa_core.errors import SftqaError

WORKS = {"probe": "probe", "lora": "LoRA", "lora_4bit": "4-bit LoRA", "full": "full"}
STATES = {  # a state -> its words, colour and icon
    "here": ("on this machine", "green", ":material/check_circle:"),
    "to read": ("GGUF, read on first use", "green", ":material/inventory_2:"),
    "downloadable": ("downloadable", "blue", ":material/download:"),
    "gated": ("gated", "orange", ":material/lock:"),
    "not asked": ("not checked", "gray", ":material/help:"),
    "server": ("on a server", "blue", ":material/dns:"),
    "results only": ("results only", "gray", ":material/inventory_2:"),
    "unusable": ("unusable", "red", ":material/error:"),
}
TUNED = ("tuned here", "violet", ":material/model_training:")  # of what a run has kept
_WORDS = (*STATES.values(), TUNED)
FITS = {  # how memory fits -> colour and words
    "now": ("green", "fits now"),
    "not now": ("orange", "more than is free now; fits once other programs are closed"),
    "no": ("red", "more than this machine has"),
    "unknown": ("gray", "fit cannot be estimated: this machine has no such device"),
}
DEVICES = {"cpu": "the CPU", "cuda": "the NVIDIA GPU", "rocm": "the AMD GPU", "mps": "Apple's GPU"}
_KINDS = {True: "chat", False: "base", None: "unknown"}
ROUNDED = "Its values were rounded when the file was made: results are those of this file, not of the unquantised model."
WHERE = ("all", "on this machine", "tuned here", "added")
_WHERE_IT_RUNS = {"auto": "this machine", "cuda": "an NVIDIA GPU"}
_LEAST = "At least: with a batch of 8 short texts."
_LEAST_RUN = f"{_LEAST} A whole run takes more while it answers many test questions at once, where there is room; the Lab tells how much."
_GB = st.column_config.NumberColumn
_COLUMNS = {
    "model": st.column_config.TextColumn("Model", width=225),
    "fits": st.column_config.MultiselectColumn(
        "Fits now", options=list(WORKS.values()), color="green", width=226, help="In the RAM or GPU memory that is free now."
    ),
    "state": st.column_config.MultiselectColumn(
        "State", options=[words for words, _, _ in _WORDS], color=[colour for _, colour, _ in _WORDS], width=124
    ),
    "parameters": st.column_config.NumberColumn("Parameters", format="compact", width="small"),
    "probe": _GB("Probe, GB", format="%.1f", width="small", help=f"{_LEAST} A probe that has room takes more, and is faster."),
    "lora": _GB("LoRA, GB", format="%.1f", width="small", help=_LEAST_RUN),
    "lora_4bit": _GB("4-bit, GB", format="%.1f", width="small", help=f"LoRA on the base model in 4 bits (QLoRA). {_LEAST_RUN}"),
    "full": _GB("Full, GB", format="%.1f", width="small", help=f"Full fine-tuning: all weights, with AdamW. {_LEAST_RUN}"),
    "licence": st.column_config.TextColumn("Licence", width="small"),
    "kind": st.column_config.TextColumn("Kind", width="small"),
}


def filters(stamp: str) -> tuple[str, Callable[[Any], bool]]:
    """Draw the filters, which stand in the address. Returns the device that models are to fit, and the test for models that are shown."""
    first, second, third, fourth, fifth = st.columns([2, 3, 2, 2, 3], vertical_alignment="bottom")
    with first:
        where = pickers.linked("Show", WHERE, "show")
    families = sorted({offer.family for offer in resources.offered("auto", stamp).offers if offer.family})
    chosen = pickers.linked_many("Family", families, "family", place=second, placeholder="all")
    with third:
        device = pickers.linked("Device", tuple(_WHERE_IT_RUNS), "device", _WHERE_IT_RUNS.__getitem__)
    with fourth:
        work = pickers.linked("Fits now for", ("anything", *WORKS), "fits", lambda name: WORKS.get(name, name))
    words = pickers.linked_text("Search", "find", fifth, placeholder="name").casefold()
    work = "" if work == "anything" else work

    def kept(offer: Any) -> bool:
        need = offer.need(work) if work else None
        named = words in f"{offer.card.name} {model_name(offer.card.name)}".casefold()
        fits = not work or (need is not None and need.fits == "now")
        if where == "tuned here":
            there = offer.card.kind == "tuned"
        else:
            there = where == "all" or (offer.added if where == "added" else offer.state in ("here", "to read", "server"))
        return bool(named and fits and there and (not chosen or offer.family in chosen))

    if work and resources.offered(device, stamp).total is None:  # fit cannot be estimated: the filter would hide everything
        work = ""
        fourth.caption("Unknown: no such GPU here.")
    return device, kept


def machine(table: Any) -> str:
    """Which device the table is about, how much of its RAM or GPU memory is free, and what is missing here."""
    if table.total is None:
        free = f"Free on {DEVICES[table.device]}: this machine has no usable one, so fit cannot be estimated."
    else:
        free = f"Free now on {DEVICES[table.device]}: {table.free / 1e9:.1f} of {table.total / 1e9:.1f} GB."
    return f"{free} {table.lacking}".strip()


def offers_table(offers: Sequence[Any], device: str) -> Any:
    """The models as a table; returns the one whose row was opened last, which the address names, else None."""
    names = [offer.card.name for offer in offers]
    wanted = address.value("model")
    rows = pd.DataFrame([_row(offer) for offer in offers], columns=list(_COLUMNS))
    current = names.index(wanted) if wanted in names else None
    only_tuned = all(offer.card.kind == "tuned" for offer in offers)  # their names begin alike: only the whole of them tells them apart
    columns = _COLUMNS | ({"model": st.column_config.TextColumn("Model", width=340)} if only_tuned else {})
    clicked = clicked_row(rows, f"models-{device}", current, height=min(38 + 35 * len(rows), 458), column_config=columns)
    if clicked is not None:
        wanted = names[clicked]
        address.put(model=wanted)
    return next((offer for offer in offers if offer.card.name == wanted), None)


def _row(offer: Any) -> dict[str, Any]:
    needs = {need.work: need for need in offer.needs}
    return {
        "model": _named(offer.card),
        "state": [_state(offer)[0]],
        "parameters": offer.card.parameters,
        "fits": [words for work, words in WORKS.items() if work in needs and needs[work].fits == "now"],
        **{work: needs[work].size_bytes / 1e9 if work in needs else None for work in WORKS},
        "licence": offer.licence or "unknown",
        "kind": _KINDS[offer.chat],
    }


def _named(card: Any) -> str:
    """A model as it is typed; what a run kept, or a GGUF file, as people call it: its own name says little, or where it is kept."""
    if card.quantisation:
        return model_name(card.name, card.quantisation)
    return model_name(card.name) if card.kind == "tuned" else str(card.name)


def _state(offer: Any) -> tuple[str, str, str]:
    return TUNED if offer.card.kind == "tuned" and offer.state == "here" else STATES[offer.state]


def details(offer: Any | None) -> None:
    """One model: its state, what it needs, what to do next."""
    if offer is None:
        return
    card = offer.card
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{literal(_named(card))}**", width="content")
            words, colour, icon = _state(offer)
            st.badge(words, icon=icon, color=colour)
            if card.quantisation:
                st.badge(in_badge(card.quantisation), icon=":material/compress:", color="gray", help=ROUNDED)
            if offer.added:
                st.badge("added", icon=":material/playlist_add_check:", color="gray")
            for need in offer.needs:
                tone, fit = FITS[need.fits]
                st.badge(f"{WORKS[need.work]} {need.size_bytes / 1e9:.1f} GB", color=tone, help=f"{fit[0].upper()}{fit[1:]}.")
        st.caption(" · ".join(_facts(offer)))
        if card.kind == "tuned":
            st.markdown(literal(card.note))
            st.code(f"sftqa export {card.name.removeprefix('run:')} --out FOLDER", language="bash", wrap_lines=True)
        if offer.todo:
            st.markdown(sentence(offer.todo))
        if offer.state == "unusable" and card.architecture == "lora adapter":
            _base_form(card.name)
        with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
            _links(offer)


def _base_form(name: str) -> None:
    """Takes the place of an adapter's base model, whose own files name another."""
    with st.form("base-form", border=False), st.container(horizontal=True, vertical_alignment="bottom"):
        st.text_input("Base model of this adapter", key="model-base", placeholder="folder or owner/name")
        st.form_submit_button("Use this base model", key="model-base-set", on_click=_name_base, args=(name,))


def _name_base(name: str) -> None:
    try:
        card, _ = resources.add_model(name, st.session_state["model-base"])
    except SftqaError as error:
        state.keep_problem(str(error))
    else:
        address.put(model=card.name)
        state.toast_later(f"The base model of {literal(name)} was set.")


def _facts(offer: Any) -> list[str]:
    card = offer.card
    pieces = ["a good first real model"] if offer.advised else []
    pieces.append(f"{card.parameters:,} parameters" if card.parameters else "size unknown")
    pieces.append(literal(card.architecture) if card.kind == "server" and card.architecture else "")
    pieces.append(f"{_KINDS[offer.chat]} model" if offer.chat is not None else "")
    pieces.append(f"context window {offer.context:,} tokens" if offer.context else "")
    pieces.append(f"licence {literal(offer.licence)}" if offer.licence else "licence unknown")
    if card.kind == "server":
        tokenizer = card.details.get("served", {}).get("tokenizer")
        pieces.append(f"tokenizer of {literal(tokenizer)}" if tokenizer else "sent as texts: no tokenizer was named")
    if card.kind == "hub":
        pieces.append(f"{offer.size_bytes / 1e9:.1f} GB to download" if offer.size_bytes and not card.available else "")
        pieces.append(f"revision {card.revision[:12]}" if card.revision else "revision unknown until downloaded")
    return [piece for piece in pieces if piece]


def _links(offer: Any) -> None:
    name = offer.card.name
    if offer.state in ("downloadable", "gated", "not asked"):
        fetch = (background.fetch, name)
        st.button("Download", type="primary", icon=":material/download:", key="model-fetch", on_click=state.start, args=fetch)
    if offer.state == "to read":
        st.button("Read it now", icon=":material/download:", key="model-fetch", on_click=state.start, args=(background.fetch, name))
    if offer.state != "unusable":
        link = {"model": name}
        st.page_link("pages/memory.py", label="Open in Memory", icon=":material/psychology:", query_params=link)
        if offer.state not in ("server", "results only"):  # whose weights are not here
            st.page_link("pages/lab.py", label="Open in the Lab", icon=":material/science:", query_params=link)
    if offer.card.kind == "tuned":
        run = {"run": name.removeprefix("run:")}
        st.page_link("pages/results.py", label="See its run", icon=":material/insights:", query_params=run)
    if offer.state == "gated":
        page = f"https://huggingface.co/{'/'.join(name.partition('@')[0].split('/')[:2])}"  # a subfolder has none of its own
        st.link_button("Open its hub page", page, icon=":material/open_in_new:", type="tertiary")
    if offer.added:
        icon = ":material/playlist_remove:"
        st.button("Remove from the list", icon=icon, key="model-remove", on_click=_remove, args=(name,), help="Its files are kept.")


def add_button() -> None:
    """A popover that takes a hub id, a folder or a GGUF file."""
    with st.popover("Add a model", icon=":material/playlist_add:", on_change="rerun", key="model-box", width="stretch"):
        st.markdown(
            "A hub id such as `owner/name`, a folder that `save_pretrained` wrote, or the path of a GGUF file (Ollama, LM Studio, "
            "llama.cpp). Adding a model downloads nothing."
        )
        with st.form("model-form", border=False):
            st.text_input("Hub id, folder or GGUF file", key="model-name", placeholder="owner/name")
            st.form_submit_button("Add", type="primary", key="model-add", on_click=_add)


def _add() -> None:
    name = st.session_state["model-name"].strip()
    try:
        card, note = resources.add_model(name)
    except SftqaError as error:
        state.keep_problem(str(error))
    else:
        address.put(model=card.name)
        address.put(show=None, family=None, fits=None, find=None)  # else it might not be seen
        state.toast_later(f"{literal(card.name)} was added to the list.")
        if note:
            state.keep_problem(note)
        st.session_state["model-name"] = ""
    st.session_state["model-box"] = False


def _remove(name: str) -> None:
    try:
        if note := resources.remove_model(name):
            state.keep_problem(note)
    except SftqaError as error:
        state.keep_problem(str(error))
    else:
        address.put(model=None)
        state.toast_later(f"{literal(name)} was removed from the list.")
