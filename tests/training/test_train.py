import csv
import dataclasses
import itertools
import json
import math
import subprocess
import sys
import types
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as peer
from sklearn.utils.class_weight import compute_class_weight

import bnzoo
from bnzoo import data
from bnzoo.training import checkpoints, endings, speed, train
from bnzoo.training.averaging import Averaging
from bnzoo.training.batches import training_batches
from bnzoo.training.endings import steps_of_lag
from bnzoo.training.loop import fit
from bnzoo.training.options import default_batch_size
from bnzoo.training.planning import epochs_within
from bnzoo.training.position import Position
from bnzoo.training.precision import candidates, fastest
from bnzoo.training.recipe import recipe_of
from bnzoo.training.schedules import SCHEDULES, schedule_named
from bnzoo.training.speed import Finish, slowness
from bnzoo.training.structure import structure_digest


@pytest.fixture(scope="module")
def few():
    return few_digits()


def few_digits():
    """Return 120 real digits for training. A step of 16 takes milliseconds."""
    whole = data.load("digits")
    sizes = ((whole.train, 120), (whole.validation, 40), (whole.test, 40))
    return data.Dataset(
        "few digits", whole.labels, *(data.Split(part.x[:count], part.y[:count]) for part, count in sizes)
    )


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


class StopBeforeValidation(keras.callbacks.Callback):
    """Raise an error after the last step of an epoch."""

    def on_test_begin(self, logs=None):
        raise KeyboardInterrupt


def arrays(training):
    return [np.array(variable) for variable in training.model.variables]


@pytest.fixture
def each_step(monkeypatch):
    """Write a checkpoint after each step, without the export at the end."""
    monkeypatch.setattr(checkpoints, "INTERVAL", 0.0)
    monkeypatch.setattr("bnzoo.training.session._Session._export", lambda *args: None)


OPTIONS = {"learning_rate": 0.05, "epochs": 4, "batch_size": 16, "seed": 3, "precision": "float32"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("precision", "optimizer"),
    [
        ("float32", "sgd"),
        ("float16", "adamw"),
        ("float16", "muon"),
        ("float16", "schedule_free_adamw"),
    ],
)
def test_a_stopped_training_goes_on_bit_for_bit(few, tmp_path, each_step, precision, optimizer):
    """The stops are in an epoch, before a validation, and in the last quarter with averages."""
    few = dataclasses.replace(few, augment="crop")
    options = {**OPTIONS, "precision": precision, "patience": 4, "optimizer": optimizer}
    whole = train(small_model(), few, directory=tmp_path / "whole", **options)
    stops = (StopAt(3), StopBeforeValidation(), StopAt(4), StopAt(15), StopAt(5))
    for seed, stop in zip((0, 9, 9, 9, 9), stops, strict=True):  # another start, as all weights are in the checkpoint
        with pytest.raises(KeyboardInterrupt):
            train(small_model(seed), few, directory=tmp_path / "stopped", callbacks=[stop], **options)
        (tmp_path / "stopped" / "history.csv").write_text("damaged")
    resumed = train(small_model(seed=9), few, directory=tmp_path / "stopped", **options)
    again = train(small_model(seed=9), few, directory=tmp_path / "stopped", **options)
    assert resumed.history == again.history == whole.history
    assert resumed.choice == whole.choice
    assert ("last" in whole.choice) == (optimizer != "schedule_free_adamw")
    for a, b in zip(arrays(resumed), arrays(whole), strict=True):
        np.testing.assert_array_equal(a, b)
    with (tmp_path / "stopped" / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["loss"]) for row in rows] == whole.history["loss"]
    assert (tmp_path / "stopped" / "history.csv").read_text() == (tmp_path / "whole" / "history.csv").read_text()


def position_in(path):
    """Return the numbers of finished epochs and steps in a checkpoint."""
    with np.load(path) as file:
        notes = json.loads(str(file["notes"]))
    return notes["epoch"], notes["step"]


class Clocked(keras.callbacks.Callback):
    """Advance a clock by 3 s a step and some seconds a validation, and note what a kill would lose at each moment."""

    def __init__(self, folder, validation):
        super().__init__()
        self.now, self.validation, self.path = 0.0, validation, folder / "checkpoint.npz"
        self.reached, self.written, self.lost = {(0, 0): 0.0}, [], []

    def monotonic(self):
        return self.now

    def _pass(self, seconds):
        self.now += seconds
        at = (0, 0)  # the start of the training
        if self.path.exists():
            at = position_in(self.path)
            self.written += [at] if at not in self.written else []
        self.lost.append(self.now - self.reached[at])

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        self._pass(3.0)
        self.reached[self.epoch, batch + 1] = self.now

    def on_test_begin(self, logs=None):
        self._pass(self.validation)
        self.reached[self.epoch + 1, 0] = self.now


