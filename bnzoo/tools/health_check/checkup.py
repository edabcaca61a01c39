"""The health check of a model, for which the data passes once."""

from collections.abc import Iterable
from typing import Any

import keras

from bnzoo.keras_internals import compile_arguments
from bnzoo.layers import SkipInit
from bnzoo.tools.batches import Batch, batches_of
from bnzoo.tools.graph import Graph, require_functional
from bnzoo.tools.health_check.comparison import OutputComparison, first_batches
from bnzoo.tools.health_check.findings import find, find_in_outputs
from bnzoo.tools.health_check.gradients import GradientObserver, guess_loss
from bnzoo.tools.health_check.measure import Measurements, norm_health
from bnzoo.tools.health_check.outputs import OutputObserver
from bnzoo.tools.health_check.placed_norms import hidden_norms, placed_norms
from bnzoo.tools.health_check.report import HealthReport
from bnzoo.tools.population import Observer

# Tracing a pass takes as long as so many passes without tracing, and most checks are short.
_UNTRACED = 8


def health(
    model: keras.Model,
    data: Any,
    *,
    batches: int | None = None,
    batch_size: int = 256,
    steps: int | None = None,
    loss: Any = None,
) -> HealthReport:
    """Check the norms of a model, and the gradients between them, for common faults.

    The measurements of each norm are the distance between the moving statistics and those of the data, the channels
    behind it that are dead or explode at inference, gamma, and the share of values for which the activation right
    behind it is flat. For each linear layer it is the size of the gradient relative to the kernel. For all norms
    together it is the difference between the outputs with the moving statistics and with the statistics of the data, on
    the first 1024 examples. A measurement out of bounds is a finding: a sentence with the layer, the number and the
    remedy. Accuracy is not checked.

    A model that has not been trained (`steps` is 0, or it is compiled and its optimizer has made no step) has initial
    moving statistics. This is not a finding, but a note, and the outputs of the norms are then measured with the
    statistics of the batches, as in training. If the number of steps is not known, initial statistics that do not fit
    the data are a finding, since they would be used at inference.

    Nothing in the model changes: no weight, statistic, random state or metric.

    Args:
        model: A built functional or Sequential `keras.Model`, those of `keras.applications` and nested ones included.
        data: As for `bnzoo.tools.recalibrate_batch_norm`: an array or a dict of arrays, a tuple `(x, y)` or
            `(x, y, sample_weight)`, a `tf.data.Dataset`, a `keras.utils.PyDataset` or any iterable of batches. With
            targets the gradients are measured too.
        batches: Integer, the maximum number of batches; all by default.
        batch_size: Integer, for arrays.
        steps: Integer, the number of training steps of the model; by default that of the optimizer of a compiled model.
        loss: A loss as for `keras.Model.compile`, for the gradients. By default that of a compiled model; else sparse
            categorical cross-entropy for integer labels and a classifier that ends in softmax or logits.

    Returns:
        A `HealthReport`: `print` it, or call its `report(path)` for a page with figures.

    Raises:
        ValueError: If the model has no graph, an argument is out of range, the data is empty, a loss is given but the
            data has no targets, or a label is none of the classes of the model.

    Examples:
    >>> print(bnzoo.tools.health(model, (x_train, y_train)))
    healthy: 19 norms, nothing found; accuracy was not judged
    """
    if steps is not None and (not isinstance(steps, int) or isinstance(steps, bool) or steps < 0):
        raise ValueError(f"`steps` must be an integer that is at least 0, or None. Received: steps={steps!r}")
    checkup = Checkup(model, loss)
    return checkup(batches_of(data, batches, batch_size), _steps_made(model) if steps is None else steps)


def _steps_made(model: keras.Model) -> int | None:
    optimizer = getattr(model, "optimizer", None)
    return None if optimizer is None else int(optimizer.iterations)


