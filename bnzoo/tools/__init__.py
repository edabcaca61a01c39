"""Tools for trained networks with batch norm: a model in, a model or a finding out. They know Keras, never the zoo."""

from bnzoo.tools.decay import no_decay_variables
from bnzoo.tools.fold import FoldReport, fold_batch_norm
from bnzoo.tools.recalibrate import Recalibration, recalibrate_batch_norm

__all__ = ["FoldReport", "Recalibration", "fold_batch_norm", "no_decay_variables", "recalibrate_batch_norm"]
