"""Figures, tested on their traces."""

import pandas as pd
import pytest

from sftqa_core.figures.curves import looks_figure, loss_figure
from sftqa_core.figures.levels import (
    accuracy_figure,
    change_counts,
    change_table,
    level_names,
    level_shares_figure,
    right_answers_figure,
    score_histogram,
    template_hits_figure,
)
from sftqa_core.figures.matrices import budget_figure, confusion_figure
from sftqa_core.figures.style import GREY, below, beside, ink_on, level_colours, plain, shortened, wrapped
from sftqa_core.records import Agreement, DomainAccuracy, LevelAccuracy


def accuracy(rates, counts) -> DomainAccuracy:
    levels = tuple(
        LevelAccuracy(
            f"L{at}", n, round(rate * n), rate if n else None, max(rate - 0.1, 0) if n else None, min(rate + 0.1, 1) if n else None
        )
        for at, (rate, n) in enumerate(zip(rates, counts, strict=True))
    )
    return DomainAccuracy(levels, None, None, None, (), 0.5, 0.4, 0.6, sum(counts))


def named(figure, name):
    return next(trace for trace in figure.data if trace.name == name and trace.x[0] is not None)


def luminance(colour):
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("count", [2, 4, 5, 7])
def test_level_colours_rise_in_luminance_and_read_on_both_backgrounds(count):
    """The order survives colour blindness, and every step keeps a contrast of 2.2 on white and on near-black."""
    steps = [luminance(colour) for colour in level_colours(count)]
    assert len(steps) == count
    assert steps == sorted(steps)
    assert all(1.05 / (step + 0.05) > 2.2 and (step + 0.05) / (luminance("#0f141b") + 0.05) > 2.2 for step in steps)


def test_one_level_still_has_a_colour():
    """A scale of one does not divide by zero."""
    assert level_colours(1) == ["#c4a821"]


def test_ink_is_dark_on_light_levels():
    """Numbers in bars stay readable on violet and on gold."""
    assert [ink_on("#7453a6"), ink_on("#c4a821")] == ["#ffffff", "#111111"]


def test_other_numbers_of_shown_examples_are_thin_dashed_lines():
    """One each, apart by their dashes, under the measured ones in the legend, with numbers where the pointer is."""
    some = accuracy([0.1, 0.2], [50, 50])
    figure = accuracy_figure(some, some, few_shot=some, shots=4, more={16: accuracy([0.3, 0.5], [50, 50]), 1: some})
    one, many = named(figure, "base model, 1-shot"), named(figure, "base model, 16-shot")
    assert list(many.y) == [0.3, 0.5]
    assert one.line.dash != many.line.dash
    assert one.line.width < 2
    assert many.text[1].startswith("<b>L1, base model, 16-shot</b><br>25 of 50 right<br>50.0% (Wilson 95%: 40.0% to 60.0%)")


def test_accuracy_draws_before_left_of_after_with_intervals():
    """Each level has its base and tuned marker with asymmetric Wilson ends."""
    figure = accuracy_figure(accuracy([0.1, 0.2], [50, 50]), accuracy([0.3, 0.9], [50, 50]))
    before, after = named(figure, "before"), named(figure, "after")
    assert list(before.y) == [0.1, 0.2]
    assert list(after.y) == [0.3, 0.9]
    assert all(left < right for left, right in zip(before.x, after.x, strict=True))
    assert list(after.error_y.array) == pytest.approx([0.1, 0.1])
    assert figure.layout.xaxis.ticktext == ("<b>L0</b><br>n = 50", "<b>L1</b><br>n = 50")
    assert figure.layout.paper_bgcolor == "rgba(0,0,0,0)"


def test_levels_with_few_facts_are_hollow_and_say_so():
    """Under 30 facts the marker is open and the pointer reads 'too few facts to tell'; 30 are enough."""
    figure = accuracy_figure(accuracy([0.1, 0.2], [29, 30]), accuracy([0.3, 0.9], [29, 30]))
    after = named(figure, "after")
    assert after.marker.symbol == ("circle-open", "circle")
    assert ["too few facts to tell" in text for text in after.text] == [True, False]


