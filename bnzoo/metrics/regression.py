"""The metrics of a regression, from the predicted numbers."""

import numpy as np

from bnzoo.metrics.metric import Metric, Prepared


def _errors(predictions: np.ndarray, targets: np.ndarray) -> np.ndarray:
    return predictions.reshape(len(targets)).astype(np.float64) - targets


def _r2(predictions: np.ndarray, targets: np.ndarray) -> Prepared:
    squares, targets = _errors(predictions, targets) ** 2, targets.astype(np.float64)

    def value(weights: np.ndarray) -> float:
        deviations = targets - np.average(targets, weights=weights)
        spread = weights @ deviations**2
        return float(1 - weights @ squares / spread) if spread else float("nan")

    return value


def _rmse(predictions: np.ndarray, targets: np.ndarray) -> Prepared:
    squares = _errors(predictions, targets) ** 2
    return lambda weights: float(np.average(squares, weights=weights) ** 0.5)


def _mae(predictions: np.ndarray, targets: np.ndarray) -> Prepared:
    sizes = np.abs(_errors(predictions, targets))
    return lambda weights: float(np.average(sizes, weights=weights))


_ONLY = range(1)
R2 = Metric("r2", "R²", _r2, ".4f", ".2f", keras_name="r2_score", classes=_ONLY)
RMSE = Metric("rmse", "RMSE", _rmse, ".4g", ".3g", higher_is_better=False, classes=_ONLY)
MAE = Metric("mae", "MAE", _mae, ".4g", ".3g", higher_is_better=False, classes=_ONLY)
REGRESSION = (R2, RMSE, MAE)
