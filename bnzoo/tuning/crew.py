"""Several workers of a study on one machine: processes that share its cores and know of each other by its storage."""

import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bnzoo.machine import available_cores

if TYPE_CHECKING:
    from bnzoo.tuning.study import Progress, Study

# what TensorFlow and the libraries under it read when they start
_THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")
# seconds between two looks at the storage
_POLL = 0.5


def work_together(
    study: "Study", progress: "Progress", workers: int, *, budget: float | None, trials: int | None
) -> None:
    """Runs a study's trials in processes, and tells their results as they appear.

    Args:
        study: The `Study`.
        progress: As `Study.run`'s.
        workers: Integer, the number of processes.
        budget: As `Study.run`'s; the start of the processes is in it.
        trials: As `Study.run`'s.

    Raises:
        RuntimeError: If all of them died.
    """
    context = multiprocessing.get_context("spawn")  # TensorFlow does not survive a fork
    end = None if budget is None else time.time() + budget
    crew = [context.Process(target=_work, args=(study.recipe(), end, trials), daemon=True) for _ in range(workers)]
    log = study.directory / "workers.log"
    with cores_shared(workers), _stderr_to(log):
        for process in crew:
            process.start()
    try:
        _tell(study, progress, crew)
    finally:
        for process in crew:
            process.terminate()
            process.join()
    if all(process.exitcode for process in crew):
        codes = ", ".join(str(process.exitcode) for process in crew)
        raise RuntimeError(
            f"All {workers} workers died (exit codes {codes}); {log} has their last words. The same study, run again, "
            "goes on"
        )


def _work(recipe: dict[str, Any], end: float | None, trials: int | None) -> None:
    from bnzoo.tuning.study import Study

    study = Study(**recipe)
    try:
        budget = None if end is None else end - time.time()
        if budget is None or budget > 0:
            study.work(budget=budget, trials=trials)
    except KeyboardInterrupt:  # which the whole group of processes gets; the first of them tells the user
        raise SystemExit(130) from None


def _tell(study: "Study", progress: "Progress", crew: list[SpawnProcess]) -> None:
    told = {result.trial for result in study.refresh().trials}
    alive = True
    while alive:
        alive = any(process.is_alive() for process in crew)
        for result in study.refresh().trials:
            if result.trial not in told:
                told.add(result.trial)
                progress(study, result)
        time.sleep(_POLL if alive else 0)


@contextmanager
def _stderr_to(path: Path) -> Iterator[None]:
    """Sends what processes that start meanwhile say, TensorFlow's greetings first, to the end of a file."""
    sys.stderr.flush()
    terminal = os.dup(2)
    with path.open("ab") as file:
        os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)


@contextmanager
def cores_shared(workers: int) -> Iterator[None]:
    """Gives every process that starts meanwhile its share of the cores.

    Args:
        workers: Integer, how many share them.
    """
    share = str(max(1, available_cores() // workers))
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, share))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
