"""Plant each fault of `faults.toml` in a copy of the project, and print the tier of the tests that detects it.

    python tests/planted_faults/run.py                    # all faults, one after the other
    python tests/planted_faults/run.py --only tools       # those of one part, or with this text in their name
    python tests/planted_faults/run.py --project ../other # the tests and the code of another checkout

The tests that CI runs for the part of a fault run in the copy: first the plain tests, then the slow tests. The exit
status is 1 if a fault is not detected. The environment must have the extras that CI installs.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
TIERS = {"plain": "not slow and not nightly", "slow": "slow"}
# the tests of each part of the package
TESTS = {
    "layers": ("tests/layers", "tests/test_norms.py"),
    "blocks": ("tests/models", "tests/test_norms.py"),
    "models": ("tests/models",),
    "weights": ("tests/weights",),
    "tools": ("tests/tools", "tests/test_cli_repair.py"),
    "export": ("tests/export", "tests/test_cli_deploy.py"),
    "data": ("tests/test_data.py", "tests/test_tables.py", "tests/test_downloads.py"),
    "tuning": ("tests/tuning",),
    "reports": ("tests/test_report.py", "tests/test_health_report.py"),
    "cli": ("tests/test_cli.py", "tests/test_cli_deploy.py", "tests/test_cli_repair.py"),
    "files": ("tests/test_files.py", "tests/export"),
}
TIMEOUT = 1800  # seconds for the tests of a tier; a fault may make a loop endless


class Fault(NamedTuple):
    """A replacement in one file. `old` occurs once in it."""

    name: str
    part: str
    file: str
    old: str
    new: str

    def planted(self, text: str) -> str:
        """Return the text of the file with the fault."""
        if text.count(self.old) != 1:
            count = text.count(self.old)
            raise ValueError(f"{self.file} must have the old text of {self.name!r} once, not {count} times.")
        return text.replace(self.old, self.new)


class Found(NamedTuple):
    """The first test that failed, and its tier; no tier if all passed."""

    tier: str | None
    test: str
    seconds: float


def read() -> list[Fault]:
    """Return the faults of the table."""
    return [Fault(**row) for row in tomllib.loads((HERE / "faults.toml").read_text())["fault"]]


def copy(project: Path, folder: Path) -> None:
    """Copy the files of a checkout that git does not ignore."""
    command = ["git", "-C", str(project), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\0"):
        if name and (project / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(project / name, folder / name)


def look_for(fault: Fault, project: Path) -> Found:
    """Run the tests of the part in a copy with the fault, tier by tier, until one fails."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        copy(project, folder)
        path = folder / fault.file
        path.write_text(fault.planted(path.read_text()))
        for tier, marks in TIERS.items():
            test = first_failure(folder, TESTS[fault.part], marks)
            if test:
                return Found(tier, test, time.monotonic() - began)
    return Found(None, "", time.monotonic() - began)


def first_failure(folder: Path, tests: tuple[str, ...], marks: str) -> str | None:
    """Return the name of the first test that fails, or None."""
    command = [sys.executable, "-m", "pytest", "-n", "0", "-x", "-q", "--tb=no", "-p", "no:cacheprovider", "-m", marks]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    run = partial(subprocess.run, cwd=folder, env=environment, capture_output=True, text=True)
    try:
        done = run([*command, *tests], timeout=TIMEOUT, check=False)
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"The tests have no end in {TIMEOUT} s, which says nothing of the fault.") from error
    failed = re.search(r"^(?:FAILED|ERROR) (\S+)", done.stdout, flags=re.MULTILINE)
    if failed:
        return failed[1]
    if done.returncode not in (0, 5):  # 5: no test has the marks
        raise RuntimeError(f"pytest ended with status {done.returncode}:\n{done.stdout}{done.stderr}")
    return None


def main() -> int:
    """Print a line for each fault, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="a part, or text in the name of a fault")
    parser.add_argument("--project", type=Path, default=HERE.parents[1], help="the checkout that is tested")
    parser.add_argument("--jobs", type=int, default=1, help="faults that are looked for at the same time")
    options = parser.parse_args()
    faults = [fault for fault in read() if options.only == fault.part or options.only in fault.name]
    counts = dict.fromkeys((*TIERS, None), 0)
    with ThreadPoolExecutor(options.jobs) as pool:
        for fault, found in zip(faults, pool.map(lambda fault: look_for(fault, options.project), faults), strict=True):
            counts[found.tier] += 1
            where = f"{found.tier}: {found.test}" if found.tier else "NOT FOUND"
            print(f"{fault.part}: {fault.name}\n    {where} ({found.seconds:.0f} s)", flush=True)
    print(
        f"{len(faults)} faults, found by plain tests: {counts['plain']}, by slow: {counts['slow']}, not: {counts[None]}"
    )
    return 1 if counts[None] else 0


if __name__ == "__main__":
    sys.exit(main())
