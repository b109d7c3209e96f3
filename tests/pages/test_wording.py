"""Numbers and foreign text as pages write them."""

import ast
import math
import re
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from pages._ui.downloads import csv_bytes, neutral
from pages._ui.wording import between, duration, in_badge, interval, literal, moment, percent, sentence, span, step_of


def test_shares_are_per_cent_and_missing_ones_a_dash():
    """A share has one decimal; None and NaN are a dash."""
    assert [percent(0.7314), percent(1.0, 0), percent(None), percent(math.nan)] == ["73.1%", "100%", "–", "–"]
    assert [interval(0.7, 0.759), interval(None, None), between(0.336, 0.416)] == ["70.0 to 75.9%", "no interval", "0.34 to 0.42"]


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "1 s"), (42, "42 s"), (120, "2 min"), (7800, "2 h 10 min"), (7199, "2 h"), (None, "unknown")]
)
def test_durations_read_as_people_say_them(seconds, words):
    """Seconds, minutes, hours; never 60 min."""
    assert duration(seconds) == words


def test_spans_and_moments_are_short():
    """Equal ends are said once; a time loses its seconds and says that it is UTC."""
    assert [span(20, 60), span(20, 20.2)] == ["20 s to 60 s", "20 s"]
    assert [moment("2026-11-23T12:00:05+00:00"), moment(None)] == ["2026-11-23 12:00 UTC", ""]


def test_markup_in_foreign_text_is_escaped():
    """Emphasis, links, maths, colours, emoji codes and HTML are shown as typed."""
    assert literal("**a** [b](c) $d$ <b>") == r"\*\*a\*\* \[b\]\(c\) \$d\$ \<b\>"


def test_signs_that_are_looked_for_after_escapes_are_kept_apart():
    """Icons, emoji, addresses and arrows get a joiner inside, which nobody sees; ordinary colons, dots and dashes get none."""
    joined = {
        ":red[e]": ":|red",
        ":material/x:": ":|material",
        "http://a.b": "http:|//",
        "www.a.b": "www|.",
        "a@b.c": "a|@b",
        "a -> b": "-|>",
    }
    for text, part in joined.items():
        assert part.replace("|", "\u2060") in literal(text).replace("\\", ""), text
    for text in ("Where: here", "L0-L4", "a . b", "@home", "3 > 2"):
        assert "\u2060" not in literal(text)


def test_lines_stay_lines_of_one_paragraph():
    """Indented lines would be code, a line of = a heading, an empty line the end of a bold passage."""
    assert literal("  a\n===\n\nb") == "\u2060\xa0\xa0a  \n\\=\\=\\=  \n\xa0  \nb"
    assert literal("") == ""


def test_characters_that_cannot_be_seen_are_shown_to_be_there():
    """Terminal codes, NUL and marks that turn the reading direction become a sign."""
    assert literal("a\x1b[31m\x00\u202ecba\u2066") == "a\ufffd\\[31m\ufffd\ufffdcba\ufffd"


def test_badges_escape_brackets_themselves():
    """Twice escaped they would be seen with a stroke before them."""
    assert in_badge("[a] *b*") == r"[a] \*b\*"


def test_exports_hold_no_formula_in_names_or_behind_semicolons():
    """Column names are neutralised too; text stands in quotes, control characters are replaced."""
    table = pd.DataFrame({"=cmd": ["x;=1+1", "a\x1b[1m\x00"], "n": [1, 2]})
    assert csv_bytes(table).decode("utf-8-sig") == '"\'=cmd","n"\n"x;=1+1",1\n"a\ufffd[1m\ufffd",2\n'


@pytest.mark.parametrize(
    "cell", ["=1+1", "+1", "-1", "@x", "\t=1", "  =1", "＝1+1", "＠x", "\u200b=1", "\n=1", "\xa0=1", "'=1", " \u2060＋1", "\ufeff=1"]
)
def test_cells_that_look_like_formulas_are_neutralised(cell):
    """A spreadsheet must not run a model's text."""
    assert neutral(cell) == f"'{cell}"


def test_numbers_and_plain_text_stay_as_they_are():
    """Only text is touched, and the file is UTF-8 with a mark."""
    assert [neutral(-1.5), neutral("Paris"), neutral(None), neutral(["a", "b"]), neutral(["=a"])] == [-1.5, "Paris", None, "a | b", "'=a"]
    assert csv_bytes(pd.DataFrame({"a": ["=1"], "b": [-2]})) == '\ufeff"a","b"\n"\'=1",-2\n'.encode()


def test_an_export_has_hits_as_whole_numbers_and_shares_with_their_own_digits():
    """Lists that a table keeps as arrays read like other lists; single precision shows no digits that it does not have."""
    hits = pd.Series([[0.0, 1.0, 10.0], [0.25]], dtype=pd.ArrowDtype(pa.list_(pa.float32())))
    table = pd.DataFrame({"hits": hits, "low": pd.Series([0.1, 0.0672], dtype="float32"), "score": [1 / 3, 0.5]})
    lines = csv_bytes(table).decode("utf-8-sig").splitlines()
    assert lines == ['"hits","low","score"', '"0 | 1 | 10",0.1,0.3333333333333333', '"0.25",0.0672,0.5']


@pytest.mark.parametrize(
    ("phases", "place"),
    [
        (["probe"], (1, 5)),
        (["probe", "probe", "answers: before"], (2, 5)),
        (["answers: before"], (1, 4)),
        (["train"], (1, 2)),
        (["answers: before", "train", "answers: after"], (3, 3)),
        (["something new"], (1, 1)),
    ],
)
def test_steps_count_those_done_and_those_to_come(phases, place):
    """A step that was known already is not counted; what comes after the present one is."""
    assert step_of("train", phases) == place


def test_steps_of_a_look_are_those_of_its_measures():
    """Others are neither done nor to come."""
    assert step_of("inside", ["train", "answers: before", "answers: after", "knowledge: base"], ("knowledge",)) == (4, 5)
    assert step_of("inside", ["train: tuning"], ("drift",)) == (1, 4)
    assert step_of("inside", ["curves"]) == (1, 1)


def test_a_command_in_a_sentence_is_shown_as_code():
    """Around it the text is escaped as ever; backticks around anything else are signs like others."""
    assert sentence("Log in with `hf auth login`, **now**.") == r"Log in with `hf auth login`, \*\*now\*\*\."
    assert sentence("`rm -rf *` and `sftqa\nx`") == literal("`rm -rf *` and `sftqa\nx`")
    assert sentence("a `sftqa run\x07 [x](y)` b") == "a `sftqa run\ufffd [x](y)` b"


def test_every_command_that_a_sentence_names_is_shown_as_code():
    """Messages of the core put commands in backticks; the page finds each of them."""
    named = []
    for path in (Path(__file__).parents[2] / "sftqa_core").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        notes = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in notes and "```" not in node.value:
                named += [(path.name, command) for command in re.findall(r"`((?!app`|--json`)[a-z]+ [^`\n]+)`", node.value)]
    assert len(named) > 10
    assert [(name, command) for name, command in named if sentence(f"`{command}`") != f"`{command}`"] == []
