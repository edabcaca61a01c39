"""Health checks during training."""

import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras

from bnzoo.errors import positive_integer
from bnzoo.tools.batches import batches_of
from bnzoo.tools.health_check.checkup import Checkup
from bnzoo.tools.health_check.report import HealthReport

# findings that are faults at any time; moving statistics normally lag behind until training ends
_AT_ANY_TIME = (
    *("batch_of_one", "exploding", "dead", "saturation"),
    *("gradient_not_finite", "exploding_gradient", "vanishing_gradient"),
)


class HealthMonitor(keras.callbacks.Callback):
    """A callback that checks the health of a model during training and warns of findings.

    Each kind of finding warns once. Channels, activations and gradients are checked after every `every` epochs, and
    measured with the statistics of the batches, as in training. Moving statistics are checked when training ends.

    Training is bit for bit the same as without the monitor. A `tf.data.Dataset` that shuffles has another order for
    each of its readers: do not pass the training data set itself.

    Args:
        data: See `bnzoo.tools.health`. It is read once, when training begins, and kept in memory.
        log_dir: String or path, a folder for TensorBoard; by default nothing is logged.
        every: Integer, the number of epochs between checks.
        batches: Integer, the maximum number of batches of the data.
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
        """Open the log."""
        self._epoch = self._checked_epoch = -1
        self._checkup = None
        if self._log_dir is not None:
            import tensorflow as tf

            self._writer = tf.summary.create_file_writer(str(self._log_dir))

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Check the model after every `every` epochs."""
        self._epoch = epoch
        if (epoch + 1) % self.every == 0:
            self._warn(self._check(), _AT_ANY_TIME)

    def on_train_end(self, logs: dict | None = None) -> None:
        """Check the moving statistics too, and close the log."""
        if self._epoch >= 0:
            report = self._check() if self._checked_epoch < self._epoch or self.report is None else self.report
            self._warn(report)
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _check(self) -> HealthReport:
        # not in `on_train_begin`, since a model may be built by its first batch
        self._checkup = self._checkup or Checkup(self.model, self._loss, in_training=True)
        self._checked_epoch = self._epoch
        self.report = self._checkup(self._batches, int(self.model.optimizer.iterations))
        self._log(self.report)
        return self.report

    def _warn(self, report: HealthReport, kinds: tuple[str, ...] | None = None) -> None:
        for title, findings in report.groups:
            kind = findings[0].kind
            if kind not in self._warned and (kinds is None or kind in kinds):
                self._warned.add(kind)
                others = len(findings) - 1
                more = f" {others} other layer{'s have' if others > 1 else ' has'} the same finding." if others else ""
                warnings.warn(
                    f"{title} after epoch {self._epoch + 1}. {findings[0].sentence}.{more}", UserWarning, stacklevel=2
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
