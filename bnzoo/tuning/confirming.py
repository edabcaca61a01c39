"""A run of the confirmation: the finalists of a study are trained with new seeds, here or in several processes."""

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from bnzoo.tuning.finalists import best_trials
from bnzoo.tuning.progress import progress_bar
from bnzoo.tuning.records import Records
from bnzoo.tuning.tuner import run_trials
from bnzoo.tuning.workers import run_workers

if TYPE_CHECKING:
    from bnzoo.tuning.study import Study


def run_confirmation(
    study: "Study", records: Records, top: int, seeds: int, progress: Any, workers: int, budget: float | None
) -> None:
    """Run the trials of the confirmation that are missing.

    Args:
        study: The `Study`, which has begun.
        records: Its `Records`.
        top: As in `Study.confirm`.
        seeds: As in `Study.confirm`.
        progress: As in `Study.confirm`.
        workers: As in `Study.confirm`.
        budget: As in `Study.confirm`.
    """
    finalists = records.confirm(best_trials(study.results, top), seeds)
    found = study.refresh().confirmation
    if found is not None and not found.not_tried:
        return
    total = len(finalists.trials) * finalists.seeds
    bar = progress_bar(study, total=total, budget=budget, confirming=True)
    with bar if progress is None else nullcontext(progress) as show:
        if workers == 1:
            run_trials(study, records, show, budget=budget, trials=None, finalists=finalists)
        else:
            run_workers(study, show, workers, budget=budget, trials=None, confirming=True)
