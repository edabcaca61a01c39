import csv
import dataclasses

import keras
import numpy as np
import pytest

import bnzoo
from bnzoo import data
from bnzoo.training import checkpoints, train


@pytest.fixture(scope="module")
def few():
    """120 real digits, in batches of 16: a training step takes milliseconds."""
    whole = data.load("digits")
    parts = (
        data.Split(part.x[:count], part.y[:count])
        for part, count in zip((whole.train, whole.validation, whole.test), (120, 40, 40), strict=True)
    )
    return data.Dataset("few digits", whole.labels, *parts)


def small_model(seed=0, dropout=0.2, **options):
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.Conv2D(4, 3, use_bias=False, name="conv")(inputs)
    x = keras.layers.ReLU()(bnzoo.layers.BatchNormalization(name="norm")(x))
    x = keras.layers.Dropout(dropout, seed=4)(keras.layers.Flatten()(x))
    return keras.Model(inputs, keras.layers.Dense(10, name="logits", **options)(x), name="small")


class StopAt(keras.callbacks.Callback):
    """Raise an error after a number of steps, as if the process were killed."""

    def __init__(self, steps):
        super().__init__()
        self.steps = steps

    def on_train_batch_end(self, batch, logs=None):
        self.steps -= 1
        if not self.steps:
            raise KeyboardInterrupt


def arrays(training):
    return [np.array(variable) for variable in training.model.variables]


@pytest.fixture
def each_step(monkeypatch):
    """Write a checkpoint after each step, without the export at the end."""
    monkeypatch.setattr(checkpoints, "_INTERVAL", 0.0)
    monkeypatch.setattr("bnzoo.training.session._Session._export", lambda *args: None)


OPTIONS = {"learning_rate": 0.05, "epochs": 4, "batch_size": 16, "seed": 3}


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_a_stopped_training_goes_on_bit_for_bit(few, tmp_path, each_step, precision):
    """The stops are in an epoch, at its end, in the last quarter with averages, and a step before the end."""
    few = dataclasses.replace(few, augment="crop")
    options = {**OPTIONS, "precision": precision, "patience": 4}
    whole = train(small_model(), few, directory=tmp_path / "whole", **options)
    for seed, steps in ((0, 3), (9, 4), (9, 15), (9, 5)):  # another start, as all weights are in the checkpoint
        with pytest.raises(KeyboardInterrupt):
            train(small_model(seed), few, directory=tmp_path / "stopped", callbacks=[StopAt(steps)], **options)
    resumed = train(small_model(seed=9), few, directory=tmp_path / "stopped", **options)
    assert resumed.history == whole.history
    assert resumed.choice == whole.choice
    for a, b in zip(arrays(resumed), arrays(whole), strict=True):
        np.testing.assert_array_equal(a, b)
    with (tmp_path / "stopped" / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["loss"]) for row in rows] == whole.history["loss"]
    assert (tmp_path / "stopped" / "history.csv").read_text() == (tmp_path / "whole" / "history.csv").read_text()