@pytest.mark.parametrize(("validation", "most"), [(0.5, 4), (50.0, 8)])
def test_a_kill_loses_at_most_a_minute(few, tmp_path, monkeypatch, validation, most):
    """An epoch has 7 steps of 3 s. Of a validation of 50 s, the checkpoint before it must not be older than 10 s."""
    clock = Clocked(tmp_path, validation)
    monkeypatch.setattr(checkpoints, "time", clock)
    with pytest.raises(KeyboardInterrupt):
        train(small_model(), few, directory=tmp_path, callbacks=[clock, StopAt(28)], **OPTIONS)
    assert max(clock.lost) <= 60
    assert 1 < len(clock.written) <= most, "a checkpoint takes time too"


def test_the_time_of_a_checkpoint_is_not_that_of_the_end_of_an_epoch(few, tmp_path, monkeypatch):
    """A checkpoint that takes 40 s before a validation of half a second would be written in every epoch."""
    clock, savez = Clocked(tmp_path, validation=0.5), np.savez
    monkeypatch.setattr(checkpoints, "time", clock)
    writes = []

    def slow(*arguments, **arrays):
        writes.append(clock.now)
        clock.now += 40.0
        savez(*arguments, **arrays)

    monkeypatch.setattr(np, "savez", slow)
    with pytest.raises(KeyboardInterrupt):
        train(small_model(), few, directory=tmp_path, callbacks=[clock, StopAt(28)], **OPTIONS)
    assert writes[0] == 18.0, "before the last step of the first epoch"
    assert all(later - earlier > 66.0 for earlier, later in itertools.pairwise(writes)), "30 s after the last one"


def scalars(folder):
    """Return the values of each scalar in the event files of a folder, with their steps."""
    found = {}
    for path in sorted(folder.glob("events.*")):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                found.setdefault(value.tag, []).append((event.step, float(tf.make_ndarray(value.tensor))))
    return found


KILLED = """
import sys
import keras
sys.path.insert(0, sys.argv[3])
from test_train import OPTIONS, few_digits, small_model
from bnzoo.training import checkpoints, endings, speed, train
checkpoints.INTERVAL = 0.0

class Steps(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        print("step", flush=True)

folder, seed = sys.argv[1], int(sys.argv[2])
options = {**OPTIONS, "tensorboard": folder + "-logs"}
training = train(small_model(seed), few_digits(), directory=folder, callbacks=[Steps()], **options)
"""


@pytest.mark.slow
def test_killed_at_several_moments_the_weights_are_the_same(few, tmp_path):
    """SIGKILL comes while a checkpoint is being written, or between two of them."""
    command = [sys.executable, "-c", KILLED, str(tmp_path / "killed")]
    for seed, steps in ((0, 2), (9, 7), (9, 11)):
        process = subprocess.Popen([*command, str(seed), str(Path(__file__).parent)], stdout=subprocess.PIPE)
        for _ in range(steps):
            assert process.stdout.readline()
        process.kill()
        process.communicate()
    logs = tmp_path / "killed-logs"
    assert scalars(logs / "train"), "the logs of finished epochs are there after a kill"
    resumed = train(small_model(9), few, directory=tmp_path / "killed", tensorboard=logs, **OPTIONS)
    whole = train(small_model(0), few, directory=tmp_path / "whole", **OPTIONS)
    assert resumed.history == whole.history
    for folder, name, tag in (
        ("train", "loss", "epoch_loss"),
        ("train", "learning_rate", "epoch_learning_rate"),
        ("validation", "val_loss", "epoch_loss"),
    ):
        expected = list(enumerate(pytest.approx(value) for value in whole.history[name]))
        assert scalars(logs / folder)[tag] == expected, "each epoch is there once"
    with (tmp_path / "killed" / "history.csv").open() as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2", "3", "4"]
    for a, b in zip(arrays(resumed), arrays(whole), strict=True):
        np.testing.assert_array_equal(a, b)
    again = train(small_model(9), few, directory=tmp_path / "killed", **OPTIONS)
    assert again.artefact == resumed.artefact, "nothing is trained or exported again"
    assert (tmp_path / "killed" / "best" / "1").is_dir()
    assert not (tmp_path / "killed" / "best" / "2").exists()


@pytest.mark.slow
def test_a_trained_model_is_compiled_with_the_rate_of_its_training(few):
    training = train(small_model(), few, **{**OPTIONS, "epochs": 1, "schedule": "half_cosine"})
    assert float(training.model.optimizer.learning_rate) == pytest.approx(0.05)
    assert training.model.optimizer.momentum == 0.9
    logits = training.model.predict(few.validation.x, verbose=0).astype(np.float64)
    losses = np.log(np.exp(logits).sum(-1)) - logits[np.arange(len(logits)), few.validation.y]
    assert training.choice[training.weights] == pytest.approx(losses.mean(), rel=1e-5)
    assert training.choice[training.weights] == min(training.choice.values())