def test_an_empty_level_has_no_marker_but_keeps_its_place():
    """A level without facts is not drawn as zero."""
    figure = accuracy_figure(accuracy([0, 0.2], [0, 30]), accuracy([0, 0.9], [0, 30]))
    assert list(named(figure, "after").y) == [0.9]
    assert len(figure.layout.xaxis.ticktext) == 2


def test_baselines_stand_in_the_chart():
    """The 4-shot base and the majority object are traces of their own."""
    some = accuracy([0.1, 0.2], [50, 50])
    figure = accuracy_figure(some, some, few_shot=some, majority=some)
    assert {"base model, 4-shot", "majority object"} <= {trace.name for trace in figure.data}


def test_level_shares_sum_to_one_per_group():
    """A bar is cut into shares; a group without facts stays empty instead of failing."""
    figure = level_shares_figure({"In": [1, 3], "Out": [0, 0]}, ["low", "high"])
    bars = [trace for trace in figure.data if trace.type == "bar"]
    assert [list(trace.x) for trace in bars] == [[0.25, 0.0], [0.75, 0.0]]
    assert [trace.name for trace in bars] == ["low", "high"]
    assert {text: x for trace in figure.data[2:] for text, x in zip(trace.text, trace.x, strict=True)} == {"25%": 0.125, "75%": 0.625}
    assert figure.layout.yaxis.ticktext[0].startswith("In ")
    assert list(figure.data[0].hovertext) == ["In", "Out"]
    assert list(figure.data[1].customdata) == [3, 0]


def test_score_bars_have_their_levels_colour():
    """The paper's four cut-offs colour 1, 5, 5, 5 and 5 bars."""
    one, none = [1] + [0] * 20, [0] * 21
    scores = [one, none, one[-6:] + one[:-6], none, none]  # a fact with R = 0, another with R = 0.3
    figure = score_histogram(scores, ["L0", "L1", "L2", "L3", "L4"], [0.0, 0.25, 0.5, 0.75])
    colours = list(figure.data[0].marker.color)
    assert [colours.count(colour) for colour in level_colours(5)] == [1, 5, 5, 5, 5]
    assert [at for at, facts in enumerate(figure.data[0].y) if facts] == [0, 6]


def test_bars_of_an_estimate_are_cut_by_level():
    """Its levels don't follow from the score: every level has bars of its own, stacked."""
    figure = score_histogram([[2] + [0] * 20, [1, 3] + [0] * 19], ["known", "unknown"], [0.0], estimated=True)
    assert [list(trace.y[:2]) for trace in figure.data] == [[2, 0], [1, 3]]


def test_unprobed_facts_are_no_level():
    """Naming calls them what it is told to."""
    levels = pd.array([0, 1, None], "Int64")
    assert level_names(levels, ["L0", "L1"], "not probed") == ["L0", "L1", "not probed"]
    assert level_names([None, float("nan"), 1.0], ["L0", "L1"], "?") == ["?", "?", "L1"]


def test_template_bars_split_seen_from_unseen():
    """Known templates make two traces, solid and outlined; unknown ones a single trace."""
    figure = template_hits_figure([3, 0, 10], 10, ["a", "b", "<c>"], "#1d9a9c", [True, False, True])
    assert [(trace.name, list(trace.x), list(trace.y)) for trace in figure.data] == [
        ("in pre-training text", [1, 3], [3, 10]),
        ("never seen", [2], [0]),
    ]
    assert figure.data[0].customdata[1] == "&lt;c&gt;"
    assert len(template_hits_figure([3, 0], 10, [], "#1d9a9c").data) == 1
    assert template_hits_figure([3], 10, [], "#1d9a9c", each="prompt").layout.xaxis.title.text == "prompt"


