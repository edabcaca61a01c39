"""One trial: training from the initial state of a compiled model, and a score with recalibrated statistics."""

import functools
import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import keras_tuner
import numpy as np
import tensorflow as tf

from bnzoo.data import Dataset
from bnzoo.keras_internals import temporary_gradients
from bnzoo.metrics import MULTILABEL, REGRESSION, metric_for
from bnzoo.tools import Recalibration
from bnzoo.tools.population import NotFiniteError
from bnzoo.training.batches import training_batches, validation_batches
from bnzoo.training.class_weights import BALANCED, class_weights, weighted
from bnzoo.training.endings import StopWhenNotFinite
from bnzoo.training.precision import FLOAT32, in_precision
from bnzoo.training.recipe import recipe_of
from bnzoo.training.variables import assign, values_of
from bnzoo.tuning.costs import counts_of
from bnzoo.tuning.looks import LATE_BATCHES, PATIENCE, STALLED, Looks, Report, TrialDeadline
from bnzoo.tuning.objective import LOSS, Objective, loss_cap, objective_of
from bnzoo.tuning.spaces import Space

EVALUATION_BATCH = 256


@dataclass
class Evaluation:
    """The evaluation of one trained configuration.

    Attributes:
        outcome: `ok`, `stalled` (the training loss is still that of guessing), `diverged` or `pruned`.
        reason: The reason for another outcome than `ok`, or for an early end; else empty.
        score: The objective on the validation data with recalibrated statistics, at most its `cap`, so that it is
            always finite. Lower is better.
        loss: Cross-entropy on the validation data with recalibrated statistics; for a regression, the squared error
            divided by the variance. It may be `nan` or `inf`.
        accuracy: Accuracy on the validation data, with recalibrated statistics. For several labels an example, the mean
            average precision; for a regression, R².
        moving_loss: The loss with the moving statistics of the training.
        moving_accuracy: The accuracy with the moving statistics of the training.
        history: The learning curves, one entry per epoch: `loss`, `accuracy`, `val_loss`, `val_accuracy`. The
            validation uses moving statistics.
        compile_seconds: Time to build, trace and compile; near 0 for a compiled model that is reused.
        train_seconds: Time for the rest.
        parameters: The parameters of the network.
        multiplications: The multiply-accumulates of the network for one example; `None` if they cannot be counted.
        measured: The values of the study's `measure` function.
    """

    outcome: str
    reason: str
    score: float
    loss: float
    accuracy: float
    moving_loss: float
    moving_accuracy: float
    history: dict[str, list[float]] = field(default_factory=dict)
    compile_seconds: float = 0.0
    train_seconds: float = 0.0
    parameters: int | None = None
    multiplications: int | None = None
    measured: dict[str, float] = field(default_factory=dict)