@pytest.mark.slow
def test_a_further_fit_of_a_saved_training_begins_with_its_rate(few, tmp_path, verified_here):
    """Without gradients, a step of SGD only decays. The line with the exclusions is that of docs/training.md."""
    train(small_model(), few, directory=tmp_path, weight_decay=0.1, **{**OPTIONS, "epochs": 1})
    model = bnzoo.load_model(tmp_path / "best.keras")
    assert float(model.optimizer.learning_rate) == pytest.approx(0.05)
    model.optimizer.exclude_from_weight_decay(var_list=bnzoo.no_decay_variables(model))
    before = {variable.path: np.array(variable) for variable in model.trainable_variables}
    model.optimizer.apply([keras.ops.zeros_like(variable) for variable in model.trainable_variables])
    for variable in model.trainable_variables:
        factor = 1 - 0.05 * 0.1 if variable.name == "kernel" else 1.0
        np.testing.assert_allclose(np.array(variable), factor * before[variable.path], rtol=1e-6)
    x, y = few.train.x.astype("float32"), few.train.y
    loss = model.evaluate(x, y, verbose=0)[0]
    model.fit(x, y, batch_size=16, epochs=3, verbose=0)
    assert model.evaluate(x, y, verbose=0)[0] < loss


def mlp(activation=None, classes=3):
    return bnzoo.MLP(widths=(4,), input_shape=(4,), classes=classes, classifier_activation=activation)


def with_a_hidden_prediction():
    x = keras.Input((4,), name="features")
    return keras.Model(x, keras.layers.Dense(3)(keras.layers.Dense(4, name="prediction")(x)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "labels", "output"),
    [
        (mlp, (), "prediction"),
        (lambda: mlp(classes=1), (), "prediction"),
        (with_a_hidden_prediction, (), "prediction"),
        (mlp, ("a", "b", "c"), "probabilities"),
        (lambda: mlp("sigmoid"), ("a", "b", "c"), "probabilities"),
    ],
    ids=["targets", "target", "a hidden layer of the name", "logits of labels", "probabilities of labels"],
)
def test_the_task_is_that_of_the_served_outputs(tmp_path, verified_here, make, labels, output):
    random = np.random.default_rng(0)
    x, model = random.normal(size=(60, 4)).astype("float32"), make()
    y = random.normal(size=(60, model.output.shape[-1]))
    y = (y > 0).astype("int32") if labels else y.astype("float32").squeeze()
    table = data.Dataset("table", labels, *(data.Split(x[part::3], y[part::3]) for part in range(3)))
    artefact = train(model, table, directory=tmp_path, **{**OPTIONS, "epochs": 1}).artefact

    def predicted(split):
        outputs = model.predict(split.x, verbose=0)
        return 1 / (1 + np.exp(-outputs)) if labels and model.output_names == ["logits"] else outputs

    served = tf.saved_model.load(artefact.path).signatures["serve"](features=table.test.x)
    np.testing.assert_allclose(served[output], predicted(table.test), atol=1e-5)
    score = peer.average_precision_score if labels else peer.r2_score
    assert artefact.test_accuracy == pytest.approx(score(table.test.y, predicted(table.test)), abs=1e-5)
    if labels:
        found = artefact.measures.validation["macro_f1"], artefact.measures.test["macro_f1"].value
        for split, value in zip((table.validation, table.test), found, strict=True):
            assert value == pytest.approx(peer.f1_score(split.y, predicted(split) >= 0.5, average="macro"))


@pytest.mark.slow
def test_a_nested_model_trains_in_16_bits(few):
    inner = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(8, "relu")])
    x = keras.Input((8, 8, 1))
    model = keras.Model(x, keras.layers.Dense(10, name="logits")(inner(x)))
    training = train(model, few, **{**OPTIONS, "epochs": 1, "precision": "bfloat16"})
    assert training.precision == "bfloat16"
    assert {layer.compute_dtype for layer in training.model.layers} == {"float32"}


@pytest.mark.slow
def test_balanced_classes_have_the_same_weight_in_the_loss(few):
    """The reference is the mean of the weighted losses of the validation data, in float64, with sklearn's weights."""
    rows = np.flatnonzero((few.train.y < 3) | (np.arange(len(few.train.y)) % 3 == 0))
    uneven = dataclasses.replace(few, train=data.Split(few.train.x[rows], few.train.y[rows]))
    options = {**OPTIONS, "epochs": 1, "average": False}
    training = train(small_model(), uneven, class_weight="balanced", **options)
    weights = compute_class_weight("balanced", classes=np.arange(10), y=uneven.train.y)
    assert max(weights) > 2 * min(weights)
    truth = uneven.validation.y
    logits = training.model.predict(uneven.validation.x, verbose=0).astype(np.float64)
    losses = np.log(np.exp(logits).sum(-1)) - logits[np.arange(len(logits)), truth]
    assert training.choice["last"] == pytest.approx((weights[truth] * losses).mean(), rel=1e-5)
    assert training.history["loss"] != train(small_model(), uneven, **options).history["loss"]


