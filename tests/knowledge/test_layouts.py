"""Files as people have them: every layout of the field gives its facts, or says what was seen and what would help."""

import csv
import datetime
import decimal
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from sftqa_core.errors import FactsError
from sftqa_core.knowledge import sources
from sftqa_core.knowledge.facts import FactSource
from sftqa_core.knowledge.tables import archives, json_files
from sftqa_core.knowledge.tables.layouts import LAYOUTS, OWN, query_of, read_query

BOOKS = {"Harbor Lights": ["Mira Tannenbaum", "M. Tannenbaum"], "Silent Dune": ["Okan Bey"], "Tin Parade": ["Jo Abara"]}
ASKED = {f"Who wrote {book}?": names for book, names in BOOKS.items()}
FIRST = {question: names[:1] for question, names in ASKED.items()}


def read(path: Path, content: str | bytes, query: str = "") -> FactSource:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return sources.open_source(f"{path}{query}")


def asked(source: FactSource) -> dict[str, list[str]]:
    """Question -> right answers."""
    return dict(zip(source.facts["question"], source.facts["answers"], strict=True))


def problems(path: Path, content: str | bytes, query: str = "") -> list[str]:
    with pytest.raises(FactsError) as caught:
        read(path, content, query)
    return caught.value.problems


def table(rows: list[dict[str, Any]], delimiter: str = ",") -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def lines(rows: list[Any]) -> str:
    return "\n".join(map(json.dumps, rows))


POPQA = [
    {"id": n, "subj": book, "prop": "author", "obj": names[0], "question": f"Who wrote {book}?", "possible_answers": json.dumps(names)}
    for n, (book, names) in enumerate(BOOKS.items())
]
MESSAGES = [
    [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": question},
        {"role": "assistant", "content": names[0]},
        {"role": "user", "content": "Sure?"},
        {"role": "assistant", "content": "Yes"},
    ]
    for question, names in FIRST.items()
]
SHAREGPT = [[{"from": "human", "value": question}, {"from": "gpt", "value": names[0]}] for question, names in FIRST.items()]
IN_PARTS = [[{"role": turn["role"], "content": [{"type": "text", "text": turn["content"]}]} for turn in turns] for turns in MESSAGES]
TRIVIA = [
    {"question": q, "answer": {"value": names[0], "aliases": names, "normalized_aliases": [n.lower() for n in names]}}
    for q, names in ASKED.items()
]
SQUAD = [{"question": q, "answers": [{"text": name, "answer_start": 0} for name in names]} for q, names in ASKED.items()]
SQUAD_FILE = {"version": "1.1", "data": [{"title": "Books", "paragraphs": [{"context": "...", "qas": SQUAD}]}]}
PAIRS = [{"question": q, "answers": names} for q, names in ASKED.items()]
SINGLE = [{"question": q, "answer": names[0]} for q, names in FIRST.items()]
COLUMNS = {name: {str(n): row[name] for n, row in enumerate(PAIRS)} for name in ("question", "answers")}
SPLIT_FRAME = {"columns": ["question", "answers"], "index": [0, 1, 2], "data": [list(row.values()) for row in PAIRS]}
KILT = [{"input": q, "output": [*({"answer": name} for name in names), {"provenance": []}]} for q, names in ASKED.items()]
RENAMED = {
    name: [{asks: q, says: names[0]} for q, names in FIRST.items()]
    for name, asks, says in [
        ("Alpaca", "instruction", "output"),
        ("prompt and completion", "prompt", "completion"),
        ("SimpleQA", "problem", "answer"),
    ]
}


