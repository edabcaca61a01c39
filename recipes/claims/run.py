"""Trying claims one after another, and keeping what was found."""

import time
from collections.abc import Sequence
from pathlib import Path

from recipes.claims import pages
from recipes.claims.bench import Bench
from recipes.claims.claim import get
from recipes.claims.store import Origin, Store


def run(names: Sequence[str], bench: Bench, folder: Path) -> None:
    """Tries claims and writes into a folder what was found, after each of them.

    A claim whose rows are in the folder is not run again.

    Args:
        names: Those of `recipes.claims.NAMES` to try.
        bench: The `Bench`.
        folder: For rows, pictures and pages.

    Raises:
        ValueError: If the folder has rows of a run of another size or number of seeds.
    """
    store = Store(folder)
    store.refuse_others(names, bench.size, bench.seeds)
    for name in names:
        if not store.has(name):
            start = time.perf_counter()
            rows = get(name).measure(bench)
            store.save(name, rows, Origin.here(bench.size, bench.seeds, time.perf_counter() - start))
        findings = pages.find(store)
        pages.write_all(findings, folder)
        found = next(finding for finding in findings if finding.name == name).verdict
        print(f"{name}: {found}", *(f"  {note}" for note in found.notes), sep="\n", flush=True)
    print(f"{folder / 'claims.html'}, {folder / 'README.md'}")
