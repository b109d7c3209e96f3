"""A person's own facts from a file."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from sftqa_core.errors import FactsError
from sftqa_core.knowledge.facts import LARGE_FACTS
from sftqa_core.knowledge.relations import statement_prompts
from sftqa_core.knowledge.tables import files as own
from sftqa_core.knowledge.tables import rows
from sftqa_core.knowledge.tables.files import load_own
from sftqa_core.knowledge.tables.rows import drawn_split
from tests.amount import FULL

SIDECAR = """
[rivers]
label = "mouth"
domain = "out"
question = "Where does {subject} end?"
templates = ["{subject} flows into", "The mouth of {subject} is in"]
"""
SAVE = "In the spreadsheet, save it as CSV UTF-8."
NAMED = " Name the columns behind the file's name, such as f.csv?{}=COLUMN"


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def problems(path: Path) -> list[str]:
    with pytest.raises(FactsError) as caught:
        load_own(path)
    return caught.value.problems


def test_csv_triples_of_a_built_in_relation(tmp_path: Path) -> None:
    """Answers stand in one cell with bars or as a JSON list, empty splits are drawn, questions are filled in."""
    lines = ["Relation,Subject,Object,Split,Exposures", "P17,Hull,UK|England,test,3"]
    lines += ['P17,"Qom, old","[""Iran""]",validation,', "", "P26,Ann,Bob,,"]
    path = write(tmp_path / "mine.csv", "\n".join(lines))
    source = load_own(path)
    facts = source.facts
    assert facts["answers"].tolist() == [["UK", "England"], ["Iran"], ["Bob"]]
    assert facts["split"].tolist() == ["test", "dev", drawn_split("Ann")]
    assert facts["question"].tolist()[:2] == ["Which country is Hull located in?", "Which country is Qom, old located in?"]
    assert facts["exposures"].tolist()[0] == 3
    assert facts["domain"].tolist() == ["in", "in", "out"]
    assert facts["source"].unique().tolist() == ["mine.csv"]
    assert list(source.relations) == ["P17", "P26"]
    assert source.report.facts == 3


def test_a_moved_file_keeps_its_fact_ids(tmp_path: Path) -> None:
    """Ids hold the file's name, not its folder."""
    text = "relation,subject,object\nP17,Hull,UK\n"
    (tmp_path / "b").mkdir()
    first, second = load_own(write(tmp_path / "f.csv", text)), load_own(write(tmp_path / "b" / "f.csv", text))
    assert first.facts["fact_id"].tolist() == second.facts["fact_id"].tolist()
    assert first.fingerprint == second.fingerprint


def test_new_relations_come_from_the_file_beside(tmp_path: Path) -> None:
    """A sidecar gives label, domain, question and templates."""
    write(tmp_path / "r.relations.toml", SIDECAR)
    source = load_own(write(tmp_path / "r.csv", "relation,subject,object\nrivers,the Rhine,North Sea\n"))
    assert source.facts["question"].tolist() == ["Where does the Rhine end?"]
    assert source.facts["domain"].tolist() == ["out"]
    assert source.relations["rivers"].templates[0] == "{subject} flows into"


def test_new_relations_come_from_a_column(tmp_path: Path) -> None:
    """Templates in a column work with the row's own question, and with a plain form where it has none."""
    lines: list[dict] = [
        {"relation": "mouth", "subject": "Rhine", "answers": ["sea"], "question": "Where to?", "templates": ["{subject} ends in"]}
    ]
    lines.append({"relation": "mouth", "subject": "Inn", "answers": ["Danube"]})
    source = load_own(write(tmp_path / "r.jsonl", "\n".join(map(json.dumps, lines))))
    assert statement_prompts(source.relations["mouth"], "Rhine", "Where to?") == ["Rhine ends in"]
    assert source.facts["question"].tolist() == ["Where to?", "What is the mouth of Inn?"]


def test_a_relation_without_a_gap_for_subjects_needs_questions(tmp_path: Path) -> None:
    """A relation whose form is only {question} can't ask about a subject."""
    write(tmp_path / "f.relations.toml", '[ask]\nquestion = "{question}"\ntemplates = ["{question} Well:"]\n')
    found = problems(write(tmp_path / "f.csv", "relation,subject,object\nask,Rhine,Sea\n"))
    assert found == ["f.csv, row 2, question: is empty, and relation ask has no question form with {subject}."]


