"""The measured seconds of the shallowest and the deepest network of a study."""

import math
import time
from copy import copy
from typing import TYPE_CHECKING, Any

from bnzoo.models import count_macs
from bnzoo.training.session import finish_of
from bnzoo.training.speed import StepTimer, slowness
from bnzoo.tuning.planning import CALIBRATION, EPOCHS, StudyPlan, Timing, plan_budget
from bnzoo.tuning.trial import CompiledModel
from bnzoo.tuning.tuner import compile_model

if TYPE_CHECKING:
    from bnzoo.tuning.study import Study

# the measurement has at least so many steps, unless they take too long, and at most so many
_FEWEST, _STEPS = 5, 20
# the seconds of a fast core to write the report
_REPORT = 10.0
# up to this many depths between are interpolated by their multiply-accumulates, more of them by the depth
_BUILT = 8


class _Timer(StepTimer):
    """A `StepTimer` that times the validation too."""

    def __init__(self) -> None:
        super().__init__(_STEPS)
        self._validated = self.validation = 0.0

    def on_test_begin(self, logs: dict[str, float] | None = None) -> None:
        self._validated = time.perf_counter()

    def on_test_end(self, logs: dict[str, float] | None = None) -> None:
        self.validation = time.perf_counter() - self._validated


def measure(study: "Study") -> tuple[Timing, dict[tuple, CompiledModel]]:
    """Return the seconds of the networks of a study, and the measured models by architecture, for its trials.

    Args:
        study: The `Study`.
    """
    space, data = study.space, study.trial_data
    every = space.axes()
    rates = every.pop("learning_rate")
    step, compilation, validation = {}, [], []
    compiled: dict[tuple, CompiledModel] = {}
    for depth in sorted({min(space.depths), max(space.depths)}):
        values: dict[str, Any] = {name: labels[0] for name, labels in every.items()}
        values |= {"depth": depth, "learning_rate": rates[len(rates) // 2]}
        hp = study.hyperparameters()
        hp.values = dict(values)
        start = time.perf_counter()
        model = compile_model(study, hp, seed=0)
        compilation.append(time.perf_counter() - start)
        timer = _Timer()
        model.restore(0, values["learning_rate"])
        model.fit(0, math.ceil(_FEWEST / model.steps), [timer])
        step[depth] = timer.step
        validation.append(timer.validation)
        compiled[space.architecture(values)] = model
    slow = slowness(model.model)
    batch = min(space.batch_size_of(values), len(data.train.x))
    passes = (study.epochs if study.plan is None else EPOCHS) + 1
    calibrated = min(CALIBRATION, len(data.train.x)) if study.plan else len(data.train.x)
    return (
        Timing(
            step=_interpolated(study, step),
            evaluation=_mean(validation) * (passes + calibrated / len(data.validation.x)),
            compilation=_mean(compilation),
            export=finish_of(study.data).seconds(_mean(list(step.values())) / batch, slow) + slow * _REPORT,
            steps=max(1, len(data.train.x) // batch),
            configurations=math.prod(map(len, every.values())) * len(rates),
            architectures=max(map(len, every.values())),
        ),
        compiled,
    )


def planned(
    study: "Study", seconds: float, final: bool = True, workers: int = 1, start: float = 0.0
) -> tuple[StudyPlan, Timing]:
    """Return the plan of a study for a budget, and the measured seconds. Its first trials take the measured models.

    Args:
        study: The `Study` without a plan. It has not begun.
        seconds: Float, the budget.
        final: Boolean, whether the best configuration is trained again.
        workers: Integer, the processes that share the trials and the cores.
        start: Float, the seconds until a worker has started.
    """
    begun = time.monotonic()
    measured = copy(study)
    measured.plan = StudyPlan(1, study.epochs, {}, 0.0, 0.0, 0.0)  # its trials have fewer examples to evaluate
    timing, study.compiled = measure(measured)
    left = max(1.0, seconds - (time.monotonic() - begun))
    return plan_budget(timing, left, study.epochs, study.seeds, final, workers, start), timing


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _interpolated(study: "Study", step: dict[int, float]) -> dict[int, float]:
    """Return the seconds of a step for every depth."""
    depths = sorted(study.space.depths)
    size = {depth: float(depth) for depth in depths}
    if 2 < len(depths) <= _BUILT:
        size = {depth: float(count_macs(study.space.network(depth)).linear) for depth in depths}
    lowest, highest = depths[0], depths[-1]
    low, high = size[lowest], size[highest]
    slope = 0.0 if low == high else (step[highest] - step[lowest]) / (high - low)
    return {depth: max(1e-6, step[lowest] + slope * (size[depth] - low)) for depth in depths}
