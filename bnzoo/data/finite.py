"""The check that numbers are finite in float32."""

import numpy as np

from bnzoo.data.dataset import chunks


def check_finite(name: str, x: np.ndarray, y: np.ndarray) -> None:
    """Raise `ValueError` if inputs or targets hold values that are NaN or infinite in float32.

    Args:
        name: String, the name of the data, for the message.
        x: Array, the inputs.
        y: Array, the classes or targets.
    """
    for letter, array in (("x", x), ("y", y)):
        if not np.issubdtype(array.dtype, np.floating):
            continue
        bad = np.concatenate([_not_finite(part) for part in chunks(array)])
        if bad.any():
            raise ValueError(
                f"{name}: {bad.sum()} of {len(array)} examples in {letter} hold NaN or infinite values (in float32), "
                f"the first at index {bad.argmax()}; fill or drop them"
            )


def _not_finite(part: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return np.asarray(~np.isfinite(part.astype(np.float32)).reshape(len(part), -1).all(axis=1))
