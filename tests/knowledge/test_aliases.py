"""Objects that count as the same."""

import pytest

from sftqa_core.errors import FactsError
from sftqa_core.knowledge.aliases import SHIPPED, Aliases, load_aliases, parse_aliases, read_aliases, reset_aliases, save_aliases
from sftqa_core.workspace import Workspace


def test_the_shipped_table_is_sound_and_covers_the_known_cases() -> None:
    """The defaults load without a problem and hold METHOD's examples."""
    aliases = load_aliases()
    assert len(aliases.groups) >= 60
    assert "USA" in aliases.expand(["United States of America"])
    assert "New York" in aliases.expand(["New York City"])
    assert aliases.to_csv() == SHIPPED.read_bytes()


def test_answers_keep_their_order_and_gain_other_names() -> None:
    """The given answers come first, none twice; short names are met in their own case only."""
    aliases = Aliases((("United States", "USA", "US"), ("Kyiv", "Kiev")))
    assert aliases.expand(["Kiev", "KYIV"]) == ("Kiev", "KYIV", "Kyiv")
    assert aliases.expand(["US"]) == ("US", "United States", "USA")
    assert aliases.expand(["us"]) == ("us",)
    assert aliases.expand([]) == ()


def test_the_persons_table_replaces_the_shipped_one(workspace: Workspace) -> None:
    """What is saved is loaded from then on, until it is reset."""
    mine = Aliases((("Kyiv", "Kiev"),))
    assert save_aliases(mine) == workspace.aliases
    assert load_aliases() == mine
    reset_aliases()
    assert load_aliases() == read_aliases(SHIPPED)


def test_editor_rows_become_a_table() -> None:
    """Empty rows and cells of an editor are passed over, spaces around names dropped."""
    rows: list[dict] = [{"name": "Kyiv", "same_as": " Kiev |  Kyiv "}, {"name": None, "same_as": None}]
    rows.append({"name": "Oslo", "same_as": float("nan")})
    assert Aliases.from_rows(rows).groups == (("Kyiv", "Kiev"), ("Oslo",))
    assert Aliases.from_rows(rows).rows()[0] == {"name": "Kyiv", "same_as": "Kiev"}


def test_all_problems_are_told_at_once() -> None:
    """Names in two groups and names with control characters are each named."""
    with pytest.raises(FactsError) as caught:
        Aliases((("Kyiv", "Kiev"), ("Kiew", "KIEV"), ("a\x00b",)))
    assert caught.value.problems == [
        "Group 2 (Kiew): 'KIEV' is already in group 1. Put each name into one group.",
        "Group 3: 'a\\x00b' is empty or contains '|' or a control character.",
    ]


def test_formulas_are_harmless_in_a_spreadsheet_and_names_survive() -> None:
    """Cells that look like formulas are protected in the file and read back unchanged."""
    tricky = Aliases((("=1+1", "-two"), ("@home",), ("'s-Hertogenbosch", "Den Bosch"), ("'=quoted",), ('He said "hi", ok',)))
    text = tricky.to_csv().decode()
    assert "\n'=1+1,'-two\n'@home,\n's-Hertogenbosch,Den Bosch\n''=quoted,\n" in text
    assert parse_aliases(tricky.to_csv()) == tricky


def test_files_of_other_spreadsheets_are_read() -> None:
    """A byte-order mark, semicolons and Windows line ends are no obstacle."""
    assert parse_aliases("\ufeffname;same_as\r\nKyiv;Kiev | Kiew\r\n".encode()).groups == (("Kyiv", "Kiev", "Kiew"),)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "must begin with the columns name, same_as"),
        (b"a,b\n1,2\n", "its first line is 'a,b'"),
        (b"name,same_as\nK\xf6ln,Cologne\n", "not UTF-8: line 2 holds the byte 0xf6"),
        ("name,same_as\n".encode("utf-16"), "is UTF-16"),
        (b"name,same_as\nWashington, D.C.,DC\n", "row 2: more than two columns"),
        (b'name,same_as\n"Kyiv,Kiev\n', "Look for a quote that is not closed"),
        (b"x" * 4_000_001, "an alias table may have 4,000,000"),
    ],
)
def test_files_that_are_no_table_are_refused(content: bytes, message: str) -> None:
    """Each message says what was seen."""
    with pytest.raises(FactsError, match=message):
        parse_aliases(content)


def test_the_fingerprint_follows_the_meaning() -> None:
    """Order does not matter, names do."""
    known = Aliases((("a1234", "b1234"), ("c1234", "d1234"))).fingerprint()
    assert known == Aliases((("d1234", "c1234"), ("b1234", "a1234"), ("alone",))).fingerprint()
    assert known != Aliases((("a1234", "b1234"),)).fingerprint()


def test_names_are_looked_up_however_they_are_spelled():
    """A group is found by another form of an apostrophe or dash, in quotes, and with a final mark; as written it goes first."""
    table = Aliases((("Conan O'Brien", "Coco"), ("Jean–Paul", "JP"), ("“Heroes”", "Helden"), ("US", "America"), ("Conan O’Brien", "Conan")))
    assert table.expand(["Conan O'Brien"]) == ("Conan O'Brien", "Coco")
    assert table.expand(["Conan O’Brien"]) == ("Conan O’Brien", "Conan")  # groups that differ in a sign are as good as ever
    assert table.expand(["conan oʼbrien."]) == ("conan oʼbrien.", "Conan O'Brien", "Coco")
    assert table.expand(['"Jean-Paul"']) == ('"Jean-Paul"', "Jean–Paul", "JP")
    assert table.expand(["Heroes"]) == ("Heroes", "“Heroes”", "Helden")
    assert table.expand(["us"]) == ("us",)
    assert table.expand(["“US”"]) == ("“US”", "US", "America")
