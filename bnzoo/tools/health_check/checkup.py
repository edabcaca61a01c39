"""The examination of a model: the data passes once, and what it leaves behind is judged."""

from collections.abc import Iterable
from typing import Any

import keras

from bnzoo.keras_internals import compile_arguments
from bnzoo.layers import SkipInit
from bnzoo.tools.batches import Batch, batches_of
from bnzoo.tools.graph import Graph, require_functional
from bnzoo.tools.health_check.findings import find, find_together
from bnzoo.tools.health_check.gradients import GradientObserver, guess_loss
from bnzoo.tools.health_check.measure import Seen, measured
from bnzoo.tools.health_check.outputs import OutputObserver
from bnzoo.tools.health_check.places import hidden_norms, places
from bnzoo.tools.health_check.report import HealthReport
from bnzoo.tools.health_check.together import Together, first_batches
from bnzoo.tools.population import Observer

# Most looks are short: tracing a pass takes as long as running it that often without.
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
    """Look for what is wrong with the norms of a model, and with the gradients between them.

    Of each norm it measures, on the data: how far the moving statistics are from those of the data; which channels are
    dead or explode behind it at inference; gamma; at how many values the activation right behind it is flat. Of each
    linear layer: how large the gradient is beside the kernel. Of all norms together: how far the outputs with their
    moving statistics are from those with the statistics of the data, on the first 1024 examples. What is out of bounds
    is a finding, a sentence with the layer, the number and the remedy. Accuracy is not judged.

    The moving statistics of a model that has made no step (`steps` is 0, or it is compiled and its optimizer has made
    none) are the initial ones by right: they are no finding, but a note, and what the norms give is then measured with
    the statistics of the batches, as in training. Where the steps are not known, initial statistics that do not fit the
    data are a finding, for at inference they would be used.

    Nothing in the model changes: no weight, statistic, random state or metric.

    Args:
        model: A built functional or Sequential `keras.Model`, keras.applications' own and nested ones included.
        data: As for `bnzoo.tools.recalibrate_batch_norm`: an array or a dict of arrays, a tuple `(x, y)` or
            `(x, y, sample_weight)`, a `tf.data.Dataset`, a `keras.utils.PyDataset` or any iterable of batches. With
            targets the gradients are measured too.
        batches: Integer, how many batches to look at, at most; all by default.
        batch_size: Integer, for arrays.
        steps: Integer, how many steps of training the model has made; by default what the optimizer of a compiled
            model has counted.
        loss: What `keras.Model.compile` takes, for the gradients. By default that of a compiled model; else, for
            integer labels and a classifier that ends in softmax or logits, sparse categorical cross-entropy.

    Returns:
        A `HealthReport`: `print` it, or call its `report(path)` for a page with pictures.

    Raises:
        ValueError: If the model has no graph to be seen, an argument is out of range, the data is empty, a loss is
            given and the data has no targets, or a label is none of the classes that the model has outputs for.

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
    """`health`, prepared once for a model and used as often as one likes.

    Args:
        model: A built functional or Sequential `keras.Model`.
        loss: See `health`.
        in_training: Boolean, whether what the norms give is always measured with the statistics of the batches.
    """

    def __init__(self, model: keras.Model, loss: Any = None, in_training: bool = False) -> None:
        require_functional(model)
        self._model, self._loss, self._in_training = model, loss, in_training
        self._graph = Graph(model)
        self._places = places(self._graph)
        self._of_batch = [place for place in self._places if place.of_batch]
        self._inputs = Observer(model, [place.norm for place in self._of_batch], untraced=_UNTRACED)
        self._outputs = {mode: OutputObserver(model, self._places, mode, _UNTRACED) for mode in (False, True)}
        self._together = Together(model, self._graph, self._places)
        self._gradients: GradientObserver | None = None

    def __call__(self, batches: Iterable[Batch], steps: int | None) -> HealthReport:
        """Pass the batches through the model and judge what they leave behind."""
        seen, kept = Seen(), list[Batch]()
        notes = self._notes()
        new = steps == 0 and any(place.is_initial for place in self._of_batch)
        if new:
            notes.append(
                "The model has made no step, so that its statistics are the initial ones: what the norms give was "
                "measured with those of the data. Train it or recalibrate it before it is used at inference."
            )
        for number, batch in enumerate(batches):
            if number == 0:
                notes += self._prepare_gradients(batch)
            first_batches(batch, kept)
            seen.add_inputs([place.name for place in self._of_batch], self._inputs(batch.x))
            self._outputs[self._in_training or new].add_to(seen.outputs, batch.x)
            if self._gradients is not None:
                seen.add_gradients(self._gradients.scales(batch))
        norms = {place.name: measured(place, seen) for place in self._places}
        gradients, without = self._scales(seen)
        findings = find(norms, gradients, steps, steps == 0 or (steps is None and self._is_closed()))
        if not new:
            findings = find_together(self._model.name, self._together.disagreements(kept, seen.inputs), findings)
        return HealthReport(self._model.name, steps, norms, gradients, findings, notes + without)

    def _scales(self, seen: Seen) -> tuple[dict[str, float] | None, list[str]]:
        """The gradient scales, and which layers have none."""
        if self._gradients is None:
            return None, []
        scales = seen.gradients()
        missing = [name for name in self._gradients.kernels if name not in scales]
        why = "No gradient scale, for the kernel is zero or the loss does not depend on it"
        return scales, [f"{why}: {_list(missing)}."] if missing else []

    def _notes(self) -> list[str]:
        hidden = hidden_norms(self._graph)
        return [f"Not measured, being inside layers that show no graph: {_list(hidden)}."] if hidden else []

    def _prepare_gradients(self, batch: Batch) -> list[str]:
        """Chooses the loss once; the sentences say why there is none."""
        if self._gradients is not None:
            return []
        if keras.backend.backend() != "tensorflow":
            return ["Gradients were not measured: that needs the TensorFlow backend."]
        if batch.y is None:
            if self._loss is not None:
                raise ValueError("`loss` needs targets: give `data` as `(x, y)`, or leave `loss` out")
            return ["Gradients were not measured: the data has no targets."]
        loss, weights = self._loss, None
        if loss is None and getattr(self._model, "compiled", False):
            compiled = compile_arguments(self._model)
            loss, weights = compiled.get("loss"), compiled.get("loss_weights")
        loss = guess_loss(self._graph, batch.y) if loss is None else loss
        if loss is None:
            return ["Gradients were not measured: give a `loss`, for the model is not compiled with one."]
        self._gradients = GradientObserver(self._model, self._graph, loss, weights, _UNTRACED)
        return []

    def _is_closed(self) -> bool:
        """Whether a residual branch is multiplied by zero, as only before the first step."""
        factors = [place.gamma for place in self._places]
        factors += [layer.alpha for layer in self._graph.layers() if isinstance(layer, SkipInit)]
        return any(not keras.ops.convert_to_numpy(factor).any() for factor in factors if factor is not None)


def _list(names: list[str], most: int = 6) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
