"""The plan of a study: how its budget is divided, from measured seconds."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from bnzoo.errors import number, positive_integer
from bnzoo.training.options import EPOCHS as FINAL_EPOCHS
from bnzoo.tuning.looks import PATIENCE

# the share of the budget for the final training, and the largest share for the export
FINAL, EXPORT_SHARE = 0.65, 0.25
# the trials of a short search; a longer one has more and longer trials
TRIALS = 12
# the epochs of a short trial, so that its learning rate decays in several steps
EPOCHS = 5
# a final training of more epochs improves a network little
SATURATED = 30
# the new seeds of a configuration that is confirmed: the fewest whose interval is of use
CONFIRMATION_SEEDS = 3
# the largest share of a search for the confirmation, with the shortest useful trials
CONFIRMATION_SHARE = 0.5
# the validation examples, and the training examples for recalibrated statistics, of a trial of a plan
VALIDATION, CALIBRATION = 2_000, 2_048
# the largest share of a search in which workers start; then they compile what this process has compiled already
START_SHARE = 0.1
# seconds from which a search without a budget is announced
LONG = 3600.0


@dataclass(frozen=True)
class Timing:
    """The measured seconds of the networks of a space, and the size of its search.

    Attributes:
        step: Dict, the seconds of a training step by depth.
        evaluation: Float, the seconds of the evaluation of a trial, on average.
        compilation: Float, the seconds to build and compile a network, on average.
        export: Float, the seconds of the work after the last step of the final training, and of the report.
        steps: Integer, the steps of a whole epoch.
        configurations: Integer, the configurations of the grid.
        architectures: Integer, the architectures that together have every value of every hyperparameter.
        epoch: Float, the seconds of the steps of an epoch of a trial, on average; `None` for those of a whole epoch.
    """

    step: Mapping[int, float]
    evaluation: float
    compilation: float
    export: float
    steps: int
    configurations: int
    architectures: int
    epoch: float | None = None

    @property
    def mean_step(self) -> float:
        """The seconds of a training step, on average over the depths."""
        return sum(self.step.values()) / len(self.step)

    def compiling(self, trials: int, workers: int = 1) -> float:
        """Return the seconds to compile the architectures of the first trials: this process has two of them already."""
        ready = min(2, len(self.step)) if workers == 1 else 0  # each worker compiles the architectures of its trials
        return max(0, min(math.ceil(trials / workers), self.architectures) - ready) * self.compilation

    def search_seconds(self, trials: int, epochs: int) -> float:
        """Return the seconds of a search without a plan."""
        epoch = self.steps * self.mean_step if self.epoch is None else self.epoch
        return trials * (epochs * epoch + self.evaluation) + min(trials, self.architectures) * self.compilation

    def final_seconds(self) -> float:
        """Return the seconds of the steps of a final training without a plan, of the deepest network."""
        return FINAL_EPOCHS * self.steps * max(self.step.values())


@dataclass(frozen=True)
class StudyPlan:
    """The plan of a study with a budget.

    Attributes:
        trials: Integer, the largest number of trials.
        epochs: Integer, the epochs of a trial.
        steps: Dict, the training steps of an epoch of a trial by depth.
        search: Float, the seconds of the search.
        final: Float, the seconds of the final training.
        export: Float, the seconds that are kept for the export.
        confirmation: Float, the seconds of the confirmation of the best configurations.
    """

    trials: int
    epochs: int
    steps: Mapping[int, int]
    search: float
    final: float
    export: float
    confirmation: float = 0.0

    @property
    def seconds(self) -> float:
        """The seconds of the budget that was planned."""
        return self.search + self.confirmation + self.final + self.export

    def get_config(self) -> dict[str, Any]:
        """Return the attributes as JSON."""
        config = {**asdict(self), "steps": {str(depth): steps for depth, steps in self.steps.items()}}
        if not self.confirmation:  # earlier versions did not have it
            del config["confirmation"]
        return config

    @classmethod
    def from_config(cls, config: Any) -> "StudyPlan":
        """Return the plan of `get_config`.

        Raises:
            ValueError: If it is not one.
        """
        try:
            steps = {int(depth): positive_integer("steps", count) for depth, count in config["steps"].items()}
            trials, epochs = (positive_integer(name, config[name]) for name in ("trials", "epochs"))
            seconds = {"confirmation": 0.0, **config}
            parts = [number(name, seconds[name], at_least=0) for name in ("search", "final", "export", "confirmation")]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"its field 'plan' is damaged: {error}") from error
        return cls(trials, epochs, steps, *parts)

    def __str__(self) -> str:
        each = " or ".join(dict.fromkeys(f"{self.epochs * count:,}" for count in self.steps.values()))
        final = f"the confirmation in {duration(self.confirmation)}, " if self.confirmation else ""
        final += f"the final training in {duration(self.final)}, " if self.final else ""
        return (
            f"{self.trials} trial{'s' * (self.trials > 1)} of {each} steps in {duration(self.search)}, "
            f"{final}the export in {duration(self.export)}"
        )


def divided(seconds: float, export: float, final: bool) -> tuple[float, float, float]:
    """Return the seconds of the search, of the final training and of the export.

    Args:
        seconds: Float, their sum.
        export: Float, the seconds that the export takes.
        final: Boolean, whether the best configuration is trained again.
    """
    export = min(export, EXPORT_SHARE * seconds)
    training = FINAL * (seconds - export) if final else 0.0
    return seconds - export - training, training, export


def worthwhile_workers(workers: int, search: float, start: float) -> int:
    """Return the number of processes for a search: one if it is too short for the start of several.

    Args:
        workers: Integer, the largest number.
        search: Float, the seconds of the search.
        start: Float, the seconds until a worker has started.
    """
    return workers if start <= START_SHARE * search else 1


def plan_budget(
    timing: Timing,
    seconds: float,
    epochs: int,
    seeds: int = 1,
    final: bool = True,
    workers: int = 1,
    start: float = 0.0,
    confirm: int = 0,
) -> StudyPlan:
    """Return the plan for a budget.

    Most of the budget is for the final training. The shortest useful trial has as many steps as it takes to see
    whether a network learns. A longer search has more trials and longer ones; there is a single one if the export alone
    takes longer than the budget. The steps of the trials of two depths have the ratio of those of their final
    trainings, in which a deeper network takes fewer steps in the same time.

    Args:
        timing: The `Timing`.
        seconds: Float, the seconds that are left.
        epochs: Integer, the most whole epochs of a trial.
        seeds: Integer, the seeds of each configuration.
        final: Boolean, whether the best configuration is trained again.
        workers: Integer, the processes that share the trials and the cores: together they do as many steps as one.
        start: Float, the seconds until a worker has started.
        confirm: Integer, the configurations that are confirmed with new seeds. Without the time for it, none is.
    """
    search, training, export = divided(seconds, timing.export, final)
    workers = worthwhile_workers(workers, search, start)
    start = 0.0 if workers == 1 else start
    of_trials = search - start
    one = PATIENCE * min(timing.step.values()) + timing.evaluation
    again, before = confirm * CONFIRMATION_SEEDS, start + min(confirm, timing.architectures) * timing.compilation
    if again and again * one + before <= CONFIRMATION_SHARE * of_trials and timing.export <= seconds:
        of_trials -= before
    else:
        again = 0
    useful = {
        depth: min(SATURATED, max(1.0, training or search) / (timing.steps * step)) * timing.steps
        for depth, step in timing.step.items()
    }
    count, most = 1, timing.configurations if timing.export <= seconds else 1
    while count < most and (seeds * (count + 1) + again) * one + timing.compiling(count + 1, workers) <= of_trials:
        count += 1
    if count > TRIALS:
        count = round(TRIALS * math.sqrt(count / TRIALS))
    trials = seeds * count
    # the mean of the seconds of a trial over the depths is its share of the search
    each = max(0.0, (of_trials - timing.compiling(count, workers)) / (trials + again) - timing.evaluation)
    mean = sum(useful[depth] * step for depth, step in timing.step.items()) / len(timing.step)
    wanted = {depth: each / mean * useful[depth] for depth in timing.step}
    passes = max(wanted.values()) / timing.steps
    whole = max(min(EPOCHS, epochs), min(epochs, math.floor(passes)))
    steps = {depth: max(1, min(timing.steps, round(total / whole))) for depth, total in wanted.items()}
    confirmation = again * (each + timing.evaluation) + before if again else 0.0
    parts = (search - confirmation, training, export, confirmation)
    return StudyPlan(trials, whole, steps, *(round(part, 1) for part in parts))


def announcement(
    timing: Timing,
    epochs: int,
    seeds: int,
    plan: StudyPlan | None,
    precision: str,
    trials: int | None = None,
    final: bool = True,
) -> str:
    """Return the first line of a search: the seconds of an epoch, of the grid, and the plan.

    Args:
        timing: The `Timing`.
        epochs: Integer, the epochs of a trial without a plan.
        seeds: Integer, the seeds of each configuration.
        plan: The `StudyPlan`, or `None`.
        precision: String, the precision of the trials.
        trials: Integer, the largest number of trials; `None` for no limit.
        final: Boolean, whether the best configuration is trained again.
    """
    deepest, grid = max(timing.step), timing.configurations * seeds
    count = grid if trials is None or plan is not None else min(trials, grid)
    search = timing.search_seconds(count, epochs)
    known = (
        f"a step of depth {deepest} in {precision}: {timing.step[deepest]:.2g} s, an epoch: "
        f"{duration(timing.steps * timing.step[deepest])}; {'the grid of ' * (count == grid)}{count} "
        f"trial{'s' * (count > 1)} of {epochs} epoch{'s' * (epochs > 1)}: {duration(search)}"
    )
    if plan is not None:
        passes = [plan.epochs * steps / timing.steps for steps in plan.steps.values()]
        each = " to ".join(dict.fromkeys(f"{share:.{1 if share < 10 else 0}f}" for share in (min(passes), max(passes))))
        of = f"{plan.trials // seeds} configurations with {seeds} seeds each; " if seeds > 1 else ""
        return f"{known}; this plan: {plan}; {of}epochs of a trial: {each}"
    training = timing.final_seconds() if final else 0.0
    if training:
        known += f"; the final training of {FINAL_EPOCHS} epochs: up to about {duration(training)}"
    if search + training <= LONG:
        return known
    return f"{known}. With --budget 10m and a new --output, the same command takes ten minutes"


def duration(seconds: float) -> str:
    """Return seconds in a unit that a person would choose, such as `41 s` or `4.0 h`."""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 1 else f"{seconds:.2g} s"
