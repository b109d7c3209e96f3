"""Files of facts: whatever a file holds, it is a table of facts or an error of ours."""

import contextlib
import csv
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sftqa_core.errors import FactsError, SettingsError
from sftqa_core.knowledge.facts import COLUMNS, fact_id, has_control
from sftqa_core.knowledge.relations import Relation, relations_toml
from sftqa_core.knowledge.tables.files import load_own, read_relations
from sftqa_core.records import DOMAINS, SPLITS
from tests.amount import FULL
from tests.properties.made import changes, file_of, file_texts, mutated, texts, told, values

NAMES = ["relation", "subject", "object", "answers", "question", "split", "domain", "exposures", "templates", "other", "Relation "]
GOOD = "relation,subject,object,split\nP17,Hull,UK,test\nP19,Ann,Oslo|Rome,\nP26,Bo,Cy,train\n"
names = st.one_of(texts, st.sampled_from(["a.b", "." * 60, '"', "a\\b", "\x7f", "x]\n[y", "P17", "="]))
BASIS = pa.table({"relation": ["P17"] * 40, "subject": [f"S{n}" for n in range(40)], "answers": [["UK", "England"]] * 40})


def table_or_error(path) -> None:
    """The facts of a file keep every promise of the fact table; a file without says why, in not too many words."""
    try:
        facts = load_own(path).facts
    except FactsError as error:
        told(error.problems)
        return
    assert set(COLUMNS) <= set(facts.columns)
    assert len(facts)
    assert facts["fact_id"].is_unique
    for row in facts.itertuples():
        assert row.fact_id == fact_id(path.name, row.relation, row.subject)
        assert all(text.strip() and not has_control(text) and len(text) <= 2_200 for text in (row.subject, row.question, *row.answers))
        assert row.split in (*SPLITS, "none")
        assert row.domain in DOMAINS


@given(header=st.lists(st.sampled_from(NAMES), min_size=1, max_size=6), rows=st.lists(st.lists(file_texts, max_size=6), max_size=5))
def test_any_table_as_csv_is_facts_or_an_error(header, rows):
    """Known columns in any order and number, cells of anything, delimiters as a spreadsheet writes them."""
    text = io.StringIO()
    csv.writer(text, delimiter=";" if len(rows) % 2 else ",").writerows([header, *rows])
    table_or_error(file_of(text.getvalue(), "f.csv"))


@given(st.binary(max_size=300))
def test_any_bytes_as_csv_are_facts_or_an_error(content):
    """No text at all, or none in UTF-8."""
    table_or_error(file_of(content, "b.csv"))


@given(changes)
def test_a_damaged_csv_is_facts_or_an_error(damage):
    """Single bytes of a good file replaced."""
    table_or_error(file_of(mutated(GOOD.encode(), damage), "d.csv"))


@given(st.lists(st.dictionaries(st.one_of(st.sampled_from(NAMES), texts), values, max_size=6), max_size=4))
def test_any_objects_as_json_lines_are_facts_or_an_error(rows):
    """Values of every type, NaN and numbers of any size, half characters."""
    table_or_error(file_of("\n".join(map(json.dumps, rows)), "f.jsonl"))


@given(changes)
def test_damaged_json_lines_are_facts_or_an_error(damage):
    """Single bytes of a good file replaced."""
    good = '{"relation": "P17", "subject": "Hull", "answers": ["UK"], "exposures": 3}\n' * 2
    table_or_error(file_of(mutated(good.encode(), damage), "d.jsonl"))


@given(
    st.lists(
        st.tuples(st.sampled_from(["P17", "P26"]), st.from_regex(r"[A-Za-z0-9é字][A-Za-z0-9é字 .'-]{0,20}", fullmatch=True)),
        min_size=1, max_size=5, unique_by=lambda row: " ".join(row[1].split()),
    )
)  # fmt: skip
def test_good_rows_come_back_the_same_from_every_format(rows):
    """CSV, JSON Lines and Parquet of the same facts give the same table, but for the file's name."""
    columns = {"relation": [r for r, _ in rows], "subject": [s for _, s in rows], "object": ["Oslo"] * len(rows)}
    text = io.StringIO()
    csv.writer(text).writerows([columns, *zip(*columns.values(), strict=True)])
    pq.write_table(pa.table(columns), (packed := file_of(b"", "same.parquet")))
    lines = "\n".join(json.dumps(dict(zip(columns, row, strict=True))) for row in zip(*columns.values(), strict=True))
    found = [load_own(path).facts for path in (file_of(text.getvalue(), "same.csv"), file_of(lines, "same.jsonl"), packed)]
    asked = [facts[["relation", "subject", "answers", "question", "split", "domain"]].to_dict("records") for facts in found]
    assert asked[0] == asked[1] == asked[2]
    assert [row["subject"] for row in asked[0]] == [subject.strip() for _, subject in rows]


