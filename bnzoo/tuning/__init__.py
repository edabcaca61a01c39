"""Search spaces, the trial, the study, results."""

from bnzoo.tuning.results import Results, TrialResult
from bnzoo.tuning.spaces import MLPSpace, ResNetSpace, Space
from bnzoo.tuning.study import Study

__all__ = ["MLPSpace", "ResNetSpace", "Results", "Space", "Study", "TrialResult"]
