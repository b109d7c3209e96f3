"""What study pages share: which study, how far it is, charts by domain, what it found, its numbers and its file."""

from collections import Counter
from collections.abc import Callable, Hashable
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from pages._ui import address, background, drawn, panels, pickers, resources, state
from pages._ui.bundles.bundle_panel import origin_note
from pages._ui.charts import Point, draw
from pages._ui.columns import draw_table
from pages._ui.compare import compare_picks
from pages._ui.downloads import csv_button, share_button
from pages._ui.labels import label_panel, label_reads
from pages._ui.runs.forms import file_button
from pages._ui.runs.job_panel import job_panel
from pages._ui.studies.start_dialog import ask_to_start
from pages._ui.titles import labelled, model_name, study_title, with_names
from pages._ui.wording import VERDICTS, literal, percent, sentence
from sftqa_core.figures.matrices import matrix_figure
from sftqa_core.records import DOMAIN_NAMES, STUDIES, Finding, Labelled, StudyReport, StudySettings
from sftqa_core.records.amounts import signed
from sftqa_core.reports import study_words

SHOWN_AT_ONCE = 4  # answers to one question
REDRAWN_S = 60.0  # while a study runs: counting it takes seconds, in which the page fades
ENOUGH_HELPS = {"smallest": "Share of resamples in which this number is the smallest within 95% of the best."}


def study_head(kind: str, caption: str) -> tuple[StudySettings, StudyReport, resources.Tables]:
    """Title, and a study of this kind to pick, how far it is, a way to go on; returns it with its report and the report's tables.

    Ends the page where there is no such study, or nothing of it is done.
    """
    st.title(STUDIES[kind].title)
    st.caption(caption)
    return study_body(kind)


def study_body(
    kind: str, fits: Callable[[StudySettings], bool] = lambda settings: True, none_yet: Callable[[], None] | None = None
) -> tuple[StudySettings, StudyReport, resources.Tables]:
    """The same without a title, of the studies that fit; `none_yet` draws what stands in their place where there are none."""
    label_panel.notices()
    with panels.errors_shown():
        shown = (study for study in background.studies() if study.whole and study.settings.kind == kind)
        known = {study.name: study for study in shown if fits(study.settings)}
        if not known:
            if none_yet is None:
                panels.empty("No study of this kind has been started yet.", "pages/lab.py", "Start one in the Lab")
            else:
                none_yet()
            address.over()
        name = _pick_study(known)
        study = known[name]
        settings = study.settings
        jobs = [] if study.bundle else state.watched_jobs("study", lambda job: job.settings == settings.to_dict())
        active = [job for job in jobs if job.state in background.ACTIVE]
        finished = [step.done for job in active for step in state.progress_history(job.id) if step.phase == "study"]
        report, tables = resources.study_report(study, f"{background.stamp()} {max(finished, default=0)}")
    _bar(study, report, bool(active))
    origin_note(report.bundle)
    label_panel.note_of("study", name)
    for job in jobs:
        job_panel(job, f"study-{kind}", charts=False)
    if active:
        _redraw_while_running(active[0].id)
    if not report.done:
        panels.empty(study_words.NO_RUNS)
        address.over()
    return settings, report, tables


def _pick_study(known: dict[str, Any]) -> str:
    """The name of a study: at first the newest of which every run is done. The others say how far they are."""
    own = {name: study.settings for name, study in known.items() if not study.shipped and not study.bundle}
    far = background.how_far(own, background.stamp())
    told = {name: " · not finished" if count is None else f" · {count[0]:,} of {count[1]:,} runs done" for name, count in far.items()}
    told |= {name: f" · imported: {study.bundle}" if study.bundle else " · shipped" for name, study in known.items() if name not in own}
    titles = {name: study_title(study.settings) + told.get(name, "") for name, study in known.items()}
    whole = next((name for name in known if name not in far), None)
    first = "the newest" + (" finished one" if whole else "")
    if (wanted := address.value("study")) is not None and wanted not in known and (why := label_reads.why_gone(wanted)):
        address.put(study=None)
        address.say_wrong(f"The study '{literal(wanted[:80])}' is not shown. {sentence(why)}")
    titles = labelled(titles, "study")
    return pickers.linked(
        "Study", list(titles), "study", titles.__getitem__, first=first, explicit=True, default=whole or next(iter(known))
    )


