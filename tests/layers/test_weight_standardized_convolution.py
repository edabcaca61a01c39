import keras
import numpy as np
import pytest
from layer_checks import gradients, saved_and_loaded, shake

from bnzoo.layers import WeightStandardizedConv2D

X = np.random.default_rng(0).normal(size=(2, 9, 8, 4)).astype("float32")

OPTIONS = [
    {"strides": 2, "padding": "same", "use_bias": False},
    {"dilation_rate": 2, "activation": "relu"},
    {"groups": 2, "padding": "same"},
    {"groups": 4, "strides": 2},
]


def standardized(kernel, epsilon=1e-6):
    kernel = kernel.astype("float64")
    centred = kernel - kernel.mean(axis=(0, 1, 2))
    return centred / np.sqrt(kernel.var(axis=(0, 1, 2)) + epsilon)


def plain(layer):
    """Return Keras' convolution with the standardized kernel."""
    config = layer.get_config()
    del config["epsilon"]
    convolution = keras.layers.Conv2D.from_config(config)
    convolution.build(X.shape)
    kernel, *bias = layer.get_weights()
    convolution.set_weights([standardized(kernel).astype("float32"), *bias])
    return convolution


@pytest.mark.parametrize("options", OPTIONS)
def test_is_the_convolution_with_the_standardized_kernel(options):
    layer = WeightStandardizedConv2D(8, 3, **options)
    layer.build(X.shape)
    shake(layer)
    outputs = layer(X)
    np.testing.assert_allclose(outputs, plain(layer)(X), rtol=1e-4, atol=1e-4)
    assert layer.compute_output_shape(X.shape) == outputs.shape
    assert [w.path.split("/")[-1] for w in layer.weights] == ["kernel", "bias"][: len(layer.weights)]


def test_against_numpy_convolution():
    layer = WeightStandardizedConv2D(5, (2, 3))
    layer.build(X.shape)
    shake(layer)
    kernel, bias = layer.get_weights()
    windows = np.lib.stride_tricks.sliding_window_view(X.astype("float64"), (2, 3), axis=(1, 2))
    expected = np.einsum("nijcab,abcf->nijf", windows, standardized(kernel)) + bias
    np.testing.assert_allclose(layer(X), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(layer.standardized_kernel(), standardized(kernel), rtol=1e-4, atol=1e-5)


def test_gradient_of_the_kernel_against_numpy():
    layer = WeightStandardizedConv2D(5, 3, use_bias=False)
    layer.build(X.shape)
    shake(layer)
    weight = np.random.default_rng(1).normal(size=(2, 7, 6, 5))
    by_input, (by_kernel,) = gradients(layer, X, weight)
    windows = np.lib.stride_tricks.sliding_window_view(X.astype("float64"), (3, 3), axis=(1, 2))
    direct = np.einsum("nijcab,nijf->abcf", windows, weight)
    kernel = layer.kernel.numpy().astype("float64")
    axes, epsilon = (0, 1, 2), 1e-6
    hat = standardized(kernel)
    scale = 1 / np.sqrt(kernel.var(axis=axes) + epsilon)
    expected = scale * (direct - direct.mean(axis=axes) - hat * (direct * hat).mean(axis=axes))
    np.testing.assert_allclose(by_kernel, expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(by_input, gradients(plain(layer), X, weight)[0], rtol=1e-3, atol=1e-4)


def test_what_is_added_to_and_multiplied_with_a_filter_does_not_matter():
    layer = WeightStandardizedConv2D(3, 3, use_bias=False)
    before = np.asarray(layer(X))
    layer.kernel.assign(layer.kernel * np.array([10, 0.5, 3], "float32") + np.array([0, 30, -2], "float32"))
    np.testing.assert_allclose(layer(X), before, rtol=1e-2, atol=1e-2)


def test_a_constant_filter_gives_zero_and_a_finite_gradient():
    layer = WeightStandardizedConv2D(3, 3, kernel_initializer="ones")
    np.testing.assert_array_equal(layer(X), np.zeros((2, 7, 6, 3)))
    for gradient in gradients(layer, X, np.ones((2, 7, 6, 3)))[1]:
        assert np.isfinite(gradient).all()


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_under_mixed_precision_the_statistics_are_of_the_float32_kernel(policy):
    layer = WeightStandardizedConv2D(3, 3, use_bias=False, dtype=policy)
    layer.build(X.shape)
    # the mean is 1000 times the deviation: rounding to half precision first would lose the kernel
    layer.kernel.assign(1 + 0.001 * np.random.default_rng(0).normal(size=layer.kernel.shape))
    outputs = layer(X)
    assert keras.backend.standardize_dtype(outputs.dtype) == policy.removeprefix("mixed_")
    full = WeightStandardizedConv2D(3, 3, use_bias=False)
    full.build(X.shape)
    full.set_weights(layer.get_weights())
    np.testing.assert_allclose(np.asarray(outputs, "float32"), full(X), rtol=0.02, atol=0.1)
    assert layer.kernel.dtype == "float32"
    _, (by_kernel,) = gradients(layer, X, np.ones(outputs.shape))
    assert by_kernel.dtype == "float32"


def test_channels_first_is_the_same_transposed():
    layer = WeightStandardizedConv2D(5, 3, strides=2)
    layer.build(X.shape)
    shake(layer)
    turned = WeightStandardizedConv2D(5, 3, strides=2, data_format="channels_first")
    turned.build((None, 4, 9, 8))
    turned.set_weights(layer.get_weights())
    x = X.transpose(0, 3, 1, 2)
    assert turned.compute_output_shape(x.shape) == (2, 5, 4, 3)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # TensorFlow has this convolution on a CPU only through XLA
        outputs = tf.function(turned, jit_compile=True)(x)
    else:
        outputs = turned(x)
    np.testing.assert_allclose(np.transpose(outputs, (0, 2, 3, 1)), layer(X), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_fit(jit_compile):
    if keras.backend.backend() == "jax" and not jit_compile:
        pytest.skip("slow, and never used")
    model = keras.Sequential(
        [
            keras.Input((9, 8, 4)),
            WeightStandardizedConv2D(6, 3, groups=2, kernel_regularizer="l2"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(2),
        ]
    )
    model.compile(keras.optimizers.SGD(0.05), "mse", jit_compile=jit_compile)
    y = X.mean(axis=(1, 2))[:, :2]
    losses = model.fit(X, y, epochs=3, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


def test_save_and_load(tmp_path):
    layer = WeightStandardizedConv2D(8, (3, 2), groups=2, epsilon=1e-3, activation="relu")
    layer.build(X.shape)
    shake(layer)
    loaded = saved_and_loaded(layer, X, tmp_path)
    assert (loaded.epsilon, loaded.groups) == (1e-3, 2)
