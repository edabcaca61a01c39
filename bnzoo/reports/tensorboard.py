"""The trials of a study as TensorBoard HParams runs."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import tensorflow as tf
from tensorboard.plugins.hparams import api as hp
from tensorboard.plugins.hparams import api_pb2, summary

from bnzoo.reports.layout import MOST_RATES

if TYPE_CHECKING:
    from bnzoo.tuning.results import Results
    from bnzoo.tuning.trial_result import TrialResult


_SUFFIX = ".bnzoo"  # marks the event files that this module has written and may replace


def write_hparams(results: "Results", folder: str | Path) -> None:
    """Write each trial as a run of TensorBoard's HParams plugin, and replace the runs of an earlier call.

    A run has the hyperparameters and the seed, the learning curves as scalars over the epochs (`loss`, `val_loss`,
    ...), and `final/score` and `final/accuracy` (`final/r2` for a regression), which the table of the plugin shows.
    Missing values, such as the accuracy of a failed trial, are omitted.

    Args:
        results: `bnzoo.tuning.Results`.
        folder: The folder for `tensorboard --logdir`. Each run is a subfolder with the number of the trial as its name.

    Examples:
    >>> bnzoo.reports.write_hparams(study.results, "runs/digits/tensorboard")
    """
    folder = Path(folder)
    seeds = sorted({trial.seed for trial in results.trials})
    hparams = [hp.HParam(axis, _domain(values)) for axis, values in {**results.axes, "seed": seeds}.items()]
    metrics = [hp.Metric(f"final/{name}", display_name=name) for name in ("score", results.metric)]
    with _events(folder):
        hp.hparams_config(hparams=hparams, metrics=metrics)
    for trial in results.trials:
        with _events(folder / f"{trial.trial:05d}"):
            _run(trial, results.metric)


def _domain(values: list) -> hp.Discrete | hp.RealInterval:
    """Return the values of an axis, or its range if it was sampled."""
    if not all(isinstance(value, int | float) for value in values):
        return hp.Discrete([str(value) for value in values])
    numbers = [float(value) for value in values] if any(isinstance(value, float) for value in values) else values
    return (
        hp.Discrete(numbers)
        if len(numbers) <= MOST_RATES
        else hp.RealInterval(float(min(numbers)), float(max(numbers)))
    )


def _run(trial: "TrialResult", metric: str) -> None:
    """Write the events of a trial."""
    started = trial.started if math.isfinite(trial.started) else None
    ended = None if started is None else started + trial.compile_seconds + trial.train_seconds
    hp.hparams({**trial.values, "seed": trial.seed}, trial_id=f"{trial.trial:05d}", start_time_secs=started)
    for name, curve in trial.history.items():
        for epoch, value in enumerate(curve, 1):
            tf.summary.scalar(name, value, step=epoch)
    last = max((len(curve) for curve in trial.history.values()), default=0)
    for name, value in (("score", trial.score), (metric, trial.accuracy)):
        if not math.isnan(value):
            tf.summary.scalar(f"final/{name}", value, step=last)
    tf.summary.text("outcome", f"{trial.outcome} {trial.reason}".strip(), step=last)
    status = api_pb2.STATUS_FAILURE if trial.outcome == "failed" else api_pb2.STATUS_SUCCESS
    tf.summary.experimental.write_raw_pb(summary.session_end_pb(status, ended).SerializeToString(), step=last)


@contextmanager
def _events(folder: Path) -> Iterator[None]:
    """Write events in the block to a new file in a folder, and remove the file of an earlier call."""
    for old in folder.glob(f"events.out.tfevents.*{_SUFFIX}"):
        old.unlink()
    writer = tf.summary.create_file_writer(str(folder), filename_suffix=_SUFFIX)
    try:
        with writer.as_default():
            yield
    finally:
        writer.close()