def study_tail(report: StudyReport, tables: dict[str, pd.DataFrame], model: str | None = None) -> None:
    """What was found (of one model, or of all), every table, and what the built-in world makes true."""
    findings(report, model)
    for name, table in tables.items():
        drawn.note_table(name, partial(pd.DataFrame, table))
    panels.folded("All numbers", "numbers", ":material/table:", lambda: _numbers(report.settings.kind, tables), "table")
    cells, title = f"cells-{report.settings.kind}", "Compare cells of this study"
    panels.folded(title, cells, ":material/compare_arrows:", lambda: _compare_cells(report, model))
    panels.planted(report.settings.source)


def _compare_cells(report: StudyReport, model: str | None) -> None:
    """Cells of the study side by side on the page Compare, fact by fact; of one model, or of one to pick."""
    st.caption("Each cell is a run of this study. Compare shows which settings are better, where that can be told, and on which facts.")
    settings = report.settings
    chosen = model or st.selectbox("Model", settings.models, format_func=model_name, key=f"cells-of-{settings.kind}")
    compare_picks.pick_cells(settings, chosen, background.stamp(), [], report.bundle)


def pick_one_model(settings: StudySettings) -> str:
    """One of the study's models, kept in the address."""
    return pickers.linked("Model", settings.models, "model", model_name)


def named(table: Any) -> Any:
    """The table, if there is one, with its models called as people call them."""
    if table is None:
        return None
    columns = [column for column in ("model", "other") if column in table]
    names = {name: model_name(name) for column in columns for name in table[column].dropna().unique()}
    return table.assign(**{column: table[column].map(names) for column in columns})


def domain_columns(table: pd.DataFrame) -> list[tuple[str, Any]]:
    """A column for each domain that the table holds, with its heading drawn."""
    domains = [domain for domain in DOMAIN_NAMES if "domain" in table and (table["domain"] == domain).any()]
    columns = list(zip(domains, st.columns(max(1, len(domains)), gap="large"), strict=False))
    for domain, column in columns:
        column.markdown(f"**{DOMAIN_NAMES[domain].capitalize()} facts**")
    return columns


def draw_by_domain(
    table: pd.DataFrame, key: str, alt: str, figure: Callable[[str], Any], of: Hashable = None,
    opens: Callable[[str, Point], None] | None = None,
) -> None:  # fmt: skip
    """`figure` of each domain that the table holds, side by side; `of` names what else it depends on (see `charts.draw`). `opens` is
    called with the domain and what was clicked there."""
    for domain, column in domain_columns(table):
        kept = None if of is None else (of, domain)
        name = f"{alt}, {domain}-domain"
        point = draw(partial(figure, domain), key=f"{key}-{domain}", alt=name, place=column, of=kept, clickable=opens is not None)
        if point is not None and opens is not None:
            opens(domain, point)


def told_apart(tables: resources.Tables, model: str) -> dict[str, dict[str, str]]:
    """By domain: the columns of the model's matrix in which one row is better than all others, and that row."""
    rows = {domain: {} for domain in DOMAIN_NAMES}  # type: dict[str, dict[str, str]]
    for (whose, domain, test), train in tables.apart.items():
        if whose == model:
            rows[domain][test] = train
    return rows


def pick_shot_lines(table: pd.DataFrame | None) -> pd.DataFrame | None:
    """The k-shot lines to draw, picked by their number of examples (at first the largest); None where the study has none."""
    if table is None or not len(table):
        return None
    counts = sorted(int(count) for count in table["shots"].unique())
    chosen = pickers.linked_pills(
        "k-shot examples instead of tuning", [str(count) for count in counts], "shots", [str(counts[-1])],
        help="Answered questions in front of each question: what the base model does without tuning.",
    )  # fmt: skip
    return table[table["shots"].isin([int(count) for count in chosen])]


def findings(report: StudyReport, model: str | None = None) -> None:
    """What was found, in plain words: of one model, or of all, question by question."""
    whose = f"Findings on {literal(model_name(model))}" if model is not None and len(report.settings.models) > 1 else "Findings"
    st.subheader(whose, anchor=False)
    chosen = [finding for finding in report.findings if model is None or finding.about.split(",")[0] == model]
    if not chosen:
        st.caption(study_words.NO_FINDINGS)
    for question in dict.fromkeys(finding.question for finding in chosen):
        with st.container(border=True):
            _question(question, [finding for finding in chosen if finding.question == question], report.settings.models)
    notes = [f"- {sentence(with_names(note, report.settings.models))}" for note in report.notes]
    panels.folded(study_words.NOTES_TITLE, "how-decided", ":material/gavel:", lambda: st.markdown("\n".join(notes)))


