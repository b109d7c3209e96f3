"""Published numbers to lay beside one's own, each with its paper and what the table shows.

All are from arXiv 2509.16596, which restates and extends the method of arXiv 2409.15825; the latter's own tables were not at
hand. Models are real ones of 7 to 70 billion parameters, so only shapes can be compared with a tiny model's, never values.
"""

from collections.abc import Mapping, Sequence

import pandas as pd

PAPER = "arXiv 2509.16596"
LEVELS = ("L0", "L1", "L2", "L3", "L4")
TABLE_OF = {
    "shares": f"{PAPER}, facts by memory level",
    "matrix": f"{PAPER}, accuracy by train and test level, n = 1,920",
    "means": f"{PAPER}, mean accuracy by train level, n = 240 and 1,920",
    "restoration": f"{PAPER}, mean accuracy by share of the parameters put back, LLaMA-3-8B, n = 240 and 1,920",
    "own": f"{PAPER}, accuracy on the training examples by share of the parameters put back, LLaMA-3-8B, n = 240 and 1,920",
}

_SHARES = {  # model -> in-domain (75,944 train facts), out-of-domain (11,613 facts); per cent at L0 to L4
    "LLaMA-2-7B": ((29.9, 40.2, 12.3, 9.9, 7.6), (44.8, 36.0, 8.9, 6.8, 3.6)),
    "LLaMA-2-13B": ((27.5, 40.2, 12.9, 10.5, 8.8), (40.2, 36.5, 10.6, 8.4, 4.2)),
    "LLaMA-2-70B": ((20.2, 38.8, 17.6, 12.3, 11.0), (28.8, 39.1, 13.0, 11.5, 7.6)),
    "LLaMA-3-8B": ((24.3, 38.9, 15.2, 11.7, 9.8), (35.5, 39.1, 10.9, 9.6, 4.8)),
    "LLaMA-3-70B": ((16.5, 35.3, 19.7, 15.2, 13.3), (24.1, 38.9, 14.7, 13.3, 9.1)),
}
_MATRIX = {  # model, domain -> rows: train level; columns: test level; per cent
    ("LLaMA-3-8B", "in"): (
        (1.75, 16.07, 55.03, 71.06, 83.46),
        (0.98, 40.12, 63.93, 74.19, 84.22),
        (0.78, 36.56, 75.61, 83.98, 90.71),
        (0.64, 27.20, 70.33, 85.90, 91.66),
        (0.64, 24.26, 68.28, 83.29, 93.19),
    ),
    ("LLaMA-3-8B", "out"): (
        (1.91, 15.89, 59.01, 74.08, 80.33),
        (1.66, 23.88, 65.03, 79.63, 83.84),
        (1.45, 25.02, 70.52, 83.66, 87.89),
        (1.39, 21.66, 63.91, 81.34, 86.87),
        (0.93, 17.72, 63.64, 80.55, 88.43),
    ),
    ("LLaMA-3-70B", "in"): (
        (3.72, 22.68, 47.28, 57.97, 72.08),
        (1.94, 43.85, 63.45, 66.22, 79.54),
        (1.23, 38.17, 71.68, 77.58, 85.89),
        (1.00, 31.52, 68.32, 81.11, 88.49),
        (0.90, 26.16, 64.27, 78.00, 89.83),
    ),
    ("LLaMA-3-70B", "out"): (
        (3.08, 25.90, 67.04, 82.61, 85.74),
        (2.61, 31.01, 72.63, 84.69, 86.22),
        (2.06, 31.26, 74.51, 88.63, 92.01),
        (1.91, 26.70, 69.60, 89.61, 91.22),
        (0.81, 21.80, 66.52, 84.85, 92.29),
    ),
}
_MEANS = {  # domain, n -> LLaMA-3-8B's mean accuracy by train level; per cent
    ("in", 240): (55.33, 57.96, 59.32, 59.12, 53.97),
    ("out", 240): (52.37, 51.70, 55.35, 55.23, 50.69),
    ("in", 1920): (44.96, 52.43, 58.80, 57.70, 55.22),
    ("out", 1920): (49.40, 52.38, 54.04, 53.79, 51.70),
}
_RESTORATION = {  # domain, n -> share put back -> LLaMA-3-8B's mean accuracy by train level; per cent
    ("in", 240): {
        0.0: (55.33, 57.96, 59.32, 59.12, 53.97),
        0.01: (55.76, 58.17, 59.62, 59.24, 54.30),
        0.03: (56.64, 58.52, 59.77, 59.40, 54.31),
        0.05: (57.22, 58.68, 59.89, 59.63, 54.44),
        0.1: (58.32, 59.45, 60.40, 59.83, 54.69),
        0.2: (59.07, 59.81, 59.88, 59.91, 46.45),
        0.4: (59.77, 33.40, 42.44, 11.20, 23.83),
        0.6: (1.68, 2.20, 3.65, 2.56, 1.65),
    },
    ("out", 240): {
        0.0: (52.37, 51.70, 55.35, 55.23, 50.69),
        0.01: (52.62, 52.39, 56.45, 56.17, 50.82),
        0.03: (53.03, 52.82, 56.47, 56.41, 50.74),
        0.05: (53.27, 53.09, 56.80, 56.56, 50.59),
        0.1: (53.44, 53.87, 56.46, 56.72, 49.71),
        0.2: (54.18, 54.36, 55.95, 55.52, 43.13),
        0.4: (53.79, 20.77, 45.49, 17.56, 31.19),
        0.6: (0.20, 0.22, 0.32, 0.20, 0.23),
    },
    ("in", 1920): {
        0.0: (44.96, 52.43, 58.80, 57.70, 55.22),
        0.01: (46.73, 53.72, 59.85, 58.68, 55.88),
        0.03: (48.53, 55.01, 60.56, 59.23, 56.76),
        0.05: (49.85, 55.96, 61.10, 59.65, 57.34),
        0.1: (52.10, 57.14, 61.67, 60.02, 58.24),
        0.2: (54.81, 58.33, 62.21, 58.93, 58.66),
        0.4: (55.44, 22.06, 59.97, 6.92, 56.50),
        0.6: (1.48, 1.12, 1.62, 0.51, 0.60),
    },
    ("out", 1920): {
        0.0: (49.40, 52.38, 54.04, 53.79, 51.70),
        0.01: (50.78, 54.20, 55.17, 54.75, 52.62),
        0.03: (52.03, 55.12, 56.00, 55.52, 53.35),
        0.05: (52.54, 55.12, 56.34, 55.84, 53.77),
        0.1: (53.42, 55.08, 56.68, 55.54, 54.32),
        0.2: (54.50, 53.91, 57.10, 52.23, 53.82),
        0.4: (53.64, 20.51, 53.84, 9.67, 50.17),
        0.6: (0.30, 0.10, 0.27, 0.07, 0.18),
    },
}
_OWN = {  # n -> share put back -> LLaMA-3-8B's accuracy on its training examples by their level; per cent
    240: {
        0.0: (12.08, 61.25, 84.58, 90.00, 92.92),
        0.05: (12.50, 62.92, 85.00, 90.83, 93.75),
        0.2: (11.25, 62.08, 83.75, 92.5, 82.92),
    },
    1920: {
        0.0: (16.56, 62.81, 83.44, 89.48, 93.39),
        0.05: (15.68, 64.74, 85.52, 90.47, 94.22),
        0.2: (15.16, 65.00, 89.06, 90.57, 94.90),
    },
}


