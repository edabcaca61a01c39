"""The time of `bnzoo tune` and `bnzoo train`: the budget, the plan for it, and the deadline."""

import os
import time
from typing import TYPE_CHECKING, Any

import typer

from bnzoo.cli.console import UserError, message_of, quietly, say
from bnzoo.cli.waiting import waiting
from bnzoo.machine import process_seconds

if TYPE_CHECKING:
    from bnzoo.tuning import Study
    from bnzoo.tuning.planning import StudyPlan

# the most seconds, and the largest share of the budget, that are kept for the report
_REPORT, _REPORT_SHARE = 15.0, 0.05
# the seconds of the export of a study without a plan, whose networks were not timed
_EXPORT = 60.0


class Clock:
    """The time of a command, from the start of the process.

    Args:
        budget: Float, the seconds of the command; `None` for no budget.
        final: Boolean, whether the best configuration is trained again.
        workers: Integer, the largest number of processes for the search.
        confirm: Integer, the configurations that are confirmed with new seeds.

    Attributes:
        deadline: Float, the end of the budget as `time.monotonic()`, or `None`.
        plan: The plan of the study, or `None`.
    """

    def __init__(self, budget: float | None, final: bool = True, workers: int = 1, confirm: int = 0) -> None:
        start = time.monotonic() - process_seconds()
        self._budget = budget or 0.0
        self.deadline = None if budget is None else start + budget
        self.plan: StudyPlan | None = None
        self._start = 0.0
        self._final, self._workers, self._confirm, self._is_new = final, workers, confirm, False

    def check(self) -> None:
        """Raise `UserError` if the budget has been spent before the work begins."""
        if self.deadline is not None and time.monotonic() >= self.deadline:
            raise UserError(
                f"--budget {self._budget:g}s is too short: the start and reading the data took {process_seconds():.0f} "
                "s. Choose a longer time, such as 10m"
            )

    def plans(self, stored: dict[str, Any] | None) -> bool:
        """Return whether a study has a plan, or gets one. The plan of a study that has begun is read.

        Args:
            stored: Dict, the definition of the study, if it has begun.

        Raises:
            ValueError: If the plan is damaged.
        """
        from bnzoo.tuning.planning import StudyPlan

        self._start = process_seconds()  # a worker imports the same and gets the data
        if stored is not None:
            self.plan = StudyPlan.from_config(stored["plan"]) if "plan" in stored else None
            return self.plan is not None
        self._is_new = True
        return self.deadline is not None

    def timed(self, study: "Study", precision: str, trials: int | None = None) -> "Study":
        """Time the networks of a new study, print what its search takes, and return it with the plan for the budget.

        If another process has stored its plan at the same moment, the study has that one.

        Args:
            study: The `Study`.
            precision: String, the precision of a study with a budget, or `"auto"`.
            trials: Integer, the largest number of trials; `None` for no limit.
        """
        if not self._is_new:
            if self.deadline is not None and self.plan is None:
                say(
                    f"warning: the study in {study.directory} has no plan for a budget, so its trials keep their "
                    f"{study.epochs} epochs. A new --output plans them for {self._budget:g}s"
                )
            return study
        study.directory.mkdir(parents=True, exist_ok=True)  # before time is spent on a folder that cannot be made
        from bnzoo.tuning import planning, timing

        epochs = study.epochs
        try:
            with waiting("timing the networks"), quietly():
                if self.deadline is None:
                    found = timing.measure(study)
                else:
                    self.plan, precision, found = timing.planned(
                        study, self.left, self._final, self._workers, self._start, precision, self._confirm
                    )
        except Exception as error:  # the trials will show the same error
            say(f"warning: the networks could not be timed ({type(error).__name__}: {message_of(error)})")
            return study
        if self.plan is not None and found.export > self.plan.seconds:
            say(
                f"warning: --budget {self._budget:g}s is too short: {self.plan.seconds:.0f} s are left, and the export "
                f"takes about {found.export:.0f} s. The search is one short trial, and the command will end late"
            )
        if self.plan is not None:
            study = study.store_plan(self.plan, precision)
            self.plan = study.plan
        arguments = found, epochs, study.seeds, study.plan, study.precision, trials, self._final
        typer.echo(planning.announcement(*arguments))
        return study

    @property
    def left(self) -> float:
        """The seconds of the budget that are left, at least 1."""
        assert self.deadline is not None
        return max(1.0, self.deadline - time.monotonic())

    @property
    def trials(self) -> int | None:
        """The largest number of trials of the plan; `None` without a plan."""
        return None if self.plan is None else self.plan.trials

    @property
    def training_deadline(self) -> float | None:
        """The end of the final training and of its export, as `time.monotonic()`: the report follows."""
        if self.deadline is None:
            return None
        report = min(_REPORT, _REPORT_SHARE * self._budget)
        # on a machine that others use too, a process gets less done in the same time; workers did its search
        slowness = max(1.0, process_seconds() / max(1.0, sum(os.times()[:4])))
        return self.deadline - min(slowness * report, self.left / 2)

    def workers(self, search: float | None) -> int:
        """Return the number of processes for the search: one if starting others takes too much of its time.

        Args:
            search: Float, the seconds of the search, or of the confirmation; `None` without a budget.
        """
        from bnzoo.tuning.planning import worthwhile_workers

        if search is None or worthwhile_workers(self._workers, search, self._start) == self._workers:
            return self._workers
        say(f"one process does the search of {search:.0f} s: {self._workers} workers take {self._start:.0f} s to start")
        return 1

    def of_search(self) -> float | None:
        """Return the seconds for the search from now on; `None` without a budget."""
        if self.deadline is None:
            return None
        if self.plan is None:
            from bnzoo.tuning.planning import divided

            return divided(self.left, _EXPORT, self._final)[0]
        whole = self.plan.seconds
        # a command that continues a study has its own budget, of which the search gets its share
        return min(self.plan.search, self.left * self.plan.search / whole) if whole else self.left

    def of_confirmation(self) -> float | None:
        """Return the seconds for the confirmation, after the search; `None` without a budget, 0 without the time."""
        if self.deadline is None or self.plan is None:
            return self.of_search()
        planned = self.plan.confirmation
        return min(planned, self.left * planned / (self.plan.seconds - self.plan.search)) if planned else 0.0

    def warn_unless_confirming(self) -> None:
        """Print a warning if the plan has no time for the confirmation that is asked for."""
        if self._confirm and self.of_confirmation() == 0:
            say(
                f"warning: the plan has no time for --confirm {self._confirm}. The same command without --budget "
                "confirms when the search has ended"
            )
