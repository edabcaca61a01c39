"""The space of each family."""

from bnzoo.models import FAMILIES
from bnzoo.tuning.spaces.space import Space


class ResNetSpace(Space):
    """Residual networks for small images, of depth 6n+2, or 9n+2 with `block="bottleneck"`.

    See `Space` for the arguments. The options are those of `bnzoo.ResNetCifar`.

    Examples:
    >>> space = bnzoo.tuning.ResNetSpace(depths=(8, 14, 20), learning_rates=(1e-3, 3.0), norms=("batch", None))
    """

    family = FAMILIES["resnet"]


class DenseNetSpace(Space):
    """DenseNets for small images: three dense blocks of n layers each, of depth 6n+4, or 3n+4 with `bottleneck=False`.

    The depth is L of the paper. See `Space` for the arguments. The options are those of `bnzoo.DenseNetCifar`.

    Examples:
    >>> space = bnzoo.tuning.DenseNetSpace(depths=(10, 16, 22), growth_rate=(8, 12))
    """

    family = FAMILIES["densenet"]


class ViTSpace(Space):
    """Vision transformers for small images, trained with AdamW. The depth is the number of blocks.

    See `Space` for the arguments. The options are those of `bnzoo.ViT`. The defaults of `width` and `heads` are 64 and
    4, and that of `patch_size` is the smallest, from 2 on, that divides the image into at most 64 patches: 2 for 8x8, 4
    for 32x32.

    Examples:
    >>> space = bnzoo.tuning.ViTSpace(depths=(2, 4, 8), norms=("layer", "rms", "batch"), width=(64, 96))
    """

    family = FAMILIES["vit"]


class MLPSpace(Space):
    """Multilayer perceptrons. The depth is the number of hidden layers.

    See `Space` for the arguments. The options are those of `bnzoo.MLP`.

    Examples:
    >>> space = bnzoo.tuning.MLPSpace(depths=(2, 4, 8), norms=("batch", "layer", None), width=(64, 256))
    """

    family = FAMILIES["mlp"]


_NAMED = {space.family.name: space for space in (ResNetSpace, DenseNetSpace, ViTSpace, MLPSpace)}
# the space of each family; a new family has one before it has a class with a docstring
SPACES: dict[str, type[Space]] = {
    name: _NAMED.get(name) or type(f"{name}Space", (Space,), {"family": family}) for name, family in FAMILIES.items()
}