@pytest.mark.parametrize(
    ("name", "content", "layout", "wanted"),
    [
        ("popqa.tsv", table(POPQA, "\t"), "PopQA", ASKED),
        ("alpaca.json", json.dumps(RENAMED["Alpaca"]), "Alpaca", FIRST),
        ("alpaca.jsonl", lines(RENAMED["Alpaca"]), "Alpaca", FIRST),
        ("trl.jsonl", lines(RENAMED["prompt and completion"]), "prompt and completion", FIRST),
        ("simpleqa.csv", table(RENAMED["SimpleQA"]), "SimpleQA", FIRST),
        ("messages.jsonl", lines([{"messages": turns} for turns in MESSAGES]), "chat messages", FIRST),
        ("sharegpt.json", json.dumps([{"conversations": turns} for turns in SHAREGPT]), "chat messages", FIRST),
        ("kilt.jsonl", lines(KILT), "KILT", ASKED),
        ("triviaqa.jsonl", lines(TRIVIA), "TriviaQA", ASKED),
        ("triviaqa.json", json.dumps({"Data": TRIVIA, "Version": 1.0}), "TriviaQA", ASKED),
        ("squad.jsonl", lines(SQUAD), "SQuAD", ASKED),
        ("squad.json", json.dumps(SQUAD_FILE), "SQuAD", ASKED),
        ("hub_viewer.json", json.dumps({"rows": [{"row_idx": n, "row": row} for n, row in enumerate(PAIRS)]}), OWN, ASKED),
        ("dpr.json", json.dumps([{**row, "positive_ctxs": []} for row in PAIRS]), OWN, ASKED),
        ("pandas_columns.json", json.dumps(COLUMNS), OWN, ASKED),
        ("pandas_split.json", json.dumps(SPLIT_FRAME), OWN, ASKED),
        ("of_lists.json", json.dumps({name: list(column.values()) for name, column in COLUMNS.items()}), OWN, ASKED),
        ("array.jsonl", json.dumps(PAIRS), OWN, ASKED),
        ("lines.json", lines(PAIRS), OWN, ASKED),
        ("pretty.json", json.dumps(PAIRS, indent=2), OWN, ASKED),
        ("trailing.jsonl", ",\n".join(map(json.dumps, SINGLE)) + ",\n", OWN, FIRST),
        ("trailing.json", json.dumps(SINGLE)[:-1] + ",\n]\n", OWN, FIRST),
        ("lines.ndjson", lines(PAIRS), OWN, ASKED),
        ("blanks.csv", '\ufeff"Question" ,"Answer "\n' + "".join(f'"{q}" ,"{n[0]}" \n' for q, n in FIRST.items()), OWN, FIRST),
        ("sep.csv", "\ufeffsep=;\nquestion;answer\n" + "".join(f"{q};{n[0]}\n" for q, n in FIRST.items()), OWN, FIRST),
        ("by_count.csv", "question;answer;note, if any\n" + "".join(f"{q};{n[0]};\n" for q, n in FIRST.items()), OWN, FIRST),
        ("bars.txt", "question|answer\n" + "".join(f"{q}|{n[0]}\n" for q, n in FIRST.items()), OWN, FIRST),
        ("plain_no_header.csv", "".join(f"{q},{n[0]}\n" for q, n in FIRST.items()), OWN, FIRST),
        ("by_id.json", json.dumps({f"q{n}": row for n, row in enumerate(PAIRS)}), OWN, ASKED),
        ("parts.jsonl", lines([{"messages": turns} for turns in IN_PARTS]), "chat messages", FIRST),
        ("no_header.csv", "".join(f"{q}\t{names!r}\n" for q, names in ASKED.items()), OWN, ASKED),
    ],
)  # fmt: skip
def test_layouts_are_read_by_their_columns(tmp_path, name, content, layout, wanted):
    """Each layout gives the same questions and answers, and the preview names it."""
    assert asked(read(tmp_path / name, content)) == wanted
    view = sources.preview(str(tmp_path / name))
    assert (view.layout, view.facts, view.faults) == (layout, 3, ())


def test_facts_of_lama_and_counterfact_keep_relation_and_subject(tmp_path):
    """Triples with a built-in id; CounterFact's prompts and LAMA's templates serve relations that are not built in."""
    lama = [{"sub_label": book, "predicate_id": "P50", "obj_label": names[0]} for book, names in BOOKS.items()]
    rewrites = [
        {"requested_rewrite": {"prompt": prompt, "relation_id": "P9", "target_true": {"str": "Oslo"}, "subject": who}}
        for prompt, who in (("{} was born in", "Ann"), ("The birthplace of {} is", "Bo"), ("{} was born in", "Cy"))
    ]  # fmt: skip
    other = [{"sub_label": "Ann", "predicate_id": "P9", "obj_label": "Oslo", "template": "[X] was born in [Y] ."}]
    first = read(tmp_path / "lama.jsonl", lines(lama))
    assert first.facts[["relation", "subject", "answers"]].to_numpy().tolist() == [
        ["P50", book, names[:1]] for book, names in BOOKS.items()
    ]
    second = read(tmp_path / "counterfact.json", json.dumps(rewrites))
    assert second.relations["P9"].templates == ("{subject} was born in", "The birthplace of {subject} is")
    assert second.facts["subject"].tolist() == ["Ann", "Bo", "Cy"]
    assert read(tmp_path / "other.jsonl", lines(other)).relations["P9"].templates == ("{subject} was born in",)


