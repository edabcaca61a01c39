"""The split of examples into training, validation and test data."""

from collections.abc import Mapping, Sequence
from numbers import Real

import numpy as np

Parts = dict[str, np.ndarray]
# more validation data would hardly make a choice between models more certain: with 5,000 examples the standard error of
# an accuracy is 0.7 points at most
VALIDATION, MOST_VALIDATION = 0.15, 5_000


def usual_validation(examples: int) -> float:
    """Return the share of the validation data: 0.15, or that of 5,000 examples if it is less."""
    return min(VALIDATION, MOST_VALIDATION / examples)


def check_split(shares: Mapping[str, float | None], seed: int) -> None:
    """Check how data is split.

    Args:
        shares: Dict, the share of each part by the name of its argument; `None` for the usual share.
        seed: Integer.

    Raises:
        ValueError: If a share or the seed is invalid. The message names the argument.
    """
    given = {part: VALIDATION if share is None else share for part, share in shares.items()}
    if not (all(isinstance(share, Real) and share > 0 for share in given.values()) and sum(given.values()) < 1):
        raise ValueError(
            f"{' and '.join(f'`{part}`' for part in shares)} must be shares above 0 with a sum below 1. "
            f"Received: {', '.join(f'{part}={share!r}' for part, share in given.items())}"
        )
    if not isinstance(seed, int | np.integer) or seed < 0:
        raise ValueError(f"`seed` must be an integer of at least 0. Received: seed={seed!r}")


def divide(
    y: np.ndarray,
    labels: Sequence[str],
    name: str,
    shares: Mapping[str, float | None],
    seed: int,
    targets: Sequence[str] = (),
) -> Parts:
    """Split examples: stratified by class or by combination of labels, or at random for a regression.

    Args:
        y: Integer array, `0 .. classes - 1`; rows of 0 and 1, a column for each label; or the float targets of a
            regression, with several targets in columns.
        labels: Sequence of strings, the names of the classes or labels; empty for a regression.
        name: String, the name of the data, for messages.
        shares: Dict, the share of each part, as in `check_split`; `None` for `usual_validation`. The rest is the part
            `train`.
        seed: Integer.
        targets: Sequence of strings, the names of the targets of a regression, for messages; it may be empty.

    Returns:
        Dict of integer arrays, the indices of each part's examples.

    Raises:
        ValueError: If there are too few examples for a part.
    """
    known = {part: usual_validation(len(y)) if share is None else share for part, share in shares.items()}
    if not labels:
        return at_random(y, name, known, seed, targets)
    split = stratified if y.ndim == 1 else by_combination
    return split(y, labels, name, known, seed)


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


def by_combination(y: np.ndarray, labels: Sequence[str], name: str, shares: Mapping[str, float], seed: int) -> Parts:
    """Split every combination of labels in the same proportions, if it has enough examples, and the others at random.

    The arguments and the result are those of `divide`.

    Raises:
        ValueError: If in the training data a label is always present or never, or a part has no label at all.
    """
    random = np.random.default_rng(seed)
    parts: dict[str, list[np.ndarray]] = {"train": [], **{part: [] for part in shares}}
    _, combinations, sizes = np.unique(y, axis=0, return_inverse=True, return_counts=True)
    rare = sizes * min(shares.values()) < 1
    groups = [np.flatnonzero(combinations == number) for number in np.flatnonzero(~rare)]
    for members in (*groups, np.flatnonzero(rare[combinations])):
        counts = {part: round(len(members) * share) for part, share in shares.items()}
        for part, chosen in _cut(random.permutation(members), counts).items():
            parts[part].append(chosen)
    found = {part: random.permutation(np.concatenate(chosen)) for part, chosen in parts.items()}
    present = y[found["train"]].sum(0)
    for number, label in enumerate(labels):
        if not 0 < present[number] < len(found["train"]):
            raise ValueError(
                f"{name}: the label {label!r} is 1 in {y[:, number].sum()} of {len(y)} examples, and in "
                f"{present[number]} of the {len(found['train'])} for training, which need both 0 and 1. Add examples, "
                "or leave out the label"
            )
    for part, chosen in found.items():
        if not y[chosen].any():
            raise ValueError(
                f"{name}: the part {part} gets {len(chosen)} of the {len(y)} examples, none of which has a label; add "
                "examples, or choose other shares or another seed"
            )
    return found


def at_random(y: np.ndarray, name: str, shares: Mapping[str, float], seed: int, targets: Sequence[str] = ()) -> Parts:
    """Split at random, with at least two different values of each target in each part.

    The arguments and the result are those of `divide`, without the labels.

    Raises:
        ValueError: If a part has fewer than two different values of a target.
    """
    check_varied(y, name, targets)
    y = y.astype(np.float32).reshape(len(y), -1)  # as in the data set
    order = np.random.default_rng(seed).permutation(len(y))
    parts = _cut(order, {part: max(2, round(len(y) * share)) for part, share in shares.items()})
    for part, chosen in parts.items():
        if len(chosen) < 2 or not np.ptp(y[chosen], axis=0).all():
            raise ValueError(
                f"{name}: the part {part} gets {len(chosen)} of the {len(y)} examples, and needs at least two with "
                "different targets; add examples, or choose other shares or another seed"
            )
    return parts


def check_varied(y: np.ndarray, name: str, targets: Sequence[str] = ()) -> None:
    """Check that each target of a regression has different values.

    Args:
        y: Array, the targets, one or several in columns.
        name: String, the name of the data.
        targets: As in `divide`.

    Raises:
        ValueError: If a target has one value only. The message names it.
    """
    y = y.astype(np.float32).reshape(len(y), -1)  # as in the data set
    if (same := np.ptp(y, axis=0) == 0).any():
        column = int(same.argmax())
        which = f"the target {targets[column]!r}" if targets else f"target {column}" if len(same) > 1 else "the target"
        raise ValueError(f"{name}: {which} is {y[0, column]:g} in every example; choose a target with different values")


def _cut(members: np.ndarray, counts: dict[str, int]) -> Parts:
    """Assign the first members to the last part, and so on. The rest is the part `train`."""
    parts = {}
    for part, count in reversed(counts.items()):
        parts[part], members = members[:count], members[count:]
    return {"train": members, **parts}