def test_a_running_loss_keeps_its_axis():
    """With the number of steps known the axis does not grow under the eye; no steps are no error."""
    assert loss_figure([1, 2], [3.0, 2.0], 100).layout.xaxis.range == (0, 103.0)
    assert loss_figure([], []).data[0].x == ()


def test_looks_are_drawn_a_line_a_domain_with_their_intervals():
    """Few facts give hollow markers; the step whose weights were kept is marked, and nothing is where none were put back."""
    looks = pd.DataFrame(
        {
            "step": [5, 5, 10, 10], "domain": ["in", "out"] * 2, "n": [100, 20] * 2, "correct": [30, 5, 40, 6],
            "accuracy": [0.3, 0.25, 0.4, 0.3], "low": [0.2, 0.1, 0.3, 0.15], "high": [0.4, 0.5, 0.5, 0.5],
        }
    )  # fmt: skip
    figure = looks_figure(looks, kept_step=5)
    inside, outside = figure.data
    assert (inside.name, inside.x, inside.y) == ("in-domain", (5, 10), (0.3, 0.4))
    assert inside.error_y.array == pytest.approx((0.1, 0.1))
    assert outside.error_y.arrayminus == pytest.approx((0.15, 0.15))
    assert (inside.marker.symbol, outside.marker.symbol) == (("circle",) * 2, ("square-open",) * 2)
    assert "30 of 100" in inside.text[0]
    assert (figure.layout.shapes[0].x0, figure.layout.annotations[0].text) == (5, "weights kept")
    assert not looks_figure(looks).layout.shapes


def test_changes_name_what_happened_to_each_fact():
    """Gained, lost, kept and still wrong come from both predictions; a fact without level is 'unknown'."""
    facts = pd.DataFrame(
        {
            "fact_id": list("abcd"), "relation": "P17", "domain": "in", "subject": "s", "answers": [["x", "y"]] * 4, "echo": False,
            "level": pd.array([0, 1, 1, None], "Int64"),
        }
    )  # fmt: skip
    rows = [
        (fact, stage, " t ", right)
        for stage, rights in (("before", (0, 1, 1, 0)), ("after", (1, 0, 1, 0)))
        for fact, right in zip("abcd", rights, strict=True)
    ]
    table = change_table(pd.DataFrame(rows, columns=["fact_id", "stage", "text", "correct"]), facts, ["L0", "L1"])
    assert list(table["change"]) == ["gained", "lost", "kept", "still wrong"]
    assert list(table["level"]) == ["L0", "L1", "L1", "unknown"]
    assert table.loc[0, ["answers", "before", "after"]].tolist() == ["x | y", "t", "t"]
    counts = change_counts(table, ["L0", "L1"])
    assert counts.loc["L1"].tolist() == [0, 1, 1, 0]
    assert list(counts.index) == ["L0", "L1", "unknown"]


def test_foreign_text_cannot_be_markup_in_a_chart():
    """plotly reads HTML in hover text; brackets are spelled out and long text is cut."""
    assert plain("<b>&") == "&lt;b&gt;&amp;"
    assert shortened("abcdef", 4) == "abc…"


def test_the_legend_of_before_and_after_has_no_levels_colour():
    """Before and after differ by shape; a level's colour in the legend would read as that level."""
    some = DomainAccuracy((LevelAccuracy("L0", 40, 20, 0.5, 0.4, 0.6),), 0.5, 0.4, 0.6, ("L0",), 0.5, 0.4, 0.6, 40)
    legend = {trace.name: trace.marker for trace in accuracy_figure(some, some).data if trace.showlegend is not False}
    assert {name: (marker.symbol, marker.color) for name, marker in legend.items()} == {
        "before": ("square", GREY),
        "after": ("circle", GREY),
    }


def agreement_of(*rows):
    labels = tuple(f"L{at}" for at in range(len(rows)))
    return Agreement(labels, sum(map(sum, rows)), None, None, None, None, None, tuple(rows))