@pytest.mark.parametrize(
    "cell",
    [
        "['Jo Abara', 'J. A.']", '["Jo Abara", "J. A."]', "('Jo Abara', 'J. A.')", "{'Jo Abara', 'J. A.'}", "['Jo Abara' 'J. A.']",
        "['Jo Abara'\n 'J. A.']", "array(['Jo Abara', 'J. A.'], dtype=object)", "{'text': ['Jo Abara', 'J. A.'], 'answer_start': [0, 4]}",
        "{'text': array(['Jo Abara', 'J. A.'], dtype=object), 'answer_start': array([0, 4])}", "[{'text': 'Jo Abara'}, {'text': 'J. A.'}]",
        "{'value': 'Jo Abara', 'aliases': ['J. A.']}", "Jo Abara | J. A.", "[np.str_('Jo Abara'), np.str_('J. A.')]",
        "frozenset({'Jo Abara', 'J. A.'})", "[‘Jo Abara’, ‘J. A.’]",
    ],
)  # fmt: skip
def test_a_list_written_as_text_is_several_answers(tmp_path, cell):
    """JSON's, Python's and numpy's spellings in a cell of CSV."""
    assert asked(read(tmp_path / "f.csv", table([{"question": "Who?", "answers": cell}]))) == {"Who?": ["Jo Abara", "J. A."]}


@pytest.mark.parametrize(
    ("cell", "answer"),
    [
        ("(Sandy) Alex G", "(Sandy) Alex G"), ("[sic]", "[sic]"), ("(4, 5)", "(4, 5)"), ("{1}", "{1}"), ("set()", "set()"),
        ("[__import__('os')]", "[__import__('os')]"), ("3.14", "3.14"), ("'s-Hertogenbosch", "'s-Hertogenbosch"),
    ],
)  # fmt: skip
def test_a_name_in_brackets_stays_a_name(tmp_path, cell, answer):
    """What spells no list of texts is an answer as it stands, and nothing in it is run."""
    assert asked(read(tmp_path / "f.csv", table([{"question": "Who?", "answers": cell}]))) == {"Who?": [answer]}


@pytest.mark.parametrize(
    ("cell", "fault"),
    [
        ("['Jo", 'begins as a list and has no end: "[\'Jo"'),
        ("['it's']", "looks like a list, but is neither JSON's nor Python's: \"['it's']\""),
        ("['a' 'b' ... 'z']", "looks like a list, but is neither JSON's nor Python's: \"['a' 'b' ... 'z']\""),
        ("[]", "is an empty list"),
        (f"[{'9' * 5000}]", "looks like a list, but is neither JSON's nor Python's: '[9999"),
        ("one\ttwo", "holds a line break or a tab: 'one\\ttwo'. An answer is a short text on one line"),
    ],
)
def test_a_list_that_cannot_be_read_is_refused_by_row(tmp_path, cell, fault):
    """Never taken for one answer that no model would give."""
    content = table([{"question": "Who?", "answers": cell}])
    (refused,) = problems(tmp_path / "f.csv", content)
    assert refused.startswith(f"f.csv, row 2, answers: {fault}")


def test_numbers_and_dates_are_written_as_people_do(tmp_path):
    """Whole floats without their point in every format, dates in ISO form; a file of versions keeps its points."""
    years = "question,answer\nWhen A?,1984.0\nWhen B?,1871.0\n"
    assert list(asked(read(tmp_path / "years.csv", years)).values()) == [["1984"], ["1871"]]
    assert sources.open_source(str(tmp_path / "years.csv")).notes == ("2 answers are written as 1984.0; they are read as 1984.",)
    (tmp_path / "dates.csv").write_text("question,answer\nWhen?,1984-03-01 00:00:00\n")
    assert asked(sources.open_source(str(tmp_path / "dates.csv"))) == {"When?": ["1984-03-01"]}
    versions = "question,answer\nWhich A?,3.0\nWhich B?,3.1\n"
    assert list(asked(read(tmp_path / "versions.csv", versions)).values()) == [["3.0"], ["3.1"]]
    values = [
        1984.0,
        datetime.date(1984, 3, 1),
        datetime.datetime(1984, 3, 1),
        datetime.datetime(1984, 3, 1, 12),
        decimal.Decimal("7.00"),
        2.5,
    ]
    found = []
    for value in values:
        pd.DataFrame({"question": ["When?"], "answer": [value]}).to_parquet(tmp_path / "v.parquet")
        sources._opened.clear()
        found += asked(sources.open_source(str(tmp_path / "v.parquet")))["When?"]
    assert found == ["1984", "1984-03-01", "1984-03-01", "1984-03-01 12:00:00", "7", "2.5"]


