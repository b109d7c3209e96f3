"""Importing a bundle in a dialog, what was imported with a way to remove it, and the note that stands on every imported result."""

import streamlit as st

from pages._ui import address, background, state
from pages._ui.bundles import bundle_reads
from pages._ui.links import page_link
from pages._ui.panels import problem
from pages._ui.wording import literal, moment
from sftqa_core.artifacts import in_words
from sftqa_core.records import STUDIES
from sftqa_core.records.bundles import MAX_FILE_BYTES, ORIGIN, ImportedBundle


def import_button() -> None:
    """A button that opens the dialog."""
    st.button("Import a bundle", icon=":material/unarchive:", key="import-open", on_click=_show, args=(True,))
    if st.session_state.get("import-shown") == address.visit():
        _dialog()


def origin_note(bundle: str) -> None:
    """On a page that shows an imported run or study: whose it is, from when, and what may be relied on; nothing for one's own."""
    if not bundle:
        return
    about = next((known for known in bundle_reads.imported() if known.name == bundle), None)
    when = "" if about is None else f", imported {moment(about.imported)}, made {moment(about.made)} with version {about.program}"
    st.info(f"**{literal(f'Imported: {bundle}')}**{literal(when)}. {ORIGIN} No work here ever reuses them.", icon=":material/unarchive:")


def _show(shown: bool = False) -> None:
    st.session_state["import-shown"] = address.visit() if shown else None


@st.dialog("Import a bundle", width="large", on_dismiss=_show)
def _dialog() -> None:
    st.markdown(
        "Runs, comparisons and studies that somebody packed with `sftqa bundle`. They are kept apart from your own results, are labelled "
        "wherever they appear, and no probe, run or study ever reuses them."
    )
    # any ending is taken: the browser would refuse others without a word
    file = st.file_uploader(f"A bundle of up to {in_words(MAX_FILE_BYTES)} (.zip)", key="import-file")
    if st.button("Check and import", type="primary", disabled=file is None, key="import-start") and file is not None:
        with st.spinner("Checking every file, and counting its studies again. A large study takes a minute…"):
            bundle, why = bundle_reads.import_upload(file.name, file.getvalue())
        if bundle is None:
            problem(why)
        else:
            st.success(f"{literal(bundle.name)} was imported: {_parts(bundle)}. {ORIGIN}", icon=":material/task_alt:")
    if (trouble := state.kept_problem()) is not None:
        problem(trouble)
    if known := bundle_reads.imported():
        st.markdown("**Imported bundles**")
        for one in known:
            _row(one)


def _parts(bundle: ImportedBundle) -> str:
    counts = {"run": len(bundle.runs), "study, or cells of one": len(bundle.studies)}
    several = {"run": "runs", "study, or cells of one": "studies, or cells of them"}
    return ", ".join(f"{count:,} {name if count == 1 else several[name]}" for name, count in counts.items() if count)


def _row(bundle: ImportedBundle) -> None:
    with st.container(horizontal=True, vertical_alignment="center", key=f"bundle-{bundle.name}"):
        about = f"{moment(bundle.imported)} · {_parts(bundle)}, {in_words(bundle.size_bytes)}"
        st.markdown(f"**{literal(bundle.name)}** · {literal(about)}", width="stretch")
        if bundle.runs:
            page_link("pages/results.py", "Results", f"bundle-run-{bundle.name}", to={"run": bundle.runs[0]}, then=_show)
            if len(bundle.runs) > 1:
                page_link(
                    "pages/compare.py", "Compare", f"bundle-compare-{bundle.name}", to={"runs": ",".join(bundle.runs[:60])}, then=_show
                )
        for study in background.studies():
            if study.bundle == bundle.name and study.whole:
                kind = STUDIES[study.settings.kind]
                page_link(kind.page, kind.title, f"bundle-study-{study.name}", to={"study": study.name}, then=_show)
        st.button("Remove", icon=":material/delete:", key=f"bundle-remove-{bundle.name}", on_click=_remove, args=(bundle.name,))
    licences = "; ".join(f"{name}: {licence}" for name, licence in bundle.licences.items())
    st.caption(literal(f"Licences, as its maker says: {licences}."))


def _remove(bundle: str) -> None:
    if why := bundle_reads.remove(bundle):
        state.keep_problem(why)
