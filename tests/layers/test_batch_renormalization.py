import backend
import keras
import numpy as np
import pytest
from norm_cases import assert_close, call, inputs, weights

from bnzoo.layers import BatchRenormalization


def renorm(**options):
    layer = BatchRenormalization(dtype=backend.DOUBLE, **options)
    layer.build((None, 3))
    return layer


def test_five_values_a_channel_as_in_keras():
    keras_layer = keras.layers.BatchNormalization(renorm=True)
    keras_layer.build((None, 3))
    ours = renorm()
    assert ours.count_params() == keras_layer.count_params() == 2 * 3 + 5 * 3
    assert [w.name for w in ours.non_trainable_weights] == [
        "moving_mean",
        "moving_variance",
        "renorm_mean",
        "renorm_stddev",
        "steps",
    ]


def test_without_limits_it_is_that_of_keras():
    plain = keras.layers.BatchNormalization(renorm=True, momentum=0.9, epsilon=1e-5, dtype=backend.DOUBLE)
    plain.build((None, 3))
    ours = renorm(rmax=1e9, dmax=1e9, rmax_steps=(0, 0), dmax_steps=(0, 0))
    for seed in range(4):
        assert_close(call(ours, inputs((6, 3), seed)), call(plain, inputs((6, 3), seed)), 1e-4)
    # the initial moving deviation of Keras does not include epsilon
    for key in ("moving_mean", "moving_variance", "renorm_mean", "renorm_stddev"):
        assert_close(weights(ours)[key], weights(plain)[key], 1e-4)


def test_it_is_batch_norm_before_the_first_step():
    plain = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, dtype=backend.DOUBLE)
    plain.build((None, 3))
    ours = renorm()
    for seed in range(3):
        assert_close(call(ours, inputs((6, 3), seed)), call(plain, inputs((6, 3), seed)))


@pytest.mark.parametrize(
    ("step", "rmax", "dmax"),
    [
        (0, 1, 0),
        (5_000, 1, 0),
        (15_000, 1 + 2 * 10 / 35, 2.5),
        (25_000, 1 + 2 * 20 / 35, 5),
        (40_000, 3, 5),
        (1e6, 3, 5),
    ],
)
def test_the_limits_follow_the_paper(step, rmax, dmax):
    """Return batches far from the moving statistics, so that r and d are clipped."""
    layer = renorm()
    layer.steps.assign(np.full(3, step))
    near = np.array([[-1.0], [1.0]]) * np.ones(3)
    wide = call(layer, 1000 * near + 1e6)  # standardised: -1, 1; mean above the moving one
    assert_close(wide[1] - wide[0], np.full(3, 2 * rmax), 1e-4)
    assert_close(wide.mean(0), np.full(3, dmax), 1e-4)
    layer.renorm_mean.assign(np.zeros(3))
    layer.renorm_stddev.assign(np.ones(3))
    layer.steps.assign(np.full(3, step))
    narrow = call(layer, 0.1 * near - 1e3)
    assert_close(narrow[1] - narrow[0], np.full(3, 2 / rmax / np.sqrt(1 + 1e-3)), 1e-2)
    assert_close(narrow.mean(0), np.full(3, -dmax), 1e-2)


def test_the_schedule_goes_on_after_saving(tmp_path):
    layer = BatchRenormalization(rmax_steps=(1, 3), dmax_steps=(1, 3))
    model = keras.Sequential([keras.Input((3,)), layer])
    x = inputs((6, 3)).astype("float32")
    for _ in range(2):
        model(x, training=True)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(np.asarray(loaded.layers[-1].steps.value), [2, 2, 2])
    np.testing.assert_array_equal(np.asarray(loaded(x, training=True)), np.asarray(model(x, training=True)))


def test_steps_are_counted_beyond_what_low_precision_holds():
    layer = BatchRenormalization(dtype="bfloat16")
    layer.build((None, 3))
    layer.steps.assign(np.full(3, 4_999.0))
    backend.forward(layer, inputs((6, 3)).astype("float32"))
    np.testing.assert_array_equal(np.asarray(layer.steps.value), [5_000] * 3)


def test_a_variance_that_was_set_stays():
    """A layer that derives the variance from another weight at each step would undo a recalibration."""
    layer = renorm(momentum=1.0)
    layer.moving_variance.assign(np.full(3, 4.0))
    call(layer, inputs((6, 3)))
    assert_close(weights(layer)["moving_variance"], np.full(3, 4.0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rmax": 0.5}, "`rmax` must be a number of at least 1. Received: rmax=0.5"),
        ({"dmax": -1}, "`dmax` must be a number of at least 0. Received: dmax=-1"),
        (
            {"renorm_momentum": 2},
            r"`renorm_momentum` must be a number .* at most 1. Received: renorm_momentum=2",
        ),
        (
            {"rmax_steps": (5, 3)},
            r"`rmax_steps` must be two integers.*Received: rmax_steps=\(5, 3\)",
        ),
        ({"dmax_steps": 5}, "`dmax_steps` must be two integers.*Received: dmax_steps=5"),
        ({"dmax_steps": (0, 1.5)}, "`dmax_steps` must be two integers"),
    ],
)
def test_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        BatchRenormalization(**options)
