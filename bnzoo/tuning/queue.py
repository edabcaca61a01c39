"""The queue of a study's trials, which its workers share through the storage alone.

Each trial has an index: the index of its configuration times the number of seeds, plus its seed. It waits in the
storage until a worker claims it. If that worker dies, the trial is marked as failed, and a new trial with the same
index waits. Two workers may add a trial with the same index at the same moment. Only the first of them counts and is
run. Their samplers may have proposed different hyperparameters: all seeds of a configuration have those of its first
trial.
"""

import time
from collections.abc import Callable, Hashable
from datetime import datetime, timedelta
from typing import Any

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from bnzoo.tuning.plans import Plan
from bnzoo.tuning.shared import INDEX, SharedStudy, counted, index

# a worker that ended a trial this recently is about to claim another one of the same architecture
BETWEEN_TRIALS = timedelta(seconds=2)


class QueueEmpty(Exception):  # noqa: N818
    """No trial is waiting.

    Attributes:
        finished: Boolean, whether no trial will be waiting later either: no running trial can be abandoned.
    """

    def __init__(self, finished: bool) -> None:
        super().__init__()
        self.finished = finished


class Queue:
    """The queue of a study's trials.

    Args:
        study: `SharedStudy`.
        plan: `Plan`, the configurations.
        seeds: Integer, the number of trials of each configuration.
        limit: Integer, the maximum number of trials, or `None`.
        architecture: Function of the values of a trial that returns the architecture that a worker compiles for it.
    """

    def __init__(
        self,
        study: SharedStudy,
        plan: Plan,
        *,
        seeds: int,
        limit: int | None,
        architecture: Callable[[dict[str, Any]], Hashable],
    ) -> None:
        self._study, self._plan = study, plan
        self._seeds, self._limit, self._architecture = seeds, limit, architecture
        self._compiled: Hashable = None

    def claim(self) -> FrozenTrial:
        """Claim the next trial for this worker.

        Raises:
            QueueEmpty: If no trial is waiting.
        """
        while True:
            self._study.fail_abandoned()
            stored = self._study.stored()
            trials = counted(stored)
            self._discard_duplicates(stored, trials)
            wanted = self._wanted(trials)
            waiting = [trial for trial in wanted if trial.state == TrialState.WAITING]
            if self._add_missing(stored, trials, propose=not waiting):
                continue
            if not waiting:
                raise QueueEmpty(finished=all(trial.state.is_finished() for trial in wanted))
            for trial in self._by_preference(waiting, trials):
                if self._study.claim(trial):
                    self._compiled = self._architecture(trial.params)
                    return trial
            time.sleep(0.05)  # other workers have claimed all of them at this moment

    def _by_preference(self, waiting: list[FrozenTrial], trials: dict[int, FrozenTrial]) -> list[FrozenTrial]:
        """Sort waiting trials: architectures that this worker has compiled first, those of other workers last."""
        moment = datetime.now() - BETWEEN_TRIALS
        busy = {
            self._architecture(trial.params)
            for trial in trials.values()
            if trial.state == TrialState.RUNNING or (trial.datetime_complete and trial.datetime_complete > moment)
        }

        def preference(trial: FrozenTrial) -> tuple[bool, bool, int]:
            architecture = self._architecture(trial.params)
            return architecture != self._compiled, architecture in busy, self._rank(trial)

        return sorted(waiting, key=preference)

    def _wanted(self, trials: dict[int, FrozenTrial]) -> list[FrozenTrial]:
        """Return the trials that count up to the limit: those that have started, then the next waiting ones."""
        by_rank = sorted(trials.values(), key=lambda trial: (trial.state == TrialState.WAITING, self._rank(trial)))
        return by_rank[: self._limit]

    def _rank(self, trial: FrozenTrial) -> int:
        configuration, seed = divmod(index(trial), self._seeds)
        return self._plan.rank(configuration) * self._seeds + seed

    def _add_missing(self, stored: list[FrozenTrial], trials: dict[int, FrozenTrial], propose: bool) -> bool:
        """Add the trials that are missing: abandoned ones, and the next of the plan.

        Args:
            stored: All trials.
            trials: The trials that count, by index.
            propose: Boolean, whether a sampler proposes one more configuration. A grid is always added completely.

        Returns:
            Boolean, whether any trial was added.
        """
        count = self._plan.size
        if count is None:
            count = max(trials, default=-1) // self._seeds + 1
            if propose and (self._limit is None or count * self._seeds < self._limit):
                count += 1
        direction = self._study.optuna.direction
        # of two proposals for a configuration the first one counts, even if its trial was abandoned
        known: dict[int, FrozenTrial] = {}
        for trial in stored:
            known.setdefault(index(trial) // self._seeds, trial)
        added = False
        for number in sorted(set(range(count * self._seeds)) - trials.keys()):
            configuration = number // self._seeds
            new = configuration not in known
            if new:
                history = _history(trials, self._seeds, configuration, direction)
                proposed = self._plan.configuration(configuration, history)
                if proposed is None:
                    break
                known[configuration] = proposed
            self._study.optuna.add_trial(_waiting(known[configuration], number, self._study.marks))
            added = True
            if new and self._plan.size is None:
                break  # the other seeds follow when it is known whether another worker's proposal was the first
        return added

    def _discard_duplicates(self, stored: list[FrozenTrial], trials: dict[int, FrozenTrial]) -> None:
        for trial in stored:
            if trial.state == TrialState.WAITING and trial is not trials[index(trial)]:
                self._study.discard(trial.number)


def _waiting(template: FrozenTrial, number: int, marks: dict[str, Any]) -> FrozenTrial:
    return optuna.create_trial(
        state=TrialState.WAITING,
        params=template.params,
        distributions=template.distributions,
        system_attrs={INDEX: number, **marks},
    )


def _history(trials: dict[int, FrozenTrial], seeds: int, stop: int, direction: StudyDirection) -> list[FrozenTrial]:
    """Return a trial for each configuration before one, with the mean of its seeds, for a sampler.

    A failure has the worst value of all trials.
    """
    groups: dict[int, list[FrozenTrial]] = {}
    for number, trial in trials.items():
        groups.setdefault(number // seeds, []).append(trial)
    values = [trial.value for trial in trials.values() if trial.value is not None]
    worst = (max if direction == StudyDirection.MINIMIZE else min)(values, default=None)
    return [_mean(group, worst) for configuration, group in sorted(groups.items()) if configuration < stop]


def _mean(group: list[FrozenTrial], worst: float | None) -> FrozenTrial:
    """Return one trial for the seeds of a configuration."""
    common: dict[str, Any] = {"params": group[0].params, "distributions": group[0].distributions}
    if not all(trial.state.is_finished() for trial in group):
        return optuna.create_trial(state=TrialState.RUNNING, **common)
    pruned = [trial for trial in group if trial.state == TrialState.PRUNED]
    if pruned:
        reported = pruned[0].intermediate_values
        return optuna.create_trial(state=TrialState.PRUNED, intermediate_values=reported, **common)
    values = [value for trial in group if (value := worst if trial.value is None else trial.value) is not None]
    if not values:
        return optuna.create_trial(state=TrialState.FAIL, **common)
    return optuna.create_trial(value=sum(values) / len(values), **common)
