"""Studies without training, for tests of their records: the loss of a trial is a function of its values."""

import math

import keras
import numpy as np

from bnzoo import tuning
from bnzoo.tuning.costs import counts_of
from bnzoo.tuning.trial import Evaluation

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


class Untrained:
    """A replacement of a compiled model. It calls `build` of the space for its errors."""

    def __init__(self, space, hp, data, seed, *score, precision):
        space.build(hp)
        self.hp, self.data = hp.copy(), data
        inputs = keras.Input(data.input_shape)
        outputs = keras.layers.Dense(data.classes, use_bias=False)(keras.layers.Flatten()(inputs))
        self.model = keras.Model(inputs, outputs)
        # eagerly, because tracing a graph takes longer than one evaluation
        self.model.compile(loss=LOSS, metrics=["accuracy"], run_eagerly=True)
        self.counts = counts_of(self.model)


def leave_out_training(patch):
    """Replace training in studies by `train_and_evaluate`, through a `pytest.MonkeyPatch`."""
    patch.setattr("bnzoo.tuning.tuner.CompiledModel", Untrained)
    patch.setattr("bnzoo.tuning.tuner.train_and_evaluate", train_and_evaluate)


def loss_of(values, seed):
    """Return the loss of a trial: lowest at a learning rate of 0.1, with batch norm, at depth 1 and for seed 0."""
    distance = abs(math.log10(values["learning_rate"]) + 1)
    return 0.2 + 0.1 * distance + 0.05 * (values["norm"] == "none") + 0.02 * values["depth"] + 0.01 * seed


def train_and_evaluate(compiled, seed, learning_rate, epochs, report=None, **options):
    """Return what the values say, and leave the loss in every weight of the model."""
    loss = loss_of({**compiled.hp.values, "learning_rate": learning_rate}, seed)
    compiled.model.set_weights([np.full(weight.shape, loss) for weight in compiled.model.get_weights()])
    curve = [loss * (1 + 1 / epoch) for epoch in range(1, epochs + 1)]
    outcome, reason = ("ok", "") if learning_rate <= 10 else ("diverged", "the learning rate is over 10")
    for epoch in (1, 3, 9, 27):
        if report and epoch < epochs and report(curve[epoch - 1], epoch):
            outcome, reason, curve = "pruned", "worse than others", curve[:epoch]
            break
    accuracies = [1 - loss for loss in curve]
    history = {"loss": curve, "accuracy": accuracies, "val_loss": curve, "val_accuracy": accuracies}
    return Evaluation(outcome, reason, loss, loss, 1 - loss, loss, 1 - loss, history)


def loss_in(model):
    """Return the loss that `train_and_evaluate` left in the weights."""
    (kernel,) = model.get_weights()
    assert (kernel == kernel[0, 0]).all()
    return float(kernel[0, 0])


SPACE = {"depths": (1,), "learning_rates": (0.01, 1.0, 2), "norms": ("batch", None), "width": 4, "batch_size": 16}
TRIALS = 8  # with two seeds


def study(data, directory, space=None, **options):
    """Return a study of `TRIALS` trials."""
    return tuning.Study(space or tuning.MLPSpace(**SPACE), data, directory, **{"epochs": 2, "seeds": 2, **options})


def quiet(study, event):
    """Show no progress."""


def comparable(results):
    """Return the results of trials, without the seconds."""
    rows = results.frame().drop(columns=["compile_seconds", "train_seconds", "started", "worker"])
    return rows.to_csv() + repr([trial.history for trial in results.trials])
