"""Hostile files, small ones: each goes to the reader it is meant for, and the message is what a person gets to see.

A fault that a person meets belongs here: put the file into files/ and its message into the table. Huge files are made in the tests of
their readers.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pytest

from sftqa_core.errors import SftqaError
from sftqa_core.knowledge.aliases import read_aliases
from sftqa_core.knowledge.entity_questions import load_entity_questions
from sftqa_core.knowledge.tables.files import load_own, read_relations
from sftqa_core.studies.config import study_of

FILES = Path(__file__).with_name("files")
UTF8 = "Save it as UTF-8 (in a spreadsheet: 'CSV UTF-8') and try again."
TEXT = "not text. Unpack or convert it to UTF-8 text and try again."
NO_YAML = "The study's file is no YAML"
CODE = "could not determine a constructor for the tag 'tag:yaml.org,2002:python/object/apply:os.system'."
REFUSED = {
    # encodings, and files that are something else
    "utf16.csv": f"utf16.csv is UTF-16. {UTF8}",
    "utf32.csv": f"utf32.csv is UTF-32. {UTF8}",
    "utf16-without-mark.csv": f"line 1 holds a NUL character: it is a binary file, or UTF-16 without its mark. {UTF8}",
    "nul.csv": "nul.csv, line 2 holds a NUL character",
    "latin1.csv": f"latin1.csv is not UTF-8: line 2 holds the byte 0xf6. {UTF8}",
    "surrogate.csv": "surrogate.csv is not UTF-8: line 2 holds the byte 0xed.",
    "zip.csv": f"zip.csv is a zip archive or a workbook (.xlsx; in a spreadsheet save it as CSV UTF-8), {TEXT}",
    "gzip.csv": f"gzip.csv is packed with gzip, {TEXT}",
    "gzip.jsonl": f"gzip.jsonl is packed with gzip, {TEXT}",
    "no.parquet": "no.parquet is not a readable Parquet file (",
    "cut.zip": "cut.zip is not a zip that can be read (File is not a zip file).",
    # texts that read as something else, or as nothing
    "bidi.csv": r"bidi.csv, row 2, subject: holds a control character: 'Hull\u202egnp.exe'.",
    "ansi.csv": r"ansi.csv, row 2, subject: holds a control character: '\x1b[2J\x1b[31mHull'.",
    "line-separator.csv": r"row 2, subject: holds a control character: 'Hu\u2028ll'.",
    "surrogate.jsonl": r"row 1, subject: holds a control character: 'Hu\ud800ll'.",
    "unseen.csv": r"row 2, subject: holds nothing that can be seen: '\u200b\u2060'.",
    "control.aliases.csv": r"Group 1: 'U\x1bSA' is empty or contains '|' or a control character.",
    # tables that are none
    "open-quote.csv": "open-quote.csv, line 2: not readable as CSV (unexpected end of data). Look for a quote that is not closed.",
    "column-twice.csv": "column-twice.csv has the column 'object' twice. Take one of them away.",
    "column-twice.parquet": "column-twice.parquet has the column 'subject' twice.",
    "many-columns.csv": "many-columns.csv has 2,000 columns, the most is 1,000.",
    "many-names.jsonl": "many-names.jsonl has more than 1,000 different names in its rows, so this is not a table of facts.",
    "name-twice.jsonl": "row 1: is not readable JSON (duplicate key 'subject').",
    "name-twice.zip": "train/P17.train.json is not readable JSON: duplicate key 'question'.",
    "three-columns.aliases.csv": "row 2: more than two columns; names are separated by '|', and one that holds ',' needs quotes.",
    "formula-name.aliases.csv": "Group 1: '=cmd|x' is empty or contains '|' or a control character.",
    "twice.aliases.csv": "Group 2 (America): 'America' is already in group 1. Put each name into one group.",
    # numbers
    "nan.jsonl": "row 1, subject: is empty.\nnan.jsonl, row 1, answers: must be text, got inf (float).",
    "exposures.csv": "row 3, exposures: must be a whole number from 0, got '1_0'.",
    "huge-exposures.jsonl": "row 1, exposures: must be a whole number from 0, got 999999999999999999...9999999999999999999.",
    "many-digits.jsonl": "row 1: is not readable JSON (it holds a number of thousands of digits).",
    "many-digits.toml": "many-digits.toml is not readable TOML: it holds a number of thousands of digits.",
    "many-digits.yaml": f"{NO_YAML}: it holds a number of thousands of digits.",
    "hex-digits.yaml": "StudySettings.seeds: must be a whole number of at most 18 digits, got a number of 20,000 bits.",
    "infinity.yaml": "learning_rate must be above 0 and at most 1, got inf.",
    "date.parquet": "date.parquet: row 1 and what follows can't be read (days=2147483647;",
    "date.yaml": f"{NO_YAML}: month must be in 1..12.",
    # too much, or much out of little
    "deep.jsonl": "row 1: is not readable JSON (it is nested too deeply).",
    "deep.toml": "deep.toml is not readable TOML: it is nested too deeply.",
    "deep.yaml": f"{NO_YAML}: it is nested too deeply.",
    "deep.zip": "train/P17.train.json is not readable JSON: it is nested too deeply.",
    "dots.toml": "dots.toml is not readable TOML: it holds a name with many dots.",
    "long-cell.csv": "row 2, subject: has 3,000 characters, the most is 2,000.",
    "long-name.aliases.csv": "has 3,000 characters, the most is 2,000.",
    "many-answers.jsonl": "row 1, answers: has 1,500 entries, the most is 1,000.",
    "many-rows.parquet": "many-rows.parquet has 3,000,000 rows, the most is 2,000,000.",
    "list-bomb.parquet": "column 'object.list.element' unpacks to 100,000,000 values in 77 bytes; the most is 5,000,000 in 2,000,000,000.",
    "text-bomb.parquet": "row 1 or one of the 2,000 from it on holds a text of 100,000 bytes; the most is 2,000 characters.",
    "bomb.zip": "bomb.zip: train/P17.train.json is larger than a file of EntityQuestions may be (50,000,000 bytes each,",
    "long-directory.zip": "long-directory.zip lists more files than a zip may have. It was not opened.",
    "merges.yaml": f"{NO_YAML} in line 2: '<<' can't be used here, write the settings out.",
    "anchors.yaml": "StudySettings has no setting 'a'; it knows kind, models,",
    "self.yaml": "StudySettings.models: must be str, got [[[...]]].",
    # paths, code and format strings
    "traversal.zip": "traversal.zip holds the name '../../train/P17.train.json', which leads out of the zip. It was not opened.",
    "absolute.zip": "absolute.zip holds the name '/train/P17.train.json', which leads out of the zip. It was not opened.",
    "python-object.yaml": f"{NO_YAML} in line 2: {CODE}",
    "tag-directive.yaml": f"{NO_YAML} in line 3: {CODE}",
    "template-of-format-strings.csv": "template 1: has a brace that belongs to no placeholder: '{subject} is {0.__class__} in'.",
    "format-strings.toml": "Relation r, question: has a brace that belongs to no placeholder: '{subject.__class__}?'.",
    "format-strings.yaml": "The prompt must hold {question} exactly once, got '{question.__class__}'.",
    # values of the wrong kind
    "no-utf8.parquet": "no-utf8.parquet: row 1 and what follows can't be read ('utf-8' codec can't decode byte 0xff in position 0",
    "fixed-bytes.parquet": "column 'subject' is of type fixed_len_byte_array. Facts are texts and numbers.",
    "no-table.toml": "no-table.toml: 'rivers' must be a table: [name], then question and templates.",
    "other-id.toml": "other-id.toml: [rivers] must not have 'id': the table's name is the relation's id.",
    "surrogate.toml": "surrogate.toml is not readable TOML: Escaped character is not a Unicode scalar value (at line 1, column 9).",
    "bool.yaml": f"{NO_YAML}: a value does not fit the tag (!!...) in front of it.",
    "binary.yaml": "StudySettings.source: must be str, got b'hi'.",
    "surrogate.yaml": r"source holds half a character: '\ud800'.",
    "twice.yaml": f"{NO_YAML} in line 3: 'kind' stands there twice.",
}
TAKEN = {  # what is only dangerous where somebody runs or renders it: kept to the letter, subject, first answer and question
    "format-strings.csv": ("{0.__class__}", "{subject!r}", "Who is {subject.__class__} {question}?"),
    "formulas.csv": ("＝1+1", "-2", "Which country is ＝1+1 located in?"),
    "html.csv": ("<script>alert(1)</script>", "**$x$** :material/home:", "Which country is <script>alert(1)</script> located in?"),
}


def reader(path: Path) -> Callable[[Path], Any]:
    """What a file of that name is given to."""
    if path.name.endswith(".aliases.csv"):
        return read_aliases
    return {".zip": load_entity_questions, ".toml": read_relations, ".yaml": lambda p: study_of(p.read_text("utf-8"))}.get(
        path.suffix, load_own
    )


@pytest.mark.parametrize("name", REFUSED)
def test_hostile_files_are_refused_with_a_message(name):
    """In no time, in little memory, and in words that say what was seen."""
    before, memory = time.process_time(), pyarrow.default_memory_pool().max_memory()
    with pytest.raises(SftqaError) as refused:
        reader(FILES / name)(FILES / name)
    assert REFUSED[name] in str(refused.value)
    assert len(str(refused.value)) < 10_000
    assert time.process_time() - before < 10
    assert pyarrow.default_memory_pool().max_memory() <= max(memory, 200_000_000)


@pytest.mark.parametrize("name", TAKEN)
def test_texts_that_harm_elsewhere_are_kept_to_the_letter(name):
    """Facts are data: nothing is filled in, run, or taken away."""
    row = load_own(FILES / name).facts.iloc[-1]
    assert (row["subject"], row["answers"][0], row["question"]) == TAKEN[name]


def test_every_file_of_the_corpus_is_tried():
    """No file without its message, and none of a size that a repository should not carry."""
    there = {path.name: path.stat().st_size for path in FILES.iterdir()}
    assert sorted(there) == sorted([*REFUSED, *TAKEN])
    assert max(there.values()) < 100_000