def test_question_answer_pairs_get_generic_paraphrases(tmp_path: Path) -> None:
    """Bare pairs need no relation; the question is the subject and stands in all 21 paraphrases."""
    source = load_own(
        write(tmp_path / "qa.jsonl", '{"question": "Who wrote {x}?", "answer": "Ann"}\n\n{"question": "When?", "answer": 1984}\n')
    )
    assert source.facts["subject"].tolist() == ["Who wrote {x}?", "When?"]
    assert source.facts["answers"].tolist() == [["Ann"], ["1984"]]
    assert source.facts["relation"].unique().tolist() == ["qa"]
    prompts = statement_prompts(source.relations["qa"], "Who wrote {x}?", "Who wrote {x}?")
    assert len(prompts) == 21
    assert all("Who wrote {x}?" in prompt for prompt in prompts)


def test_parquet_lists_and_numbers(tmp_path: Path) -> None:
    """Parquet's lists become answers, missing numbers stay missing."""
    path = tmp_path / "p.parquet"
    pd.DataFrame(
        {"relation": ["P17", "P17"], "subject": ["Hull", "Qom"], "answers": [["UK", "England"], ["Iran"]], "exposures": [math.nan, 4.0]}
    ).to_parquet(path)
    facts = load_own(path).facts
    assert facts["answers"].tolist() == [["UK", "England"], ["Iran"]]
    assert facts["exposures"].isna().tolist() == [True, False]


def test_rows_of_one_subject_are_merged(tmp_path: Path) -> None:
    """Two rows of one key are one fact with both answers."""
    source = load_own(write(tmp_path / "f.csv", "relation,subject,object,split\nP17,Hull,UK,train\nP17,Hull,England,train\n"))
    assert source.facts["answers"].tolist() == [["UK", "England"]]
    assert (source.report.merged, source.report.unique) == (1, 1)


def test_every_problem_is_told_by_row_and_column(tmp_path: Path) -> None:
    """All faults of a file come at once, rows counted as a spreadsheet counts them."""
    text = (
        "relation,subject,object,split,domain,exposures\nP17,,UK,,,\nP17,Qom,|,later,,\nP999,Ann,Bob,,,\nP999,Eve,Bob,,,\n"
        "P17,A\x07,UK,,inner,-1\nP17,B,UK,,in,1.5\nP17,C,UK,,out,\n"
    )
    assert problems(write(tmp_path / "f.csv", text)) == [
        "f.csv, row 2, subject: is empty.",
        "f.csv, row 3, object: is empty.",
        "f.csv, row 3, split: must be train, dev, test or none, got 'later'.",
        "f.csv, row 4, relation: 'P999' is not built in and brings no templates: "
        "add a column 'templates' such as \"{subject} flows into | The mouth of {subject} is in\", or a file f.relations.toml beside this "
        "one, or read them as question-answer pairs: f.csv?read=pairs.",
        "f.csv, row 6, subject: holds a control character: 'A\\x07'.",
        "f.csv, row 6, exposures: must be a whole number from 0, got '-1'.",
        "f.csv, row 6, domain: must be in or out, got 'inner'.",
        "f.csv, row 7, exposures: must be a whole number from 0, got '1.5'.",
        "f.csv, row 8, domain: is 'out', but row 2 has 'in' for the same relation.",
    ]


def test_json_values_of_the_wrong_kind_are_told(tmp_path: Path) -> None:
    """NaN, objects, empty lists and lines that are no objects are named."""
    good = '{"relation": "P17", "subject": "Hull", "answers": %s}\n'
    found = problems(write(tmp_path / "f.jsonl", "".join(good % value for value in ("NaN", "[]", '{"a": 1}', '["x", null]'))))
    assert found == [
        "f.jsonl, row 1, answers: is empty.",
        "f.jsonl, row 2, answers: is an empty list.",
        "f.jsonl, row 3, answers: must be text, got {'a': 1} (dict).",
        "f.jsonl, row 4, answers: is empty.",
    ]
    found = problems(write(tmp_path / "g.jsonl", '{"a": \n[1]\n'))
    assert found[0].startswith("g.jsonl, row 1: is not readable JSON")
    assert found[1] == "g.jsonl, row 2: must be an object, got list."


