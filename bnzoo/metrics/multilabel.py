"""The metrics of several labels an example, from the probability of each label."""

import numpy as np

from bnzoo.metrics.classification import THRESHOLD, ordered
from bnzoo.metrics.metric import MULTILABEL, Metric, Prepared


def _average_precision(probabilities: np.ndarray, labels: np.ndarray) -> Prepared:
    """Prepare the mean of the average precision of each label, without labels that no example has."""
    columns = [ordered(-scores, members) for scores, members in zip(probabilities.T, labels.T, strict=True)]

    def value(weights: np.ndarray) -> float:
        found = []
        for order, starts, members in columns:
            weight = weights[order]
            inside = np.add.reduceat(weight * members, starts)
            chosen = np.add.reduceat(weight, starts).cumsum()
            if inside.any():
                precision = inside.cumsum() / np.maximum(chosen, 1e-300)
                found.append((inside * precision).sum() / inside.sum())  # not `@`, as in the area
        return float(np.mean(found)) if found else float("nan")

    return value


def _all_right(probabilities: np.ndarray, labels: np.ndarray) -> Prepared:
    right = ((probabilities >= THRESHOLD) == labels).all(-1)
    return lambda weights: float(np.average(right, weights=weights))


MEAN_AVERAGE_PRECISION = Metric(
    "mean_average_precision", "mean average precision", _average_precision, ".4f", ".2f", tasks=(MULTILABEL,)
)
ALL_LABELS = Metric("all_labels", "all labels right", _all_right, ".2%", ".1%", share=True, tasks=(MULTILABEL,))
METRICS = (MEAN_AVERAGE_PRECISION, ALL_LABELS)
