"""Who runs what next: the trials of a study, shared by workers that know of each other through its storage alone.

Every trial has an index, its configuration's place times the number of seeds plus its seed, and waits in the storage
before it runs. A trial whose worker died is ended there as failed and waits again, as another trial of the same index.
Of two trials of one index the first counts: so it does no harm that two workers may add the same one.
"""

import time
from collections.abc import Callable, Hashable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from bnzoo.tuning.plans import Plan
from bnzoo.tuning.shared import INDEX, SharedStudy, counted, index

# a worker that has just ended a trial is about to take another of the same architecture
BETWEEN_TRIALS = timedelta(seconds=2)


class Nothing(Exception):  # noqa: N818
    """There is no trial to run.

    Attributes:
        for_good: Boolean, whether there will be none: nothing runs that could be abandoned.
    """

    def __init__(self, for_good: bool) -> None:
        super().__init__()
        self.for_good = for_good


class Queue:
    """The trials of a study.

    Args:
        study: `SharedStudy`.
        plan: `Plan`.
        seeds: Integer, how many trials each configuration has.
        limit: Integer, how many trials there may be, or `None`.
        architecture: Function of the values of a trial: what a worker compiles for it.
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
        self._last: Hashable = None

    def take(self) -> FrozenTrial:
        """A trial that is this worker's to run.

        Raises:
            Nothing: If there is none, for now or for good.
        """
        while True:
            self._study.keeper.end_abandoned(self._study.optuna)
            stored = self._study.stored()
            trials = counted(stored)
            self._end_doubles(stored, trials)
            wanted = [trial for number, trial in trials.items() if self._limit is None or number < self._limit]
            waiting = [trial for trial in wanted if trial.state == TrialState.WAITING]
            if self._add_missing(stored, trials, more=not waiting):
                continue
            if not waiting:
                raise Nothing(for_good=all(trial.state.is_finished() for trial in wanted))
            for trial in self._in_order(waiting, trials):
                if self._claim(trial):
                    self._last = self._architecture(trial.params)
                    return trial
            time.sleep(0.05)  # others are taking them just now

    def _claim(self, trial: FrozenTrial) -> bool:
        if not self._study.keeper.hold(trial):
            return False
        with suppress(optuna.exceptions.UpdateFinishedTrialError):
            if self._study.storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING):
                return True
        self._study.keeper.release()
        return False

    def _in_order(self, waiting: list[FrozenTrial], trials: dict[int, FrozenTrial]) -> list[FrozenTrial]:
        """First those for which this worker has a compiled model, then those of which nobody else has one."""
        moment = datetime.now() - BETWEEN_TRIALS
        busy = {
            self._architecture(trial.params)
            for trial in trials.values()
            if trial.state == TrialState.RUNNING or (trial.datetime_complete and trial.datetime_complete > moment)
        }

        def preference(trial: FrozenTrial) -> tuple[bool, bool, int]:
            architecture = self._architecture(trial.params)
            return architecture != self._last, architecture in busy, index(trial)

        return sorted(waiting, key=preference)

    def _add_missing(self, stored: list[FrozenTrial], trials: dict[int, FrozenTrial], more: bool) -> bool:
        """Adds trials that were lost, all of a grid, and, if there should be more, the next that a sampler proposes."""
        places = self._plan.size
        if places is None:
            places = max(trials, default=-1) // self._seeds + 1
            places += more and (self._limit is None or places * self._seeds < self._limit)
        direction = self._study.optuna.direction
        known = {index(trial) // self._seeds: trial for trial in stored}  # the lost too
        added = False
        for number in sorted(set(range(places * self._seeds)) - trials.keys()):
            place = number // self._seeds
            if place not in known:
                proposed = self._plan.configuration(place, _past(trials, self._seeds, place, direction))
                if proposed is None:
                    break
                known[place] = proposed
            self._study.optuna.add_trial(_waiting(known[place], number))
            added = True
        return added

    def _end_doubles(self, stored: list[FrozenTrial], trials: dict[int, FrozenTrial]) -> None:
        for trial in stored:
            if trial.state == TrialState.WAITING and trial is not trials[index(trial)]:
                with suppress(optuna.exceptions.UpdateFinishedTrialError):
                    self._study.storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)


def _waiting(template: FrozenTrial, number: int) -> FrozenTrial:
    return optuna.create_trial(
        state=TrialState.WAITING,
        params=template.params,
        distributions=template.distributions,
        system_attrs={INDEX: number},
    )


def _past(trials: dict[int, FrozenTrial], seeds: int, before: int, direction: StudyDirection) -> list[FrozenTrial]:
    """A trial a configuration, as a sampler should see it: the mean of its seeds, failures as bad as the worst."""
    groups: dict[int, list[FrozenTrial]] = {}
    for number, trial in trials.items():
        groups.setdefault(number // seeds, []).append(trial)
    values = [trial.value for trial in trials.values() if trial.value is not None]
    worst = (max if direction == StudyDirection.MINIMIZE else min)(values, default=None)
    return [_seen(group, worst) for place, group in sorted(groups.items()) if place < before]


def _seen(group: list[FrozenTrial], worst: float | None) -> FrozenTrial:
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
