"""The zoo: builder functions over the blocks, and the registry."""

from typing import TYPE_CHECKING

from bnzoo.models.cards import ModelCard
from bnzoo.models.families import *  # noqa: F403
from bnzoo.models.families import FAMILIES
from bnzoo.models.macs import Macs, count_macs
from bnzoo.models.registry import BUILDERS, create_model, list_models, model_card

# Editors and type checkers take the public names from the star import.
if not TYPE_CHECKING:
    __all__ = ["FAMILIES", "Macs", "ModelCard", "count_macs", "create_model", "list_models", "model_card", *BUILDERS]
