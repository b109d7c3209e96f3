"""Numbers in tables have the digits of their kind."""

import pandas as pd

from pages._ui.columns import readable


def formats(table: pd.DataFrame) -> dict[str, str | None]:
    _, config = readable(table)
    return {name: column["type_config"].get("format") for name, column in config.items() if "type_config" in column}


def test_shares_are_percent_with_one_digit_and_points_have_a_sign():
    """The ends of a difference's interval are points, those of an accuracy's are shares."""
    table = pd.DataFrame({"accuracy": [0.17582], "difference": [-0.00004], "low": [-0.031], "high": [0.02], "p_holm": [0.0123]})
    shown, _ = readable(table)
    assert shown.iloc[0].tolist() == [17.6, 0.0, -3.1, 2.0, "0.012"]
    assert str(shown["difference"].iloc[0]) == "0.0", "never -0.0"
    assert formats(table) == {"accuracy": "%.1f%%", "difference": "%+.1f", "low": "%+.1f", "high": "%+.1f", "p_holm": None}
    assert formats(pd.DataFrame({"accuracy": [0.1], "low": [0.0], "high": [0.2]}))["low"] == "%.1f%%"


def test_counts_stand_in_groups_of_three():
    """1,920, as in sentences; a count of facts may be a mean."""
    assert formats(pd.DataFrame({"n": [1920], "facts": [59.0], "best": [4]})) == dict.fromkeys(("n", "facts", "best"), "localized")


def test_other_numbers_have_two_digits_and_a_facts_score_three():
    """Perplexities and correlations; a hit more of 210 is seen in a score."""
    table = pd.DataFrame({"before": [6.480279], "spearman": [0.5563], "mean_score": [0.95357], "best": [0.25]})
    assert formats(table) == {"before": "%.2f", "spearman": "%.2f", "mean_score": "%.3f", "best": "%.1f%%"}


def test_lists_are_words():
    """Accuracies of single seeds in percent, other numbers with two digits, answers as they are; the table itself is left alone."""
    table = pd.DataFrame({"accuracy": [0.5], "per_seed": [[0.25, 0.1758]], "answers": [["Oslo", "Kristiania"]]})
    shown, _ = readable(table)
    assert shown[["per_seed", "answers"]].iloc[0].tolist() == ["25.0%, 17.6%", "Oslo | Kristiania"]
    assert table["per_seed"].iloc[0] == [0.25, 0.1758]
    assert readable(table[["per_seed"]])[0]["per_seed"].tolist() == ["0.25, 0.18"]


def test_a_small_p_is_no_zero_and_all_facts_are_no_minus_one():
    """As Compare says it; a missing one is empty."""
    shown, _ = readable(pd.DataFrame({"p": [0.00004, 0.5671, None], "asked": [-1, 0, 1920]}))
    assert shown["p"].tolist() == ["< 0.001", "0.567", ""]
    assert shown["asked"].tolist() == ["all", "0", "1,920"]
