"""The zoo: builder functions over the blocks, and the registry."""

from typing import TYPE_CHECKING

from bnzoo.models.cards import ModelCard
from bnzoo.models.densenet import *  # noqa: F403
from bnzoo.models.families import FAMILIES
from bnzoo.models.macs import Macs, count_macs
from bnzoo.models.mlp import *  # noqa: F403
from bnzoo.models.registry import BUILDERS, create_model, list_models, model_card
from bnzoo.models.resnet import *  # noqa: F403
from bnzoo.models.resnet_cifar import *  # noqa: F403
from bnzoo.models.resnet_variants import *  # noqa: F403
from bnzoo.models.vit import *  # noqa: F403

# Editors and type checkers take the public names from the star imports, which see every builder.
if not TYPE_CHECKING:
    __all__ = ["FAMILIES", "Macs", "ModelCard", "count_macs", "create_model", "list_models", "model_card", *BUILDERS]