def test_a_long_list_of_problems_is_cut(tmp_path: Path) -> None:
    """Twenty problems are written out, the others counted."""
    found = problems(write(tmp_path / "f.csv", "relation,subject,object\n" + "P17,,UK\n" * 1_000))
    assert len(found) == 21
    assert found[-1] == "... and 980 more."


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "relation,subject\nP17,Hull\n",
            "f.csv has no column for the answers (answers or object); its columns are relation, subject." + NAMED.format("answers"),
        ),
        (
            "subject,object\nHull,UK\n",
            "f.csv has subjects but no column 'relation'; its columns are subject, object." + NAMED.format("relation"),
        ),
        (
            "object\nUK\n",
            "f.csv has neither a column 'subject' (facts) nor 'question' (question-answer pairs); its columns are object."
            + NAMED.format("question"),
        ),
        ("relation,subject,object\n", "f.csv holds no facts: there is no row under its columns."),
        ("", "f.csv is empty."),
        (
            "relation,subject,object\nP17,Hull,UK,more\n",
            "f.csv, row 2: more cells than the 3 columns; put quotes around text with a comma.",
        ),
        (
            "relation,subject,object,templates\nrivers,Rhine,Sea,no gap\n",
            "f.csv, row 2, templates: Relation rivers, template 1: "
            "must hold {subject} (or {question}) exactly once, got no placeholder in 'no gap'.",
        ),
    ],
)
def test_files_that_hold_no_facts_are_refused(tmp_path: Path, text: str, message: str) -> None:
    """Each message says what was wrong and what was seen."""
    assert problems(write(tmp_path / "f.csv", text)) == [message]


def test_wrong_encodings_and_kinds_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Latin-1 text, a broken Parquet file, an unknown ending, a missing file, too many bytes or rows: each is said."""
    (tmp_path / "latin.csv").write_bytes("relation,subject,object\nP17,Köln,DE\n".encode("latin-1"))
    assert problems(tmp_path / "latin.csv")[0].startswith("latin.csv is not UTF-8: line 2 holds the byte 0xf6.")
    write(tmp_path / "bad.parquet", "nonsense, but long enough")
    assert problems(tmp_path / "bad.parquet")[0].startswith("bad.parquet is not a readable Parquet file")
    assert (
        problems(write(tmp_path / "f.xlsx", "x"))[0]
        == f"f.xlsx: files of facts end in .csv, .tsv, .txt, .json, .jsonl, .ndjson, .parquet. {SAVE}"
    )
    assert "does not exist" in problems(tmp_path / "none.csv")[0]
    good = write(tmp_path / "f.csv", "relation,subject,object\nP17,Hull,UK\nP17,Qom,Iran\n")
    monkeypatch.setattr(rows, "MAX_ROWS", 1)
    assert problems(good) == ["f.csv has more than 1 rows, the most that can be used. Cut it into smaller files."]
    monkeypatch.setattr(own, "MAX_BYTES", 10)
    assert problems(good)[0].startswith("f.csv has 49 bytes; a file of facts may have 10.")


def test_a_broken_file_of_relations_is_told(tmp_path: Path) -> None:
    """Every fault of the sidecar is named with its relation; bad TOML is said to be that."""
    path = write(tmp_path / "f.csv", "relation,subject,object\nrivers,Rhine,Sea\n")
    side = write(tmp_path / "f.relations.toml", '[rivers]\nquestion = "Where?"\ntemplates = []\n[lakes]\nsize = 3\n')
    text = "\n".join(problems(path))
    assert "f.relations.toml: Relation rivers, question: must hold {subject} (or {question}) exactly once" in text
    assert "f.relations.toml: Relation rivers needs at least one template." in text
    assert "f.relations.toml: Relation has no setting 'size'" in text
    write(side, "rivers = [")
    assert problems(path)[0].startswith("f.relations.toml is not readable TOML")


def test_drawn_splits_have_the_stated_shares() -> None:
    """About 70, 10 and 20 of a hundred subjects; a subject's spelling in other spaces changes nothing."""
    drawn = [drawn_split(f"Subject {n}") for n in range(10_000)]
    assert [round(drawn.count(split) / 10_000, 2) for split in ("train", "dev", "test")] == [0.7, 0.1, 0.2]
    assert drawn_split("New York") == drawn_split(" New  York")


def test_a_large_file_is_read_in_seconds(tmp_path: Path) -> None:
    """More rows than an ordinary source has come through whole."""
    many = 50_000 if FULL else LARGE_FACTS + 1_000
    path = write(tmp_path / "f.csv", "relation,subject,object\n" + "".join(f"P17,Subject {n},Iran\n" for n in range(many)))
    source = load_own(path)
    assert (len(source.facts), source.large) == (many, True)


