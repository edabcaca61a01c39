"""The split of examples into training, validation and test data."""

from collections.abc import Mapping, Sequence

import numpy as np

Parts = dict[str, np.ndarray]


def divide(y: np.ndarray, labels: Sequence[str], name: str, shares: Mapping[str, float], seed: int) -> Parts:
    """Split examples: stratified by class, or at random for a regression.

    Args:
        y: Integer array, `0 .. classes - 1`, or the float targets of a regression.
        labels: Sequence of strings, the names of the classes; empty for a regression.
        name: String, the name of the data, for messages.
        shares: Dict, the share of each part. The rest is the part `train`.
        seed: Integer.

    Returns:
        Dict of integer arrays, the indices of each part's examples.

    Raises:
        ValueError: If a share is invalid, or there are too few examples for a part.
    """
    if not (all(share > 0 for share in shares.values()) and sum(shares.values()) < 1):
        raise ValueError(
            f"{' and '.join(f'`{part}`' for part in shares)} must be shares above 0 with a sum below 1. "
            f"Received: {', '.join(f'{part}={share}' for part, share in shares.items())}"
        )
    return stratified(y, labels, name, shares, seed) if labels else at_random(y, name, shares, seed)


def stratified(y: np.ndarray, labels: Sequence[str], name: str, shares: Mapping[str, float], seed: int) -> Parts:
    """Split every class in the same proportions, with at least one example of each class in each part.

    The arguments and the result are those of `divide`.

    Raises:
        ValueError: If there is only one class, or a class has too few examples.
    """
    if len(labels) < 2:
        raise ValueError(f"{name}: there is only one class ({', '.join(labels)}); a classification needs at least two")
    random = np.random.default_rng(seed)
    parts: dict[str, list[np.ndarray]] = {"train": [], **{part: [] for part in shares}}
    for label, class_name in enumerate(labels):
        members = random.permutation(np.flatnonzero(y == label))
        counts = {part: max(1, round(len(members) * share)) for part, share in shares.items()}
        if len(members) <= sum(counts.values()):
            raise ValueError(
                f"{name}: class {class_name!r} has only {len(members)} example{'s' * (len(members) != 1)}; training, "
                f"{' and '.join(shares)} need at least one each, so a class must have {len(parts)} or more. Add "
                "examples, or remove the class."
            )
        for part, chosen in _cut(members, counts).items():
            parts[part].append(chosen)
    return {part: random.permutation(np.concatenate(chosen)) for part, chosen in parts.items()}


def at_random(y: np.ndarray, name: str, shares: Mapping[str, float], seed: int) -> Parts:
    """Split at random, with at least two different targets in each part.

    The arguments and the result are those of `divide`, without the labels.

    Raises:
        ValueError: If a part has fewer than two different targets.
    """
    y = y.astype(np.float32)  # as in the data set
    if not np.ptp(y):
        raise ValueError(f"{name}: the target is {y[0]:g} in every example; choose a target with different values")
    order = np.random.default_rng(seed).permutation(len(y))
    parts = _cut(order, {part: max(2, round(len(y) * share)) for part, share in shares.items()})
    for part, chosen in parts.items():
        if len(chosen) < 2 or not np.ptp(y[chosen]):
            raise ValueError(
                f"{name}: the part {part} gets {len(chosen)} of the {len(y)} examples, and needs at least two with "
                "different targets; add examples, or choose other shares or another seed"
            )
    return parts


def _cut(members: np.ndarray, counts: dict[str, int]) -> Parts:
    """Assign the first members to the last part, and so on. The rest is the part `train`."""
    parts = {}
    for part, count in reversed(counts.items()):
        parts[part], members = members[:count], members[count:]
    return {"train": members, **parts}
