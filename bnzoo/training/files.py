"""The files of a trained model in the folder of a study or of a training."""

from contextlib import AbstractContextManager

from bnzoo.errors import advised

# the model, the folder of the versions of its SavedModel, and the description of the last one
BEST, VERSIONS, NOTE = "best.keras", "best", "export.json"


def replaceable() -> AbstractContextManager[None]:
    """Add to an error about a damaged file that the study can write it again."""
    return advised("Remove it, then run the same study or training again to write one.")