class CompiledModel:
    """A compiled model of an architecture, and its initial state for each seed.

    Tracing takes most of the time of a short trial. Restoring every variable (weights, statistics, the state of random
    generators, the optimizer's slots and step) and assigning the learning rate leads to the same histories, bit for
    bit, as building a new model.

    In a precision of 16 bits a copy of the model is trained. The model itself gets its weights, and is evaluated.

    Args:
        space: The `Space`.
        hp: `keras_tuner.HyperParameters`. All but the learning rate determine the architecture.
        data: The `Dataset`.
        seed: Integer, the seed of the first trial.
        objective: The `Objective`. By default the loss.
        class_weight: String, as in `Study`.
        calibration: Integer, the number of training examples for recalibrated statistics. By default all.
        precision: String, the precision of the training: `"float32"`, `"bfloat16"` or `"float16"`.

    Attributes:
        model: The `keras.Model` in float32.
        whole: Integer, the number of whole batches of the training data.
        steps: Integer, the number of training steps of an epoch. It can be set; at first it is `whole`.
    """

    def __init__(
        self,
        space: Space,
        hp: keras_tuner.HyperParameters,
        data: Dataset,
        seed: int,
        objective: Objective | None = None,
        class_weight: str | None = None,
        calibration: int | None = None,
        precision: str = FLOAT32,
    ) -> None:
        self.space, self.hp, self.data, self._precision = space, hp.copy(), data, precision
        self.objective = objective or objective_of(LOSS, data)
        self.class_weights = class_weights(data) if class_weight == BALANCED else None
        self._batch = min(space.batch_size_of(hp.values), len(data.train.x))
        self.whole = self.steps = len(data.train.x) // self._batch
        self._batches: tuple[int, tf.data.Dataset] | None = None  # of the last seed
        self._calibration = data.train.x if calibration is None else data.train.x[:calibration]
        with temporary_gradients():
            self.model, self._trained = self._fresh(seed)
            self._states = {seed: self._state(self._trained)}
            self._validation = weighted(validation_batches(data, EVALUATION_BATCH), self.class_weights)
            self.recalibrate = Recalibration(self.model)
            self._trace(seed)

    @functools.cached_property
    def counts(self) -> tuple[int, int | None]:
        """The parameters and the multiplications of the network, as `counts_of` returns them."""
        return counts_of(self.model)

    def restore(self, seed: int, learning_rate: float) -> None:
        """Restore weights, statistics, random generators and optimizer to their initial state for a seed.

        The state of a new seed is taken from a newly built model, and kept.

        Args:
            seed: Integer.
            learning_rate: Float, the learning rate of the next training. It is set in the optimizer and in `hp`.
        """
        if seed not in self._states:
            self._states[seed] = self._state(self._fresh(seed)[1])
        assign(self._variables(self._trained), self._states[seed])
        self._trained.optimizer.learning_rate = self.hp.values["learning_rate"] = learning_rate

    def fit(self, seed: int, epochs: int, callbacks: list[keras.callbacks.Callback]) -> dict[str, list[float]]:
        """Train the model and return its learning curves."""
        # not keras.utils.set_random_seed: TensorFlow would then trace every compiled function again
        random.seed(seed)
        np.random.seed(seed)  # for a user's `fit` that uses NumPy's generator
        history = self._fit(self.batches(seed), epochs=epochs, callbacks=callbacks)
        self._take_weights()
        return history

    def evaluate(self, callbacks: Sequence[keras.callbacks.Callback] = ()) -> tuple[float, float, float]:
        """Return score, loss and the first metric of the task, such as accuracy, on the validation data."""
        values = self.model.evaluate(self._validation, verbose=0, return_dict=True, callbacks=list(callbacks))
        loss, predict = values["loss"], functools.cache(self._predict)
        score = self.objective.score(loss, predict, self.data.validation.y)
        return score, loss, self.metric_of(values, predict)

    def metric_of(self, logs: Mapping[str, float], predict: Callable[[], np.ndarray] | None = None) -> float:
        """Return the first metric of the task on the validation data.

        Args:
            logs: Dict of the loss and the metric that Keras has computed, if it computes it.
            predict: Function without arguments that returns the outputs of the model for the validation data.
        """
        if self.space.metric:
            return logs[self.space.metric]
        truth = self.data.validation.y
        if not math.isfinite(logs["loss"]):
            return math.nan
        return metric_for(self.data.task).of({"": (predict or self._predict)()}, truth)

    def recalibrated(self, keep: bool, deadline: TrialDeadline | None = None) -> tuple[float, float, float]:
        """Return what `evaluate` returns, with statistics that are recalibrated on the training data.

        If the training has made statistics that are not finite, they stay, and the score is the cap.

        Args:
            keep: Boolean, whether the model keeps these statistics. If not, its state does not change.
            deadline: The `TrialDeadline`. If it has passed, only some batches are used.
        """
        self._take_weights()  # in a look the training has not ended
        callbacks = () if deadline is None else (deadline,)
        if not self.recalibrate.norms:
            return self.evaluate(callbacks)
        before = values_of(self.model.non_trainable_variables)
        batches = LATE_BATCHES if deadline and deadline.stopped else None
        try:
            self.recalibrate(self._calibration, batches, EVALUATION_BATCH)
        except NotFiniteError:
            return self.objective.cap, math.inf, math.nan
        values = self.evaluate(callbacks)
        if not keep:
            assign(self.model.non_trainable_variables, before)
        return values

    def batches(self, seed: int) -> tf.data.Dataset:
        """Return the training batches of a seed. See `training_batches`."""
        # augmentations have a random state, which starts with the batches
        if self._batches is None or self._batches[0] != seed or self.data.augment:
            self._batches = seed, training_batches(self.data, self._batch, seed)
        return self._batches[1]

    def _fit(self, batches: tf.data.Dataset, steps: int | None = None, **options: Any) -> dict[str, list[float]]:
        history = self.space.fit(
            self.hp,
            self._trained,
            weighted(batches, self.class_weights),
            steps_per_epoch=steps or self.steps,
            validation_data=self._validation,
            shuffle=False,
            verbose=0,
            **options,
        )
        return {name: [float(value) for value in values] for name, values in history.history.items()}

    def _trace(self, seed: int) -> None:
        """Trace each compiled function, so that no trial has to."""
        self._create_metrics()
        self._fit(self.batches(seed), steps=1, epochs=1)
        self.recalibrate(self.data.train.x[:EVALUATION_BATCH], batch_size=EVALUATION_BATCH)
        if self._trained is not self.model:
            self.evaluate()
        if self.objective.metric is not None or not self.space.metric:
            self._predict()

    def _create_metrics(self) -> None:
        """Create the variables of the metrics: TensorFlow traces a step twice that creates them."""
        x, *targets = (tensor[:1] for tensor in next(iter(self._validation)))
        y, *weights = targets
        self._trained.compute_metrics(x, y, self._trained(x, training=False), *weights)
        self._trained.reset_metrics()

    def _predict(self) -> np.ndarray:
        return self.model.predict(self._validation, verbose=0)

    def _fresh(self, seed: int) -> tuple[keras.Model, keras.Model]:
        """Return a model, and the one that is trained: itself in float32, else a copy."""
        keras.utils.set_random_seed(seed)
        model = self.space.build(self.hp)
        model.optimizer.build(model.trainable_variables)
        if self._precision == FLOAT32:
            return model, model
        recipe = recipe_of(model, self.data, self.hp.get("learning_rate"))
        return model, recipe.compile(in_precision(model, self._precision), self._precision)

    def _take_weights(self) -> None:
        """Give the model the weights, the statistics and the random states of its copy in 16 bits."""
        if self._trained is not self.model:
            assign(self.model.variables, self._trained.variables)

    @staticmethod
    def _variables(model: keras.Model) -> list[keras.Variable]:
        return [*model.variables, *model.optimizer.variables]

    def _state(self, model: keras.Model) -> list[np.ndarray]:
        return values_of(self._variables(model))


