"""The options of a training, and their check."""

from dataclasses import dataclass

import keras

from bnzoo.data import Dataset
from bnzoo.errors import positive_integer
from bnzoo.keras_internals import functional_model
from bnzoo.training.class_weights import check_class_weight
from bnzoo.training.precision import check_precision
from bnzoo.training.schedules import schedule_named

# the defaults, without a budget
EPOCHS, BATCH_SIZE, SCHEDULE = 30, 128, "warmup_cosine"
MOST_EPOCHS = 1_000_000


@dataclass(frozen=True)
class Options:
    """The options of a training. See `bnzoo.train`."""

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

    def check(self, model: keras.Model, data: Dataset) -> None:
        """Raise `ValueError` if an option is invalid, or the model does not fit the data, or the backend is another."""
        if (backend := keras.backend.backend()) != "tensorflow":
            raise ValueError(
                "Training needs the TensorFlow backend. Set the environment variable KERAS_BACKEND to tensorflow "
                f"before Python starts. Received: the {backend} backend"
            )
        _check_model(model, data)
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
        schedule_named(self.schedule)
        check_precision(self.precision)
        check_class_weight(self.class_weight, data)
        if not isinstance(self.seed, int) or isinstance(self.seed, bool) or not 0 <= self.seed < 2**31:
            raise ValueError(f"`seed` must be an integer from 0 to 2**31 - 1. Received: seed={self.seed!r}")


def _check_model(model: keras.Model, data: Dataset) -> None:
    """Raise `ValueError` if the model does not fit the data."""
    if not isinstance(model, keras.Model) or functional_model(model) is None or len(model.outputs) != 1:
        raise ValueError(
            "`model` must be a built functional or Sequential `keras.Model` with one output. Received: "
            f"{type(model).__name__}"
        )
    taken, units = tuple(model.inputs[0].shape[1:]), model.outputs[0].shape[-1]
    if len(taken) != len(data.input_shape) or any(
        a not in (None, b) for a, b in zip(taken, data.input_shape, strict=True)
    ):
        raise ValueError(
            f"`model` takes inputs of the shape {taken}, but the examples of {data.name} have the shape "
            f"{data.input_shape}. Build it with `input_shape={data.input_shape}`"
        )
    if units != data.outputs:
        raise ValueError(
            f"`model` has {units} outputs, but {data.name} needs {data.outputs}. Build it with `classes={data.outputs}`"
        )
