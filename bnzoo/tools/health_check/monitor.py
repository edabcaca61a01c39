"""A look at the health of a model while it is trained."""

import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras

from bnzoo.errors import positive_integer
from bnzoo.tools.batches import batches_of
from bnzoo.tools.health_check.checkup import Checkup
from bnzoo.tools.health_check.report import HealthReport

# what is wrong at whatever time it is seen; moving statistics that lag behind are natural until training ends
_AT_ANY_TIME = (
    *("batch_of_one", "exploding", "dead", "saturation"),
    *("gradient_not_finite", "exploding_gradient", "vanishing_gradient"),
)


class HealthMonitor(keras.callbacks.Callback):
    """Examines a model after some epochs, and warns when training goes wrong.

    A kind of finding warns once. Channels, activations and gradients warn after any epoch, and are measured with the
    statistics of the batches, as in training; moving statistics that do not fit the data warn only when training ends.

    Training is bit for bit what it is without the monitor. A `tf.data.Dataset` that shuffles gives another order to
    each of its readers: do not give the one that is trained on.

    Args:
        data: See `bnzoo.tools.health`. Read once, when training begins, and kept.
        log_dir: String or path, a folder for TensorBoard; by default nothing is logged.
        every: Integer, after how many epochs to look.
        batches: Integer, how many batches of the data to look at.
        batch_size: Integer, for arrays.
        loss: See `bnzoo.tools.health`.

    Attributes:
        report: The latest `HealthReport`, or `None` before the first.

    Raises:
        ImportError: If `log_dir` is given and TensorBoard is not installed.
        ValueError: If a number is not a positive integer.

    Examples:
    >>> model.fit(x, y, epochs=20, callbacks=[bnzoo.tools.HealthMonitor((x_val, y_val), log_dir="runs/health")])
    """

    def __init__(
        self,
        data: Any,
        log_dir: str | Path | None = None,
        every: int = 1,
        batches: int = 4,
        batch_size: int = 256,
        loss: Any = None,
    ) -> None:
        super().__init__()
        if log_dir is not None and find_spec("tensorboard") is None:
            raise ImportError("`log_dir` needs TensorBoard: pip install tensorboard, or 'bnzoo[tune]'")
        self.every = positive_integer("every", every)
        self.report: HealthReport | None = None
        self._batches = list(batches_of(data, positive_integer("batches", batches), batch_size))
        self._log_dir, self._loss = log_dir, loss
        self._warned: set[str] = set()
        self._checkup: Checkup | None = None
        self._writer: Any = None

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Opens the log."""
        self._epoch = self._looked = -1
        self._checkup = None
        if self._log_dir is not None:
            import tensorflow as tf

            self._writer = tf.summary.create_file_writer(str(self._log_dir))

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Examines the model after each `every` epochs."""
        self._epoch = epoch
        if (epoch + 1) % self.every == 0:
            self._warn(self._look(), _AT_ANY_TIME)

    def on_train_end(self, logs: dict | None = None) -> None:
        """Judges the moving statistics too, and closes the log."""
        if self._epoch >= 0:
            report = self._look() if self._looked < self._epoch or self.report is None else self.report
            self._warn(report)
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _look(self) -> HealthReport:
        # not when training begins: a model may be built by its first batch
        self._checkup = self._checkup or Checkup(self.model, self._loss, in_training=True)
        self._looked = self._epoch
        self.report = self._checkup(self._batches, int(self.model.optimizer.iterations))
        self._log(self.report)
        return self.report

    def _warn(self, report: HealthReport, kinds: tuple[str, ...] | None = None) -> None:
        for title, found in report.groups:
            kind = found[0].kind
            if kind not in self._warned and (kinds is None or kind in kinds):
                self._warned.add(kind)
                more = f" So do {len(found) - 1} other layers." if len(found) > 1 else ""
                warnings.warn(
                    f"{title} after epoch {self._epoch + 1}. {found[0].sentence}.{more}", UserWarning, stacklevel=2
                )

    def _log(self, report: HealthReport) -> None:
        if self._writer is None:
            return
        import tensorflow as tf

        with self._writer.as_default(step=self._epoch):
            for name, norm in report.norms.items():
                for measure, value in norm.scalars().items():
                    tf.summary.scalar(f"{measure}/{name}", value)
            for name, scale in (report.gradients or {}).items():
                tf.summary.scalar(f"gradient/{name}", scale)
        self._writer.flush()
