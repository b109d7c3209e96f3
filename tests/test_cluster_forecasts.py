"""The forecasts of benchmarks/cluster.py: simulated workers, and GPU hours of labelling."""

import argparse

import pytest

from benchmarks.cluster import A100, H100, gpu_hours, labelling, simulated_s, token_rates


def test_hours_are_tokens_over_their_rate():
    """1,000 facts of 7,200 tokens at 2,000 a second take an hour."""
    assert gpu_hours(1_000, 7_200, 2_000) == 1.0


def test_rates_of_a_gpu_are_the_published_one_and_its_bounds():
    """At worst what was written, at best with what was read, too; of another GPU by its memory's rate, and by its peak."""
    assert token_rates(A100) == (5_586, 11_172)
    slow, fast = token_rates(H100)
    assert slow == pytest.approx(5_586 * 3_350 / 2_039)
    assert fast == pytest.approx(11_172 * 989 / 312)


def test_the_papers_facts_take_tens_of_gpu_hours(capsys):
    """Told as a forecast and as a range."""
    labelling(argparse.Namespace(facts=97_112, tokens=[6_463, 9_030]))
    told = capsys.readouterr().out
    assert told.startswith("forecast, not measured: 97,112 facts x 210 completions")
    assert "A100 80 GB: 5,586 to 11,172 tokens/s (published throughput): 16 to 44 GPU hours" in told
    assert "H100 80 GB: 9,178 to 35,414 tokens/s (scaled from the A100's): 5 to 27 GPU hours" in told


def test_simulated_workers_wait_for_the_store():
    """Two workers of equal cells are through in half the rounds; where the store takes longer than a cell, they gain nothing."""
    alike = {"cells": 8, "cell_s": 10.0, "requests": 1, "start_s": 5.0, "spread": 0.0, "seed": 0}
    assert simulated_s(1, store_s=0.0, **alike) == 85.0
    assert simulated_s(2, store_s=0.0, **alike) == 45.0
    assert simulated_s(8, store_s=100.0, **alike) == 15.0 + 8 * 100.0
