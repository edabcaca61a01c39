"""The options of a training, and their check."""

import math
from dataclasses import dataclass

import keras

from bnzoo.data import Dataset
from bnzoo.errors import positive_integer, seed_number
from bnzoo.training.class_weights import check_class_weight
from bnzoo.training.precision import check_precision
from bnzoo.training.schedules import schedule_named

# the default, without a budget
EPOCHS = 30
MOST_EPOCHS = 1_000_000
# default batch sizes: of few, some and many examples; an epoch of few has at least so many steps, if possible
_BATCH_SIZES, _MANY, _STEPS = (16, 64, 128), 20_000, 16


@dataclass(frozen=True)
class Options:
    """The options of a training. See `bnzoo.train`.

    Attributes:
        known_precision: String, the precision that is the fastest on this machine; `None` if a training with
            `precision="auto"` must measure it.
    """

    epochs: int | None
    deadline: float | None
    batch_size: int
    schedule: str
    precision: str
    average: bool
    patience: int | None
    class_weight: str | None
    all_data: bool
    seed: int
    warmup: float | None = None
    known_precision: str | None = None

    def check(self, data: Dataset) -> None:
        """Raise `ValueError` if an option is invalid, or does not fit the data, or the backend is another."""
        require_tensorflow()
        if self.epochs is not None:
            positive_integer("epochs", self.epochs, MOST_EPOCHS)
        positive_integer("batch_size", self.batch_size)
        if self.batch_size < 2:
            raise ValueError(f"`batch_size` must be at least 2. Received: batch_size={self.batch_size}")
        if self.patience is not None:
            positive_integer("patience", self.patience, MOST_EPOCHS)
            if self.all_data:
                raise ValueError(
                    "`patience` needs validation data, which `all_data` turns into training data. Omit one of them. "
                    f"Received: patience={self.patience}, all_data=True"
                )
        schedule_named(self.schedule, self.warmup)
        check_precision(self.precision)
        check_class_weight(self.class_weight, data)
        seed_number("seed", self.seed, bits=31)


def require_tensorflow() -> None:
    """Raise `ValueError` if the backend is another one than TensorFlow."""
    if (backend := keras.backend.backend()) != "tensorflow":
        raise ValueError(
            "Training needs the TensorFlow backend. Set the environment variable KERAS_BACKEND to tensorflow before "
            f"Python starts. Received: the {backend} backend"
        )


def default_batch_size(examples: int) -> int:
    """Return the batch size for a number of training examples: large batches are faster, but need many examples."""
    least, usual, most = _BATCH_SIZES
    if examples >= _MANY:
        return most
    return max(least, min(usual, 2 ** int(math.log2(max(1, examples // _STEPS)))))
