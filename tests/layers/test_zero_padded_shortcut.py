import keras
import numpy as np
import pytest
from layer_checks import saved_and_loaded

from bnzoo.layers import ZeroPaddedShortcut

X = np.random.default_rng(0).normal(size=(2, 5, 6, 3)).astype("float32")


@pytest.fixture
def channels_first_elsewhere():
    """Other code in the process changes the global data format."""

    def change():
        keras.config.set_image_data_format("channels_first")

    yield change
    keras.config.set_image_data_format("channels_last")


def test_against_numpy():
    expected = np.zeros((2, 3, 3, 7), "float32")
    expected[..., :3] = X[:, ::2, ::2]
    layer = ZeroPaddedShortcut(7, 2)
    np.testing.assert_array_equal(layer(X), expected)
    assert layer.compute_output_shape((None, 5, 6, 3)) == (None, 3, 3, 7)
    with pytest.raises(ValueError, match="drops no channel"):
        keras.Sequential([keras.Input((5, 6, 3)), ZeroPaddedShortcut(2)])


def test_keeps_the_data_format_it_was_made_under(channels_first_elsewhere, tmp_path):
    layer = ZeroPaddedShortcut(7, 2)
    expected = np.zeros((2, 3, 3, 7), "float32")
    expected[..., :3] = X[:, ::2, ::2]
    channels_first_elsewhere()
    np.testing.assert_array_equal(layer(X), expected)
    assert saved_and_loaded(layer, X, tmp_path).data_format == "channels_last"
    assert ZeroPaddedShortcut(7, 2).data_format == "channels_first"


def test_channels_first_is_the_same_transposed():
    layer = ZeroPaddedShortcut(7, 2, data_format="channels_first")
    expected = np.asarray(ZeroPaddedShortcut(7, 2)(X)).transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(layer(X.transpose(0, 3, 1, 2)), expected)
    assert layer.compute_output_shape((None, 3, 5, None)) == (None, 7, 3, None)


def test_refuses_another_data_format():
    with pytest.raises(ValueError, match="`data_format` must be 'channels_last', 'channels_first'"):
        ZeroPaddedShortcut(7, data_format="NCHW")
