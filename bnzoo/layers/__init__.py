"""The Keras layers of bnzoo, one in each file."""

from bnzoo.layers.affine import Affine
from bnzoo.layers.batch_normalization import BatchNormalization
from bnzoo.layers.batch_renormalization import BatchRenormalization
from bnzoo.layers.class_token import ClassToken
from bnzoo.layers.dynamic_tanh import DynamicTanh
from bnzoo.layers.evonorm_s0 import EvoNormS0
from bnzoo.layers.filter_response_normalization import FilterResponseNormalization
from bnzoo.layers.ghost_batch_normalization import GhostBatchNormalization
from bnzoo.layers.layer_scale import LayerScale
from bnzoo.layers.position_embedding import PositionEmbedding
from bnzoo.layers.recompute import Recompute
from bnzoo.layers.rms_normalization import RMSNormalization
from bnzoo.layers.skip_init import SkipInit
from bnzoo.layers.symmetric_max_pooling import SymmetricMaxPooling2D
from bnzoo.layers.sync_batch_normalization import SyncBatchNormalization
from bnzoo.layers.weight_standardized_convolution import WeightStandardizedConv2D
from bnzoo.layers.zero_padded_shortcut import ZeroPaddedShortcut

__all__ = [
    "Affine",
    "BatchNormalization",
    "BatchRenormalization",
    "ClassToken",
    "DynamicTanh",
    "EvoNormS0",
    "FilterResponseNormalization",
    "GhostBatchNormalization",
    "LayerScale",
    "PositionEmbedding",
    "RMSNormalization",
    "Recompute",
    "SkipInit",
    "SymmetricMaxPooling2D",
    "SyncBatchNormalization",
    "WeightStandardizedConv2D",
    "ZeroPaddedShortcut",
]
