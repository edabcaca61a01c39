"""The measured seconds of the shallowest and the deepest network of a study."""

import math
import time
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bnzoo.models import count_macs
from bnzoo.training.precision import FLOAT32, candidates, fastest
from bnzoo.training.session import finish_of
from bnzoo.training.speed import StepTimer, slowness
from bnzoo.tuning.limits import configurations
from bnzoo.tuning.planning import CALIBRATION, EPOCHS, StudyPlan, Timing, plan_budget
from bnzoo.tuning.steps import COMPUTE
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


@dataclass
class _Measured:
    """A compiled model, and its seconds.

    Attributes:
        model: The `CompiledModel`.
        compilation: Float, the seconds to build and compile it.
        step: Float, the seconds of a training step.
        validation: Float, the seconds of a validation.
    """

    model: CompiledModel
    compilation: float
    step: float
    validation: float


def measure(study: "Study", measured: Mapping[int, _Measured] | None = None) -> Timing:
    """Return the seconds of the networks of a study. Its first trials take the measured models.

    Args:
        study: The `Study`.
        measured: Dict of what has been measured, by depth.
    """
    space, data = study.space, study.trial_data
    depths = sorted({min(space.depths), max(space.depths)})
    found = {depth: (measured or {}).get(depth) or _measured(study, depth) for depth in depths}
    models = [each.model for each in found.values()]
    study.compiled = {space.architecture(model.hp.values): model for model in models}
    slow = slowness(models[-1].model)
    batch = min(space.batch_size_of(models[-1].hp.values), len(data.train.x))
    passes = (study.epochs if study.plan is None else EPOCHS) + 1
    calibrated = min(CALIBRATION, len(data.train.x)) if study.plan else len(data.train.x)
    step = {depth: each.step for depth, each in found.items()}
    return Timing(
        step=_interpolated(study, step),
        evaluation=_mean([each.validation for each in found.values()]) * (passes + calibrated / len(data.validation.x)),
        compilation=_mean([each.compilation for each in found.values()]),
        export=finish_of(data).seconds(_mean(list(step.values())) / batch, slow) + slow * _REPORT,
        steps=max(1, len(data.train.x) // batch),
        configurations=configurations(space),
        architectures=max(len(values) for name, values in space.axes().items() if name != "learning_rate"),
        epoch=_mean([each.model.steps * each.step for each in found.values()]) if study.equal == COMPUTE else None,
    )


def _measured(study: "Study", depth: int) -> _Measured:
    """Compile a network of a depth in the precision of the study, and time some steps and the validation."""
    every = study.space.axes()
    rates = every.pop("learning_rate")
    hp = study.hyperparameters()
    hp.values = {name: labels[0] for name, labels in every.items()}
    hp.values |= {"depth": depth, "learning_rate": rates[len(rates) // 2]}
    start = time.perf_counter()
    model = compile_model(study, hp, seed=0)
    compilation, timer = time.perf_counter() - start, _Timer()
    model.restore(0, hp.values["learning_rate"])
    model.fit(0, math.ceil(_FEWEST / model.steps), [timer])
    return _Measured(model, compilation, timer.step, timer.validation)


def planned(
    study: "Study",
    seconds: float,
    final: bool = True,
    workers: int = 1,
    start: float = 0.0,
    precision: str = FLOAT32,
    confirm: int = 0,
) -> tuple[StudyPlan, str, Timing]:
    """Return the plan of a study for a budget, its precision, and the measured seconds.

    The first trials of the study take the measured models.

    Args:
        study: The `Study` without a plan. It has not begun.
        seconds: Float, the budget.
        final: Boolean, whether the best configuration is trained again.
        workers: Integer, the processes that share the trials and the cores.
        start: Float, the seconds until a worker has started.
        precision: String. `"auto"` is the `fastest` for the shallowest network; float32 without a measurement if the
            budget is short.
        confirm: Integer, the configurations that are confirmed.
    """
    begun = time.monotonic()
    measured = copy(study)
    measured.plan = StudyPlan(1, study.epochs, {}, 0.0, 0.0, 0.0)  # its trials have fewer examples to evaluate
    shallowest, found = min(study.space.depths), {}
    for name in candidates(precision, seconds):
        measured.precision = name
        found[name] = _measured(measured, shallowest)
    measured.precision = fastest({name: each.step for name, each in found.items()})
    timing = measure(measured, {shallowest: found[measured.precision]})
    study.compiled = measured.compiled
    left = max(1.0, seconds - (time.monotonic() - begun))
    plan = plan_budget(timing, left, study.epochs, study.seeds, final, workers, start, confirm)
    return plan, measured.precision, timing


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
