import keras
import numpy as np
import pytest
from layer_checks import gradients, saved_and_loaded

from bnzoo.layers import SymmetricMaxPooling2D


def pooled(x, size, strides, padding, weight=None):
    """Pool window by window in float64. With a weight, return the gradient of `sum(pooled * weight)`."""
    (kh, kw), (sh, sw), (ph, pw) = size, strides, padding
    height, width = x.shape[1:3]
    rows, columns = (height + 2 * ph - kh) // sh + 1, (width + 2 * pw - kw) // sw + 1
    outputs = np.empty((len(x), rows, columns, x.shape[3]))
    gradient = np.zeros(x.shape)
    for n, i, j, c in np.ndindex(outputs.shape):
        top, left = i * sh - ph, j * sw - pw
        pixels = [
            (x[n, r, s, c], r, s)
            for r in range(max(top, 0), min(top + kh, height))
            for s in range(max(left, 0), min(left + kw, width))
        ]
        outputs[n, i, j, c], r, s = max(pixels)
        gradient[n, r, s, c] += 0 if weight is None else weight[n, i, j, c]
    return outputs if weight is None else gradient


CASES = [
    # pool_size, strides, padding, size of the image
    ((3, 3), (2, 2), (1, 1), (8, 8)),
    ((3, 3), (2, 2), (1, 1), (7, 6)),
    ((3, 3), (1, 1), (1, 1), (5, 4)),
    ((2, 2), (2, 2), (1, 1), (6, 5)),
    ((3, 2), (2, 3), (1, 0), (9, 7)),
    ((5, 4), (3, 2), (2, 2), (9, 8)),
    ((3, 3), (2, 2), (0, 0), (7, 7)),
    ((1, 1), (2, 2), (0, 0), (5, 5)),
]


@pytest.mark.parametrize(("size", "strides", "padding", "image"), CASES)
def test_outputs_and_gradients_against_numpy(size, strides, padding, image):
    random = np.random.default_rng(0)
    x = random.normal(-5, 1, (2, *image, 3)).astype("float32")  # negative: a border of zeros would win
    layer = SymmetricMaxPooling2D(size, strides, padding)
    expected = pooled(x, size, strides, padding)
    np.testing.assert_array_equal(layer(x), expected)
    assert layer.compute_output_shape(x.shape) == expected.shape
    weight = random.normal(size=expected.shape)
    by_input, _ = gradients(layer, x, weight)
    np.testing.assert_allclose(by_input, pooled(x, size, strides, padding, weight), rtol=1e-5, atol=1e-6)


def test_torch_windows_are_not_those_of_same():
    x = np.arange(16, dtype="float32").reshape(1, 4, 4, 1)
    # torch.nn.MaxPool2d(3, 2, 1)
    np.testing.assert_array_equal(SymmetricMaxPooling2D(3, 2)(x)[0, ..., 0], [[5, 7], [13, 15]])
    np.testing.assert_array_equal(keras.layers.MaxPooling2D(3, 2, "same")(x)[0, ..., 0], [[10, 11], [14, 15]])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision(dtype):
    x = np.random.default_rng(0).normal(-5, 1, (2, 6, 5, 3)).astype("float32")
    lowest = -60000.0 if dtype == "float16" else -3e38
    x[0] = lowest
    x = keras.ops.cast(x, dtype)
    layer = SymmetricMaxPooling2D(3, 2, dtype=f"mixed_{dtype}")
    outputs = layer(x)
    assert keras.backend.standardize_dtype(outputs.dtype) == dtype
    wide = np.asarray(x, "float32")
    np.testing.assert_array_equal(np.asarray(outputs, "float32"), pooled(wide, (3, 3), (2, 2), (1, 1)))
    by_input, _ = gradients(layer, x, np.ones(outputs.shape))
    assert np.asarray(by_input, "float32").sum() == np.prod(outputs.shape)  # finite, without gradient at the border


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="jit_compile of tf.function")
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_compiled_by_xla(dtype):
    import tensorflow as tf

    x = tf.cast(np.random.default_rng(0).normal(-5, 1, (2, 6, 5, 3)), dtype)
    layer = SymmetricMaxPooling2D(3, 2, dtype=dtype)

    @tf.function(jit_compile=True)
    def step(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
        return y, tape.gradient(y, x)

    outputs, gradient = (np.asarray(t, "float32") for t in step(x))
    np.testing.assert_array_equal(outputs, pooled(np.asarray(x, "float32"), (3, 3), (2, 2), (1, 1)))
    expected = pooled(np.asarray(x, "float32"), (3, 3), (2, 2), (1, 1), np.ones(outputs.shape))
    np.testing.assert_array_equal(gradient, expected)


def test_channels_first_is_the_same_transposed(tmp_path):
    x = np.random.default_rng(0).normal(-5, 1, (2, 6, 5, 3)).astype("float32")
    layer = SymmetricMaxPooling2D((3, 2), 2, data_format="channels_first")
    expected = pooled(x, (3, 2), (2, 2), (1, 1))
    np.testing.assert_array_equal(layer(x.transpose(0, 3, 1, 2)), expected.transpose(0, 3, 1, 2))
    assert layer.compute_output_shape((None, 3, 6, None)) == (None, 3, 3, None)
    loaded = saved_and_loaded(layer, x.transpose(0, 3, 1, 2), tmp_path)
    assert loaded.data_format == "channels_first"


def test_defaults():
    layer = SymmetricMaxPooling2D((3, 2))
    assert (layer.strides, layer.padding, layer.data_format) == ((3, 2), (1, 1), "channels_last")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pool_size": 3, "padding": 2}, r"at most half of `pool_size`, \(1, 1\). Received: padding=2"),
        ({"pool_size": 0}, "`pool_size` must be an integer of at least 1"),
        ({"pool_size": 3, "strides": (1, 2, 3)}, "`strides` must be an integer"),
        ({"pool_size": 3, "padding": -1}, "`padding` must be an integer of at least 0"),
        ({"pool_size": 3, "padding": "same"}, "`padding` must be an integer"),
        ({"pool_size": 3, "data_format": "NCHW"}, "`data_format` must be"),
    ],
)
def test_refusals(options, message):
    with pytest.raises(ValueError, match=message):
        SymmetricMaxPooling2D(**options)
