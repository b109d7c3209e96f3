"""Wilson's interval of a share: what memory scores, accuracies and studies all count with. Imports nothing but numpy."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

_NORMAL_975 = 1.9599639845400545  # the normal distribution's 97.5% quantile


def share_interval(count: ArrayLike, n: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Wilson's 95% interval of shares count / n -> low, high, to the last bit as statsmodels' `proportion_confint` has it, which takes a
    second to import. Rounding may leave its ends 1e-17 inside 0 and 1."""
    of = np.asarray(n, dtype=np.float64)
    share = np.asarray(count, dtype=np.float64) / of
    denominator = 1 + _NORMAL_975**2 / of
    center = (share + _NORMAL_975**2 / (2 * of)) / denominator
    distance = _NORMAL_975 * np.sqrt(share * (1.0 - share) / of + _NORMAL_975**2 / (4.0 * of**2)) / denominator
    return np.clip(center - distance, 0, 1), np.clip(center + distance, 0, 1)
