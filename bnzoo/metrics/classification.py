"""The metrics of a classification, from the probabilities of the classes."""

import numpy as np

from bnzoo.metrics.metric import CLASSIFICATION, MULTILABEL, Metric, Prepared

BINS = 15  # of the expected calibration error, as in Guo et al. 2017
THRESHOLD = 0.5  # of the probability of a label that is predicted
_BOTH = (CLASSIFICATION, MULTILABEL)


def confusion_matrix(probabilities: np.ndarray, classes: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Return the number of examples of each class (rows) for which each class (columns) is predicted."""
    count = probabilities.shape[-1]
    pairs = classes * count + probabilities.argmax(-1)
    return np.bincount(pairs, weights, count * count).reshape(count, count)


def _accuracy(probabilities: np.ndarray, classes: np.ndarray) -> Prepared:
    right = probabilities.argmax(-1) == classes
    return lambda weights: float(np.average(right, weights=weights))


def _top5(probabilities: np.ndarray, classes: np.ndarray) -> Prepared:
    best = np.argpartition(probabilities, -5, axis=-1)[:, -5:]
    right = (best == classes[:, None]).any(-1)
    return lambda weights: float(np.average(right, weights=weights))


def _balanced_accuracy(probabilities: np.ndarray, classes: np.ndarray) -> Prepared:
    def value(weights: np.ndarray) -> float:
        matrix = confusion_matrix(probabilities, classes, weights)
        present = matrix.sum(1) > 0
        return float((matrix.diagonal()[present] / matrix.sum(1)[present]).mean())

    return value


def _macro_f1(probabilities: np.ndarray, classes: np.ndarray) -> Prepared:
    if classes.ndim == 2:
        return _macro_f1_of_labels(probabilities >= THRESHOLD, classes.astype(bool))

    def value(weights: np.ndarray) -> float:
        matrix = confusion_matrix(probabilities, classes, weights)
        both = matrix.sum(0) + matrix.sum(1)
        return float((2 * matrix.diagonal()[both > 0] / both[both > 0]).mean())

    return value


def _macro_f1_of_labels(predicted: np.ndarray, present: np.ndarray) -> Prepared:
    right, both = (predicted & present).astype(np.float64), predicted + present.astype(np.float64)

    def value(weights: np.ndarray) -> float:
        sums = weights @ both
        known = sums > 0
        return float((2 * (weights @ right)[known] / sums[known]).mean()) if known.any() else float("nan")

    return value


def _auc(probabilities: np.ndarray, classes: np.ndarray) -> Prepared:
    """Prepare the mean area under the ROC curve of each class against the rest, or of each label.

    It is the probability of a right order.
    """
    members = classes.T if classes.ndim == 2 else [classes == column for column in range(probabilities.shape[-1])]
    columns = [ordered(scores, inside) for scores, inside in zip(probabilities.T, members, strict=True)]
    if classes.ndim == 1 and len(columns) == 2:
        del columns[0]  # both areas are the same

    def value(weights: np.ndarray) -> float:
        areas = []
        for order, starts, members in columns:
            weight = weights[order]
            inside = np.add.reduceat(weight * members, starts)
            outside = np.add.reduceat(weight, starts) - inside
            pairs = inside.sum() * outside.sum()
            if pairs:
                # not `@`, whose threads wait for each other on a busy machine
                areas.append((inside * (outside.cumsum() - outside / 2)).sum() / pairs)
        return float(np.mean(areas)) if areas else float("nan")

    return value


def ordered(scores: np.ndarray, members: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the order of scores, the starts of equal ones in it, and the members of a class as ordered numbers."""
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=np.nan) != 0)
    return order, starts, members[order].astype(np.float64)


def _calibration_error(probabilities: np.ndarray, classes: np.ndarray) -> Prepared:
    confidence = probabilities.max(-1).astype(np.float64)
    gap = confidence - (probabilities.argmax(-1) == classes)
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return lambda weights: float(np.abs(np.bincount(bins, weights * gap)).sum() / weights.sum())


ACCURACY = Metric("accuracy", "accuracy", _accuracy, ".2%", ".1%", keras_name="accuracy", share=True)
BALANCED_ACCURACY = Metric("balanced_accuracy", "balanced accuracy", _balanced_accuracy, ".2%", ".1%")
MACRO_F1 = Metric("macro_f1", "macro-F1", _macro_f1, ".4f", ".2f", tasks=_BOTH)
TOP5 = Metric("top5", "top-5 accuracy", _top5, ".2%", ".1%", share=True, outputs=range(6, 1_000_000_000))
# the area of more classes takes long, with its interval
AUC = Metric("auc", "AUC", _auc, ".4f", ".2f", tasks=_BOTH, outputs=range(2, 101))
CALIBRATION_ERROR = Metric(
    "calibration_error", "calibration error", _calibration_error, ".4f", ".2f", higher_is_better=False
)
METRICS = (ACCURACY, BALANCED_ACCURACY, MACRO_F1, TOP5, AUC, CALIBRATION_ERROR)
