import dataclasses
import gc
import math
import types

import keras
import keras_tuner
import numpy as np
import pytest

from bnzoo import data, tuning
from bnzoo.data.rows import Rows
from bnzoo.tools.population import NotFiniteError
from bnzoo.tuning.looks import Looks, Values
from bnzoo.tuning.trial import CompiledModel, judge, train_and_evaluate


def hyperparameters(depth, norm, learning_rate):
    hp = keras_tuner.HyperParameters()
    hp.values.update(depth=depth, norm=norm, learning_rate=learning_rate)
    return hp


class DropoutMLP(tuning.MLPSpace):
    """A layer with its own random state, which must be restored too."""

    def model(self, depth, norm, input_tensor, **options):
        return super().model(depth, norm, keras.layers.Dropout(0.2, seed=4)(input_tensor), **options)


SMALL = {"depths": (2,), "norms": ("batch",), "width": 16, "batch_size": 16}


@pytest.mark.parametrize(
    ("space", "depth", "norm"),
    [
        pytest.param(
            tuning.ResNetSpace(depths=(8,), norms=("batch",), batch_size=16), 8, "batch", marks=pytest.mark.slow
        ),
        pytest.param(
            tuning.ResNetSpace(depths=(8,), norms=(None,), placement="post", batch_size=16),
            *(8, "none"),
            marks=pytest.mark.nightly,
        ),
        *(
            pytest.param(DropoutMLP(**SMALL, **options), 2, "batch", marks=pytest.mark.slow)
            for options in (
                {},
                {"optimizer": "adamw", "weight_decay": 0.1},
                {"optimizer": "muon", "schedule": "linear"},
                {"optimizer": "schedule_free_adamw"},
                {"optimizer": ("sgd", "muon"), "momentum": (0.5, 0.9), "schedule": ("linear", "constant")},
            )
        ),
    ],
    ids=["resnet", "resnet without norms", "mlp with dropout", "adamw", "muon", "schedule-free", "several"],
)
def test_a_reused_model_gives_bit_identical_histories(few_digits, space, depth, norm):
    """The reference is a model that was built, compiled and trained for this trial only."""
    space = space.for_data(few_digits)
    others = {name: labels[-1] for name, labels in list(space.axes().items())[2:-1]}

    def chosen(learning_rate):
        hp = hyperparameters(depth, norm, learning_rate)
        hp.values.update(others)
        return hp

    reused = CompiledModel(space, chosen(0.5), few_digits, seed=0)
    for seed, learning_rate in ((0, 3.0), (1, 0.001)):  # leave traces: a wreck, another seed
        train_and_evaluate(reused, seed, learning_rate, epochs=1)

    for seed, learning_rate in ((0, 0.03), (1, 0.1)):
        found = train_and_evaluate(reused, seed, learning_rate, epochs=3)
        keras.utils.set_random_seed(seed)
        fresh = space.build(chosen(learning_rate))
        validation = {"validation_data": tuple(few_digits.validation), "validation_batch_size": 256}
        steps = len(few_digits.train.x) // 16
        history = space.fit(
            chosen(learning_rate), fresh, reused.batches(seed), steps_per_epoch=steps, epochs=3, verbose=0, **validation
        ).history
        for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
            assert found.history[name] == history[name], name


class Counted:
    """Examples that note how many of them are read at a time."""

    sample = error = None

    def __init__(self, array):
        self.array, self.shape, self.dtype, self.taken = array, array.shape, array.dtype, []

    def take(self, rows):
        self.taken.append(len(rows))
        return self.array[rows]

    def contents(self, rows):
        yield self.array[rows].tobytes()


@pytest.mark.slow
def test_examples_that_are_not_in_memory_are_read_a_batch_at_a_time():
    x = np.random.default_rng(0).normal(size=(1000, 3)).astype(np.float32)
    y = (x[:, 0] > 0).astype(np.int32)
    source = Counted(x)
    parts = [data.Split(Rows(source, rows), y[rows]) for rows in np.split(np.arange(1000), (700, 850))]
    examples = data.Dataset("made", ("a", "b"), *parts)
    space = tuning.MLPSpace(depths=(2,), norms=("batch",), batch_size=32).for_data(examples)
    source.taken.clear()  # the scale needs all
    compiled = CompiledModel(space, hyperparameters(2, "batch", 0.1), examples, seed=0)
    assert train_and_evaluate(compiled, 0, 0.1, epochs=2).outcome == "ok"
    assert max(source.taken) <= 256


