"""The published tables agree with the papers' own sums and means."""

import pytest

from sftqa_core.studies.published import LEVELS, PAPER, TABLE_OF, TABLES, matrix, means, own_examples, restoration, shares

MEAN_COLUMN = {  # the follow-up's last column, per cent
    ("LLaMA-3-8B", "in"): (45.47, 52.69, 57.53, 55.15, 53.93),
    ("LLaMA-3-8B", "out"): (46.24, 50.80, 53.71, 51.04, 50.25),
    ("LLaMA-3-70B", "in"): (40.75, 51.00, 54.91, 54.09, 51.83),
    ("LLaMA-3-70B", "out"): (52.87, 55.43, 57.69, 55.81, 53.25),
}


@pytest.mark.parametrize(("model", "domain"), MEAN_COLUMN)
def test_each_rows_mean_is_the_papers(model, domain):
    """Five accuracies of two decimals give the printed mean to rounding."""
    table = matrix().query("model == @model and domain == @domain")
    assert table["test"].tolist() == [*LEVELS] * 5
    found = table.groupby("train", sort=False)["accuracy"].mean() * 100
    assert tuple(found.index) == LEVELS
    assert found.to_list() == pytest.approx(MEAN_COLUMN[model, domain], abs=0.0101)


def test_the_matrix_has_the_shape_that_the_paper_tells_of():
    """In-domain each column's best is on the diagonal, and the best row of each model and domain is L2."""
    table = matrix()
    assert len(table) == 4 * 25
    for _, column in table[table["domain"] == "in"].groupby(["model", "test"]):
        assert column.loc[column["accuracy"].idxmax(), "train"] == column["test"].iloc[0]
    means_of = table.groupby(["model", "domain", "train"])["accuracy"].mean().unstack()
    assert set(means_of.idxmax(axis=1)) == {"L2"}


def test_shares_add_up_to_a_hundred():
    """Five values of one decimal: 100% to a quarter of a point, for five models in both domains."""
    sums = shares().groupby(["model", "domain"])["share"].sum()
    assert len(sums) == 10
    assert sums.to_list() == pytest.approx([1.0] * 10, abs=0.0025)
    assert shares().query("model == 'LLaMA-3-8B' and domain == 'in'")["share"].to_list() == pytest.approx(
        [0.243, 0.389, 0.152, 0.117, 0.098]
    )


def test_means_are_of_both_sizes_and_none_is_claimed_for_the_first_paper():
    """240 examples of L2 give 59.32% in-domain, 1,920 of L0 44.96%; every source is the follow-up."""
    table = means().set_index(["domain", "n", "train"])["accuracy"]
    assert len(table) == 20
    assert table["in", 240, "L2"] == pytest.approx(0.5932)
    assert table["in", 1920, "L0"] == pytest.approx(0.4496)
    assert table["out", 240, "L4"] == pytest.approx(0.5069)
    assert set(TABLE_OF) == {"shares", "matrix", "means", "restoration", "own"}
    assert all(text.startswith(f"{PAPER}, ") for text in TABLE_OF.values())
    assert PAPER == "arXiv 2509.16596"


def test_restoration_starts_where_the_means_are():
    """Both tables in full; the best share of L2 is the paper's headline."""
    table = restoration()
    assert len(table) == 2 * 2 * 8 * 5
    best = table[(table["n"] == 1920) & (table["domain"] == "in") & (table["train"] == "L2")].set_index("share")["accuracy"]
    assert best.to_dict() == pytest.approx(
        {0: 0.588, 0.01: 0.5985, 0.03: 0.6056, 0.05: 0.611, 0.1: 0.6167, 0.2: 0.6221, 0.4: 0.5997, 0.6: 0.0162}
    )
    plain = table[table["share"] == 0].merge(means(), on=["n", "domain", "train"])
    assert len(plain) == 20
    assert (plain["accuracy_x"] == plain["accuracy_y"]).all()
    own = own_examples()
    assert len(own) == 2 * 3 * 5
    assert own[(own["n"] == 240) & (own["share"] == 0.2)]["accuracy"].tolist() == pytest.approx([0.1125, 0.6208, 0.8375, 0.925, 0.8292])
    assert TABLES.keys() == TABLE_OF.keys()
