"""The plugin for the tiers of the tests, in separate test runs."""

import pytest
import tiers

MARKS = "import time, pytest\n"
BUSY = """
def test_busy():
    end = time.process_time() + 0.1
    while time.process_time() < end:
        pass
"""


@pytest.fixture
def run(pytester, monkeypatch):
    """Run one file of tests with the plugin, in this process and without xdist."""
    monkeypatch.setattr(tiers, "LIMIT", 0.02)
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    pytester.makeini("[pytest]\nmarkers =\n    slow\n    nightly\n    extras\naddopts = --numprocesses auto")

    def run_pytest(text, *options):
        pytester.makepyfile(MARKS + text)
        return pytester.runpytest_inprocess("-p", "tiers", "-p", "no:xdist", *options)

    return run_pytest


@pytest.mark.parametrize(
    ("margin", "status"), [(2, pytest.ExitCode.TESTS_FAILED), (1000, pytest.ExitCode.OK)], ids=["fails", "is named"]
)
def test_a_plain_test_over_the_limit(run, monkeypatch, margin, status):
    monkeypatch.setattr(tiers, "MARGIN", margin)
    result = run(BUSY)
    assert result.ret == status
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        [
            f"*plain tests over 0.02 s; a run fails above {0.02 * margin:g} s*",
            "0.? s *::test_busy",
            "plain: 1 tests, 0 s of their own",
        ]
    )


@pytest.mark.parametrize("tier", tiers.TIERS)
def test_a_test_of_another_tier_may_take_longer(run, tier):
    result = run(f"@pytest.mark.{tier}{BUSY}")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines([f"{tier}: 1 tests, 0 s of their own"])


def test_slow_tests_that_are_too_late_are_left_out_and_counted(run, monkeypatch):
    text = "@pytest.mark.slow\ndef test_slow():\n    pass\n\ndef test_plain():\n    pass"
    for until, passed in (("0", 1), ("inf", 2)):
        monkeypatch.setenv(tiers.UNTIL, until)
        result = run(text)
        result.assert_outcomes(passed=passed, skipped=2 - passed)
        left_out = f"1 slow tests were left out, since {tiers.LATE}."
        assert (left_out in result.outlines) == (passed == 1)


def test_an_exception_may_take_longer(run, monkeypatch):
    monkeypatch.setattr(tiers, "EXCEPTIONS", {"test_an_exception_may_take_longer.py::test_busy": "a reason"})
    assert run(BUSY).ret == pytest.ExitCode.OK


def test_waiting_for_others_does_not_count(run):
    result = run("def test_waits():\n    time.sleep(0.1)")
    assert result.ret == pytest.ExitCode.OK


def test_two_tiers_are_refused(run):
    result = run(f"@pytest.mark.slow\n@pytest.mark.nightly{BUSY}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*test_busy is marked with two tiers; choose one of slow, nightly."])


def test_what_is_not_installed_is_skipped_with_its_name(run):
    result = run("@pytest.mark.extras('json', 'no_such_package')\ndef test_it():\n    raise AssertionError", "-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*not installed: no_such_package*"])
    run("@pytest.mark.extras('json')\ndef test_it():\n    pass").assert_outcomes(passed=1)
