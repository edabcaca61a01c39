"""Variation of a loss and its gradient along the gradient: as in Santurkar et al. 2018, and independent of scale."""

from collections.abc import Callable, Sequence

import numpy as np

Arrays = list[np.ndarray]
# takes a point, returns the loss and its gradient
Loss = Callable[[Arrays], tuple[float, Arrays]]
TINY = 1e-12  # the smallest divisor


def raw_variation(loss: Loss, point: Arrays, steps: Sequence[float]) -> tuple[float, float]:
    """Measure the change of loss and gradient along the gradient, as in Santurkar et al. 2018.

    Args:
        loss: Function that takes a point and returns the loss and its gradient.
        point: The weights.
        steps: The step lengths, as multiples of the gradient.

    Returns:
        The range of the loss over the steps, and the largest distance between the gradient after a step and the
        gradient at the point.
    """
    _, gradient = loss(point)
    after = [loss([w - step * g for w, g in zip(point, gradient, strict=True)]) for step in steps]
    values = [value for value, _ in after]
    distances = [size(_minus(there, gradient)) for _, there in after]
    return float(np.max(values) - np.min(values)), float(np.max(distances))


def normalised_variation(loss: Loss, point: Arrays, kernels: Sequence[int], share: float) -> tuple[float, float]:
    """Measure the change of loss and gradient, with each kernel in units of its own norm.

    The scale of a kernel has no influence. Each kernel moves against its gradient by a share of its norm. The other
    weights stay unchanged.

    Args:
        loss: Function that takes a point and returns the loss and its gradient.
        point: The weights.
        kernels: The indices of the kernels in `point`.
        share: Float, the step length as a share of the norm of each kernel.

    Returns:
        The difference between the loss and its linear prediction, as a share of the predicted decrease, and the
        distance between the gradients after and before the step, as a share of the norm of the latter.
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


def _in_units(
    loss_and_gradient: tuple[float, Arrays], kernels: Sequence[int], units: Sequence[float]
) -> tuple[float, Arrays]:
    loss, gradient = loss_and_gradient
    return loss, [gradient[i] * unit for i, unit in zip(kernels, units, strict=True)]


def size(arrays: Arrays) -> float:
    """Return the joint norm of arrays, in float64."""
    return float(np.sqrt(sum(np.square(array, dtype=np.float64).sum() for array in arrays)))


def _minus(first: Arrays, second: Arrays) -> Arrays:
    return [a - b for a, b in zip(first, second, strict=True)]
