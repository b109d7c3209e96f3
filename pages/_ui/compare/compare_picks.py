"""What is compared: runs picked from the table, cells of studies, and how; all of it in the address."""

from dataclasses import replace
from types import SimpleNamespace

import streamlit as st

from pages._ui import address, background, panels, pickers
from pages._ui.bundles.bundle_panel import import_button
from pages._ui.compare import compare_reads
from pages._ui.labels import label_reads
from pages._ui.links import open_page
from pages._ui.runs.run_table import run_table, shown_runs
from pages._ui.titles import labelled, model_name, run_title, source_name, study_title
from pages._ui.wording import literal, sentence
from sftqa_core.errors import SftqaError
from sftqa_core.jsonrecord import declared
from sftqa_core.records import ComparedRun, StudySettings, TrainSettings
from sftqa_core.records.result_names import bundle_of, is_cell, own_name, study_and_rest
from sftqa_core.records.setting_words import cell_words

MOST = 60  # references that an address holds
EVERY_PAIR = "every-pair"


def picked_names(stamp: str) -> list[str]:
    """The runs and cells that the address names, each once; those that are not here are left out, and the page says so."""
    asked = list(dict.fromkeys(name for name in (address.value("runs") or "").split(",") if name))
    known = compare_reads.known_settings(tuple(asked[:MOST]), stamp)
    for name in [name for name in asked[:MOST] if name not in known][:3]:
        why = sentence(label_reads.why_gone(name.partition(":")[0]))
        address.say_wrong(f"There is no run or cell '{literal(name[:120])}' here; it is left out. {why}".rstrip())
    if len(asked) > MOST:
        address.say_wrong(f"A link names at most {MOST} runs; the first {MOST} are shown.")
    return [name for name in asked if name in known]


def pick_runs(stamp: str, names: list[str]) -> None:
    """The table of runs, and cells of studies; open until there are two to compare."""
    open_first = st.session_state.setdefault("compare-picking", len(names) < 2)  # and stays so while somebody picks
    with st.expander("Pick runs", expanded=open_first, key="compare-picker", icon=":material/checklist:", on_change="rerun") as box:
        if not box.open:  # the table may be long
            return
        picked = f"{len(names)} picked. " if names else ""
        st.caption(f"{picked}Tick the runs to compare; click the head of a column to sort.")
        run_table(stamp, names, most=MOST)
        with st.container(horizontal=True, vertical_alignment="center"):
            _add_cells(stamp, names)
            import_button()
            st.button("Pick none", icon=":material/close:", disabled=not names, on_click=address.put, kwargs={"runs": None})


def _add_cells(stamp: str, names: list[str]) -> None:
    """Cells of a study: one run of the study each, of which right and wrong are kept."""
    known = {study.name: study for study in background.studies()}
    with st.popover("Cells of a study", icon=":material/grid_view:", key="compare-cells", on_change="rerun") as box:
        if not box.open:
            return
        if not known:
            st.caption("No study has been started yet.")
            return
        origin = {name: f" · imported: {study.bundle}" if study.bundle else "" for name, study in known.items()}
        titles = {name: f"{study.settings.kind}: {study_title(study.settings)}{origin[name]}" for name, study in known.items()}
        titles = labelled(titles, "study")
        name = st.selectbox("Study", list(titles), format_func=titles.__getitem__, key="cells-study")
        model = st.selectbox("Model", known[name].models, format_func=model_name, key=f"cells-model-{name}")
        pick_cells(known[name].settings, model, stamp, names, known[name].bundle)


