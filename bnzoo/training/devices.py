"""The devices of a training: all GPUs of this machine, unless the model was built in the scope of a strategy."""

import keras
import tensorflow as tf

from bnzoo.errors import advised
from bnzoo.tools.replace import synchronized_copy

# the strategy of this process: the collective operations of a second one would have the same keys, an error
_made: list[tf.distribute.Strategy] = []


def gpus() -> list[str]:
    """Return the names of the GPUs of this machine."""
    return [device.name for device in tf.config.list_logical_devices("GPU")]


def devices_for(devices: list[str], batch_size: int, validation: int) -> list[str]:
    """Return the devices of a training: as many as divide its batches into equal parts.

    Args:
        devices: List of strings, the devices of this machine.
        batch_size: Integer.
        validation: Integer, the number of validation examples, of which each device gets one at least.
    """
    counts = range(1, min(len(devices), validation) + 1)
    return devices[: max((count for count in counts if batch_size % count == 0), default=0)]


def strategy_for(model: keras.Model, batch_size: int, validation: int) -> tf.distribute.Strategy:
    """Return the strategy of a training: that of the model, or one for the GPUs of this machine.

    A process has one strategy: a training that needs another number of GPUs than the first one runs on one device.

    Args:
        model: The model.
        batch_size: Integer, the number of examples in a batch of all devices.
        validation: Integer, the number of validation examples.

    Raises:
        ValueError: If the strategy of the model cannot divide the batches into equal parts.
    """
    own, usual = model.distribute_strategy, tf.distribute.get_strategy()
    if own is not usual:
        if batch_size % own.num_replicas_in_sync:
            raise ValueError(
                f"`batch_size` must be a multiple of {own.num_replicas_in_sync}, the number of devices of the strategy "
                f"in whose scope the model was built. Received: batch_size={batch_size}"
            )
        return own
    devices = devices_for(gpus(), batch_size, validation)
    if len(devices) < 2:
        return usual
    if not _made:
        _made.append(tf.distribute.MirroredStrategy(devices))
    return _made[0] if _made[0].num_replicas_in_sync == len(devices) else usual


def divisible(size: int, strategy: tf.distribute.Strategy) -> int:
    """Return the largest batch size, at most the given one, that the devices divide into equal parts.

    Keras requires that of the first batch of a data set, to build the metrics. Later ones may have any size.
    """
    count = strategy.num_replicas_in_sync
    return max(count, size // count * count)


def on_devices(model: keras.Model, strategy: tf.distribute.Strategy) -> keras.Model:
    """Return the model if it has the strategy, else a copy that trains on all devices as the model does on one.

    The batch norms of the copy normalize over the batches of all devices.

    Raises:
        ValueError: If the model has layers that cannot be copied.
    """
    if model.distribute_strategy is strategy:
        return model
    one = f"one of the {strategy.num_replicas_in_sync} devices"
    remedy = f"To train it on {one}, build it in the scope of `tf.distribute.OneDeviceStrategy('GPU:0')`"
    with strategy.scope(), advised(remedy):
        return synchronized_copy(model)