def restoration() -> pd.DataFrame:
    """n, domain, share, train, accuracy: mean over test levels by the share of parameters put back, by relative change.

    For share 0, n = 1,920 in-domain, the paper's own table by test level (`matrix`) gives other means: 45.47 52.69 57.53 55.15 53.93.
    """
    rows = {(n, domain, share): values for (domain, n), shares in _RESTORATION.items() for share, values in shares.items()}
    return _long(rows, ["n", "domain", "share", "train", "accuracy"])


def own_examples() -> pd.DataFrame:
    """n, share, train, accuracy: on the training examples themselves."""
    rows = {(n, share): values for n, shares in _OWN.items() for share, values in shares.items()}
    return _long(rows, ["n", "share", "train", "accuracy"])


def shares() -> pd.DataFrame:
    """model, domain, level, share: facts by level."""
    rows = {(model, domain): values for model, domains in _SHARES.items() for domain, values in zip(("in", "out"), domains, strict=True)}
    return _long(rows, ["model", "domain", "level", "share"])


def matrix() -> pd.DataFrame:
    """model, domain, train, test, accuracy: n = 1,920."""
    rows = {(*key, train): line for key, lines in _MATRIX.items() for train, line in zip(LEVELS, lines, strict=True)}
    return _long(rows, ["model", "domain", "train", "test", "accuracy"])


def means() -> pd.DataFrame:
    """model, domain, n, train, accuracy: mean over test levels."""
    return _long({("LLaMA-3-8B", *key): values for key, values in _MEANS.items()}, ["model", "domain", "n", "train", "accuracy"])


def _long(rows: Mapping[tuple, Sequence[float]], columns: list[str]) -> pd.DataFrame:
    """One row a level: what the row is of, the level, the share."""
    cells = [(*key, level, value / 100) for key, values in rows.items() for level, value in zip(LEVELS, values, strict=True)]
    return pd.DataFrame(cells, columns=columns)


TABLES = {"shares": shares, "matrix": matrix, "means": means, "restoration": restoration, "own": own_examples}