def _question(question: str, answers: list[Finding], models: tuple[str, ...]) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{literal(question)}**", width="content")
        for verdict, count in Counter(finding.verdict for finding in answers).items():
            st.badge(verdict if len(answers) == 1 else f"{count} {verdict}", color=VERDICTS[verdict])
    box = st.container() if len(answers) <= SHOWN_AT_ONCE else st.expander(f"All {len(answers)} answers")
    for finding in answers:
        about, text = (literal(with_names(words, models)) for words in (finding.about, finding.text))
        box.markdown(f"{about}: **{literal(finding.verdict)}**. {text}")


def composition(tables: resources.Tables, model: str, labels: tuple[str, ...]) -> None:
    """What the rows of a matrix were trained on, relation by relation."""
    mix = tables["composition"]
    table = mix[mix["model"] == model].pivot(index="relation", columns="train", values="examples").fillna(0)
    st.caption("Examples per relation, mean over seeds. Relations with the same number at every level do not bias the comparison.")
    st.dataframe(table[[name for name in (*labels, "natural mix") if name in table]].round(1))


def _numbers(kind: str, tables: dict[str, pd.DataFrame]) -> None:
    """Every table behind the page, to read and to download."""
    name = pickers.linked_choice("Table", list(tables), "table")
    draw_table(tables[name])
    csv_button("Download this table", tables[name], f"study-{kind}-{name}", f"{name}-csv")


def retest_note(retest: pd.DataFrame, model: str) -> None:
    """How sure the levels of rows and columns are (METHOD 8.6)."""
    rows = retest[(retest["model"] == model) & retest["moved"].notna()] if len(retest) else retest
    if len(rows):
        shares = ", ".join(f"{row.level} {percent(row.moved, 0)} of {row.facts:,}" for row in rows.itertuples())
        error = (
            "Train and test levels have this error. Memory compares all facts that were probed twice, and 'What moves?' tells the domains "
        )
        error += "apart, so their shares differ from these."
        facts = f"{int(rows['facts'].sum()):,} test facts of both domains were probed twice"
        st.caption(f"Levels have an error. {facts}; the second probe assigns a different level to: {shares}.", help=error)


def published_matrices() -> None:
    """The follow-up paper's matrices, drawn like those of a study."""
    table, source = resources.published("matrix")
    labels = tuple(dict.fromkeys(table["train"]))
    names = list(dict.fromkeys(table["model"]))
    name = pickers.linked_choice("Published model", names, "paper")
    draw_by_domain(
        table[table["model"] == name], "published", f"Published accuracy of {name}", lambda d: matrix_figure(table, name, d, labels)
    )
    st.caption(f"{name}: {source}. Models of billions of parameters: compare shapes, not values.")


def forgetting(table: pd.DataFrame, model: str) -> None:
    """Perplexity of pre-training text before and after."""
    st.markdown("**Held-out pre-training text**")
    rows = table[table["model"] == model] if len(table) else table
    if not len(rows):
        st.caption("The pre-training text of this model is unknown, so forgetting of other text cannot be measured.")
        return
    for row in rows.itertuples():
        seeds = "seeds: " + ", ".join(f"{value:.2f}" for value in row.per_seed)
        change = signed(row.now - row.before, 2)
        st.metric(f"Perplexity after tuning on {row.after}", f"{row.now:.2f}", change, delta_color="inverse", help=seeds)
    st.caption(study_words.FORGETTING)


def _bar(study: Any, report: StudyReport, active: bool) -> None:
    settings = study.settings
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{report.done:,} of {report.planned:,} runs done**", width="content")
        idle = not active and not report.bundle  # nothing is added to an imported study
        if report.done < report.planned and idle and st.button("Run the rest", icon=":material/play_arrow:"):
            ask_to_start("Run the rest", settings)
        if report.done == report.planned and idle:
            more = resources.more_seeds(settings)
            seeds = ", ".join(map(str, more.seeds[len(settings.seeds) :]))
            if st.button("Add two seeds", icon=":material/add:", help=f"Adds runs with seeds {seeds}; finished runs are kept."):
                ask_to_start("Add two seeds", more)
        file_button(settings)
        if not study.bundle:
            share_button([study.name], "study-share")
        with st.popover("Command", icon=":material/terminal:"):
            st.code(f"sftqa study --config {resources.study_name(settings)}.yaml", language="bash", wrap_lines=True)
        if not report.bundle:
            label_panel.label_button(Labelled("study", study.name, study.shipped), "study")


def _redraw_while_running(job_id: str) -> None:
    """Draws the page again as runs are finished, at most once every REDRAWN_S seconds."""
    seen = len(state.progress_history(job_id))

    @st.fragment(run_every=REDRAWN_S)
    def watch() -> None:
        if len(state.progress_history(job_id)) > seen:
            st.rerun()

    watch()
