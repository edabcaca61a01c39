"""The data of the claims: scikit-learn's digits, or images of a file."""

from pathlib import Path

from bnzoo.data import Dataset, Split, load
from bnzoo.tuning import ResNetSpace
from recipes.claims.store import Size

_MOST_IMAGES = {Size.FULL: 10_000, Size.QUICK: 2_000}
_VALIDATION = 0.15  # of every file: the usual share is less for large ones
_SMALLEST = 128  # the examples of each split at the smallest size


def digits(size: Size) -> Dataset:
    """Return scikit-learn's 1,797 scanned digits, two thirds to train, a fifth to test; few at the smallest size."""
    whole = load("digits")
    return _first(whole, 3 * (_SMALLEST,)) if size is Size.SMALLEST else whole


def images(file: Path, size: Size) -> Dataset:
    """Return at most 10,000 images of a file, 65 % to train, 15 % to validate, 20 % to test; 2,000 for a quick run.

    The images are drawn at random, always the same.

    Args:
        file: `pathlib.Path`, an `.npz` file with the arrays `x` and `y`.
        size: A `Size`.

    Raises:
        ValueError: If the file has no images that a ResNet can classify.
        OSError: If the file cannot be read.
    """
    if file.suffix != ".npz":
        raise ValueError(f"`--data` must be an .npz file with the images x and their classes y. Received: {file}")
    whole = load(file, validation=_VALIDATION)  # its splits are in random order
    if len(whole.input_shape) != 3 or whole.task != "classification":
        raise ValueError(
            f"{file}: the claims need images, an x of shape (examples, height, width) or (examples, height, width, "
            f"channels), with a class each in y. Received: examples of shape {whole.input_shape} for a {whole.task}"
        )
    ResNetSpace(depths=(8,)).for_data(whole).check()
    counts = tuple(len(split.y) for split in _splits(whole))
    share = min(1.0, _MOST_IMAGES.get(size, 0) / sum(counts))
    return _first(whole, tuple(round(share * count) or _SMALLEST for count in counts))


def _splits(data: Dataset) -> tuple[Split, Split, Split]:
    return data.train, data.validation, data.test


def _first(data: Dataset, counts: tuple[int, ...]) -> Dataset:
    few = (Split(*(array[:count] for array in split)) for split, count in zip(_splits(data), counts, strict=True))
    return Dataset(data.name, data.labels, *few)