@pytest.mark.slow
@pytest.mark.parametrize(
    ("norm", "optimizer"),
    [
        ("batch", "sgd"),
        ({"name": "ghost_batch", "batch": 8}, "muon"),
        ("batch_renorm", "adamw"),
        (None, "sgd"),
        ("batch", "schedule_free_adamw"),
    ],
)
def test_a_promotion_goes_on_from_exactly_the_same_state(few_digits, norm, optimizer):
    """Scores with recalibrated statistics during training change no weights, statistics, slots or steps."""
    space = DropoutMLP(depths=(2,), norms=(norm,), width=16, batch_size=16, optimizer=optimizer).for_data(few_digits)
    compiled = CompiledModel(space, hyperparameters(2, space.norms[0].label, 0.1), few_digits, seed=0)
    whole = train_and_evaluate(compiled, 0, 0.1, epochs=5)
    state = [variable.numpy() for variable in (*compiled.model.variables, *compiled.model.optimizer.variables)]
    reported = []

    def promote(score, epoch):
        reported.append((epoch, score))
        return False

    watched = train_and_evaluate(compiled, 0, 0.1, epochs=5, report=promote)
    assert [epoch for epoch, _ in reported] == [1, 3]
    assert watched.history == whole.history
    assert (watched.loss, watched.moving_loss) == (whole.loss, whole.moving_loss)
    for a, b in zip(state, (*compiled.model.variables, *compiled.model.optimizer.variables), strict=True):
        np.testing.assert_array_equal(a, b.numpy())


@pytest.mark.slow
def test_what_is_reported_is_the_recalibrated_score_and_ends_the_trial(few_digits):
    space = tuning.MLPSpace(depths=(2,), norms=("batch",), width=16, batch_size=16).for_data(few_digits)
    compiled = CompiledModel(space, hyperparameters(2, "batch", 0.1), few_digits, seed=0)
    reported = []

    def give_up_at_three(score, epoch):
        reported.append(score)
        return epoch == 3

    found = train_and_evaluate(compiled, 0, 0.1, epochs=9, report=give_up_at_three)
    assert found.outcome == "pruned"
    assert found.score == reported[-1] < reported[0]
    assert "after 3 of 9 epochs" in found.reason
    assert len(found.history["loss"]) == 3
    assert found.moving_loss != found.loss
    again = train_and_evaluate(compiled, 0, 0.1, epochs=9, report=lambda score, epoch: False)
    assert again.outcome == "ok", "the next trial on the same compiled model runs whole"
    assert len(again.history["loss"]) == 9


@pytest.mark.slow
def test_both_scores_are_kept_and_the_recalibrated_one_counts(digits):
    """After 18 steps with momentum 0.99, the model is good only with recalibrated statistics."""
    space = tuning.ResNetSpace(depths=(8,), norms=({"name": "batch", "momentum": 0.99},)).for_data(digits)
    hp = hyperparameters(8, space.norms[0].label, 0.05)
    found = train_and_evaluate(CompiledModel(space, hp, digits, seed=0), seed=0, learning_rate=0.05, epochs=1)
    assert found.accuracy > 0.8
    assert found.moving_accuracy < found.accuracy - 0.3
    assert found.score == found.loss < found.moving_loss
    assert found.moving_loss == found.history["val_loss"][-1]


@pytest.mark.slow
def test_the_model_is_left_as_it_was_scored(few_digits):
    space = tuning.MLPSpace(depths=(2,), norms=("batch",), width=16, batch_size=16).for_data(few_digits)
    compiled = CompiledModel(space, hyperparameters(2, "batch", 0.1), few_digits, 0)
    found = train_and_evaluate(compiled, 0, 0.1, epochs=2)
    logits = compiled.model.predict(few_digits.validation.x, verbose=0).astype(np.float64)
    likelihood = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    loss = -likelihood[np.arange(len(logits)), few_digits.validation.y].mean()
    assert found.loss == pytest.approx(loss, rel=1e-5)
    assert found.accuracy == pytest.approx((logits.argmax(-1) == few_digits.validation.y).mean())