def test_the_average_is_that_of_the_weights_of_the_last_quarter(few):
    """The reference is a recursion in float64."""
    weights = []

    class Weights(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            weights.append(self.model.layers[1].get_weights()[0].astype(np.float64))

    class Chosen(keras.callbacks.Callback):
        found = None

        def on_train_end(self, logs=None):
            Chosen.found = np.array(averaging.averages[0])

    position = Position(4, 10)
    averaging = Averaging(position)
    model = small_model()
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), run_eagerly=True)
    batches = training_batches(few, 12, 0)
    fit(
        model,
        batches,
        learning_rate=0.1,
        schedule=schedule_named("constant"),
        epochs=4,
        steps_per_epoch=10,
        position=position,
        callbacks=[Weights(), averaging, Chosen()],
        verbose=0,
        shuffle=False,
    )
    expected, *rest = weights[29:]  # after three quarters of 40 steps
    for value in rest:
        expected = expected + (value - expected) / 2  # over a twentieth of 40 steps
    np.testing.assert_allclose(Chosen.found, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.slow
def test_a_training_that_ended_at_its_deadline_goes_on_with_more_time(few, tmp_path, each_step):
    """The deadline has passed when the training begins, so that it ends after a step."""
    options = {**OPTIONS, "epochs": 2}
    with pytest.warns(UserWarning, match=r"The budget is too short: 0 s are left.* It will end about \d+ s late"):
        ended = train(small_model(), few, directory=tmp_path / "ended", budget=1e-9, **options)
    assert (ended.steps, ended.epochs) == (1, 0)
    assert ended.ended == "ended at the deadline after 1 of 14 steps"
    assert str(ended).startswith("0 epochs, 1 step in float32, last weights (validation loss: last ")
    resumed = train(small_model(9), few, directory=tmp_path / "ended", **options)
    whole = train(small_model(), few, **options)
    assert resumed.history == whole.history
    assert resumed.choice == whole.choice


@pytest.mark.slow
def test_the_plan_of_a_budget_is_kept(few, tmp_path, each_step):
    options = {name: value for name, value in OPTIONS.items() if name != "epochs"}
    first = train(small_model(), few, directory=tmp_path / "run", budget=1e-9, **options)
    with pytest.warns(UserWarning, match=r"This training of \d+ epochs is finished, and the budget changes nothing"):
        again = train(small_model(), few, directory=tmp_path / "run", budget=1e6, **options)
    assert first.steps == again.steps == 1, "not even an epoch fitted into the first budget"


def test_a_plan_counts_the_ends_of_an_epoch(few, tmp_path, each_step, monkeypatch):
    """A step takes 1 ms. An epoch has 8, its validation takes as long as 1, its ends take 15 ms."""
    monkeypatch.setattr("bnzoo.training.session.step_seconds", lambda *args: 0.001)
    monkeypatch.setattr("bnzoo.training.session.slowness", lambda *args: 1.0)
    options = {name: value for name, value in OPTIONS.items() if name != "epochs"}
    with pytest.raises(KeyboardInterrupt):
        train(small_model(), few, directory=tmp_path / "run", budget=1000, callbacks=StopAt(1), **options)
    plan = json.loads((tmp_path / "run" / "training.json").read_text())["plan"]
    assert plan["epochs"] * 0.024 == pytest.approx(0.95 * 1000, rel=0.05)


@pytest.mark.slow
def test_with_all_data_nothing_is_validated(few):
    training = train(small_model(), few, all_data=True, **{**OPTIONS, "epochs": 1})
    assert training.steps == 160 // 16
    assert training.choice == {}
    assert not [name for name in training.history if name.startswith("val_")]
    assert training.weights == "averaged"


@pytest.mark.slow
def test_a_compiled_model_with_probabilities_keeps_its_loss_and_optimizer(few):
    model = small_model(activation="softmax")
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    training = train(model, few, precision="bfloat16", batch_size=16, epochs=3)
    assert isinstance(training.model.optimizer, keras.optimizers.Adam)
    assert training.learning_rate == pytest.approx(0.01)
    assert training.model is model
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}
    shares = model.predict(few.test.x, verbose=0)
    assert training.measures.test["accuracy"].value == pytest.approx((shares.argmax(-1) == few.test.y).mean())