def train_and_evaluate(
    compiled: CompiledModel,
    seed: int,
    learning_rate: float,
    epochs: int,
    report: Report | None = None,
    *,
    deadline: float | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> Evaluation:
    """Train one configuration from its initial state and evaluate it.

    The validation data is evaluated with the moving statistics and with recalibrated ones, which decide the score.
    After a short training the moving statistics lag so far behind that they would rank configurations wrongly.

    Args:
        compiled: The compiled model of the architecture. It keeps the trained weights and recalibrated statistics.
        seed: Integer, the seed of weights and shuffling.
        learning_rate: Float.
        epochs: Integer.
        report: Function of a score and the number of epochs that returns whether the trial is pruned.
        deadline: Float, the moment as `time.monotonic()` at which the training ends. The model is evaluated then.
        callbacks: Sequence of further callbacks.

    Returns:
        An `Evaluation` without `compile_seconds`, `measured` and the cost of the network.
    """
    start = time.perf_counter()
    cap = loss_cap(compiled.data)
    guessing = _guessing(compiled.data, compiled.class_weights)
    compiled.restore(seed, learning_rate)
    looks = Looks(compiled, epochs, guessing, cap, report)
    end = TrialDeadline(deadline)
    history = compiled.fit(seed, epochs, [StopWhenNotFinite(), looks, end, *callbacks])
    compiled.model.optimizer.learning_rate = learning_rate  # for a further `fit`, not the last value of the schedule
    last = {name.removeprefix("val_"): values[-1] for name, values in history.items() if name.startswith("val_")}
    moving = last["loss"], compiled.metric_of(last)
    if looks.ended:
        outcome, reason, (score, loss, accuracy) = looks.ended
    else:
        finite = math.isfinite(history["loss"][-1])
        worst = compiled.objective.cap, *moving
        score, loss, accuracy = compiled.recalibrated(keep=True, deadline=end) if finite else worst
        outcome, reason = judge(history["loss"], loss, cap, guessing)
    accuracy = moving[1] if math.isnan(accuracy) else accuracy  # without recalibrated statistics
    if end.stopped and not looks.ended:
        early = f"ended at the deadline after {end.steps} of {epochs * compiled.steps} steps"
        # with more time it might have learned
        unknown = outcome == "stalled" or (outcome == "diverged" and end.steps < PATIENCE and math.isfinite(loss))
        outcome, reason = ("pruned" if unknown else outcome), f"{early}; {reason}" if reason else early
    return Evaluation(
        outcome,
        reason,
        score=score,
        loss=loss,
        accuracy=accuracy,
        moving_loss=moving[0],
        moving_accuracy=moving[1],
        history=history,
        train_seconds=time.perf_counter() - start,
    )


def judge(training_losses: list[float], loss: float, cap: float, guessing: float) -> tuple[str, str]:
    """Return the outcome of a training, and the reason if it is not `ok`.

    With batch norm a learning rate that is far too high rarely leads to NaN, but to a finite and huge loss.

    Args:
        training_losses: List of floats, the mean training loss of each epoch.
        loss: Float, the validation loss with recalibrated statistics.
        cap: Float, the upper limit of losses, as in `loss_cap`.
        guessing: Float, the loss of a network that ignores its input.
    """
    if not all(math.isfinite(value) for value in training_losses):
        return "diverged", "the training loss became infinite or NaN"
    if not math.isfinite(loss) or loss >= cap:
        return "diverged", f"the validation loss {loss:.3g} is not below {cap:.3g}, twice that of guessing"
    if training_losses[-1] >= STALLED * guessing:
        return "stalled", f"the training loss {training_losses[-1]:.3g} is that of guessing ({guessing:.3g})"
    return "ok", ""


def _guessing(data: Dataset, weights: np.ndarray | None) -> float:
    """Return the loss of a network that ignores its input.

    It is the entropy of the training classes in nats, each with its weight, or the mean entropy of the labels. The loss
    of a regression is measured in variances of the target, so that it is 1.
    """
    if data.task == REGRESSION:
        return 1.0
    if data.task == MULTILABEL:
        share = data.train.y.mean(0, dtype=np.float64)
        return (_entropy(share) + _entropy(1 - share)) / len(share)
    share = np.bincount(data.train.y, minlength=data.classes) / len(data.train.y)
    return _entropy(share, 1 if weights is None else weights)


def _entropy(shares: np.ndarray, weights: np.ndarray | int = 1) -> float:
    weighted = shares * weights
    weighted = weighted[weighted > 0]
    return float(-(weighted * np.log(weighted)).sum())
