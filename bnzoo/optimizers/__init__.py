"""Optimizers that Keras lacks, or has in another form."""

from bnzoo.optimizers.muon import Muon
from bnzoo.optimizers.schedule_free_adamw import ScheduleFreeAdamW

__all__ = ["Muon", "ScheduleFreeAdamW"]