def test_a_hopeless_learning_rate_has_a_finite_score(few_digits):
    space = tuning.MLPSpace(depths=(4,), norms=(None,), batch_size=16).for_data(few_digits)
    compiled = CompiledModel(space, hyperparameters(4, "none", 1e4), few_digits, 0)
    found = train_and_evaluate(compiled, 0, 1e4, epochs=3)
    assert found.outcome == "diverged"
    assert found.score == 2 * math.log(10)
    assert "NaN" in found.reason or "not below" in found.reason


@pytest.mark.parametrize("looked_at", [False, True])
def test_statistics_that_are_not_finite_end_a_trial_without_an_error(few_digits, monkeypatch, looked_at):
    """Weights can be finite, and the statistics of some batches not. The accuracy is that of the moving ones then."""

    def not_finite(self, batches, steps=None, batch_size=None):
        raise NotFiniteError("the statistics are not finite")

    space = tuning.MLPSpace(depths=(1,), width=8, norms=("batch",), batch_size=16).for_data(few_digits)
    compiled = CompiledModel(space, hyperparameters(1, "batch", 0.1), few_digits, 0)
    monkeypatch.setattr("bnzoo.tools.recalibrate.Recalibration.__call__", not_finite)
    seen = []
    report = (lambda score, epoch: seen.append((score, epoch)) or True) if looked_at else None
    found = train_and_evaluate(compiled, 0, 0.1, epochs=2, report=report)
    assert found.outcome == ("pruned" if looked_at else "diverged")
    assert seen == ([(2 * math.log(10), 1)] if looked_at else [])
    assert (found.score, found.loss) == (2 * math.log(10), math.inf)
    assert found.accuracy == found.moving_accuracy == found.history["val_accuracy"][-1]


LN10 = math.log(10)


@pytest.fixture(scope="module")
def small(few_digits):
    """A compiled MLP, 40 steps an epoch."""
    space = tuning.MLPSpace(depths=(2,), norms=("batch",), width=16, batch_size=16).for_data(few_digits)
    compiled = CompiledModel(space, hyperparameters(2, "batch", 0.1), few_digits, seed=0)
    compiled.steps = 40
    return compiled


def test_a_trial_that_learns_nothing_is_given_up_and_none_that_learns(small):
    """A rate of 1e-12 changes nothing. The look after 1 epoch of 40 steps is too early, the next one is not."""
    lost = train_and_evaluate(small, 0, 1e-12, epochs=9)
    assert lost.outcome == "stalled"
    assert "given up after 3 of 9 epochs" in lost.reason
    assert len(lost.history["loss"]) == 3
    assert lost.loss > 0.98 * LN10
    assert train_and_evaluate(small, 0, 0.1, epochs=4).outcome == "ok"


@pytest.mark.parametrize(("loss", "outcome"), [(2.3, "stalled"), (2 * LN10, "diverged"), (math.nan, "diverged")])
def test_a_lost_trial_is_given_up_though_a_pruner_would_keep_it(loss, outcome):
    """The training loss is that of guessing after 100 steps, and the validation loss of the look is planted."""
    seen = []
    trial = types.SimpleNamespace(recalibrated=lambda keep: (1.5, loss, 0.1))
    looks = Looks(trial, 9, LN10, 2 * LN10, lambda score, epoch: bool(seen.append((score, epoch))))
    looks.set_model(types.SimpleNamespace(stop_training=False))
    for _ in range(100):
        looks.on_train_batch_end(0)
    looks.on_epoch_end(2, {"loss": 2.31})
    assert seen == [(1.5, 3)]
    reason = f"given up after 3 of 9 epochs: the training loss 2.31 and the validation loss {loss:.3g} are not below"
    assert looks.ended == (outcome, f"{reason} guessing (2.3)", Values(1.5, loss, 0.1))
    assert looks.model.stop_training


def test_a_trial_that_diverges_is_given_up_though_a_pruner_would_keep_it(small):
    found = train_and_evaluate(small, 0, 300.0, epochs=9, report=lambda score, epoch: False)
    assert found.outcome == "diverged"
    assert found.reason.startswith("given up after 3 of 9 epochs: the training loss ")
    assert len(found.history["loss"]) == 3


