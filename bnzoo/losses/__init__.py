"""Losses and metrics that Keras lacks, with which tasks compile their models."""

from bnzoo.losses.mixed_labels import MixedAccuracy, MixedCrossentropy
from bnzoo.losses.standard_scale import StandardR2Score, StandardSquaredError

__all__ = ["MixedAccuracy", "MixedCrossentropy", "StandardR2Score", "StandardSquaredError"]
