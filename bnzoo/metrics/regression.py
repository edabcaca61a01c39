"""The metrics of a regression, from the predicted numbers."""

from dataclasses import replace

import numpy as np

from bnzoo.metrics.metric import REGRESSION, Metric, Prepared


def _errors(predictions: np.ndarray, targets: np.ndarray) -> np.ndarray:
    return predictions.reshape(targets.shape).astype(np.float64) - targets


def _r2(predictions: np.ndarray, targets: np.ndarray) -> Prepared:
    """Prepare R². For several targets it is the mean of theirs."""
    squares, targets = _errors(predictions, targets) ** 2, targets.astype(np.float64)

    def value(weights: np.ndarray) -> float:
        deviations = targets - np.average(targets, axis=0, weights=weights)
        spread = weights @ deviations**2
        return float(np.mean(1 - weights @ squares / spread)) if np.all(spread) else float("nan")

    return value


def _rmse(predictions: np.ndarray, targets: np.ndarray) -> Prepared:
    squares = _errors(predictions, targets) ** 2
    return lambda weights: float(np.average(squares, weights=weights) ** 0.5)


def _mae(predictions: np.ndarray, targets: np.ndarray) -> Prepared:
    sizes = np.abs(_errors(predictions, targets))
    return lambda weights: float(np.average(sizes, weights=weights))


_ONE = range(1, 2)  # several targets may have different units
R2 = Metric("r2", "R²", _r2, ".4f", ".2f", keras_name="r2_score", tasks=(REGRESSION,))
RMSE = Metric("rmse", "RMSE", _rmse, ".4g", ".3g", higher_is_better=False, tasks=(REGRESSION,), outputs=_ONE)
MAE = Metric("mae", "MAE", _mae, ".4g", ".3g", higher_is_better=False, tasks=(REGRESSION,), outputs=_ONE)
METRICS = (R2, RMSE, MAE)


def of_target(metric: Metric, name: str, number: int = 0) -> Metric:
    """Return a metric of one of several targets, in its unit.

    Args:
        metric: A `Metric` of one target.
        name: String, the name of the target.
        number: Integer, its index among the targets.
    """
    return replace(
        metric,
        name=f"{metric.name}:{name}",
        label=f"{metric.label} of {name}",
        prepare=lambda predictions, targets: metric.prepare(predictions[:, number], targets[:, number]),
    )
