"""Search spaces: what a study varies, as a `keras_tuner.HyperModel`."""

from bnzoo.tuning.spaces.families import DenseNetSpace, MLPSpace, ResNetSpace, ViTSpace
from bnzoo.tuning.spaces.space import Space

__all__ = ["DenseNetSpace", "MLPSpace", "ResNetSpace", "Space", "ViTSpace"]
