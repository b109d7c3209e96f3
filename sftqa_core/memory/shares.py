"""Wilson's interval of a share: what memory scores, accuracies and studies all count with. Imports no library but numpy."""

from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

_NORMAL_975 = 1.9599639845400545  # the normal distribution's 97.5% quantile


def share_interval(count: ArrayLike, n: ArrayLike, alpha: float = 0.05) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Wilson's interval of shares count / n at level 1 - alpha -> low, high; at 95% to the last bit as statsmodels' `proportion_confint`
    has it, which takes a second to import. Rounding may leave its ends 1e-17 inside 0 and 1."""
    normal = _NORMAL_975 if alpha == 0.05 else NormalDist().inv_cdf(1 - alpha / 2)
    of = np.asarray(n, dtype=np.float64)
    share = np.asarray(count, dtype=np.float64) / of
    denominator = 1 + normal**2 / of
    center = (share + normal**2 / (2 * of)) / denominator
    distance = normal * np.sqrt(share * (1.0 - share) / of + normal**2 / (4.0 * of**2)) / denominator
    return np.clip(center - distance, 0, 1), np.clip(center + distance, 0, 1)
