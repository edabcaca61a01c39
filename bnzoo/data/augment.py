"""Random changes of training images, by name: Keras' own layers in the pipeline of a training."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from bnzoo.errors import unknown

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

# in the order in which they are applied
AUGMENTATIONS = ("flip", "crop", "rotation", "erasing", "color", "randaugment", "mixup", "cutmix")
# those that mix the labels of two examples too
MIXING = ("mixup", "cutmix")
# the largest shift of a crop as a share of the side (4 pixels of 32), the largest angle as a share of a full turn
# (15 degrees), the share of images in which a part is erased, and the strength of changes of colour
_SHIFT, _ANGLE, _ERASED, _STRENGTH = 0.125, 15 / 360, 0.5, 0.2
# the factors by which saturation changes, as Keras takes them: `factor / (1 - factor)`
_SATURATION = tuple(factor / (1 + factor) for factor in (1 - _STRENGTH, 1 + _STRENGTH))

Examples = tuple[Any, Any]


class Images(NamedTuple):
    """Facts about the images to augment.

    Attributes:
        channels: Integer.
        low: Float, the lowest level.
        high: Float, the highest level.
        classes: Integer, the number of classes or labels, 0 for a regression.
    """

    channels: int
    low: float
    high: float
    classes: int


def chosen(augment: str | Sequence[str] | None) -> tuple[str, ...]:
    """Return the names of augmentations, in the order in which they are applied.

    Args:
        augment: A string of names separated by commas, a sequence of names, or `"none"` or `None`.

    Raises:
        ValueError: If a name is unknown.
    """
    given = augment.split(",") if isinstance(augment, str) else list(augment or ())
    given = [str(name).strip() for name in given]
    if given in ([], ["none"]):
        return ()
    for name in given:
        if name not in AUGMENTATIONS:
            raise ValueError(f"{unknown('augmentation', name, AUGMENTATIONS)}. Pass none for no augmentation")
    return tuple(name for name in AUGMENTATIONS if name in given)


def in_words(names: Sequence[str]) -> str:
    """Return augmentations as words for the end of a phrase, `, augmented by flip and crop`; empty for none."""
    return f", augmented by {' and '.join(names)}" if names else ""


def check_images(names: Sequence[str], input_shape: Sequence[int]) -> None:
    """Raise `ValueError` if examples of a shape cannot be augmented: they must be images of 1 or 3 channels."""
    if names and (len(input_shape) != 3 or input_shape[-1] not in (1, 3)):
        raise ValueError(
            "`augment` is for images of 1 or 3 channels. Received: "
            f"augment={','.join(names)!r} for examples of the shape {tuple(input_shape)}"
        )


def augmentation(
    names: Sequence[str], images: Images, seed: int, first: int = 0, batch: Any = None
) -> "Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]":
    """Return a function of a batch that returns the augmented batch, for a `map` of `tf.data` that is not parallel.

    The same seed leads to the same batches. With a mixing augmentation, classes and labels become rows of shares.

    Args:
        names: Sequence of strings, the names of the augmentations.
        images: The `Images`.
        seed: Integer.
        first: Integer, the number of the first batch, for a pipeline that goes on there.
        batch: Tuple of `tf.TensorSpec`, the inputs and the targets of a batch; needed with `first`.
    """
    import tensorflow as tf

    layers = {name: _layer(name, images, seed) for name in names}

    def augmented(x: "tf.Tensor", y: "tf.Tensor") -> Examples:
        if images.classes and {*names} & {*MIXING}:
            y = tf.one_hot(y, images.classes) if y.shape.rank == 1 else tf.cast(y, tf.float32)
        for name, layer in layers.items():
            if name in MIXING:
                mixed = layer({"images": x, "labels": y}, training=True)
                x, y = mixed["images"], mixed["labels"]
            else:
                x = layer(x, training=True)
        return x, y

    if first:
        _skip_batches([variable for layer in layers.values() for variable in layer.variables], augmented, first, batch)
    return augmented


def _skip_batches(states: Sequence[Any], augmented: Callable, count: int, batch: Any) -> None:
    """Set the random states of layers, a seed and a number of draws each, to those after a number of batches."""
    import tensorflow as tf
    from keras.ops import convert_to_numpy

    x, y = (tf.zeros([2 if side is None else side for side in spec.shape], spec.dtype) for spec in batch)
    starts = [convert_to_numpy(state) for state in states]
    augmented(x, y)  # each batch draws as often
    for state, start in zip(states, starts, strict=True):
        state.assign(start + (convert_to_numpy(state) - start) * count)


def _layer(name: str, images: Images, seed: int) -> "keras.Layer | _From0To1":
    from keras import layers

    options: dict[str, Any] = {"seed": seed, "dtype": "float32"}
    edge = {"fill_mode": "constant", "fill_value": images.low}
    match name:
        case "flip":
            return layers.RandomFlip("horizontal", **options)
        case "crop":
            # a shift by whole pixels is a crop of the padded image; RandomCrop cuts all images of a batch alike
            return layers.RandomTranslation(_SHIFT, _SHIFT, interpolation="nearest", **edge, **options)
        case "rotation":
            return layers.RandomRotation(_ANGLE, **edge, **options)
        case "erasing":
            # two factors: Keras takes one as the upper bound of the share
            levels = (images.low, images.high)
            return layers.RandomErasing((_ERASED, _ERASED), value_range=levels, **options)
        case "color":
            saturation = {"saturation_factor": _SATURATION} if images.channels == 3 else {}
            jitter = layers.RandomColorJitter(
                (0, 1), brightness_factor=_STRENGTH, contrast_factor=_STRENGTH, **saturation, **options
            )
            return _From0To1(jitter, images)
        case "randaugment":
            from bnzoo.data.rand_augment import RandAugment

            return _From0To1(RandAugment((0, 1), **options), images)
        case "mixup":
            return layers.MixUp(**options)
        case _:
            return layers.CutMix(**options)


class _From0To1:
    """A layer that is applied to levels of 0 to 1, as Keras mistakes saturation in others.

    Args:
        layer: The `keras.Layer`.
        images: The `Images`.
    """

    def __init__(self, layer: "keras.Layer", images: Images) -> None:
        self._layer, self._low, self._span = layer, images.low, images.high - images.low or 1.0

    @property
    def variables(self) -> list[Any]:
        """The random states."""
        return self._layer.variables

    def __call__(self, x: "tf.Tensor", training: bool) -> "tf.Tensor":
        return self._layer((x - self._low) / self._span, training=training) * self._span + self._low
