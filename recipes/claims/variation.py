"""How much a loss and its gradient vary along the gradient, as Santurkar et al. 2018 measure it and free of scale."""

from collections.abc import Callable, Sequence

import numpy as np

Arrays = list[np.ndarray]
# of a point: the loss and its gradient
Loss = Callable[[Arrays], tuple[float, Arrays]]
TINY = 1e-12  # nothing is divided by less


def raw_variation(loss: Loss, point: Arrays, steps: Sequence[float]) -> tuple[float, float]:
    """Santurkar's measure: how much loss and gradient change along the gradient.

    Args:
        loss: Function of a point that gives the loss and its gradient.
        point: The weights.
        steps: By how many gradients to go.

    Returns:
        The range of the loss over the steps, and the largest distance of the gradient from that of the point.
    """
    _, gradient = loss(point)
    after = [loss([w - step * g for w, g in zip(point, gradient, strict=True)]) for step in steps]
    values = [value for value, _ in after]
    distances = [size(_minus(there, gradient)) for _, there in after]
    return float(np.max(values) - np.min(values)), float(np.max(distances))


def normalised_variation(loss: Loss, point: Arrays, kernels: Sequence[int], share: float) -> tuple[float, float]:
    """The same where each kernel is measured in units of its own norm, so that its scale makes no difference.

    Each kernel goes against its gradient by a share of its norm; the other weights stay.

    Args:
        loss: Function of a point that gives the loss and its gradient.
        point: The weights.
        kernels: Which of them are kernels.
        share: Float, of the norm of each kernel.

    Returns:
        How far the loss is from what its gradient predicts, as a share of the predicted fall; the distance of the
        gradient from that of the point, as a share of its own norm.
    """
    units = [size([point[i]]) for i in kernels]
    before, gradient = _in_units(loss(point), kernels, units)
    norms = [size([g]) for g in gradient]
    moved = list(point)
    for i, unit, g, norm in zip(kernels, units, gradient, norms, strict=True):
        moved[i] = point[i] - share * unit * g / max(norm, TINY)
    after, there = _in_units(loss(moved), kernels, units)
    fall = share * sum(norms)
    return abs(after - before + fall) / max(fall, TINY), size(_minus(there, gradient)) / max(size(gradient), TINY)


def _in_units(found: tuple[float, Arrays], kernels: Sequence[int], units: Sequence[float]) -> tuple[float, Arrays]:
    loss, gradient = found
    return loss, [gradient[i] * unit for i, unit in zip(kernels, units, strict=True)]


def size(arrays: Arrays) -> float:
    """The norm of all together, in float64."""
    return float(np.sqrt(sum(np.square(array, dtype=np.float64).sum() for array in arrays)))


def _minus(first: Arrays, second: Arrays) -> Arrays:
    return [a - b for a, b in zip(first, second, strict=True)]
