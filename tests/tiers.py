"""A pytest plugin for the tiers of tests, the time limit of plain tests, and the required packages of a test.

A test belongs to one tier: plain (no marker), `slow` or `nightly`. A plain test may take `LIMIT` seconds of its own. A
run names those that take more, and fails if one takes `MARGIN` times as long. On a machine that is slow or busy at that
moment the limit is higher in proportion.
"""

import os
import time
from collections import defaultdict
from importlib.util import find_spec

import pytest

TIERS = ("slow", "nightly")
LIMIT = 2.0  # seconds
MARGIN = 2.0  # `slowness` is a rough measure: machines differ more in what TensorFlow does than in what Python does
WORK = 0.13  # processor seconds of `work` on a quiet machine: 2 cores of an AMD EPYC (Zen 4), Python 3.11
# the variable with the time, in seconds since 1970, after which no slow test is started
UNTIL = "SLOW_TESTS_UNTIL"
LATE = "the time for slow tests is over"
# plain tests with a longer limit, at most ten, each with the reason
EXCEPTIONS: dict[str, str] = {}
assert len(EXCEPTIONS) <= 10
# Files whose tests share an expensive fixture. One worker process runs all tests of such a file.
ONE_PROCESS = (
    "tests/export/test_images.py",
    "tests/export/test_verify.py",
    "tests/pictures/test_read.py",
    "tests/test_report.py",
    "tests/tuning/test_study_training.py",
)


def pytest_addoption(parser, pluginmanager):
    if not pluginmanager.hasplugin("xdist"):
        # `pytest -p no:xdist`: the options of xdist in pyproject.toml have no effect
        for option in ("--numprocesses", "--maxprocesses"):
            parser.addoption(option, help="ignored: pytest-xdist is not in use")


def pytest_configure(config):
    config.pluginmanager.register(Durations(), "durations of tiers")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Run all tests of some files in one process. `--dist loadgroup` of pytest-xdist 3.8 fails with pytest 9."""
    from xdist.scheduler import LoadScopeScheduling

    class ByTestOrFile(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            file = nodeid.partition("::")[0]
            return file if file in ONE_PROCESS else nodeid

    return ByTestOrFile(config, log)


def pytest_collection_modifyitems(items):
    for item in items:
        if len(tiers_of(item)) > 1:
            raise pytest.UsageError(f"{item.nodeid} is marked with two tiers; choose one of {', '.join(TIERS)}.")


def pytest_runtest_setup(item):
    packages = [package for mark in item.iter_markers("extras") for package in mark.args]
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    if "slow" in tiers_of(item) and time.time() >= float(os.environ.get(UNTIL, "inf")):
        pytest.skip(LATE)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    wall, processor = time.perf_counter(), processor_seconds()
    try:
        return (yield)
    finally:
        # On a busy machine the wall time includes other processes. On several cores the processor time is longer.
        own = min(time.perf_counter() - wall, processor_seconds() - processor)
        tier = next(iter(tiers_of(item)), "plain")
        if tier == "plain" and own > LIMIT:
            own /= slowness()
        item.user_properties += [("tier", tier), ("own_seconds", own)]


def tiers_of(item) -> list[str]:
    """Return the tiers that a test is marked with, at most one in a correct test."""
    return [tier for tier in TIERS if item.get_closest_marker(tier) is not None]


def tiered(cases, *, plain=(), slow=(), rest="nightly"):
    """Return cases as parameters of a test, each in its tier.

    Args:
        cases: Iterable of values, or of tuples of values.
        plain: Collection of those without a marker.
        slow: Collection of those marked `slow`.
        rest: String, the tier of all others.
    """
    cases = list(cases)
    strays = [case for case in (*plain, *slow) if case not in cases]
    assert not strays, f"not among the cases: {strays}"

    def marks(case):
        return () if case in plain else getattr(pytest.mark, "slow" if case in slow else rest)

    return [pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=marks(case)) for case in cases]


def processor_seconds() -> float:
    """Return the processor time of this process and of the children that it has waited for, in seconds."""
    return sum(os.times()[:4])


def slowness() -> float:
    """Return the time of a fixed piece of work, relative to a quiet machine, at least 1."""
    began = time.process_time()
    work()
    return max(1.0, (time.process_time() - began) / WORK)


def work() -> int:
    """Compute for about `WORK` seconds."""
    return sum(number * number % 7 for number in range(2_000_000))


class Durations:
    """A collector of test durations from all processes, summed by tier."""

    def __init__(self) -> None:
        # JAX compiles each operation at its first use, in whichever test that is
        on_jax = os.environ.get("KERAS_BACKEND") == "jax"
        self.limit = float("inf") if on_jax else LIMIT
        self.seconds = defaultdict(list)
        self.over = {}
        self.late = 0

    def pytest_runtest_logreport(self, report):
        self.late += report.skipped and LATE in str(report.longrepr)
        if report.when != "call":
            return
        found = dict(report.user_properties)
        tier, own = found["tier"], found["own_seconds"]
        self.seconds[tier].append(own)
        if tier == "plain" and own > self.limit and report.nodeid not in EXCEPTIONS:
            self.over[report.nodeid] = own

    def pytest_sessionfinish(self, session):
        too_slow = any(own > MARGIN * self.limit for own in self.over.values())
        if too_slow and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter):
        if self.over:
            fails = f"a run fails above {MARGIN * self.limit:g} s"
            terminalreporter.section(f"plain tests over {self.limit:g} s; {fails}", red=True)
            for name, own in self.over.items():
                terminalreporter.line(f"{own:.1f} s {name}")
            terminalreporter.line("Make them cheaper, mark them `slow`, or name them in tests/tiers.py.")
        if self.late:
            terminalreporter.line(f"{self.late} slow tests were left out, since {LATE}.", yellow=True)
        for tier, seconds in self.seconds.items():
            terminalreporter.line(f"{tier}: {len(seconds)} tests, {sum(seconds):.0f} s of their own")