class Checkup:
    """`health` for repeated use on one model.

    Args:
        model: A built functional or Sequential `keras.Model`.
        loss: See `health`.
        in_training: Boolean, whether the outputs of the norms are always measured with the statistics of the batches.
    """

    def __init__(self, model: keras.Model, loss: Any = None, in_training: bool = False) -> None:
        require_functional(model)
        self._model, self._loss, self._in_training = model, loss, in_training
        self._graph = Graph(model)
        self._norms = placed_norms(self._graph)
        self._batch_norms = [placed for placed in self._norms if placed.has_moving_statistics]
        self._inputs = Observer(model, [placed.norm for placed in self._batch_norms], untraced=_UNTRACED)
        self._outputs = {mode: OutputObserver(model, self._norms, mode, _UNTRACED) for mode in (False, True)}
        self._comparison = OutputComparison(model, self._graph, self._norms)
        self._gradients: GradientObserver | None = None

    def __call__(self, batches: Iterable[Batch], steps: int | None) -> HealthReport:
        """Pass the batches through the model, and return the report."""
        measurements, compared = Measurements(), list[Batch]()
        notes = self._notes()
        new = steps == 0 and any(placed.is_initial for placed in self._batch_norms)
        if new:
            notes.append(
                "The model has not been trained, and its moving statistics have their initial values: the outputs of "
                "the norms were measured with the statistics of the data. Train or recalibrate it before inference."
            )
        for number, batch in enumerate(batches):
            if number == 0:
                notes += self._prepare_gradients(batch)
            first_batches(batch, compared)
            measurements.add_inputs([placed.name for placed in self._batch_norms], self._inputs(batch.x))
            self._outputs[self._in_training or new].add_to(measurements.outputs, batch.x)
            if self._gradients is not None:
                measurements.add_gradients(self._gradients.scales(batch))
        norms = {placed.name: norm_health(placed, measurements) for placed in self._norms}
        gradients, without = self._scales(measurements)
        findings = find(norms, gradients, steps, steps == 0 or (steps is None and self._is_closed()))
        if not new:
            disagreements = self._comparison.disagreements(compared, measurements.inputs)
            findings = find_in_outputs(self._model.name, disagreements, findings)
        return HealthReport(self._model.name, steps, norms, gradients, findings, notes + without)

    def _scales(self, measurements: Measurements) -> tuple[dict[str, float] | None, list[str]]:
        """Return the gradient scales, and a note on the layers without one."""
        if self._gradients is None:
            return None, []
        scales = measurements.gradients()
        missing = [name for name in self._gradients.kernels if name not in scales]
        why = "No gradient scale, since the kernel is zero or the loss does not depend on it"
        return scales, [f"{why}: {_list(missing)}."] if missing else []

    def _notes(self) -> list[str]:
        hidden = hidden_norms(self._graph)
        return [f"Not measured, since they are inside layers without a graph: {_list(hidden)}."] if hidden else []

    def _prepare_gradients(self, batch: Batch) -> list[str]:
        """Choose the loss once, and return a note if there is none."""
        if self._gradients is not None:
            return []
        if keras.backend.backend() != "tensorflow":
            return ["Gradients were not measured: that needs the TensorFlow backend."]
        if batch.y is None:
            if self._loss is not None:
                raise ValueError("`loss` needs targets: pass `data` as `(x, y)`, or leave out `loss`")
            return ["Gradients were not measured: the data has no targets."]
        loss, weights = self._loss, None
        if loss is None and getattr(self._model, "compiled", False):
            compiled = compile_arguments(self._model)
            loss, weights = compiled.get("loss"), compiled.get("loss_weights")
        loss = guess_loss(self._graph, batch.y) if loss is None else loss
        if loss is None:
            return ["Gradients were not measured: the model is not compiled with a loss. Pass `loss`."]
        self._gradients = GradientObserver(self._model, self._graph, loss, weights, _UNTRACED)
        return []

    def _is_closed(self) -> bool:
        """Return whether the gamma of a norm, or the alpha of a `SkipInit`, is all zeros.

        Residual branches often start so. If the number of steps is not known, it is taken as a sign that none was made.
        """
        factors = [placed.gamma for placed in self._norms]
        factors += [layer.alpha for layer in self._graph.layers() if isinstance(layer, SkipInit)]
        return any(not keras.ops.convert_to_numpy(factor).any() for factor in factors if factor is not None)


def _list(names: list[str], most: int = 6) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