def test_files_of_millions_of_rows_are_refused_before_they_fill_the_memory(tmp_path: Path) -> None:
    """Five times as many rows as may be, as CSV and as JSON Lines: refused after those that may be, with less than 50 bytes a row."""
    assert rows.MAX_ROWS == 2_000_000
    most = rows.MAX_ROWS if FULL else rows.MAX_ROWS // 10
    script = """
import resource, sys
from pathlib import Path
from sftqa_core.errors import FactsError
from sftqa_core.knowledge.tables import files, rows
files.MAX_ROWS = rows.MAX_ROWS = int(sys.argv[1])
for path in sys.argv[2:]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        files.load_own(Path(path))
    except FactsError as error:
        print(error)
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * (1024 if sys.platform == "linux" else 1))
"""
    paths = []
    for name, head, row in (("f.csv", "relation,subject,object\n", "P17,S,UK\n"), ("f.jsonl", "", '{"relation": "P17"}\n')):
        paths.append(tmp_path / name)
        with paths[-1].open("w") as file:
            file.write(head)
            for _ in range(50):
                file.write(row * (most // 10))
    done = subprocess.run([sys.executable, "-c", script, str(most), *paths], capture_output=True, text=True, check=True, timeout=300)
    said = done.stdout.splitlines()
    assert said[::2] == [
        f"{path.name} has more than {most:,} rows, the most that can be used. Cut it into smaller files." for path in paths
    ]
    assert sum(map(int, said[1::2])) < 50 * most


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_a_line_without_end_is_not_read_to_its_end(tmp_path: Path, suffix: str) -> None:
    """Four million bytes without a line break are no row."""
    path = write(tmp_path / f"f.{suffix}", "relation,subject,object\nP17," + "x" * 5_000_000)
    assert problems(path) == [f"f.{suffix}, line 2 has more than 4,000,000 bytes, so this is not a table of facts."]


def test_one_question_of_many_facts_is_refused(tmp_path: Path) -> None:
    """A question's right answers are right for each fact that asks it: thousands by thousands would be millions."""
    text = "relation,subject,object,question\n" + "".join(f"P17,S{n},O{n},Who?\n" for n in range(3_000))
    assert problems(write(tmp_path / "f.csv", text)) == ["The question 'Who?' has 3,000 different answers, the most is 2,000."]


def test_lone_carriage_returns_end_lines_too(tmp_path: Path) -> None:
    """As old spreadsheets wrote them; a quoted cell may hold line breaks of any kind."""
    (tmp_path / "f.csv").write_bytes(b'relation,subject,object\rP17,Hull,UK\rP17,"Q\nom",Iran\r')
    assert load_own(tmp_path / "f.csv").facts["subject"].tolist() == ["Hull", "Q\nom"]


def test_pipes_devices_and_links_without_end_are_no_files(tmp_path: Path) -> None:
    """Opening them would wait, or read, for ever."""
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "zero.csv").symlink_to("/dev/zero")
    (tmp_path / "loop.csv").symlink_to(tmp_path / "loop.csv")
    os.mkfifo(tmp_path / "f.relations.toml")
    for name in ("pipe", "zero", "loop"):
        assert problems(tmp_path / f"{name}.csv") == [f"{tmp_path / name}.csv does not exist."]
    assert problems(write(tmp_path / "f.csv", "relation,subject,object\nP17,A,B\n")) == [f"{tmp_path}/f.relations.toml is not a file."]


def test_a_million_faults_are_counted_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After so many a file is not read on, and the message says so."""
    monkeypatch.setattr(rows, "MAX_PROBLEMS", 50)
    found = problems(write(tmp_path / "f.csv", "relation,subject,object\n" + "P17,,UK\n" * 1_000))
    assert len(found) == 21
    assert found[-1] == "... and more than 30 more; it was not read on."


def test_relations_without_number_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In question-answer pairs any text can name a relation."""
    monkeypatch.setattr(rows, "MAX_RELATIONS", 5)
    text = "relation,question,answer\n" + "".join(f"r{n},Who {n}?,x\n" for n in range(6))
    assert problems(write(tmp_path / "f.csv", text)) == ["f.csv holds more than 5 different relations. Cut it into smaller files."]
