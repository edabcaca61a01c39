"""The size of the gradient of each linear layer, relative to its kernel."""

from typing import Any

import keras

from bnzoo.keras_internals import functional_model
from bnzoo.tools.activation_layers import is_made_by
from bnzoo.tools.batches import Batch
from bnzoo.tools.graph import Graph
from bnzoo.tools.health_check.labels import check_labels
from bnzoo.tools.linear import is_linear
from bnzoo.tools.passes import Passes


class GradientObserver(Passes):
    """Passes of data through a model in training mode, which return the gradients of the loss by its kernels.

    Args:
        model: A built functional or Sequential `keras.Model`.
        graph: Its graph.
        loss: The argument `loss` of `keras.Model.compile`.
        loss_weights: The argument `loss_weights` of `keras.Model.compile`.
        untraced: Integer, the number of passes before compilation.
    """

    collect_losses = True

    def __init__(
        self, model: keras.Model, graph: Graph, loss: Any, loss_weights: Any = None, untraced: int = 0
    ) -> None:
        super().__init__(model, untraced)
        self.kernels = _kernels(graph)
        # the same layers, compiled separately: the loss and metrics of the model do not change
        plain = functional_model(model)
        self._trained = keras.Model(plain.input, plain.output, name=model.name)
        self._loss = loss
        self._trained.compile(loss=loss, loss_weights=loss_weights)

    def scales(self, batch: Batch) -> dict[str, float]:
        """Return, by the name of each layer, the norm of its gradient over that of its kernel.

        There is no entry for a kernel of zeros, or one on which the loss does not depend.

        Raises:
            ValueError: If the targets do not fit the outputs of the model.
        """
        import tensorflow as tf

        check_labels(self._trained, self._loss, batch.y)
        try:
            results = self(tuple(part for part in batch if part is not None))
        except tf.errors.InvalidArgumentError as error:
            reason = str(error.message).strip().splitlines()[0]
            raise ValueError(f"the loss cannot be computed from `data` and the outputs: {reason}") from error
        norms = {name: [float(norm) for norm in pair] for name, pair in results.items()}
        return {name: gradient / kernel for name, (gradient, kernel) in norms.items() if kernel}

    def forward(self, x: Any) -> dict[str, Any]:
        """Return, by the name of each layer, the norms of its gradient and its kernel."""
        import tensorflow as tf

        inputs, y, *weight = x
        with tf.GradientTape() as tape:
            predicted = self._trained(inputs, training=True)
            loss = self._trained.compute_loss(inputs, y, predicted, *weight, training=True)
        kernels = [kernel.value for kernels in self.kernels.values() for kernel in kernels]
        pairs = iter(zip(tape.gradient(loss, kernels), kernels, strict=True))
        return {name: _norms([next(pairs) for _ in kernels]) for name, kernels in self.kernels.items()}


def _norms(pairs: list[tuple]) -> list:
    """Return the norm of gradients and the norm of their kernels."""
    import tensorflow as tf

    reached = [pair for pair in pairs if pair[0] is not None] or [(tf.zeros(()), tf.zeros(()))]
    sides = zip(*reached, strict=True)
    return [tf.linalg.global_norm([tf.cast(value, tf.float32) for value in side]) for side in sides]


def _kernels(graph: Graph) -> dict[str, list]:
    kernels_of = {}
    for layer in graph.layers():
        variables = getattr(layer, "trainable_variables", [])
        kernels = [variable for variable in variables if variable.name.endswith("kernel")]
        if kernels:
            kernels_of[graph.of(layer)[0].name] = kernels
    return kernels_of


def guess_loss(graph: Graph, y: Any) -> Any:
    """Return the loss of a classifier with integer classes or rows of labels, or `None` if it is not certain."""
    ends = [edge for call in graph.calls for edge in call.outputs if edge.is_output]
    labels = None if isinstance(y, dict | list | tuple) else keras.ops.convert_to_numpy(y)
    if len(ends) != 1 or labels is None or labels.dtype.kind not in "iu":
        return None
    units, layer = ends[0].shape[-1], ends[0].producer.layer  # type: ignore[union-attr]
    if layer.name == "label_logits" and labels.shape[1:] == (units,):
        return keras.losses.BinaryCrossentropy(from_logits=True)
    single = labels.ndim == 1 or labels.shape[1:] == (1,)
    if len(ends[0].shape) != 2 or not single or units < 2:
        return None
    activation = getattr(layer, "activation", None)
    if is_made_by(keras.activations.softmax, ends[0]):
        return keras.losses.SparseCategoricalCrossentropy()
    # other outputs may be numbers of any kind
    fit = labels.size and labels.min() >= 0 and labels.max() < units
    plain = fit and is_linear(layer) and activation in (None, keras.activations.linear)
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True) if plain or layer.name == "logits" else None