@pytest.mark.parametrize(
    ("compiled", "optimizer", "rate"), [(None, None, 0.1), (None, "adamw", 0.001), (0.3, None, 0.3), (0.3, "sgd", 0.1)]
)
def test_the_learning_rate_has_a_default(few, compiled, optimizer, rate):
    model = small_model()
    if compiled is not None:
        model.compile(keras.optimizers.Adam(compiled), "sparse_categorical_crossentropy")
    assert recipe_of(model, few, None, optimizer).learning_rate == pytest.approx(rate)


def test_a_compiled_model_keeps_what_it_excludes_from_weight_decay(few):
    """Without gradients, a step of AdamW only decays. The copy trains in the place of the model."""
    model, copy = small_model(), small_model()
    optimizer = keras.optimizers.AdamW(0.5, weight_decay=0.1)
    optimizer.exclude_from_weight_decay(var_list=[model.get_layer("logits").kernel])
    model.compile(optimizer, "sparse_categorical_crossentropy")
    recipe_of(model, few, None).compile(copy, "float32")
    before = {variable.path: np.array(variable) for variable in copy.trainable_variables}
    copy.optimizer.apply([keras.ops.zeros_like(variable) for variable in copy.trainable_variables])
    for variable in copy.trainable_variables:
        factor = 1.0 if variable is copy.get_layer("logits").kernel else 1 - 0.5 * 0.1
        np.testing.assert_allclose(np.array(variable), factor * before[variable.path], rtol=1e-6)


@pytest.mark.slow
def test_patience_ends_a_training_and_its_best_weights_are_a_choice(few):
    options = {**OPTIONS, "learning_rate": 2.0, "schedule": "constant", "epochs": 30, "patience": 2}
    model = small_model()
    model.get_layer("norm").momentum = 0.5
    training = train(model, few, **options)
    losses = training.history["val_loss"]
    assert len(losses) == int(np.argmin(losses)) + 3 < 30
    assert "no improvement in 2 epochs" in training.ended
    assert set(training.choice) >= {"last", "best"}
    words = str(training).splitlines()
    assert words[0].startswith(f"{len(losses)} epochs, {7 * len(losses)} steps in float32, {training.weights} weights")
    assert words[1:] == [training.ended, *(finding.sentence for finding in training.health.findings)]
    assert not train(small_model(), few, **{**options, "epochs": len(losses)}).ended, "it was the last epoch"


def test_patience_waits_until_moving_statistics_have_followed(few):
    """With momentum 0.99, 5 % of the initial statistics are left after 299 steps."""
    assert 0.99**299 < 0.05 < 0.99**298
    assert steps_of_lag(small_model()) == 299
    training = train(
        small_model(), few, **{**OPTIONS, "learning_rate": 2.0, "weight_decay": 0, "epochs": 4, "patience": 1}
    )
    assert (training.ended, training.epochs) == ("", 4)
    assert training.history["val_loss"][-1] > min(training.history["val_loss"])


def test_a_loss_that_is_not_finite_is_an_error(few):
    with pytest.raises(RuntimeError, match=r"diverged in epoch 1 of 4.*Choose a lower learning rate"):
        train(small_model(), few, **{**OPTIONS, "learning_rate": 1e30})


class Poison(keras.callbacks.Callback):
    """Make a step's loss NaN."""

    def __init__(self, step):
        super().__init__()
        self.step = step

    def on_train_batch_begin(self, batch, logs=None):
        if int(self.model.optimizer.iterations) == self.step - 1:
            weight = self.model.trainable_variables[0]
            weight.assign(weight + math.nan)


@pytest.mark.parametrize("epoch", [1, 2])
def test_a_loss_that_is_not_finite_in_the_last_step_of_an_epoch(few, tmp_path, each_step, epoch):
    """An epoch has 7 steps."""
    with pytest.raises(RuntimeError, match=rf"diverged in epoch {epoch} of 2"):
        train(small_model(), few, directory=tmp_path, callbacks=[Poison(7 * epoch)], **{**OPTIONS, "epochs": 2})
    assert position_in(tmp_path / "checkpoint.npz") == (epoch - 1, 6), "the state without NaN is kept"


def test_models_and_data_that_do_not_fit(few):
    compiled = small_model()
    compiled.compile("adam", keras.losses.CategoricalCrossentropy(from_logits=True))
    averaged = small_model()
    averaged.compile(keras.optimizers.Adam(1e-3, use_ema=True), "sparse_categorical_crossentropy")
    for model, examples, message in (
        (small_model(), tuple(few.train), "`data` must be a `bnzoo.data.Dataset`"),
        (compiled, few, "Compile it with 'sparse_categorical_crossentropy'"),
        (averaged, few, "Compile it without `use_ema`"),
    ):
        with pytest.raises(ValueError, match=message):
            train(model, examples, **OPTIONS)