WHO, WHAT = ["Ann", "Bo", "Cy"], ["x", "y", "z"]
CHOICES = {
    "columns": table(
        [{"question": q, **dict(zip("ABC", of, strict=True)), "answer": a} for q, of, a in (("Who?", WHO, "C"), ("What?", WHAT, "A"))]
    ),
    "options": table(
        [
            {"question": q, **{f"option{n}": text for n, text in enumerate(of, 1)}, "answer": a}
            for q, of, a in (("Who?", WHO, 3), ("What?", WHAT, 1))
        ]
    ),
    "names": table(
        [
            {"question": q, **{f"option{n}": text for n, text in enumerate(of, 1)}, "answer": a}
            for q, of, a in (("Who?", WHO, "option3"), ("What?", WHAT, "Option 1"))
        ]
    ),
    "names from 0": table(
        [
            {"question": q, **{f"option{n}": text for n, text in enumerate(of)}, "answer": a}
            for q, of, a in (("Who?", WHO, "option2"), ("What?", WHAT, "option0"))
        ]
    ),
    "an empty one": lines(
        [{"question": "Who?", "choices": ["Ann", "", "Cy"], "answer": 2}, {"question": "What?", "choices": WHAT, "answer": 0}]
    ),
    "bars": table(
        [{"question": "Who?", "options": "|".join(WHO), "answer": "c"}, {"question": "What?", "options": "|".join(WHAT), "answer": "a)"}]
    ),
    "text": table(
        [
            {"question": q, "options": f"A) {of[0]}; B) {of[1]}; C) {of[2]}", "answer": a}
            for q, of, a in (("Who?", WHO, "C"), ("What?", WHAT, "A"))
        ]
    ),
    "labelled": lines(
        [
            {"question": q, "options": [f"{x}. {text}" for x, text in zip("ABC", of, strict=True)], "answer": a}
            for q, of, a in (("Who?", WHO, "C"), ("What?", WHAT, "A"))
        ]
    ),
    "ai2": lines(
        [
            {"question": {"stem": q, "choices": [{"text": text, "label": x} for x, text in zip("ABC", of, strict=True)]}, "answerKey": a}
            for q, of, a in (("Who?", WHO, "C"), ("What?", WHAT, "A"))
        ]
    ),
    "list": lines([{"question": "Who?", "choices": WHO, "answer": 2}, {"question": "What?", "choices": WHAT, "answer": 0}]),
    "arc": lines(
        [
            {"question": "Who?", "choices": {"text": WHO, "label": ["1", "2", "3"]}, "answerKey": "3"},
            {"question": "What?", "choices": {"text": WHAT, "label": ["A", "B", "C"]}, "answerKey": "A"},
        ]
    ),
    "object": lines(
        [
            {"question": "Who?", "options": dict(zip("ABC", WHO, strict=True)), "answer": "(C)"},
            {"question": "What?", "options": dict(zip("ABC", WHAT, strict=True)), "answer": "x"},
        ]
    ),
}


@pytest.mark.parametrize("kind", CHOICES)
def test_the_letter_of_an_option_becomes_its_text(tmp_path, kind):
    """Options in columns, lists and objects; letters, labels, numbers from 0 and from 1, or the text itself."""
    source = read(tmp_path / ("f.jsonl" if CHOICES[kind].startswith("{") else "f.csv"), CHOICES[kind])
    assert asked(source) == {"Who?": ["Cy"], "What?": ["x"]}


def test_questions_that_squad_leaves_unanswered_are_left_out_and_counted(tmp_path):
    """An answer with an empty text list is no fault of the file."""
    rows = [
        {"question": "Who?", "answers": {"text": ["Bo"], "answer_start": [1]}},
        {"question": "Why?", "answers": {"text": [], "answer_start": []}},
    ]
    source = read(tmp_path / "f.jsonl", lines(rows))
    assert asked(source) == {"Who?": ["Bo"]}
    assert source.notes == ("1 rows have no answer, as SQuAD marks questions that its text does not answer; they are left out.",)


