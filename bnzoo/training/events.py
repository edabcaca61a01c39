"""Logs of a training for TensorBoard."""

from pathlib import Path

import keras
import tensorflow as tf

# marks the event files that this module has written and may replace
_SUFFIX = ".bnzoo"
_VALIDATION = "val_"


class EventFiles(keras.callbacks.Callback):
    """A callback that writes the values of each epoch as scalars, with the names and folders of Keras' `TensorBoard`.

    Keras' callback appends to the logs: those of a training that goes on after a kill would lack epochs that were not
    yet written, and have those twice that are trained again. Here the first epoch of a process replaces the logs.

    Args:
        folder: The folder, whose subfolders are `train` and `validation`.
        history: Dict of lists, the values of each epoch, the present one included.
    """

    def __init__(self, folder: str | Path, history: dict[str, list[float]]) -> None:
        super().__init__()
        self._folder, self._history = Path(folder), history
        self._writers: dict[str, tf.summary.SummaryWriter] = {}

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Write the values of the epoch, and with the first one those of all epochs before."""
        first = epoch if self._writers else 0
        for name, values in self._history.items():
            with self._writer("validation" if name.startswith(_VALIDATION) else "train").as_default():
                for step, value in enumerate(values[first:], first):
                    tf.summary.scalar(f"epoch_{name.removeprefix(_VALIDATION)}", value, step=step)
        for writer in self._writers.values():
            writer.flush()

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Close the files."""
        for writer in self._writers.values():
            writer.close()
        self._writers = {}

    def _writer(self, part: str) -> tf.summary.SummaryWriter:
        """Return the writer of a new file in a subfolder. The first call removes the former files."""
        if part not in self._writers:
            for old in (self._folder / part).glob(f"events.out.tfevents.*{_SUFFIX}"):
                old.unlink()
            self._writers[part] = tf.summary.create_file_writer(str(self._folder / part), filename_suffix=_SUFFIX)
        return self._writers[part]
