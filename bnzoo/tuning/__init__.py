"""Search spaces, the trial, the study, results."""

from bnzoo.tuning.artefact import Artefact
from bnzoo.tuning.oracle import OptunaOracle, PruningCallback
from bnzoo.tuning.results import Results, TrialResult
from bnzoo.tuning.spaces import DenseNetSpace, MLPSpace, ResNetSpace, Space, ViTSpace
from bnzoo.tuning.study import Study
from bnzoo.tuning.verdict import Verdict

__all__ = [
    "Artefact",
    "DenseNetSpace",
    "MLPSpace",
    "OptunaOracle",
    "PruningCallback",
    "ResNetSpace",
    "Results",
    "Space",
    "Study",
    "TrialResult",
    "Verdict",
    "ViTSpace",
]