def test_letters_that_name_no_option_are_refused_or_told(tmp_path):
    """A letter beyond the options, numbers that may count from 0 or from 1, and letters of a file without options."""
    beyond = table([{"question": "Who?", "A": "Ann", "B": "Bo", "answer": "B"}, {"question": "What?", "A": "x", "B": "y", "answer": "D"}])
    assert problems(tmp_path / "f.csv", beyond) == ["f.csv, row 3, answer: is 'D', which names none of the options (A 'x', B 'y')."]
    outside = table([{"question": "Who?", "A": "Ann", "B": "Bo", "answer": "E"}, {"question": "What?", "A": "x", "B": "y", "answer": "F"}])
    assert problems(tmp_path / "o.csv", outside)[0] == "o.csv, row 2, answer: is 'E', which names none of the options (A 'Ann', B 'Bo')."
    both = table([{"question": "Who?", "A": "Ann", "B": "Bo", "C": "Cy", "answer": "A, C"}])
    assert asked(read(tmp_path / "b.csv", both)) == {"Who?": ["Ann", "Cy"]}
    unclear = lines([{"question": "Who?", "choices": ["Ann", "Bo", "Cy"], "answer": 1}])
    assert problems(tmp_path / "g.jsonl", unclear) == [
        "g.jsonl, row 1, answer: is 1; it can't be told whether options are counted from 0 or from 1. Write the option's letter or text."
    ]
    (note,) = read(tmp_path / "h.csv", "question,answer\nWho?,C\nWhat?,A\n").notes
    assert note.startswith("2 of 2 answers are a single letter, such as 'C'.")
    assert "?choices=COLUMN" in note


def test_tables_with_tabs_keep_every_row_whatever_quotes_they_hold(tmp_path):
    """A lone quote is a character; a field that is wholly and rightly quoted loses its quotes."""
    text = 'question\tanswer\nWho made Hero?\t"Bo Dahl\nWho made Red?\tMo\nWhat size is an LP?\t12"\n'
    text += 'Who sang?\t"Odd Al" Jansson\nWho?\t"Al ""Odd"" Jansson"\n'
    assert list(asked(read(tmp_path / "f.tsv", text)).values()) == [
        ['"Bo Dahl'],
        ["Mo"],
        ['12"'],
        ['"Odd Al" Jansson'],
        ['Al "Odd" Jansson'],
    ]


def test_a_quoted_field_of_a_table_with_tabs_may_be_of_any_length(tmp_path):
    """The csv module's limit of a field is no crash: the row is refused as any other that is too wide."""
    text = f'question\tanswer\nWho?\t"{"x" * 200_000}\ty"\n'
    assert problems(tmp_path / "f.tsv", text) == ["f.tsv, row 2: more cells than the 2 columns; write a tab inside a text as a space."]


def test_columns_with_two_meanings_are_topics_or_ignored_and_told_once(tmp_path):
    """`subject` beside questions and `domain` without in and out: a topic where its texts recur, else left out."""
    rows = [{"question": f"Who {n}?", "subject": "art" if n < 3 else "law", "answer": "Bo", "domain": f"d{n}"} for n in range(5)]
    source = read(tmp_path / "f.csv", table(rows))
    assert source.facts["relation"].tolist() == ["art"] * 3 + ["law"] * 2
    assert source.notes == (
        "Column 'subject': the questions are facts of their own, so it is read as the questions' topic.",
        "Column 'domain' is ignored: it holds neither in nor out.",
    )
    assert read(tmp_path / "f.csv", table(rows), "?topic=domain&subject=").facts["relation"].nunique() == 5


