"""One trial: from a fresh state of a compiled model to a score that batch norm cannot spoil."""

import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras
import keras_tuner
import numpy as np
import tensorflow as tf

from bnzoo.data import Dataset
from bnzoo.tools import Recalibration
from bnzoo.tuning.results import score_cap
from bnzoo.tuning.spaces import Space

EVALUATION_BATCH = 256
# a score and the epochs that it took; whether the training is given up
Report = Callable[[float, int], bool]
# of the loss of guessing: a training that stays above has learned nothing
STALLED = 0.98


@dataclass
class Measurement:
    """What training one configuration gave.

    Attributes:
        outcome: `ok`, `stalled` (the training loss is still that of guessing), `diverged` or `pruned`.
        reason: Why it is not `ok`, else empty.
        score: Cross-entropy on the validation data with recalibrated statistics, capped at `2 ln(classes)`: finite
            whatever happens. The lower the better. Of a regression the squared error over the variance, capped at 2.
        loss: The same, not capped; `nan` and `inf` as they come.
        accuracy: On the validation data, with recalibrated statistics. Of a regression R².
        moving_loss: As `loss`, with the moving statistics that training left.
        moving_accuracy: As `accuracy`, likewise.
        history: The learning curve, an entry an epoch: `loss`, `accuracy`, `val_loss`, `val_accuracy`, the validation
            with moving statistics.
        compile_seconds: Time to build, trace and compile, 0 where a compiled model was reused.
        train_seconds: Time of the rest.
        measured: What the study's own `measure` gave.
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
    measured: dict[str, float] = field(default_factory=dict)


class CompiledModel:
    """One compiled model of an architecture, and the state that it has at the start of a trial of each seed.

    Tracing takes most of a short trial's time. Restoring every variable (weights, statistics, the state of random
    generators, the optimizer's slots and step) and assigning the learning rate gives the same histories, bit for bit,
    as building anew.

    Args:
        space: The `Space`.
        hp: Hyperparameters; all but the learning rate make up the architecture.
        data: The `Dataset`.
        seed: Integer, of the first trial.
    """

    def __init__(self, space: Space, hp: keras_tuner.HyperParameters, data: Dataset, seed: int) -> None:
        self.space, self.hp, self.data = space, hp.copy(), data
        self._batch = min(space.batch_size_of(hp.values), len(data.train.x))
        self.model = self._fresh(seed)
        self._states = {seed: self._state(self.model)}
        validation = tf.data.Dataset.from_tensor_slices((data.validation.x, self._targets(data.validation.y)))
        self._validation = validation.batch(EVALUATION_BATCH).cache()
        self.recalibrate = Recalibration(self.model)
        self._trace(seed)

    def restore(self, seed: int, learning_rate: float) -> None:
        """Puts the model in its initial state for a seed."""
        if seed not in self._states:
            self._states[seed] = self._state(self._fresh(seed))
        for variable, value in zip(self._variables(self.model), self._states[seed], strict=True):
            variable.assign(value)
        self.model.optimizer.learning_rate = self.hp.values["learning_rate"] = learning_rate

    def fit(self, seed: int, epochs: int, callbacks: list[keras.callbacks.Callback]) -> dict[str, list[float]]:
        """Trains, and returns the learning curve."""
        # not keras.utils.set_random_seed: it would make TensorFlow instantiate every compiled function again
        random.seed(seed)
        np.random.seed(seed)  # for a `fit` of the user's that draws from it
        return self._fit(self.batches(seed), epochs=epochs, callbacks=callbacks)

    def evaluate(self) -> tuple[float, float]:
        """Loss and accuracy, or R², on the validation data."""
        values = self.model.evaluate(self._validation, verbose=0, return_dict=True)
        return values["loss"], values[self.space.metric]

    def recalibrated(self, keep: bool) -> tuple[float, float]:
        """What `evaluate` gives with the statistics of the training data.

        Args:
            keep: Boolean, whether the model keeps these statistics. If not, it goes on as if nothing had been.
        """
        if not self.recalibrate.norms:
            return self.evaluate()
        before = [(variable, variable.numpy()) for variable in self.model.non_trainable_variables]
        self.recalibrate(self.data.train.x, batch_size=EVALUATION_BATCH)
        found = self.evaluate()
        for variable, value in () if keep else before:
            variable.assign(value)
        return found

    def batches(self, seed: int) -> tf.data.Dataset:
        """The training data without end, in an order that depends on the seed and the epoch alone.

        The short last batch of an epoch is left out: one or two examples would give batch norm meaningless statistics.
        """
        x, y = tf.constant(self.data.train.x), tf.constant(self._targets(self.data.train.y))

        def epoch(number: tf.Tensor) -> tf.data.Dataset:
            order = tf.random.experimental.stateless_shuffle(tf.range(len(x)), seed=(seed, number))
            return tf.data.Dataset.from_tensor_slices(order).batch(self._batch, drop_remainder=True)

        return tf.data.Dataset.counter().flat_map(epoch).map(lambda i: (tf.gather(x, i), tf.gather(y, i))).prefetch(2)

    def _fit(self, batches: tf.data.Dataset, steps: int | None = None, **options: Any) -> dict[str, list[float]]:
        history = self.space.fit(
            self.hp,
            self.model,
            batches,
            steps_per_epoch=steps or len(self.data.train.x) // self._batch,
            validation_data=self._validation,
            shuffle=False,
            verbose=0,
            **options,
        )
        return {name: [float(value) for value in values] for name, values in history.history.items()}

    def _trace(self, seed: int) -> None:
        """Runs each compiled function once, so that no trial pays for it."""
        self._fit(self.batches(seed), steps=1, epochs=1)
        self.recalibrate(self.data.train.x[:EVALUATION_BATCH], batch_size=EVALUATION_BATCH)

    def _fresh(self, seed: int) -> keras.Model:
        keras.utils.set_random_seed(seed)
        model = self.space.build(self.hp)
        model.optimizer.build(model.trainable_variables)
        return model

    def _targets(self, y: np.ndarray) -> np.ndarray:
        """Labels as they are, the targets of a regression as the column that `R2Score` asks for."""
        return y if self.data.classes else y[:, None]

    @staticmethod
    def _variables(model: keras.Model) -> list[keras.Variable]:
        return [*model.variables, *model.optimizer.variables]

    def _state(self, model: keras.Model) -> list[np.ndarray]:
        return [variable.numpy() for variable in self._variables(model)]


class _StopWhenNotFinite(keras.callbacks.Callback):
    """Ends a training whose loss is lost: no later step brings a NaN back.

    `keras.callbacks.TerminateOnNaN` would do, but it prints into the progress bar.
    """

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        if not math.isfinite((logs or {}).get("loss", 0.0)):
            self.model.stop_training = True


class _Rungs(keras.callbacks.Callback):
    """Reports the score after 1, 3, 9, ... epochs, with recalibrated statistics, and ends what is given up.

    Training goes on from exactly the state that it had: the statistics are put back.
    """

    def __init__(self, compiled: CompiledModel, cap: float, epochs: int, report: Report) -> None:
        super().__init__()
        self._compiled, self._cap, self._report = compiled, cap, report
        self._rungs = {3**i for i in range(epochs.bit_length()) if 3**i < epochs}
        self.given_up: tuple[int, float, float] | None = None

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if epoch + 1 not in self._rungs or not math.isfinite((logs or {}).get("loss", math.nan)):
            return
        loss, accuracy = self._compiled.recalibrated(keep=False)
        if self._report(_capped(loss, self._cap), epoch + 1):
            self.given_up = epoch + 1, loss, accuracy
            self.model.stop_training = True


def measure(
    compiled: CompiledModel, seed: int, learning_rate: float, epochs: int, report: Report | None = None
) -> Measurement:
    """Trains one configuration from its initial state and judges it.

    The validation data is scored twice: with the moving statistics, and with the statistics of the training data, which
    count. After a short training moving averages lag so far behind that they rank configurations wrongly.

    Args:
        compiled: The compiled model of the architecture. Left with the trained weights and recalibrated statistics.
        seed: Integer, of weights and shuffling.
        learning_rate: Float.
        epochs: Integer.
        report: Function of a score and the epochs that it took, called now and then; whether the training is given up.

    Returns:
        A `Measurement`, `compile_seconds` and `measured` left empty.
    """
    start = time.perf_counter()
    cap = score_cap(compiled.data.classes)
    compiled.restore(seed, learning_rate)
    callbacks: list[keras.callbacks.Callback] = [_StopWhenNotFinite()]
    rungs = _Rungs(compiled, cap, epochs, report) if report else None
    history = compiled.fit(seed, epochs, [*callbacks, rungs] if rungs else callbacks)
    moving = history["val_loss"][-1], history[f"val_{compiled.space.metric}"][-1]
    if rungs and rungs.given_up:
        after, loss, accuracy = rungs.given_up
        outcome, reason = "pruned", f"given up after {after} of {epochs} epochs, the validation loss at {loss:.3g}"
    else:
        finite = math.isfinite(history["loss"][-1])
        loss, accuracy = compiled.recalibrated(keep=True) if finite else moving
        outcome, reason = judge(history["loss"], loss, cap, _guessing(compiled.data))
    return Measurement(
        outcome,
        reason,
        score=_capped(loss, cap),
        loss=loss,
        accuracy=accuracy,
        moving_loss=moving[0],
        moving_accuracy=moving[1],
        history=history,
        train_seconds=time.perf_counter() - start,
    )


def _capped(loss: float, cap: float) -> float:
    return min(loss, cap) if math.isfinite(loss) else cap


def judge(training_losses: list[float], loss: float, cap: float, guessing: float) -> tuple[str, str]:
    """The outcome of a training, and why it is not `ok`.

    With batch norm a learning rate that is far too high rarely gives a NaN; the loss is finite and absurd.

    Args:
        training_losses: The mean training loss of each epoch.
        loss: The validation loss with recalibrated statistics.
        cap: `score_cap(classes)`.
        guessing: The loss of a network that ignores its input.
    """
    if not all(math.isfinite(value) for value in training_losses):
        return "diverged", "the training loss became infinite or NaN"
    if not math.isfinite(loss) or loss >= cap:
        return "diverged", f"the validation loss {loss:.3g} is not below {cap:.3g}, twice that of guessing"
    if training_losses[-1] >= STALLED * guessing:
        return "stalled", f"the training loss {training_losses[-1]:.3g} is that of guessing ({guessing:.3g})"
    return "ok", ""


def _guessing(data: Dataset) -> float:
    """The entropy of the training labels in nats; of a regression the variance, which is the unit of its loss."""
    if not data.classes:
        return 1.0
    share = np.bincount(data.train.y) / len(data.train.y)
    share = share[share > 0]
    return float(-(share * np.log(share)).sum())
