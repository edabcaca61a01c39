"""The files of a trained model in the folder of a study or of a training."""

from collections.abc import Iterator
from contextlib import contextmanager

# the model, the folder of the versions of its SavedModel, and the description of the last one
BEST, VERSIONS, NOTE = "best.keras", "best", "export.json"


@contextmanager
def replaceable() -> Iterator[None]:
    """Add to an error about a damaged file that the study can write it again."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{error}. Remove it, then run the same study or training again to write one.") from error