@pytest.mark.parametrize("all_data", [False, True])
def test_a_last_step_that_diverges_is_an_error(few, all_data):
    options = {**OPTIONS, "learning_rate": 1e30, "epochs": 1, "batch_size": 200, "schedule": "constant"}
    with pytest.raises(RuntimeError, match=r"diverged in epoch 1 of 1"):
        train(small_model(), few, **options, all_data=all_data)


def test_a_model_must_be_built_with_one_input(few):
    image = keras.Input((8, 8, 1))
    several = keras.Model([image, keras.Input((8, 8, 1))], keras.layers.Dense(10)(keras.layers.Flatten()(image)))
    for model in (several, keras.Sequential([keras.layers.Dense(10)])):
        with pytest.raises(ValueError, match="with one input and one output"):
            train(model, few, **OPTIONS)


def test_models_of_the_same_shapes_have_their_own_structure():
    def model(activation="relu", loss="mse"):
        layers = [keras.Input((4,)), keras.layers.Dense(3, activation=activation)]
        return structure_digest(keras.Sequential(layers), loss)

    def crop():
        return structure_digest(keras.Sequential([keras.Input((8, 8, 1)), keras.layers.RandomCrop(4, 4)]), "mse")

    assert model() == model()  # Keras has numbered the names of the layers
    assert crop() == crop()  # Keras has drawn their seeds
    focal = keras.losses.CategoricalFocalCrossentropy
    digests = [model(), model("tanh"), model(loss="mae"), model(loss=focal(gamma=1.0)), model(loss=focal(gamma=2.0))]
    assert len(set(digests)) == len(digests)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"schedule": "lineal"}, "Unknown `schedule`: 'lineal'. Did you mean 'linear'"),
        ({"schedule": "linear", "warmup": 1}, "`warmup` must be a number of at least 0 and below 1"),
        ({"schedule": "half_cosine", "warmup": 0.1}, "`warmup` needs a schedule with a warm-up: warmup_cosine, linear"),
        ({"precision": "float8"}, "Unknown `precision`: 'float8'"),
        ({"learning_rate": -1}, "`learning_rate` must be a number above 0"),
        ({"epochs": 0}, "`epochs` must be a positive integer"),
        ({"batch_size": 1}, "`batch_size` must be at least 2"),
        ({"budget": 0}, "`budget` must be a number above 0"),
        ({"patience": 2, "all_data": True}, "`patience` needs validation data"),
        ({"seed": -1}, "`seed` must be an integer"),
        ({"class_weight": "even"}, "Unknown `class_weight`"),
    ],
)
def test_mistakes(few, options, message):
    with pytest.raises(ValueError, match=message):
        train(small_model(), few, **{**OPTIONS, **options})


def test_another_backend_is_refused(few, monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ValueError, match=r"needs the TensorFlow backend.*KERAS_BACKEND.*Received: the jax backend"):
        train(small_model(), few, **OPTIONS)


def test_a_folder_has_one_training_and_a_damaged_checkpoint_is_refused(few, tmp_path, each_step):
    options = {**OPTIONS, "epochs": 1}
    with pytest.raises(KeyboardInterrupt):
        train(small_model(), few, directory=tmp_path / "one", callbacks=[StopAt(3)], **options)
    with pytest.raises(ValueError, match=r"has another training .*learning_rate: 0.05 there, 0.1 here"):
        train(small_model(), few, directory=tmp_path / "one", **{**options, "learning_rate": 0.1})
    with pytest.raises(ValueError, match=r"has another training .*model:"):
        train(small_model(activation="tanh"), few, directory=tmp_path / "one", **options)
    checkpoint, definition = tmp_path / "one" / "checkpoint.npz", tmp_path / "one" / "training.json"
    content, described = bytearray(checkpoint.read_bytes()), definition.read_text()
    content[len(content) // 2] ^= 0xFF
    for damaged in (bytes(content), bytes(content[:1000]), b""):
        checkpoint.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"checkpoint\.npz cannot be read .* Remove it to start"):
            train(small_model(), few, directory=tmp_path / "one", **options)
    plan = described.rindex('"float32"')
    for damaged in (described[:plan], described[:plan] + described[plan:].replace("float32", "float12")):
        definition.write_text(damaged)
        with pytest.raises(ValueError, match=r"training\.json cannot be read .* Remove .*one to start"):
            train(small_model(), few, directory=tmp_path / "one", **options)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="is not empty and has no training"):
        train(small_model(), few, directory=tmp_path / "other", **options)


