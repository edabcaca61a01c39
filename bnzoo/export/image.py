"""The scaling of images for a model, without TensorFlow."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bnzoo.errors import choice, number, positive_integer, unknown
from bnzoo.pictures import MAX_PIXELS

INTERPOLATIONS = ("bicubic", "bilinear")
# the numbers of channels of a model that takes images
CHANNELS = (1, 3)
# the modes of `keras.applications.imagenet_utils.preprocess_input`, and two that it does not have
PRESETS: dict[str, dict[str, Any]] = {
    "raw": {},
    "unit": {"std": 255.0},
    "tf": {"mean": 127.5, "std": 127.5},
    "torch": {"mean": (123.675, 116.28, 103.53), "std": (58.395, 57.12, 57.375)},
    "caffe": {"mean": (103.939, 116.779, 123.68), "bgr": True},
}


@dataclass(frozen=True)
class Image:
    """The scaling of an image as in training: `(resized - mean) / std`, in levels of 0 to 255.

    Args:
        mean: Float, or one for each channel, in the channel order of the model.
        std: Float, or one for each channel, in the channel order of the model.
        bgr: Boolean, whether the first channel of the model is blue.
        interpolation: String, `"bicubic"` (the default of Pillow's `resize`) or `"bilinear"`, both antialiased.
        crop: Float, the share of the shorter side that is cut out around the centre. The image is first resized so that
            this share has the size of the model's input. `None` resizes the whole image to that size.
        max_pixels: Integer, the largest number of pixels of an image file; by default 2**26, 67 million. A file that
            declares more is not decoded, and has a message in the output `error`. A few kilobytes can declare more
            pixels than fit into the memory of a server. Decoding takes up to 16 bytes for each pixel.

    Raises:
        ValueError: If an argument is invalid.

    Examples:
    >>> bnzoo.export.Image(mean=127.5, std=127.5, interpolation="bilinear", crop=0.875)
    """

    mean: float | Sequence[float] = 0.0
    std: float | Sequence[float] = 1.0
    bgr: bool = False
    interpolation: str = "bicubic"
    crop: float | None = None
    max_pixels: int = MAX_PIXELS

    def __post_init__(self) -> None:
        for name in ("mean", "std"):
            object.__setattr__(self, name, _levels(name, getattr(self, name)))
        choice("interpolation", self.interpolation, INTERPOLATIONS)
        if self.crop is not None:
            number("crop", self.crop, above=0, at_most=1)
        positive_integer("max_pixels", self.max_pixels)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments as a dict of JSON values."""
        return asdict(self)

    def check(self, inputs: Sequence[Any]) -> None:
        """Check that a model takes images of this scaling.

        Args:
            inputs: Sequence of tensors, the inputs of the model.

        Raises:
            ValueError: If the model takes other inputs.
        """
        shape = tuple(inputs[0].shape)
        if len(inputs) != 1 or len(shape) != 4 or shape[-1] not in CHANNELS or None in shape[1:]:
            shapes = ", ".join(str(tuple(each.shape)) for each in inputs)
            raise ValueError(
                f"`image` does not fit a model with inputs of the shapes {shapes}. "
                "The model must have one input (batch, height, width, channels) with 1 or 3 channels, all fixed except "
                "the batch. Leave `image` out, or build such a model"
            )
        for name in ("mean", "std"):
            values = getattr(self, name)
            if isinstance(values, tuple) and len(values) != shape[-1]:
                raise ValueError(
                    f"`{name}` must be one number or {shape[-1]}, one for each channel. Received: {name}={values}"
                )
        if self.bgr and shape[-1] != 3:
            raise ValueError("`bgr=True` needs a model of 3 channels. Received: a model of 1 channel")


def is_image(shape: Sequence[int]) -> bool:
    """Return whether an example of a shape is an image, of grey levels or of colours."""
    return len(shape) == 3 and shape[-1] in CHANNELS


def get(image: Any) -> Image | None:
    """Return the `Image` for an `Image`, the name of a preset or a config, and `None` for `None`."""
    if image is None or isinstance(image, Image):
        return image
    if isinstance(image, dict):
        try:
            return Image(**image)
        except TypeError as error:
            raise ValueError(f"`image` has an argument that `bnzoo.export.Image` does not have: {error}") from error
    if not isinstance(image, str) or image not in PRESETS:
        raise ValueError(f"{unknown('`image`', image, PRESETS)}, or a `bnzoo.export.Image`")
    return Image(**PRESETS[image])


def _levels(name: str, value: Any) -> float | tuple[float, ...]:
    values = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in values)
    if not numbers or not len(values) or (name == "std" and min(values) <= 0):
        kind = "positive numbers" if name == "std" else "finite numbers"
        raise ValueError(f"`{name}` must be {kind}: one, or one for each channel. Received: {name}={value!r}")
    return float(value) if values == [value] else tuple(float(v) for v in values)
