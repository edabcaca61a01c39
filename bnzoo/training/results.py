"""The result of a training."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import keras

from bnzoo.data.augment import in_words
from bnzoo.tools import HealthReport
from bnzoo.training.artefact import Artefact
from bnzoo.training.measures import Measures


@dataclass(frozen=True)
class Training:
    """The result of a training.

    Attributes:
        model: The trained `keras.Model`, in float32, with recalibrated statistics. It is compiled with a new optimizer
            and the learning rate of the training.
        history: Dict of lists, the values of each epoch: `loss`, `learning_rate`, the metrics, and `val_loss` and so on
            for the validation data.
        measures: `Measures`, the metrics on the validation data (with `all_data` it is training data too) and, with
            intervals, on the test data.
        epochs: Integer, the number of finished epochs.
        steps: Integer, the number of steps.
        seconds: Float, the time of this call.
        precision: String, the precision of the training.
        learning_rate: Float, the highest learning rate.
        weights: String, the weights of the model: `"last"`, `"averaged"`, `"best"`, those of the epoch with the lowest
            validation loss, or `"trial"`, those of the trial of a study, which are kept if their validation loss is
            lower by more than two standard errors of the paired difference.
        choice: Dict of floats, the validation loss of each of these weights; empty if the validation data is training
            data.
        health: The `bnzoo.tools.HealthReport` of the model.
        ended: String, the reason why the training ended before its last epoch, or empty.
        artefact: The exported `Artefact`, or `None` without a directory.
        devices: Integer, the number of devices of the training.
        augment: Sequence of strings, the names of the augmentations of the training images.
    """

    model: keras.Model
    history: dict[str, list[float]]
    measures: Measures
    epochs: int
    steps: int
    seconds: float
    precision: str
    learning_rate: float
    weights: str
    choice: dict[str, float]
    health: HealthReport
    ended: str = ""
    artefact: Artefact | None = field(default=None)
    devices: int = 1
    augment: Sequence[str] = ()

    def __str__(self) -> str:
        losses = ", ".join(f"{name} {loss:.5g}" for name, loss in self.choice.items())
        chosen = f"validation loss: {losses}" if losses else "the validation data was training data too"
        on = f" on {self.devices} devices" if self.devices > 1 else ""
        made = ", ".join(
            f"{count} {name}{'s' * (count != 1)}" for name, count in (("epoch", self.epochs), ("step", self.steps))
        )
        lines = [
            f"{made} in {self.precision}{on}{in_words(self.augment)}, {self.weights} weights ({chosen})",
            *([self.ended] if self.ended else []),
            *(finding.sentence for finding in self.health.findings),
        ]
        return "\n".join(lines)