def test_the_rate_of_each_step_is_that_of_the_formula(few):
    """The references are NumPy's, at the middle of each step."""
    assert [Position(2, 4, epoch, step).middle for epoch, step in ((0, 0), (1, 3))] == [1 / 16, 15 / 16]
    middle, start = (np.arange(40) + 0.5) / 40, np.arange(40) // 20 / 2
    rise = middle / 0.2
    after = (middle - 0.2) / 0.8
    expected = {
        "half_cosine": (1 + np.cos(np.pi * start)) / 2,
        "warmup_cosine": np.where(rise < 1, rise, (1 + np.cos(np.pi * after)) / 2),
        "linear": np.where(rise < 1, rise, 1 - after),
        "constant": np.minimum(rise, 1),
    }
    assert expected.keys() == SCHEDULES.keys()
    for name, factors in expected.items():
        warmup = 0.2 if SCHEDULES[name].warmup is not None else None
        schedule, rates = schedule_named(name, warmup), []

        class Rates(keras.callbacks.Callback):
            def on_train_batch_begin(self, batch, logs=None):
                rates.append(float(self.model.optimizer.learning_rate))  # noqa: B023

        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse", run_eagerly=True)
        zeros = tf.data.Dataset.from_tensor_slices(np.zeros((40, 1, 1), np.float32)).map(lambda x: (x, x))
        options = {"steps_per_epoch": 20, "verbose": 0, "callbacks": [Rates()]}
        fit(model, zeros.repeat(), learning_rate=0.5, schedule=schedule, epochs=2, **options)
        np.testing.assert_allclose(rates, 0.5 * factors, rtol=1e-6, err_msg=name)
    assert {schedule.warmup for schedule in SCHEDULES.values()} == {0.05, 0.0, None}
    assert schedule_named("constant").factor(0.0) == 1


@pytest.mark.parametrize(
    ("seconds", "validation", "expected"),
    [
        (1000, 0, (95, 100)),
        (1008, 0, (95, 100)),
        (100, 5, (9, 100)),
        (105, 5, (9, 105)),
        (109, 5, (9, 110)),
        (18.05, 0, (1, 171)),
        (16.5, 100, (1, 56)),
        (12.1, 0, (1, 114)),
        (5, 5, (1, 42)),
        (0, 5, (1, 1)),
    ],
)
def test_epochs_within_a_budget(seconds, validation, expected):
    """A step takes 0.1 s, and a pass through the data has 100 steps; 95 % of the time is used."""
    assert epochs_within(seconds, 0.1, 100, validation) == expected


@given(st.floats(5, 2000), st.floats(0.01, 1), st.integers(1, 500), st.floats(0, 50))
def test_epochs_fill_a_budget(seconds, step, steps, others):
    epochs, each = epochs_within(seconds, step, steps, others)
    assert epochs * (each + others) * step <= 0.95 * seconds + 1e-6 or (epochs, each) == (1, 1)
    if each > 1:
        assert epochs * (each + others) * step > 0.91 * seconds - 2 * epochs * step


@pytest.mark.parametrize(("step", "last"), [(0.5, 80), (1.0, 80), (2.0, 60)])
def test_more_time_is_kept_if_the_steps_become_slower(monkeypatch, step, last):
    """20 of 100 s are kept, for steps of 1 s."""
    now = types.SimpleNamespace(seconds=0.0)
    monkeypatch.setattr(endings, "time", types.SimpleNamespace(monotonic=lambda: now.seconds))
    reserve = endings.Reserve(100.0, 20.0, 1.0)
    reserve.set_model(types.SimpleNamespace(stop_training=False))
    while not reserve.stopped:
        batch = int(now.seconds) % 10
        if not batch:
            reserve.on_epoch_begin(0)
        reserve.on_train_batch_begin(batch)
        now.seconds += step
        reserve.on_train_batch_end(batch)
    assert last <= now.seconds <= last + 2


def test_the_time_that_is_kept_is_known_after_thousands_of_epochs_of_one_step():
    reserve = endings.Reserve(100.0, 20.0, 1e-3)
    reserve.set_model(types.SimpleNamespace(stop_training=False))
    for epoch in range(2_000):
        reserve.on_epoch_begin(epoch)
        reserve.on_train_batch_begin(0)
        reserve.on_train_batch_end(0)
    assert reserve.moment == pytest.approx(80.0)


def test_what_follows_the_last_step_takes_longer_on_a_slow_machine():
    finish = Finish(predicted=10_000, compared=1_000, exports=True, files=False)
    fast, slow = finish.seconds(1e-3, 1.0), finish.seconds(1e-3, 2.0)
    fixed = slow - fast
    assert fast - fixed == pytest.approx(0.6 * 10 + 1.5 * 1)
    assert Finish(10_000, 1_000, exports=True, files=True).seconds(1e-3, 2.0) > slow
    assert Finish(10_000, 1_000, exports=False, files=False).seconds(1e-3, 2.0) < slow - fixed
    assert 1.0 <= slowness(small_model()) < math.inf


