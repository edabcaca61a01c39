"""Helpers that hide the backend from the tests, for TensorFlow and JAX."""

import keras
import numpy as np
import pytest

BACKEND = keras.backend.backend()
tensorflow_only = pytest.mark.skipif(BACKEND != "tensorflow", reason="TensorFlow only")
# on JAX, Keras never promotes dtypes to float64
DOUBLE = "float64" if BACKEND == "tensorflow" else "float32"


def gradients(model, x, loss=None):
    """Return the gradients in training mode by `model.trainable_variables`, a list of NumPy arrays.

    The loss is a function of the outputs, by default the sum of their squares. A variable that it does not depend on
    has zeros. State that training moves is moved.
    """
    return all_gradients(model, x, loss or sum_of_squares)[0]


def all_gradients(model, x, loss):
    """Return the gradients by the trainable variables, the gradient by the input, and the outputs, in training mode."""
    x = keras.ops.convert_to_tensor(x)
    if not model.built:
        model.build(x.shape)
    if BACKEND == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = model(x, **in_training(model))
            value = loss(outputs)
        variables = [variable.value for variable in model.trainable_variables]
        by_variables, by_input = tape.gradient(value, (variables, x), unconnected_gradients="zero")
    else:
        import jax

        def value_and_rest(variables, inputs, state):
            outputs, state = model.stateless_call(variables, state, inputs, **in_training(model))
            return loss(outputs), (state, outputs)

        # compiled, because running operation by operation takes seconds
        differentiate = jax.jit(jax.grad(value_and_rest, argnums=(0, 1), has_aux=True))
        values = _values(model.trainable_variables)
        (by_variables, by_input), (state, outputs) = differentiate(values, x, _state(model))
        _assign(model, state)
    return [np.asarray(gradient) for gradient in by_variables], np.asarray(by_input), outputs


def forward(layer, x, mask=None):
    """Return the outputs in training mode. The call updates moving statistics and other state."""
    options = in_training(layer) if mask is None else {**in_training(layer), "mask": keras.ops.convert_to_tensor(mask)}
    if BACKEND == "tensorflow":
        return np.asarray(layer(x, **options))
    import jax

    x = keras.ops.convert_to_tensor(x)
    if not layer.built:
        layer.build(x.shape)
    function = jax.jit(lambda variables, state, inputs: layer.stateless_call(variables, state, inputs, **options))
    outputs, state = function(_values(layer.trainable_variables), _state(layer), x)
    _assign(layer, state)
    return np.asarray(outputs)


def at_inference(model):
    """Return the model as a function of its inputs at inference, on any machine.

    Without oneDNN TensorFlow has no channels-first convolutions on a CPU; its compiler has.
    """

    def function(x):
        return model(x, training=False)

    first = any(getattr(layer, "data_format", None) == "channels_first" for layer in model._flatten_layers())
    if not first or BACKEND != "tensorflow":
        return function
    import tensorflow as tf

    return tf.function(function, jit_compile=True)


def traced(layer, shape):
    """Trace a built layer in training mode as one function of its inputs. The first axis can have any size."""
    if BACKEND == "tensorflow":
        import tensorflow as tf

        signature = [tf.TensorSpec((None, *shape[1:]), layer.compute_dtype)]
        function = tf.function(lambda inputs: layer(inputs, **in_training(layer)), input_signature=signature)
        return lambda inputs: np.asarray(function(tf.convert_to_tensor(inputs, layer.compute_dtype)))
    return lambda inputs: forward(layer, inputs)


def in_training(layer):
    """Return the arguments of a call in training mode: none for a layer without a `training` argument."""
    return {"training": True} if layer._call_has_training_arg else {}


def sum_of_squares(outputs):
    """Return the sum of the squares of all outputs."""
    return sum(keras.ops.sum(keras.ops.square(output)) for output in keras.tree.flatten(outputs))


def _values(variables):
    return [variable.value for variable in variables]


def _state(layer):
    return _values(layer.non_trainable_variables)


def _assign(layer, state):
    for variable, value in zip(layer.non_trainable_variables, state, strict=True):
        variable.assign(value)