def test_level_against_level_is_shaded_by_the_share_of_its_row():
    """Rows are the reference's levels, the first on top; shares add up to 1 along a row, and the text counts facts."""
    figure = confusion_figure(agreement_of((30, 10), (0, 1200)), "sampling", "<b>likelihood")
    heat, text = figure.data
    assert [list(row) for row in heat.z] == [[0.75, 0.25], [0.0, 1.0]]
    assert list(zip(text.x, text.y, text.text, strict=True)) == [(0, 0, "30"), (1, 0, "10"), (0, 1, "0"), (1, 1, "1,200")]
    assert figure.layout.yaxis.range[0] > figure.layout.yaxis.range[1]
    assert list(figure.layout.yaxis.ticktext) == ["<b>L0</b>  n = 40", "<b>L1</b>  n = 1,200"]
    assert figure.layout.yaxis.title.text == "level by sampling"
    assert figure.layout.xaxis.title.text == "level by &lt;b&gt;likelihood"
    assert heat.text[0][1] == "<b>L0</b> by sampling, <b>L1</b> by &lt;b&gt;likelihood<br>10 of 40 facts, 25.0%"
    assert [(shape.x0 < at < shape.x1, shape.y0 < at < shape.y1) for at, shape in enumerate(figure.layout.shapes)] == [(True, True)] * 2


def test_level_against_level_claims_nothing_of_few_facts():
    """A row under 30 facts has its counts but no shade, an empty row neither, and the pointer says why."""
    heat, text = confusion_figure(agreement_of((20, 9, 0), (0, 0, 0), (0, 0, 30)), "a", "b").data
    assert [list(row) for row in heat.z] == [[None] * 3, [None] * 3, [0.0, 0.0, 1.0]]
    assert (heat.hoverongaps, heat.text[0][0].endswith("20 of 29 facts<br>too few facts to tell")) == (True, True)
    assert sorted(set(text.y)) == [0, 2]


def test_level_against_level_leaves_ink_to_the_page():
    """Cells stay translucent and the counts have no colour of their own, so that the theme's text reads on light and dark."""
    heat, text = confusion_figure(agreement_of((30, 10), (0, 30)), "a", "b").data
    assert text.textfont.color is None
    assert [colour.startswith("rgba(63, 118, 191") and float(colour[:-1].split(",")[-1]) <= 0.55 for _, colour in heat.colorscale] == [
        True
    ] * 2


def budgets(*rows):
    return pd.DataFrame(rows, columns=["templates", "samples", "completions", "kappa", "low", "high", "same"])


def test_a_budget_line_is_a_number_of_templates():
    """Kappa over completions on a log axis, a line a number of templates; the pointer tells templates, samples and interval."""
    curve = budgets(
        (2, 5, 10, 0.8, 0.7, 0.9, 0.8), (1, 5, 5, 0.6, 0.5, 0.7, 0.6), (1, 1, 1, 0.4, 0.3, 0.5, 0.4), (2, 1, 2, *[float("nan")] * 4)
    )
    figure = budget_figure(curve, 0.95, "two full <probes>")
    assert [(trace.name, trace.x, trace.y) for trace in figure.data] == [("1", (1, 5), (0.4, 0.6)), ("2", (10,), (0.8,))]
    assert figure.data[0].text[0] == "<b>1 template × 1 sample</b>, 1 completion<br>kappa 0.400 (95%: 0.300 to 0.500)"
    assert figure.layout.xaxis.type == "log"
    assert figure.layout.yaxis.range == (0.4, 1.02)
    assert (figure.layout.shapes[0].y0, figure.layout.shapes[0].y1, figure.layout.shapes[0].line.dash) == (0.95, 0.95, "dot")
    assert figure.layout.annotations[0].text == "two full &lt;probes&gt;"