def test_one_question_in_two_spellings_is_not_trained_and_tested(tmp_path):
    """Case and punctuation aside the train questions are the test one, so they belong to no split; the table says how many."""
    text = "question,answer,split\nWho wrote Tin?,Jo,train\nWho wrote Tin ?,Jo,test\nwho wrote tin?,Jo,train\nWho wrote Hat?,Kim,train\n"
    source = read(tmp_path / "f.csv", text)
    assert source.facts["split"].tolist() == ["none", "test", "none", "train"]
    assert source.report.excluded_from_train == 2
    assert source.notes == ("2 facts ask what a test or dev fact asks, but for case and punctuation: kept out of training.",)


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_a_mapping_names_the_columns_of_any_file(tmp_path, suffix):
    """Behind the path, into objects too; the facts keep the ids that the file's name gives them."""
    frame = pd.DataFrame(
        [
            {"who": {"name": "Ann"}, "born": "Oslo", "prop": "P19", "note": ""},
            {"who": {"name": "Bo"}, "born": "Rome", "prop": "P19", "note": ""},
        ]
    )
    path = tmp_path / f"f.{suffix}"
    if suffix == "csv":
        frame.to_csv(path, index=False)
    elif suffix == "jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_parquet(path)
    name = f"{path}?subject=who.name&relation=prop&object=born"
    facts = sources.open_source(name).facts
    assert facts[["relation", "subject", "answers", "source"]].to_numpy().tolist() == [
        ["P19", "Ann", ["Oslo"], f"f.{suffix}"],
        ["P19", "Bo", ["Rome"], f"f.{suffix}"],
    ]
    view = sources.preview(name)
    assert view.roles == {"subject": "who.name", "relation": "prop", "answers": "born"}
    assert view.ignored == ("note",)


def test_a_refusal_names_what_was_seen_and_the_mapping_that_would_help(tmp_path):
    """Guessed from names and from texts that end with a question mark; nested names are written out."""
    assert problems(tmp_path / "f.jsonl", lines([{"frage": "Wer?", "antwort": "Bo"}])) == [
        "f.jsonl has no column for the answers (answers or object); its columns are frage, antwort. "
        "Name the columns behind the file's name, such as f.jsonl?question=frage&answers=antwort"
    ]
    deep = lines([{"data": {"user_query": "Who?", "gold_answer": "Bo"}, "k": 1}])
    assert problems(tmp_path / "g.jsonl", deep) == [
        "g.jsonl has no column for the answers (answers or object); its columns are data.user_query, data.gold_answer, k. "
        "Name the columns behind the file's name, such as g.jsonl?question=data.user_query&answers=data.gold_answer"
    ]
    assert asked(read(tmp_path / "g.jsonl", deep, "?question=data.user_query&answers=data.gold_answer")) == {"Who?": ["Bo"]}
    assert problems(tmp_path / "g.jsonl", deep, "?question=ask&answers=k")[0].startswith(
        "g.jsonl has no column 'ask' (wanted as question); its"
    )
    assert problems(tmp_path / "g.jsonl", deep, "?colour=k")[0].startswith("'colour' is not allowed after the question mark; allowed are ")


def test_relations_without_templates_can_be_read_as_pairs(tmp_path):
    """On request the relation's name makes the question; an id makes none, unless the row has its own question."""
    text = "relation,subject,object\nmouth,Rhine,Sea\nP17,Hull,UK\n"
    source = read(tmp_path / "f.csv", text, "?read=pairs")
    assert source.facts[["relation", "subject", "question"]].to_numpy().tolist() == [
        ["mouth", "What is the mouth of Rhine?", "What is the mouth of Rhine?"],
        ["P17", "Hull", "Which country is Hull located in?"],
    ]
    assert len(source.relations["mouth"].templates) == 21
    assert sources.preview(str(tmp_path / "f.csv")).new_relations == {"mouth": ["Rhine"]}
    ids = problems(tmp_path / "g.csv", "relation,subject,object\nP9999,Rhine,Sea\n", "?read=pairs")
    assert ids == [
        "g.csv, row 2, relation: 'P9999' is an id, so no question can be made of it: add a column 'question', or put the relation's "
        "name there."
    ]


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        (["[Paris]", "[Rome]"], "2 of 2 answers stand in brackets, such as '[Paris]'"),
        (['"Paris"', '"Rome"'], "2 of 2 answers stand in quotes, such as '\"Paris\"'. They are left out"),
        (["Paris.", "Rome."], "2 of 2 answers end with a mark, such as 'Paris.'. They are left out"),
        (["Par\u00adis", "Rome\u200b"], "2 of 2 answers hold characters that can't be seen (soft hyphen, zero width space)"),
        (["東京", "パリ"], "2 of 2 answers are in a script that is written without spaces"),
        (["x" * 101, "y" * 101], "2 of 2 answers have more than 100 characters"),
        (["Jo; J. A. Bo", "Bo / Bob"], "2 of 2 answers hold a semicolon or a slash between words, such as 'Jo; J. A. Bo'"),
        (["452390400000", "452476800000"], "2 of 2 answers are numbers of 11 to 13 digits, such as '452390400000': dates as milliseconds"),
        (["Ben &amp; Jerry", "Rome"], "1 of 2 answers hold HTML, Markdown or broken characters, such as 'Ben &amp; Jerry'"),
        (["nan", "Rome"], "1 of 2 answers say that there is none, such as 'nan'"),
        (["Paris", "Rome"], ""),
        (["Washington D.C.", "Paris", "Rome"], ""),
    ],
)  # fmt: skip
def test_what_most_answers_share_is_said_before_anything_is_measured(tmp_path, answers, said):
    """Each note names the share, an example and the fix; ordinary answers have none."""
    notes = read(tmp_path / "f.jsonl", lines([{"question": f"Q{n}?", "answer": a} for n, a in enumerate(answers)])).notes
    assert len(notes) == bool(said)
    assert said in "".join(notes)


