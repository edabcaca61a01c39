"""Search spaces, the trial, the study, results."""

from bnzoo.tuning.artefact import Artefact
from bnzoo.tuning.results import Results, TrialResult
from bnzoo.tuning.spaces import MLPSpace, ResNetSpace, Space
from bnzoo.tuning.study import Study
from bnzoo.tuning.verdict import Verdict

__all__ = ["Artefact", "MLPSpace", "ResNetSpace", "Results", "Space", "Study", "TrialResult", "Verdict"]
