"""Trying claims, one in each process, and keeping what was found."""

import multiprocessing
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path

from bnzoo.tuning.workers import cores_shared
from recipes.claims import NAMES, pages
from recipes.claims.bench import Bench
from recipes.claims.claim import get
from recipes.claims.store import Origin, Store


def run(names: Sequence[str], bench: Bench, folder: Path) -> None:
    """Tries claims and writes into a folder what was found, after each of them.

    A claim whose rows are in the folder is not run again.

    Args:
        names: Those of `recipes.claims.NAMES` to try.
        bench: The `Bench`. Its workers try a claim each; if there is a single one, they share its trials.
        folder: For rows, pictures and pages.

    Raises:
        ValueError: If the folder has rows of a run of another size or number of seeds.
    """
    store = Store(folder)
    store.refuse_others(names, bench.size, bench.seeds)
    findings: dict[str, pages.Finding] = {}
    for name in _obtained(names, bench, store):
        for finding in pages.find(store, [each for each in NAMES if each not in findings]):
            pages.write(finding, folder)
            findings[finding.name] = finding
        pages.write_overview([findings[each] for each in NAMES if each in findings], folder)
        found = findings[name].verdict
        print(f"{name}: {found}", *(f"  {note}" for note in found.notes), sep="\n", flush=True)
    print(f"{folder / 'claims.html'}, {folder / 'README.md'}")


def _obtained(names: Sequence[str], bench: Bench, store: Store) -> Iterator[str]:
    """The claims whose rows are stored: those that are already, then each when it has been measured."""
    missing = [name for name in names if not store.has(name)]
    yield from (name for name in names if name not in missing)
    if bench.workers == 1 or len(missing) < 2:
        for name in missing:
            _obtain(name, bench, store)
            yield name
        return
    workers, spawn = min(bench.workers, len(missing)), multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, spawn) as pool:
        with cores_shared(workers):
            claim_each = replace(bench, workers=1, alone=False)
            running = {pool.submit(_obtain, name, claim_each, store): name for name in missing}
        try:
            for done in as_completed(running):
                done.result()
                yield running[done]
        finally:
            pool.shutdown(cancel_futures=True)


def _obtain(name: str, bench: Bench, store: Store) -> None:
    """Measures a claim and stores its rows."""
    start = time.perf_counter()
    rows = get(name).measure(bench)
    store.save(name, rows, Origin.here(bench.size, bench.seeds, time.perf_counter() - start))
