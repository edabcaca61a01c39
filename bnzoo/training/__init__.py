"""Training: one configuration, trained to the end. Studies train their trials with the same parts.

A training passes through these files:

1. `train.py`: `train` runs one training, which is in `session.py`, with the options in `options.py`.
2. `recipe.py` compiles the model, `planning.py` chooses the epochs and the precision (`precision.py`), `devices.py` the
   devices.
3. `loop.py` calls Keras' `fit`; `schedules.py`, `averaging.py`, `endings.py`, `checkpoints.py`, `reporting.py` and
   `events.py` are its callbacks, and `position.py` tells them the step.
4. `choice.py` chooses the weights, `artefact.py` exports the model, `measures.py` has its metrics, `results.py` the
   result.

The other files support these: `batches.py`, `tasks.py` (losses), `optimizers.py`, `schedule_free.py` (evaluation at
the average), `class_weights.py`, `speed.py` (measured seconds), `store.py` (the folder of a training), `definition.py`,
`structure.py`, `variables.py` and `files.py`.
"""

from bnzoo.training.reporting import Moment
from bnzoo.training.results import Training
from bnzoo.training.train import train

__all__ = ["Moment", "Training", "train"]
