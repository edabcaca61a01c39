"""Runs the experiments of the claims, one per process, and stores their results."""

import multiprocessing
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path

from bnzoo.tuning.workers import cores_shared, end_with_parent
from recipes.claims import NAMES, FailedTrialsError, pages
from recipes.claims.bench import Bench
from recipes.claims.claim import get, names_on_images
from recipes.claims.store import STUDIES, Store


def run(names: Sequence[str], bench: Bench, folder: Path) -> None:
    """Test claims, and write the results into a folder after each claim.

    A claim whose rows are in the folder is not run again.

    Args:
        names: The claims to test, some of `recipes.claims.NAMES`.
        bench: The `Bench`. Each worker tests one claim. If there is only one claim, the workers share its trials.
        folder: The folder for rows, pictures and pages.

    Raises:
        ValueError: If the folder has rows of a run with another size, another number of seeds or other images, if a
            claim has no experiment on images, or if the data cannot be used.
        FailedTrialsError: If trials of a claim failed. If there are several workers, the error is printed at once, and
            the other claims are measured first.
    """
    if bench.file and (digits_only := [name for name in names if not get(name).on_images]):
        raise ValueError(
            f"{', '.join(digits_only)}: there is no experiment on images. With --data the claims are "
            f"{', '.join(names_on_images())}."
        )
    if bench.subfolder == STUDIES:
        raise ValueError(f"{bench.file}: the folder of this name has the studies. Choose another name for the file.")
    whole, store = Store(folder), Store(folder, bench.subfolder)
    store.refuse_others(names, bench.size, bench.seeds, bench.fingerprint)
    findings: dict[str, pages.Finding] = {}
    for name in _obtained(names, bench, store):
        # the claim itself again, because it may have had rows on other data
        for finding in pages.find(whole, [each for each in NAMES if each == name or each not in findings]):
            pages.write(finding, folder)
            findings[finding.name] = finding
        pages.write_overview([findings[each] for each in NAMES if each in findings], folder)
        verdict = next(result.verdict for result in findings[name].results if result.path == store.path(name))
        print(f"{name}: {verdict}", *(f"  {note}" for note in verdict.notes), sep="\n", flush=True)
    print(f"{folder / 'claims.html'}, {folder / 'README.md'}")


def _obtained(names: Sequence[str], bench: Bench, store: Store) -> Iterator[str]:
    """Yield the claims whose rows are stored already, then each other claim after its measurement."""
    missing = [name for name in names if not store.has(name)]
    yield from (name for name in names if name not in missing)
    if bench.workers == 1 or len(missing) < 2:
        for name in missing:
            _obtain(name, bench, store)
            yield name
        return
    workers, spawn = min(bench.workers, len(missing)), multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, spawn, initializer=end_with_parent) as pool:
        with cores_shared(workers):
            claim_each = replace(bench, workers=1, alone=False)
            running = {pool.submit(_obtain, name, claim_each, store): name for name in missing}
        failed = []
        try:
            for done in as_completed(running):
                error = done.exception()
                if error is None:
                    yield running[done]
                elif isinstance(error, FailedTrialsError):
                    print(f"{running[done]}: {error}", file=sys.stderr, flush=True)
                    failed.append(running[done])
                else:
                    raise error
        finally:
            pool.shutdown(cancel_futures=True)
    if failed:
        raise FailedTrialsError(f"trials of {' and '.join(failed)} failed, as told above")


def _obtain(name: str, bench: Bench, store: Store) -> None:
    """Measure a claim, and store its rows."""
    start = time.perf_counter()
    rows = get(name).measure(bench)
    store.save(name, rows, bench.origin(time.perf_counter() - start))
