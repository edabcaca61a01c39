"""Calibration examples in batches."""

from collections.abc import Iterator

from .record import Arrays

# the activations of a network for more examples may not fit into memory
_BATCH = 32


def batches(calibration: Arrays) -> Iterator[Arrays]:
    """Split calibration examples into batches.

    Args:
        calibration: Dict of arrays by input name.

    Yields:
        Dicts of arrays by input name.
    """
    size = len(next(iter(calibration.values())))
    for start in range(0, size, _BATCH):
        yield {name: values[start : start + _BATCH] for name, values in calibration.items()}