class Clock:
    """A clock that advances by one second at each look."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        self.now += 1
        return self.now


def test_a_trial_ends_at_its_deadline_with_its_score(small, monkeypatch):
    monkeypatch.setattr("bnzoo.training.endings.time", Clock())
    found = train_and_evaluate(small, 0, 0.1, epochs=9, deadline=60.0)
    assert found.outcome == "ok"
    assert found.reason == "ended at the deadline after 60 of 360 steps"
    assert len(found.history["loss"]) == 2
    assert 0 < found.loss < LN10
    untouched = train_and_evaluate(small, 0, 1e-12, epochs=9, deadline=20.0)
    assert untouched.outcome == "pruned", "it may have learned later"
    for deadline, outcome in ((3.0, "pruned"), (130.0, "diverged")):
        monkeypatch.setattr("bnzoo.training.endings.time", Clock())
        wild = train_and_evaluate(small, 0, 300.0, epochs=9, deadline=deadline)
        assert not wild.loss <= 2 * LN10
        assert wild.outcome == outcome, "100 steps show what a rate does"


@pytest.mark.parametrize(("deadline", "reported"), [(20, []), (60, [1])])
def test_the_end_at_a_deadline_within_an_epoch_is_not_reported_as_an_epoch(small, monkeypatch, deadline, reported):
    monkeypatch.setattr("bnzoo.training.endings.time", Clock())
    epochs = []
    found = train_and_evaluate(small, 0, 0.1, 9, lambda score, epoch: epochs.append(epoch), deadline=float(deadline))
    assert found.reason == f"ended at the deadline after {deadline} of 360 steps"
    assert epochs == reported, "an epoch has 40 steps"


@pytest.mark.parametrize(
    ("training", "loss", "outcome"),
    [
        ([2.0, 0.5], 0.6, "ok"),
        ([2.3, 2.30], 2.3, "stalled"),
        ([30.0, 2.5], 2.4, "stalled"),
        ([500.0, 0.5], 0.6, "ok"),
        ([2.0, math.nan], 0.6, "diverged"),
        ([2.0, math.inf], 0.6, "diverged"),
        ([2.0, 0.5], math.nan, "diverged"),
        ([2.0, 0.5], 1e7, "diverged"),
        ([2.0, 0.5], 2 * LN10, "diverged"),
    ],
)
def test_outcomes(training, loss, outcome):
    found, reason = judge(training, loss, cap=2 * LN10, guessing=LN10)
    assert found == outcome
    assert bool(reason) == (outcome != "ok")


def test_guessing_the_classes_shares_is_stalled():
    """Nine of ten examples are in one class, so a constant prediction has a loss far below ln 2."""
    entropy = -(0.9 * math.log(0.9) + 0.1 * math.log(0.1))
    assert judge([0.5, 0.325], 0.33, cap=2 * math.log(2), guessing=entropy)[0] == "stalled"


def test_every_epoch_has_every_example_once_in_an_order_of_its_own(few_digits):
    space = tuning.MLPSpace(depths=(1,), norms=(None,), batch_size=16).for_data(few_digits)
    compiled = CompiledModel(space, hyperparameters(1, "none", 0.1), few_digits, 0)
    steps = len(few_digits.train.x) // 16

    def epochs(seed):
        batches = iter(compiled.batches(seed))
        return [np.concatenate([next(batches)[0].numpy() for _ in range(steps)]) for _ in range(2)]

    first, second = epochs(seed=0)
    assert len(np.unique(first, axis=0)) == len(first) == len(second) == 16 * steps
    assert (first != second).any()
    np.testing.assert_array_equal(epochs(seed=0)[1], second)
    assert (epochs(seed=1)[0] != first).any()


@pytest.mark.slow
def test_examples_in_a_file_and_of_another_type_give_the_same_history(few_digits, tmp_path):
    def in_a_file(split, name):
        np.save(tmp_path / name, split.x.astype(np.uint8))
        return data.Split(np.load(tmp_path / name, mmap_mode="r"), split.y)

    parts = {name: getattr(few_digits, name) for name in ("train", "validation", "test")}
    mapped = dataclasses.replace(few_digits, **{name: in_a_file(part, f"{name}.npy") for name, part in parts.items()})
    assert (mapped.scale, mapped.fingerprint) == (few_digits.scale, few_digits.fingerprint)
    space = tuning.MLPSpace(depths=(2,), norms=("batch",), width=8, batch_size=16)
    found = [
        train_and_evaluate(CompiledModel(space.for_data(few), hyperparameters(2, "batch", 0.1), few, 0), 0, 0.1, 2)
        for few in (few_digits, mapped)
    ]
    assert found[0].history == found[1].history
    assert found[0].score == found[1].score


@pytest.mark.slow
def test_augmented_trials_are_alike_and_the_score_has_no_augmentation(few_digits):
    few = dataclasses.replace(few_digits, augment="flip,crop,mixup")
    space = tuning.ResNetSpace(depths=(8,), norms=("batch",), batch_size=32).for_data(few)
    compiled = CompiledModel(space, hyperparameters(8, "batch", 0.1), few, seed=0)
    found = [train_and_evaluate(compiled, 0, 0.1, epochs=2) for _ in range(2)]
    assert found[0].history == found[1].history
    assert found[0].score == found[1].score
    logits = compiled.model.predict(few.validation.x, verbose=0).astype(np.float64)
    losses = np.log(np.exp(logits).sum(-1)) - logits[np.arange(len(logits)), few.validation.y]
    assert found[1].loss == pytest.approx(losses.mean(), rel=1e-4)
    assert found[1].accuracy == pytest.approx((logits.argmax(-1) == few.validation.y).mean())
    assert not any("random" in type(layer).__name__.lower() for layer in compiled.model.layers)
    plain = CompiledModel(space, hyperparameters(8, "batch", 0.1), few_digits, seed=0)
    assert train_and_evaluate(plain, 0, 0.1, epochs=2).history != found[0].history


@pytest.mark.slow
def test_models_that_are_no_longer_used_leave_no_graphs(few_digits):
    space = tuning.ResNetSpace(depths=(8,), norms=("batch",), batch_size=32).for_data(few_digits)
    left = []
    for _ in range(2):
        compiled = CompiledModel(space, hyperparameters(8, "batch", 0.1), few_digits, seed=0)
        train_and_evaluate(compiled, 0, 0.1, epochs=1)
        del compiled
        keras.backend.clear_session()
        gc.collect()
        left.append(sum(type(value).__name__ == "FuncGraph" for value in gc.get_objects()))
    assert left[0] == left[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("precision", "optimizer"),
    [("bfloat16", "muon"), ("float16", "sgd"), ("float16", "schedule_free_adamw"), ("bfloat16", "adamw")],
)
def test_trials_in_16_bits_leave_a_model_in_float32(few_digits, precision, optimizer):
    """The score is that of the model itself; a trial is the same whatever was trained before."""
    options = {"width": 8, "batch_size": 16, "optimizer": optimizer}
    space = tuning.MLPSpace(depths=(1,), norms=("batch",), **options).for_data(few_digits)
    found = []
    for before in ((), (3.0,)):
        compiled = CompiledModel(space, hyperparameters(1, "batch", 0.1), few_digits, seed=0, precision=precision)
        for learning_rate in before:
            train_and_evaluate(compiled, 1, learning_rate, epochs=1)
        found.append(train_and_evaluate(compiled, 0, 0.1, epochs=2))
    assert found[0].history == found[1].history
    assert found[0].score == found[1].score
    whole = CompiledModel(space, hyperparameters(1, "batch", 0.1), few_digits, seed=0)
    assert train_and_evaluate(whole, 0, 0.1, epochs=2).history["loss"] != found[0].history["loss"]
    model = compiled.model
    assert {variable.dtype for variable in model.variables} == {"float32"}
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}
    logits = model.predict(few_digits.validation.x, verbose=0).astype(np.float64)
    of_class = logits[np.arange(len(logits)), few_digits.validation.y]
    loss = np.mean(np.log(np.exp(logits).sum(-1)) - of_class)
    assert found[1].loss == pytest.approx(loss, rel=1e-5)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.1)