NAMES_OF_PEOPLE = st.from_regex(r"[A-Za-z字é][A-Za-z字é .'-]{0,18}[A-Za-z字é]", fullmatch=True)
LAYOUT_FILES = {  # of pairs: file name -> its content
    "json.csv": lambda rows: _as_csv([{"question": q, "answers": json.dumps(a)} for q, a in rows]),
    "python.csv": lambda rows: _as_csv([{"question": q, "answers": repr(a)} for q, a in rows]),
    "bars.csv": lambda rows: _as_csv([{"question": q, "answers": "|".join(a)} for q, a in rows]),
    "numpy.csv": lambda rows: _as_csv([{"question": q, "answers": f"array({a!r}, dtype=object)"} for q, a in rows]),
    "tabs.tsv": lambda rows: "question\tanswers\n" + "".join(f"{q}\t{json.dumps(a)}\n" for q, a in rows),
    "semicolons.csv": lambda rows: _as_csv([{"question": q, "answers": json.dumps(a)} for q, a in rows], ";"),
    "lines.jsonl": lambda rows: "\n".join(json.dumps({"question": q, "answers": a}) for q, a in rows),
    "array.json": lambda rows: json.dumps([{"question": q, "answers": a} for q, a in rows]),
    "popqa.tsv": lambda rows: _as_csv([{"prop": "", "question": q, "possible_answers": json.dumps(a)} for q, a in rows], "\t"),
    "kilt.jsonl": lambda rows: "\n".join(json.dumps({"input": q, "output": [{"answer": one} for one in a]}) for q, a in rows),
    "squad.jsonl": lambda rows: "\n".join(json.dumps({"question": q, "answers": [{"text": one} for one in a]}) for q, a in rows),
    "squad_lists.jsonl": lambda rows: "\n".join(json.dumps({"question": q, "answers": {"text": a, "answer_start": []}}) for q, a in rows),
    "triviaqa.jsonl": lambda rows: "\n".join(json.dumps({"question": q, "answer": {"value": a[0], "aliases": a}}) for q, a in rows),
    "alpaca.json": lambda rows: json.dumps([{"instruction": q, "input": "", "output": a} for q, a in rows]),
    "simpleqa.csv": lambda rows: _as_csv([{"metadata": "{'topic': ''}", "problem": q, "answer": json.dumps(a)} for q, a in rows]),
    "mapped.csv?question=ask&answers=say": lambda rows: _as_csv([{"ask": q, "say": json.dumps(a), "answers": "x"} for q, a in rows]),
}


def _as_csv(rows, delimiter=","):
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


@settings(max_examples=15 if FULL else 5)  # each goes through every layout
@given(
    st.lists(
        st.tuples(NAMES_OF_PEOPLE.map("Who is {}?".format), st.lists(NAMES_OF_PEOPLE, min_size=1, max_size=3, unique=True)),
        min_size=1, max_size=4, unique_by=lambda row: " ".join(row[0].split()),
    )
)  # fmt: skip
def test_facts_come_back_the_same_through_every_layout(rows):
    """Questions and all their answers, in order, whatever the field's layout in which they were written."""
    for name, write in LAYOUT_FILES.items():
        file, _, query = name.partition("?")
        facts = load_own(file_of(write(rows), file), query=query).facts
        assert list(zip(facts["question"], facts["answers"], strict=True)) == rows, name


@settings(max_examples=60)
@given(changes)
def test_a_damaged_parquet_file_is_facts_or_an_error(damage):
    """Bytes replaced anywhere: in pages, in their headers, in the file's own numbers."""
    whole = io.BytesIO()
    pq.write_table(BASIS, whole)
    table_or_error(file_of(mutated(whole.getvalue(), damage), "d.parquet"))


@given(st.lists(values, min_size=1, max_size=4), st.sampled_from(["subject", "answers", "exposures", "split"]))
def test_any_column_of_parquet_is_facts_or_an_error(cells, name):
    """Whatever type pyarrow makes of a column."""
    try:
        column = pa.array(cells)
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        return
    columns = {"relation": ["P17"] * len(cells), "subject": [f"S{n}" for n in range(len(cells))], "answers": ["x"] * len(cells)}
    path = file_of(b"", "c.parquet")
    try:
        pq.write_table(pa.table({**columns, name: column}), path)
    except (pa.ArrowException, NotImplementedError):
        return
    table_or_error(path)


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_the_checks_above_can_fail(tmp_path, suffix):
    """An error of another tree passes through `table_or_error`: it is no `FactsError`."""
    with pytest.raises(AttributeError):
        table_or_error(str(tmp_path / f"f.{suffix}"))


@given(st.dictionaries(names, st.tuples(texts, st.sampled_from(DOMAINS), st.lists(texts, min_size=1, max_size=4)), max_size=4))
def test_relations_come_back_as_they_were_written(drawn):
    """Any relation that can be built: quotes, control characters and dots in its id, any number of templates."""
    relations = {}
    for name, (text, domain, endings) in drawn.items():
        with contextlib.suppress(SettingsError):
            templates = tuple(f"{{subject}} {ending} in" for ending in endings)
            relations[name] = Relation(name, text, domain, "Where is {subject}?", templates)
    if relations:
        assert read_relations(file_of(relations_toml(relations), "r.relations.toml")) == relations
