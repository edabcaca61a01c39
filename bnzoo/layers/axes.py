"""Where the channels are."""

import keras


def channel_axis(rank: int) -> int:
    """The axis of the channels: 1 for images under `channels_first`, else the last.

    Args:
        rank: Integer, the number of axes, the batch included.
    """
    return 1 if rank > 3 and keras.config.image_data_format() == "channels_first" else -1