def test_a_parquet_file_of_unknown_columns_shows_all_that_hold_texts(tmp_path):
    """Not only those whose names are known: the answers stand in another."""
    frame = pd.DataFrame({"id": [1], "question": ["Who?"], "answerText": ["Bo"], "category": ["books"]})
    frame.to_parquet(tmp_path / "f.parquet")
    view = sources.preview(str(tmp_path / "f.parquet"))
    assert view.columns == ("id", "question", "answerText", "category")
    assert view.guess == {"question": "question", "answers": "answerText"}
    assert view.faults[0].endswith("such as f.parquet?answers=answerText")
    assert asked(sources.open_source(f"{tmp_path}/f.parquet?answers=answerText")) == {"Who?": ["Bo"]}


def test_a_greeting_is_no_answer_and_a_list_of_marks_is_no_guess(tmp_path):
    """Of a chat the reply behind the first question counts; what is offered as answers holds texts."""
    turns = [{"role": "assistant", "content": "Hi"}, {"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Bo"}]
    assert asked(read(tmp_path / "f.jsonl", lines([{"messages": turns}]))) == {"Who?": ["Bo"]}
    (tmp_path / "g.jsonl").write_text(lines([{"question": "Who?", "mc1": {"choices": ["Bo", "Cy"], "labels": [1, 0]}}]))
    assert sources.preview(str(tmp_path / "g.jsonl")).guess["question"] == "question"
    assert sources.preview(str(tmp_path / "g.jsonl")).guess.get("answers") != "mc1.labels"


def test_a_column_of_split_names_is_the_split_and_ids_of_relations_are_told(tmp_path):
    """`set` with nothing but names of splits; a relation P9 of the file's own is asked by its id, which the notes say."""
    text = "question,answer,set\nWho?,Bo,train\nWhat?,Cy,TEST\n"
    assert read(tmp_path / "f.csv", text).facts["split"].tolist() == ["train", "test"]
    lama = lines([{"sub_label": "Ann", "predicate_id": "P9", "obj_label": "Oslo", "template": "[X] was born in [Y] ."}])
    (note,) = read(tmp_path / "g.jsonl", lama).notes
    assert note.startswith("1 relations have an id for a name: P9 is asked as 'What is the P9 of {subject}?', with 1 of the paper's 21")


def test_files_that_begin_with_something_else_are_told_so(tmp_path):
    """An empty line, a remark, another mark named by sep=, text behind a closing quote, a workbook."""
    assert problems(tmp_path / "a.csv", "\nquestion,answer\nWho?,Bo\n")[0].startswith("a.csv begins with an empty line.")
    assert problems(tmp_path / "b.csv", "# my facts\nquestion,answer\nWho?,Bo\n") == [
        "b.csv: the first line has one column, '# my facts', and the next line 2. "
        "The first line must name the columns, such as question,answer."
    ]
    assert asked(read(tmp_path / "c.csv", "sep=^\nquestion^answer\nWho?^Bo\n")) == {"Who?": ["Bo"]}
    assert problems(tmp_path / "d.csv", 'question,answer\nWho?,"Odd Al" Jansson\n')[0].endswith("double the quotes in a quoted cell.")
    two = {"train": [SINGLE[0]], "test": SINGLE[1:]}
    assert read(tmp_path / "e.json", json.dumps(two)).facts["split"].tolist() == ["train", "test", "test"]
    assert asked(read(tmp_path / "g.json", json.dumps(ASKED))) == ASKED


