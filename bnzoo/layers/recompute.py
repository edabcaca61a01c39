"""Gradient checkpointing of a layer."""

from typing import Any

import keras
from keras import ops

from bnzoo.keras_internals import forget_losses


@keras.saving.register_keras_serializable(package="bnzoo")
class Recompute(keras.layers.Wrapper):
    """Wrapper that does not store the activations inside a layer in training: the backward pass computes them again.

    Gradient checkpointing trades time for memory: only the inputs and outputs of the wrapped layer are kept in memory,
    at the cost of a second forward pass. Outputs, gradients, moving statistics, random numbers and losses are those of
    the layer itself: the second pass starts from the same variables and seeds as the first, and only the first updates
    them. On JAX the compiler for CPUs runs the second pass too early to lower the peak of memory.

    Wrap layers with activations that are cheap to compute and large to store, as in a memory-efficient DenseNet: the
    concatenation, norm and activation in front of a convolution.

    Args:
        layer: Layer or functional model. Its random numbers must come from the `keras.random.SeedGenerator`s of its
            layers, as in all layers of Keras.
        **kwargs: `name` and `trainable`; the dtype is that of `layer`.

    Call arguments:
        inputs: The first argument of `layer`: a tensor, or a list, tuple or dict of tensors. A Keras mask is not passed
            on.
        training: Boolean. At inference `layer` is called directly, since nothing is stored then.

    Returns:
        The output of `layer`.

    Raises:
        ValueError: If `layer` changes a variable, such as a random seed, that none of its layers holds: the second pass
            could not repeat the first.

    Examples:
        >>> features = [keras.Input((32, 32, 24)), keras.Input((32, 32, 12))]
        >>> x = keras.layers.Concatenate()(features)
        >>> x = keras.layers.BatchNormalization()(x)
        >>> x = keras.layers.ReLU()(x)
        >>> x = keras.layers.Conv2D(48, 1, use_bias=False)(x)
        >>> bottleneck = Recompute(keras.Model(features, x))

    Reference:
        - [Pleiss et al., 2017: Memory-efficient implementation of DenseNets](https://arxiv.org/abs/1707.06990)
        - [Chen et al., 2016: Training deep nets with sublinear memory cost](https://arxiv.org/abs/1604.06174)
    """

    def __init__(self, layer: keras.Layer, **kwargs: Any) -> None:
        if "dtype" in kwargs:
            raise ValueError(
                "`dtype` is an argument of the wrapped layer: set it there. "
                f"Received: dtype={kwargs['dtype']!r} for layer={layer!r}"
            )
        # the variables are passed on in their own dtype, and cast by the layer itself
        dtype = layer.variable_dtype if isinstance(layer, keras.Layer) else None
        super().__init__(layer, dtype=dtype, autocast=False, **kwargs)
        if not self.trainable:
            layer.trainable = False

    def build(self, input_shape: Any = None) -> None:
        """Build the layer as a whole, since a variable created during a call would be lost."""
        if not self.layer.built:
            self.layer(keras.tree.map_shape_structure(lambda shape: keras.KerasTensor(shape, self.dtype), input_shape))

    def call(self, inputs: Any, training: bool | None = False) -> Any:
        """Call the layer."""
        if not training:
            return self.layer(inputs, training=training)
        return _Pass(self.layer, inputs).run(self.add_loss)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the layer's output."""
        return self.layer.compute_output_shape(input_shape)

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        """Return the shape and dtype of the layer's output, whose dtype is not that of the wrapper."""
        return keras.Operation.compute_output_spec(self, *args, **kwargs)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the layer."""
        config = super().get_config()
        del config["dtype"]
        return config


class _Pass:
    """A forward pass in training as a pure function of tensors, which can be repeated."""

    def __init__(self, layer: keras.Layer, inputs: Any) -> None:
        self.layer = layer
        self.inputs = inputs
        self.tensors = keras.tree.flatten(inputs)
        # only tensors with gradients are arguments; integers, seeds and frozen variables are read
        self.floats = [i for i, x in enumerate(self.tensors) if keras.backend.is_float_dtype(x.dtype)]
        # copies, since in TensorFlow the value is the variable itself, which changes before the second pass
        self.trainable = [(v, ops.copy(v.value)) for v in layer.trainable_variables]
        self.frozen = [(v, ops.copy(v.value)) for v in layer.non_trainable_variables]
        # the results of the latest pass
        self.outputs: Any = None
        self.updated: list = []
        self.results: list = []

    def run(self, add_loss: Any) -> Any:
        """Run the pass, assign its updates and add its losses."""
        arguments = [self.tensors[i] for i in self.floats] + [value for _, value in self.trainable]
        returned = iter(keras.remat(self.function)(*arguments))
        results = [next(returned) if _is_returned(x) else x for x in self.results]
        outputs = [results.pop(0) for _ in keras.tree.flatten(self.outputs)]
        for variable in self.updated:
            variable.assign(ops.stop_gradient(results.pop(0)))
        for loss in results:
            add_loss(loss)
        return keras.tree.pack_sequence_as(self.outputs, outputs)

    def function(self, *arguments: Any) -> tuple:
        """Return the outputs, the new values of `updated`, and the losses, for float inputs and trainable values."""
        count = len(self.floats)
        tensors = list(self.tensors)
        for i, tensor in zip(self.floats, arguments[:count], strict=True):
            tensors[i] = tensor
        inputs = keras.tree.pack_sequence_as(self.inputs, tensors)

        variables = [v for v, _ in self.trainable]
        state = [*zip(variables, arguments[count:], strict=True), *self.frozen]
        with keras.StatelessScope(state, collect_losses=True) as scope:
            before = dict(scope.state_mapping)
            outputs = self.layer(inputs, training=True)
        # Keras records losses by their ids, which later objects may get
        forget_losses(self.layer, scope.losses)

        if foreign := set(scope.state_mapping) - set(before):
            raise ValueError(
                "`layer` must hold all variables that it changes, and draw random numbers from a "
                "`keras.random.SeedGenerator` of one of its layers, so that the backward pass can repeat them. "
                f"Received: layer={self.layer!r}, which changes {len(foreign)} other variable(s)"
            )
        self.outputs = outputs
        self.updated = [v for v, _ in state if scope.get_current_value(v) is not before[id(v)]]
        updates = [scope.get_current_value(v) for v in self.updated]
        self.results = [*keras.tree.flatten(outputs), *updates, *scope.losses]
        return tuple(x for x in self.results if _is_returned(x))


def _is_returned(x: Any) -> bool:
    """Return whether the function returns a result, as it must for all results on JAX.

    `tf.recompute_grad` does not support integers, such as seeds, if a whole `tf.function` is differentiated. In
    TensorFlow they can be read from inside the function.
    """
    return keras.backend.backend() != "tensorflow" or keras.backend.is_float_dtype(x.dtype)