def test_a_timer_ends_slow_steps_early_and_times_fast_ones_longer(monkeypatch):
    """After the first step, which traces the model, 4 s are enough, and 0.9 s too few if 1 s is asked for."""
    now = types.SimpleNamespace(seconds=0.0)
    monkeypatch.setattr(speed, "time", types.SimpleNamespace(perf_counter=lambda: now.seconds))
    for each, least, count in ((0.125, 0.0, 7), (60.0, 0.0, 2), (0.125, 1.0, 9)):
        timer = speed.StepTimer(7, least)
        timer.set_model(types.SimpleNamespace(stop_training=False))
        while not timer.model.stop_training:
            timer.on_train_batch_begin(0)
            now.seconds += each if timer.seconds else 9.0
            timer.on_train_batch_end(0)
        assert timer.step == pytest.approx(each)
        assert len(timer.seconds) == count


def test_the_default_batch_size_follows_the_number_of_examples():
    sizes = [default_batch_size(count) for count in (1, 100, 500, 1_023, 1_024, 19_999, 20_000, 10**7)]
    assert sizes == [16, 16, 16, 32, 64, 64, 128, 128]


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ({"bfloat16": 2.0}, "bfloat16"),
        ({"float32": 1.0, "bfloat16": 0.95}, "float32"),
        ({"float32": 1.0, "bfloat16": 0.85}, "bfloat16"),
        ({"float32": 1.0, "bfloat16": 0.85, "float16": 0.5}, "float16"),
        ({"float32": 1.0, "bfloat16": 12.0}, "float32"),
    ],
)
def test_sixteen_bits_must_be_clearly_faster(steps, expected):
    assert fastest(steps) == expected


@pytest.mark.parametrize(
    ("precision", "seconds", "instructions", "devices", "expected"),
    [
        ("auto", None, True, [], ["float32", "bfloat16"]),
        ("auto", 120.0, True, [], ["float32", "bfloat16"]),
        ("auto", None, False, [], ["float32"]),
        ("bfloat16", None, False, [], ["bfloat16"]),
        ("auto", None, False, ["GPU:0"], ["float32", "bfloat16", "float16"]),
        ("auto", 119.0, True, ["GPU:0"], ["float32"]),
        ("float16", 1.0, True, [], ["float16"]),
    ],
)
def test_the_precisions_that_are_tried(monkeypatch, precision, seconds, instructions, devices, expected):
    monkeypatch.setattr("bnzoo.training.precision.may_have_bfloat16", lambda: instructions)
    monkeypatch.setattr("bnzoo.training.precision.gpus", lambda: devices)
    assert candidates(precision, seconds) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ({"float32": 1.0, "bfloat16": 0.8}, "bfloat16"),
        ({"float32": 1.0, "bfloat16": 1.0}, "float32"),
        ({"float32": 1.0, "bfloat16": 0.95}, "float32"),
    ],
)
def test_a_training_is_planned_in_the_precision_whose_steps_are_clearly_faster(
    few, tmp_path, monkeypatch, seconds, expected
):
    """The step of a model takes the planted seconds of its precision."""

    def planted(model, batches):
        dtype = model.get_layer("conv").compute_dtype
        timed.append(dtype)
        return seconds[dtype]

    timed = []
    monkeypatch.setattr("bnzoo.training.planning.step_seconds", planted)
    monkeypatch.setattr("bnzoo.training.precision.gpus", list)
    monkeypatch.setattr("bnzoo.training.precision.may_have_bfloat16", lambda: True)
    options = {**OPTIONS, "precision": "auto", "directory": tmp_path}
    with pytest.raises(KeyboardInterrupt):
        train(small_model(), few, callbacks=[StopAt(1)], **options)
    plan = json.loads((tmp_path / "training.json").read_text())["plan"]
    assert plan == {"epochs": 4, "steps": 7, "precision": expected}
    assert timed == ["float32", "bfloat16"]


@pytest.mark.slow
def test_the_precision_is_chosen_once(few, tmp_path, monkeypatch):
    """A training that was killed before its first checkpoint has the precision that was chosen, not a new choice."""
    monkeypatch.setattr("bnzoo.training.session.chosen_precision", lambda *arguments: "bfloat16")
    options = {**OPTIONS, "epochs": 1, "precision": "auto", "directory": tmp_path / "run", "average": False}

    def kill(moment):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(small_model(), few, **options, progress=kill)
    assert not list(tmp_path.glob("run/checkpoint*"))
    monkeypatch.setattr("bnzoo.training.session.chosen_precision", lambda *arguments: "float32")
    assert train(small_model(), few, **options).precision == "bfloat16"


def test_labels_that_an_augmentation_mixes_need_another_loss(few):
    model = small_model()
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    with pytest.raises(
        ValueError, match=r"`augment` mixes labels \(mixup\), but `model` is compiled with the loss 'spa"
    ):
        train(model, dataclasses.replace(few, augment="mixup"), epochs=1)