def test_marks_that_turn_the_reading_direction_are_left_out_of_answers(tmp_path):
    """They would be refused elsewhere, since a text with them reads as another."""
    source = read(tmp_path / "f.jsonl", lines([{"question": "Who?", "answer": "\u202bRome\u202c"}]))
    assert asked(source) == {"Who?": ["Rome"]}
    assert source.notes == ("1 answers held marks that turn the reading direction; the marks are left out.",)


def test_one_json_value_may_have_so_many_bytes_and_must_hold_rows(tmp_path, monkeypatch):
    """An object without rows is named by its keys; a file beyond the limit is to be written in lines."""
    assert problems(tmp_path / "f.json", '{"version": 1, "note": "x"}') == [
        "f.json has no column for the answers (answers or object); its columns are version, note. "
        "Name the columns behind the file's name, such as f.json?question=COLUMN&answers=COLUMN"
    ]
    assert problems(tmp_path / "g.json", "[1, 2]")[0] == "g.json, entry 1: must be an object, got int."
    monkeypatch.setattr(json_files, "MAX_WHOLE_BYTES", 10)
    (refused,) = problems(tmp_path / "h.json", json.dumps(PAIRS))
    assert refused.endswith("the most is 10. Write one object a line (JSON Lines).")


def write_zip(path: Path, members: dict[str, str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_zips_and_folders_of_files_are_read(tmp_path, monkeypatch):
    """One file with its relations; a file a split by its name; several that do not say how they belong together."""
    text = "relation,subject,object\nmouth,Rhine,Sea\n"
    toml = '[mouth]\nquestion = "Where does {subject} end?"\ntemplates = ["{subject} flows into"]\n'
    one = write_zip(tmp_path / "one.zip", {"in/f.csv": text, "in/f.relations.toml": toml, "in/README.txt": "Hello", "__MACOSX/f.csv": "x"})
    assert asked(sources.open_source(str(one))) == {"Where does Rhine end?": ["Sea"]}
    parts = {"train.jsonl": lines(SINGLE[:2]), "data/test-00000-of-00001.jsonl": lines([*SINGLE[2:], SINGLE[0]])}
    split = sources.open_source(str(write_zip(tmp_path / "split.zip", parts)))
    assert dict(zip(split.facts["question"], split.facts["split"], strict=True)) == dict(zip(FIRST, ("test", "train", "test"), strict=True))
    assert split.facts["source"].unique().tolist() == ["split.zip"]
    folder = tmp_path / "folder"
    (folder / "data").mkdir(parents=True)
    for name, content in parts.items():
        (folder / name).write_text(content)
    assert sources.preview(str(folder)).splits == {"train": 1, "dev": 0, "test": 2}
    other = write_zip(tmp_path / "other.zip", {"inner.csv": "frage,antwort\nWer?,Bo\n"})
    with pytest.raises(FactsError, match=r"inner\.csv has no column .*, such as other\.zip\?question=frage&answers=antwort"):
        sources.open_source(str(other))
    assert asked(sources.open_source(f"{other}?question=frage&answers=antwort")) == {"Wer?": ["Bo"]}
    several = write_zip(tmp_path / "several.zip", {"a.csv": text, "b.csv": text})
    with pytest.raises(FactsError, match=r"several\.zip holds 2 files of facts \(a\.csv, b\.csv\), and it can't be told how they belong"):
        sources.open_source(str(several))
    monkeypatch.setattr(archives, "MAX_UNPACKED_BYTES", 20)
    sources._opened.clear()
    with pytest.raises(FactsError, match=r"one\.zip unpacks to more than 20 bytes"):
        sources.open_source(str(one))


def test_a_query_reads_back_what_it_was_made_of():
    """Columns with any characters, roles without a column, and two columns of one role."""
    mapping = {"question": ("a & b=c#?",), "answers": ("x.y", "z+1%"), "topic": ()}
    assert read_query(query_of(mapping, "pairs")[1:]) == (mapping, {"read": "pairs"})


def test_layouts_have_names_of_their_own_and_need_what_they_read():
    """A layout is told by columns among those it reads or is named after."""
    assert len({layout.name for layout in LAYOUTS}) >= len(LAYOUTS) - 2  # chat messages have three names of a column
    for layout in LAYOUTS:
        heads = {path.split(".")[0] for paths in layout.roles.values() for path in paths}
        assert set(layout.needs) <= heads, layout.name
