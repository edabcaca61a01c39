"""Studies: search spaces, trials, and their results.

A trial passes through five files, in this order:

1. `study.py`: `Study.run` prepares the records, runs one worker here or several processes, and writes the results.
2. `tuner.py`: `StudyTuner` is one worker. It asks for a trial, runs it, and stores its result and its model.
3. `oracle.py`: `OptunaOracle` gives the tuner its next trial in the form that Keras Tuner expects.
4. `queue.py`: `Queue` claims a waiting trial in the storage that all workers share, and adds new trials.
5. `trial.py`: `train_and_evaluate` restores a compiled model, trains it with `Space.fit`, and computes the score.

`steps.py` decides how many steps a trial has, and `looks.py` has the callbacks that end it early. `planning.py` divides
a budget, from the seconds that `timing.py` measures. `final.py` trains the best configuration to the end. `opening.py`
opens a study from its folder.

`rising_rates.py` finds usable learning rates in a training in which the rate rises with each step; `rates.py` has its
result.

The other files support these: `spaces/` (models and hyperparameters), `plans.py`, `local_search.py` and `law.py` (the
next configuration), `hyperparameters.py` (Keras Tuner's for Optuna), `shared.py` and `storage/` (the Optuna study),
`objective.py` (the score), `records.py` with `definition.py` and `folder.py` (the study's files), `limits.py` (the
arguments), `checkpoints.py`, `workers.py` (processes), `progress.py`, `trial_result.py`, `results.py` and `verdict.py`.
The cost of a network is in `costs.py`, `latency.py` and `front.py`. The best configurations are trained again with new
seeds: `finalists.py` (which ones), `confirming.py` (the run), `confirmation.py` (the comparison with the search),
`ties.py` (differences by chance). `effective_rate.py` multiplies learning rate and weight decay.

The loop of a training, its batches and tasks, and the artefact of a model are in `bnzoo.training`.
"""

from bnzoo.training.artefact import Artefact
from bnzoo.tuning.oracle import OptunaOracle, PruningCallback
from bnzoo.tuning.rates import RateTest, RateTests
from bnzoo.tuning.results import Results
from bnzoo.tuning.rising_rates import rate_test
from bnzoo.tuning.spaces import DenseNetSpace, MLPSpace, ResNetSpace, Space, ViTSpace
from bnzoo.tuning.study import Study
from bnzoo.tuning.trial_result import TrialResult
from bnzoo.tuning.verdict import Verdict

__all__ = [
    "Artefact",
    "DenseNetSpace",
    "MLPSpace",
    "OptunaOracle",
    "PruningCallback",
    "RateTest",
    "RateTests",
    "ResNetSpace",
    "Results",
    "Space",
    "Study",
    "TrialResult",
    "Verdict",
    "ViTSpace",
    "rate_test",
]