def pick_cells(settings: StudySettings, model: str, stamp: str, names: list[str], bundle: str = "") -> None:
    """Choose cells of one model, of the study that was imported with `bundle` where one is named; then open Compare with them beside what
    is picked already."""
    try:
        cells = compare_reads.cell_names(settings, model, stamp, bundle)
    except SftqaError as error:
        panels.problem(str(error))
        return
    kinds: dict[str, list[str]] = {}
    for cell, run in cells.items():
        kinds.setdefault(cell_words(run, seed=False), []).append(cell)
    if not kinds:
        st.caption("No run of this study has finished yet.")
        return
    where = f"{settings.fingerprint()[:8]}-{model}{bundle and f'-{bundle}'}"
    chosen = st.multiselect(
        "Settings", list(kinds), key=f"cells-{where}", placeholder="choose one or more", help="All seeds of each are added."
    )
    wanted = [cell for kind in chosen for cell in kinds[kind] if cell not in names]
    several = any(len(kinds[kind]) > 1 for kind in chosen)
    if st.button("Compare", key=f"cells-add-{where}", type="primary", disabled=not wanted, icon=":material/compare_arrows:"):
        link = {"runs": ",".join([*names, *wanted][:MOST])} | ({"pool": "1"} if several else {})
        open_page("pages/compare.py", link)


def options(names: list[str], stamp: str) -> tuple[str, bool, str | None]:
    """Whose levels, whether seeds are pooled, and what is compared with what; asked only where it makes a difference."""
    titles = short_titles(names, stamp)
    ways = {(run.model, run.scheme) for run in compare_reads.known_settings(tuple(names), stamp).values()}
    reference, against, pool = names[0], EVERY_PAIR, False
    if len(names) < 2:
        return reference, pool, None
    first, second, third = st.columns([2, 2, 1], vertical_alignment="bottom")
    if len(ways) > 1:
        about = "Facts are sorted into the memory levels of this run's base model, under its level scheme."
        with first:
            reference = pickers.linked("Levels of", names, "reference", titles.__getitem__, help=about)
    if len(names) > 2:
        about = "Fewer comparisons need less correction: each with one is more likely to tell a difference than every pair."
        words = {EVERY_PAIR: "every pair", **{name: f"each with {title}" for name, title in titles.items()}}
        with second if len(ways) > 1 else first:
            against = pickers.linked("Tests of", list(words), "against", words.__getitem__, help=about)
    about = "Seeds of one setting become one column: each fact's mean over its seeds."
    pool = pickers.linked_toggle("Pool seeds", "pool", third if len(ways) > 1 else second if len(names) > 2 else first, help=about)
    return reference, pool, None if against == EVERY_PAIR else against


def short_titles(names: list[str], stamp: str) -> dict[str, str]:
    """What runs and cells are called before they have letters."""
    table, known = shown_runs(stamp).set_index("id"), compare_reads.known_settings(tuple(names), stamp)
    titles = {}
    for name in names:
        run = known[name]
        if name in table.index:
            when = table.loc[name, "created"]
            method = declared(TrainSettings)["method"].choices[run.method]
            title = f"{model_name(run.model)} · n = {run.n:,} · {method} · seed {run.seed} · {when}"
            titles[name] = " · ".join(filter(None, [label_reads.label_of("run", name).name, title]))
        else:
            titles[name] = f"{model_name(run.model)} · {cell_words(run)} · {_cell_origin(name)}"
    return titles


def _cell_origin(name: str) -> str:
    bundle = bundle_of(name)
    return f"cell of {own_name(study_and_rest(name)[0])}{f' · imported: {bundle}' if bundle else ''}"


def side_title(run: ComparedRun, stamp: str) -> str:
    """One column of the comparison in a line."""
    settings, several = run.settings, len(run.seeds) > 1
    seeds = f"seeds {', '.join(map(str, run.seeds))}" if several else f"seed {settings.seed}"
    if any(map(is_cell, run.names)):
        start = f"{model_name(settings.model)} · {source_name(settings.source)} · {cell_words(settings, seed=False)}"
        return f"{start} · {seeds} · {_cell_origin(run.names[0])}"
    shipped = bool(shown_runs(stamp).set_index("id")["shipped"].get(run.names[0], False))
    one = replace(settings, seed=0) if several else settings  # whose seed would stand for all
    same = {name: getattr(settings, name) for name in ("model", "source", "n", "method", "seed")}
    origin = {"created": run.created, "shipped": shipped, "bundle": bundle_of(run.names[0])}
    title = run_title(SimpleNamespace(**same, settings=one, **origin))
    title = " · ".join([*filter(None, (label_reads.label_of("run", name).name for name in run.names)), title])
    return f"{title} · {seeds}" if several else title
