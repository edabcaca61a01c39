"""Checks that the tests of all layers share, on either backend."""

import keras
import numpy as np

BACKEND = keras.backend.backend()


def gradients(layer, x, weight, training=False):
    """Return the gradients of `sum(layer(x) * weight)` by the input and by the trainable variables, as NumPy arrays."""

    def loss(inputs):
        outputs = keras.ops.cast(layer(inputs, training=training), "float32")
        return keras.ops.sum(outputs * keras.ops.convert_to_tensor(weight, "float32"))

    x = keras.ops.convert_to_tensor(x)
    layer(x)
    if BACKEND == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(x)
            value = loss(x)
        variables = [v.value for v in layer.trainable_variables]
        by_input, by_variables = tape.gradient(value, (x, variables))
    else:
        import jax

        def pure(values, inputs):
            with keras.StatelessScope(list(zip(layer.trainable_variables, values, strict=True))):
                return loss(inputs)

        values = [v.value for v in layer.trainable_variables]
        by_variables, by_input = jax.grad(pure, argnums=(0, 1))(values, x)
    to_numpy = keras.ops.convert_to_numpy
    return to_numpy(by_input), [to_numpy(g) for g in by_variables]


def saved_and_loaded(layer, x, directory):
    """Save and load a model with the layer, check that its outputs are unchanged, and return the loaded layer."""
    model = keras.Sequential([keras.Input(x.shape[1:], dtype=str(x.dtype)), layer])
    model.save(directory / "model.keras")
    loaded = keras.saving.load_model(directory / "model.keras")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
    assert loaded.layers[-1].get_config() == layer.get_config()
    assert [w.name for w in loaded.layers[-1].weights] == [w.name for w in layer.weights]
    assert model.output_shape[1:] == model.predict(x, verbose=0).shape[1:]
    return loaded.layers[-1]


def shake(layer, seed=5):
    """Set the weights of a layer to random values."""
    random = np.random.default_rng(seed)
    layer.set_weights([random.normal(size=w.shape).astype(w.dtype) for w in layer.weights])
