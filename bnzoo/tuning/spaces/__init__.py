"""Search spaces, each a `keras_tuner.HyperModel`."""

from bnzoo.tuning.spaces.families import SPACES, DenseNetSpace, MLPSpace, ResNetSpace, ViTSpace
from bnzoo.tuning.spaces.space import Space

__all__ = ["SPACES", "DenseNetSpace", "MLPSpace", "ResNetSpace", "Space", "ViTSpace"]
