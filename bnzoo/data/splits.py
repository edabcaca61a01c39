"""Which examples are for training, which for validation, which for the test."""

from collections.abc import Mapping, Sequence

import numpy as np

Parts = dict[str, np.ndarray]


def divide(y: np.ndarray, labels: Sequence[str], name: str, shares: Mapping[str, float], seed: int) -> Parts:
    """The examples of each part: stratified if there are classes, at random for a regression.

    Args:
        y: Integer array, `0 .. classes - 1`, or the float targets of a regression.
        labels: The names of the classes; empty for a regression.
        name: Where the data came from.
        shares: The share of each part; what they leave is the part `train`.
        seed: Integer.

    Returns:
        Dict of integer arrays, the places of each part's examples.

    Raises:
        ValueError: If a share is not possible, or a part cannot get what it needs.
    """
    if not (all(share > 0 for share in shares.values()) and sum(shares.values()) < 1):
        raise ValueError(
            f"{' and '.join(f'`{part}`' for part in shares)} must be shares above 0 that leave something to train on. "
            f"Received: {', '.join(f'{part}={share}' for part, share in shares.items())}"
        )
    return stratified(y, labels, name, shares, seed) if labels else at_random(y, name, shares, seed)


def stratified(y: np.ndarray, labels: Sequence[str], name: str, shares: Mapping[str, float], seed: int) -> Parts:
    """Splits every class in the same proportions, each part getting at least one example of each class.

    Takes and returns what `divide` does.

    Raises:
        ValueError: If there is only one class, or one has too few examples for a part.
    """
    if len(labels) < 2:
        raise ValueError(f"{name}: one class only ({', '.join(labels)}); a classifier needs at least two")
    random = np.random.default_rng(seed)
    parts: dict[str, list[np.ndarray]] = {"train": [], **{part: [] for part in shares}}
    for label, word in enumerate(labels):
        members = random.permutation(np.flatnonzero(y == label))
        counts = {part: max(1, round(len(members) * share)) for part, share in shares.items()}
        if len(members) <= sum(counts.values()):
            raise ValueError(
                f"{name}: class {word!r} has {len(members)} example{'s' * (len(members) != 1)}; training, "
                f"{' and '.join(shares)} need at least one each, so give every class {len(parts)} or more"
            )
        for part, chosen in _cut(members, counts).items():
            parts[part].append(chosen)
    return {part: random.permutation(np.concatenate(chosen)) for part, chosen in parts.items()}


def at_random(y: np.ndarray, name: str, shares: Mapping[str, float], seed: int) -> Parts:
    """Splits at random, each part getting at least two examples that differ in their target.

    Takes and returns what `divide` does, but for the labels.

    Raises:
        ValueError: If the targets do not differ.
    """
    y = y.astype(np.float32)  # as it will be kept
    if not np.ptp(y):
        raise ValueError(f"{name}: the target is {y[0]:g} in every example; there is nothing to predict")
    order = np.random.default_rng(seed).permutation(len(y))
    parts = _cut(order, {part: max(2, round(len(y) * share)) for part, share in shares.items()})
    for part, chosen in parts.items():
        if len(chosen) < 2 or not np.ptp(y[chosen]):
            raise ValueError(
                f"{name}: of the {len(y)} examples, {len(chosen)} would be for {part}, where two or more that differ "
                "in their target are needed; give more examples, or choose other shares or another seed"
            )
    return parts


def _cut(members: np.ndarray, counts: dict[str, int]) -> Parts:
    """The first members to the last part, what is left to `train`."""
    parts = {}
    for part, count in reversed(counts.items()):
        parts[part], members = members[:count], members[count:]
    return {"train": members, **parts}
