"""Several workers of a study on one machine: processes that share its cores, and the trials through the storage."""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bnzoo.data.rows import ReadError
from bnzoo.machine import available_cores

if TYPE_CHECKING:
    from multiprocessing.queues import SimpleQueue

    from bnzoo.tuning.study import Progress, Study

# environment variables that TensorFlow and its libraries read when they start
_THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")
# seconds between two queries of the storage
_POLL = 0.5


def run_workers(
    study: "Study",
    progress: "Progress",
    workers: int,
    *,
    budget: float | None,
    trials: int | None,
    confirming: bool = False,
) -> None:
    """Run the trials of a study in several processes, and report each result.

    Args:
        study: The `Study`.
        progress: As in `Study.run`.
        workers: Integer, the number of processes.
        budget: As in `Study.run`. It includes the start of the processes.
        trials: As in `Study.run`.
        confirming: Boolean, whether they run the confirmation of the finalists instead of the search.

    Raises:
        ReadError: If an example cannot be read.
        RuntimeError: If all processes died.
    """
    context = multiprocessing.get_context("spawn")  # TensorFlow does not survive a fork
    deadline = None if budget is None else time.time() + budget
    errors = context.SimpleQueue()
    arguments = (study.get_arguments(), deadline, trials, confirming, errors)
    processes = [context.Process(target=_work, args=arguments, daemon=True) for _ in range(workers)]
    log = study.directory / "workers.log"
    with cores_shared(workers), _stderr_to(log):
        for process in processes:
            process.start()
    try:
        _report_results(study, progress, processes, errors)
    finally:
        for process in processes:
            process.terminate()
            process.join()
    if all(process.exitcode for process in processes):
        codes = ", ".join(str(process.exitcode) for process in processes)
        raise RuntimeError(
            f"All {workers} workers died (exit codes {codes}). {log} has their last messages. Run the same study again "
            "to continue it."
        )


def _work(
    arguments: dict[str, Any],
    deadline: float | None,
    trials: int | None,
    confirming: bool,
    errors: "SimpleQueue[str]",
) -> None:
    end_with_parent()
    from bnzoo.tuning.study import Study

    study = Study(**arguments)
    try:
        budget = None if deadline is None else deadline - time.time()
        if budget is None or budget > 0:
            study.work(budget=budget, trials=trials, confirming=confirming)
    except ReadError as error:
        errors.put(str(error))
        raise SystemExit(1) from None
    except KeyboardInterrupt:  # all processes of the terminal get it; the parent reports it
        raise SystemExit(130) from None


def end_with_parent() -> None:
    """End this process as soon as its parent is killed: nobody would wait for it."""
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    signal.raise_signal(signal.SIGTERM)


def _report_results(
    study: "Study", progress: "Progress", processes: list[SpawnProcess], errors: "SimpleQueue[str]"
) -> None:
    """Call `progress` with each new result until all processes have ended. Raise the `ReadError` of any of them."""
    reported = {result.trial for result in study.refresh().every}
    alive = True
    while alive:
        alive = any(process.is_alive() for process in processes)
        for result in study.refresh().every:
            if result.trial not in reported:
                reported.add(result.trial)
                progress(study, result)
        if not errors.empty():
            raise ReadError(errors.get())
        time.sleep(_POLL if alive else 0)


@contextmanager
def _stderr_to(path: Path) -> Iterator[None]:
    """Append the error output of processes that start in the block, such as TensorFlow's log, to a file."""
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
    """Limit each process that starts in the block to its share of the cores.

    Args:
        workers: Integer, the number of processes that share them.
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
