"""Folding of batch norms into the linear layers before or behind them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from bnzoo.layers.axes import channel_axis
from bnzoo.tools.activation_layers import is_identity
from bnzoo.tools.graph import Call, Edge, Graph, hidden_layers, require_functional
from bnzoo.tools.inference import scale_and_shift
from bnzoo.tools.linear import Folded, channels_of, has_own_kernel, is_linear, treats_positions_alike
from bnzoo.tools.rebuild import Rebuilt, copy_of

L = keras.layers

# The layers below are known by their exact type: a subclass may compute something else.
# Layers that change nothing at inference:
_RANDOM = (
    *(L.Dropout, L.SpatialDropout1D, L.SpatialDropout2D, L.SpatialDropout3D),
    *(L.AlphaDropout, L.GaussianDropout, L.GaussianNoise),
)
_SILENT = (*_RANDOM, L.ActivityRegularization)
# `pool(scale * x + shift)` is `scale * pool(x) + shift`: always for means, for maxima where no scale is negative
_MEANS = (
    *(L.AveragePooling1D, L.AveragePooling2D, L.AveragePooling3D),
    *(L.GlobalAveragePooling1D, L.GlobalAveragePooling2D, L.GlobalAveragePooling3D),
    *(L.Cropping1D, L.Cropping2D, L.Cropping3D),
)
_MAXIMA = (
    *(L.MaxPooling1D, L.MaxPooling2D, L.MaxPooling3D),
    *(L.GlobalMaxPooling1D, L.GlobalMaxPooling2D, L.GlobalMaxPooling3D),
)


@dataclass
class FoldReport:
    """The result of `fold_batch_norm`.

    Attributes:
        folded: The names of the folded norms, each with the names of the layers that it was folded into.
        kept: The names of the remaining norms, each with the reason.
        scales: The names of the folded constant factors, such as those of `branch_scale`, each with the names of the
            layers that it was folded into.
        kept_scales: The names of the remaining constant factors.
    """

    folded: dict[str, str] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)
    scales: dict[str, str] = field(default_factory=dict)
    kept_scales: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        head = f"{len(self.folded)} of {len(self.folded) + len(self.kept)} batch norms folded"
        lines = [head, *(f"  kept {name}: {reason}" for name, reason in self.kept.items())]
        if self.scales or self.kept_scales:
            lines.append(f"{len(self.scales)} of {len(self.scales) + len(self.kept_scales)} constant factors folded")
        return "\n".join(lines)


class _Refused(Exception):  # noqa: N818  # not an error: the report contains it
    """A reason why a norm cannot be folded."""


def fold_batch_norm(model: keras.Model) -> tuple[keras.Model, FoldReport]:
    """Fold batch norms into the linear layers next to them, without a change of the function at inference.

    A batch norm at inference is `s * x + t` for each channel, with `s = gamma / sqrt(variance + epsilon)` and
    `t = beta - s * mean`. It is folded into the layer before it: `kernel * s` and `bias * s + t`. If that is not
    possible, it is folded into the layer behind it, a dense layer or a convolution without padding:
    `bias + sum(kernel * t)` and `kernel * s`. The weights are computed in float64 and cast once. Dropout, pooling and
    further norms may be in between, as long as the function stays the same. A constant factor behind a linear layer, a
    `keras.layers.Rescaling` such as that of `branch_scale`, is folded too. The model that is passed is not changed.

    Args:
        model: A built functional or Sequential `keras.Model`. Norms in nested models are folded too.

    Returns:
        The folded model, not compiled, and a `FoldReport` with the folded norms, and with the reason for each remaining
        norm. The name of a norm inside a nested model begins with the name of that model: `backbone/conv1_norm`.

    Raises:
        ValueError: If the model is subclassed or not built, or one of its layers cannot be copied.

    Examples:
    >>> folded, report = bnzoo.tools.fold_batch_norm(bnzoo.ResNet50())
    >>> print(report)
    53 of 53 batch norms folded

    Reference:
        - [Jacob et al., 2018: Quantization and training for integer-arithmetic-only
          inference](https://arxiv.org/abs/1712.05877), section 3.2
    """
    require_functional(model)
    folding = _Folding(Graph(model))
    report = folding.report()

    def remake(layer: Any) -> Any:
        if id(layer) in folding.folded:
            return []
        return [copy_of(layer, use_bias=folding.into[id(layer)][1].has_bias)] if id(layer) in folding.into else None

    rebuilt = Rebuilt(model, remake)
    for layer, weights in folding.into.values():
        weights.assign_to(*rebuilt[layer])
    return rebuilt.model, report


class _Folding:
    """The folding of the norms of a graph.

    Attributes:
        folded: By the id of each folded norm or constant factor, the names of the layers that it is folded into.
        into: By id, the layers that norms are folded into, and their new weights.
    """

    def __init__(self, graph: Graph) -> None:
        self.folded: dict[int, str] = {}
        self.into: dict[int, tuple[keras.Layer, Folded]] = {}
        self._graph = graph
        self._refusals: dict[int, list[str]] = {}
        norms = [layer for layer in graph.layers() if isinstance(layer, L.BatchNormalization)]
        for norm in norms:
            self._try(norm, self._backward)
        # from the end, since the norm behind a norm may have been folded just before
        for norm in reversed([norm for norm in norms if id(norm) not in self.folded]):
            self._try(norm, self._forward)
        self._factors = [layer for layer in graph.layers() if self._is_factor(layer)]
        for layer in self._factors:
            self._try(layer, self._factor)

    def report(self) -> FoldReport:
        """Return the report, in the order of the graph."""
        report = FoldReport()
        for layer in self._graph.layers():
            name = self._graph.of(layer)[0].name
            if layer in self._factors:
                if id(layer) in self.folded:
                    report.scales[name] = self.folded[id(layer)]
                else:
                    report.kept_scales.append(name)
            elif id(layer) in self.folded:
                report.folded[name] = self.folded[id(layer)]
            elif id(layer) in self._refusals:
                report.kept[name] = "; ".join(dict.fromkeys(self._refusals[id(layer)]))
            for inner in hidden_layers(layer):
                if isinstance(inner, L.BatchNormalization):
                    kind = type(layer).__name__
                    report.kept[f"{name}/{inner.name}"] = f"it is inside {layer.name}, a {kind} without a graph"
        return report

    def _try(self, norm: keras.Layer, way: Any) -> None:
        try:
            way(norm)
        except _Refused as refused:
            self._refusals.setdefault(id(norm), []).append(str(refused))

    def _is_factor(self, layer: Any) -> bool:
        """Return whether a layer multiplies by one constant, and is not at an end of the model."""
        if type(layer) is not L.Rescaling or np.ndim(layer.scale) or np.any(layer.offset):
            return False
        return all(call.inputs[0].producer and not call.outputs[0].is_output for call in self._graph.of(layer))

    def _factor(self, layer: keras.Layer) -> None:
        edges = [(call.inputs[0], channel_axis(len(call.inputs[0].shape))) for call in self._graph.of(layer)]
        channels, *others = {edge.shape[axis] for edge, axis in edges}
        if others:
            raise _Refused("it is called on tensors with different numbers of channels")
        scale = np.full(channels, layer.scale, np.float64)
        self._into_sources(layer, [self._source(edge, axis, scale) for edge, axis in edges], scale, None)

    def _backward(self, norm: keras.Layer) -> None:
        scale, shift = self._scale_and_shift(norm)
        sources = [self._source(call.inputs[0], norm.axis, scale) for call in self._graph.of(norm)]
        self._into_sources(norm, sources, scale, shift)

    def _into_sources(self, layer: Any, sources: list[Call], scale: np.ndarray, shift: np.ndarray | None) -> None:
        """Fold a norm or a constant factor into the linear layers before it."""
        targets = self._only_called_here(sources)
        for target in targets:
            if target.activation is not keras.activations.linear:
                raise _Refused(f"{target.name} applies an activation before the norm")
        for target in targets:
            self._weights(target).then(scale, shift)
        self._done(layer, targets)

    def _forward(self, norm: keras.Layer) -> None:
        scale, shift = self._scale_and_shift(norm)
        readers = [reader for call in self._graph.of(norm) for reader in self._readers(call, norm.axis, scale)]
        targets = self._only_called_here(readers)
        for target in targets:
            if not treats_positions_alike(target):
                raise _Refused(f"{target.name} behind it pads with zeros, or uses some positions less often")
        for target in targets:
            self._weights(target).after(scale, shift)
        self._done(norm, targets)

    def _scale_and_shift(self, norm: keras.Layer) -> tuple[np.ndarray, np.ndarray]:
        if norm.trainable and any(call.training is True for call in self._graph.of(norm)):
            raise _Refused("it is called with training=True and uses the statistics of each batch")
        try:
            return scale_and_shift(norm)
        except ValueError as error:
            raise _Refused(str(error)) from error

    def _source(self, edge: Edge, axis: int, scale: np.ndarray) -> Call:
        """Return the call of the linear layer that made a tensor, if nothing else reads a tensor on the way."""
        axis %= len(edge.shape)
        while True:
            call = edge.producer
            if call is None:
                raise _Refused("it normalizes an input of the model")
            if not is_linear(call.layer):
                self._check_between(call, axis, edge.shape, scale, "it normalizes the output of")
            if edge.is_output:
                raise _Refused(f"the output of {call.name} is also an output of the model")
            if len(edge.readers) > 1:
                raise _Refused(f"the output of {call.name} is also read by another layer")
            if is_linear(call.layer):
                self._check_linear(call, axis, edge.shape)
                return call
            edge, axis = call.inputs[0], self._axis_beyond(call, axis, call.inputs[0].shape)

    def _readers(self, call: Call, axis: int, scale: np.ndarray) -> Iterator[Call]:
        """Return the calls of linear layers that read the output of a call, if nothing else reads it."""
        edge = call.outputs[0]
        axis %= len(edge.shape)
        if edge.is_output:
            raise _Refused(f"the output of {call.name} is an output of the model")
        for reader in edge.readers:
            if is_linear(reader.layer):
                self._check_linear(reader, axis, edge.shape)
                yield reader
            else:
                self._check_between(reader, axis, edge.shape, scale, "behind it is")
                yield from self._readers(reader, self._axis_beyond(reader, axis, reader.outputs[0].shape), scale)

    def _check_between(self, call: Call, axis: int, shape: tuple, scale: np.ndarray, position: str) -> None:
        layer = call.layer
        if self._changes_nothing(call):
            return
        pools = type(layer) in _MEANS + _MAXIMA and channels_of(layer, shape) == axis
        if not pools:
            raise _Refused(f"{position} {call.name} ({type(layer).__name__}), which is not one plain linear layer")
        if type(layer) in _MAXIMA and (scale < 0).any():
            raise _Refused(f"a scale is negative, and {call.name} takes the maximum between the two")

    def _changes_nothing(self, call: Call) -> bool:
        layer = call.layer
        if type(layer) in _RANDOM and call.training is True:
            return False
        return is_identity(layer) or type(layer) in _SILENT or id(layer) in self.folded

    def _axis_beyond(self, call: Call, axis: int, shape: tuple) -> int:
        """Return the axis of the channels on the other side of a layer between a norm and a linear layer."""
        return channels_of(call.layer, shape) if type(call.layer) in _MEANS + _MAXIMA else axis

    def _check_linear(self, call: Call, axis: int, shape: tuple) -> None:
        if channels_of(call.layer, shape) != axis:
            raise _Refused(f"it normalizes axis {axis}, which is not the channel axis of {call.name}")
        if not has_own_kernel(call.layer):
            raise _Refused(f"the kernel of {call.name} is quantised or has a LoRA part")

    def _only_called_here(self, calls: list[Call]) -> list[keras.Layer]:
        """Return the layers of calls, if the layers have no other calls."""
        layers = list({id(call.layer): call.layer for call in calls}.values())
        for layer in layers:
            everywhere = self._graph.of(layer)
            if len(everywhere) > len(set(map(id, calls)) & set(map(id, everywhere))):
                raise _Refused(f"{layer.name} is called {len(everywhere)} times, not only next to this norm")
        return layers

    def _weights(self, layer: keras.Layer) -> Folded:
        return self.into.setdefault(id(layer), (layer, Folded(layer)))[1]

    def _done(self, norm: keras.Layer, targets: list[keras.Layer]) -> None:
        self.folded[id(norm)] = ", ".join(target.name for target in targets)
        self._refusals.pop(id(norm), None)