@pytest.mark.parametrize("floor", [None, float("nan")])
def test_an_empty_budget_curve_is_an_empty_chart(floor):
    """Without budgets or a floor nothing is drawn and nothing fails."""
    figure = budget_figure(budgets(), floor, "floor")
    assert (len(figure.data), len(figure.layout.shapes), figure.layout.yaxis.range) == (0, 0, (0, 1.02))


def test_budget_lines_darken_with_templates_and_read_on_both_backgrounds():
    """The order shows in luminance, every step keeps a contrast of 2.2 on white and near-black, and none is a level's colour."""
    figure = budget_figure(budgets(*((t, 1, t, 0.5, 0.4, 0.6, 0.5) for t in (1, 2, 3, 5, 7, 10, 14, 21))), None, "")
    colours = ["#" + "".join(f"{round(float(part)):02x}" for part in trace.line.color[4:-1].split(",")) for trace in figure.data]
    steps = [luminance(colour) for colour in colours]
    assert steps == sorted(steps, reverse=True)
    assert all(1.05 / (step + 0.05) > 2.2 and (step + 0.05) / (luminance("#0f141b") + 0.05) > 2.2 for step in steps)
    assert not set(colours) & set(level_colours(5))


def test_right_answers_are_counted_level_by_level():
    """A bar for each number of right answers, cut by the facts' levels, in the levels' colours."""
    figure = right_answers_figure([[5, 0, 0], [2, 0, 0], [0, 3, 0], [0, 0, 4]], ("a", "b", "c", "d"))
    assert [list(bar.y) for bar in figure.data] == [[5, 0, 0], [2, 0, 0], [0, 3, 0], [0, 0, 4]]
    assert [list(bar.x) for bar in figure.data] == [[0, 1, 2]] * 4
    assert figure.layout.barmode == "stack"
    assert len({bar.marker.color for bar in figure.data}) == 4


def test_labels_have_the_room_that_their_letters_take():
    """Markup takes none, entities are one letter, wide signs two; of several lines the longest counts."""
    assert [beside([name]) for name in ("", "abc", "<b>abc</b>", "a&amp;b", "abc<br>a")] == [14, 34, 34, 34, 34]
    assert beside(["日本"]) == 40
    assert beside(["WWW"]) == 42
    assert beside(["abc"], title=True) == 60
    assert wrapped("does not know it at all") == "does not<br>know it at<br>all"
    assert below([wrapped("does not know it at all"), "x"]) == 62


def test_a_long_name_is_shortened_beside_its_bar_and_whole_under_the_pointer():
    """The bars keep their room, and two names that begin alike are two rows."""
    names = ["a relation whose name never ends, one", "a relation whose name never ends, two"]
    figure = level_shares_figure({name: [1, 1] for name in names}, ["low", "high"])
    assert figure.layout.margin.l < 300
    assert list(figure.data[0].y) == [0, 1]
    assert list(figure.data[0].hovertext) == names
    assert all("…" in tick for tick in figure.layout.yaxis.ticktext)


def test_numbers_stand_where_a_telephone_has_room_for_them():
    """Long names leave the bars less of it."""
    shares = {"low": [90, 10], "x": [50, 50]}
    texts = [
        {
            text
            for trace in level_shares_figure({name + more: counts for name, counts in shares.items()}, ["l", "h"]).data[2:]
            for text in trace.text
        }
        for more in ("", " and a long name as well")
    ]
    assert texts == [{"90%", "10%", "50%"}, {"90%", "50%"}]


def test_lines_join_a_level_before_and_after():
    """In the level's colour, from the one accuracy to the other; a level without facts has none."""
    before, after = accuracy([0.1, 0.2], [50, 50]), accuracy([0.3, 0.6], [50, 50])
    lines = accuracy_figure(before, after).layout.shapes
    assert [(line.x0, round(line.x1, 9), line.y0, line.y1) for line in lines] == [(-0.14, 0.14, 0.1, 0.3), (0.86, 1.14, 0.2, 0.6)]
    assert [line.line.color for line in lines] == level_colours(2)
    assert accuracy_figure(before, after).layout.margin.t == 40
