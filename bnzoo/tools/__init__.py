"""Tools for trained networks with batch norm. They work on any Keras model, not only on those of bnzoo."""

from bnzoo.tools.decay import no_decay_variables
from bnzoo.tools.fold import FoldReport, fold_batch_norm
from bnzoo.tools.freeze import freeze_batch_norm, unfreeze_batch_norm
from bnzoo.tools.health_check import Finding, HealthMonitor, HealthReport, health
from bnzoo.tools.load import load_model
from bnzoo.tools.recalibrate import Recalibration, recalibrate_batch_norm
from bnzoo.tools.replace import replace_norm, synchronize_batch_norm, unsynchronize_batch_norm

__all__ = [
    "Finding",
    "FoldReport",
    "HealthMonitor",
    "HealthReport",
    "Recalibration",
    "fold_batch_norm",
    "freeze_batch_norm",
    "health",
    "load_model",
    "no_decay_variables",
    "recalibrate_batch_norm",
    "replace_norm",
    "synchronize_batch_norm",
    "unfreeze_batch_norm",
    "unsynchronize_batch_norm",
]
