import itertools
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from bnzoo.export import latency


class Clock:
    """A clock that advances only during calls."""

    def __init__(self):
        self.now = 0.0
        self.calls = []

    def contestant(self, name, *seconds):
        """Return a function that takes the given times, one per call, and then always the last."""
        left = list(seconds)

        def call():
            self.calls.append(name)
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return call


@pytest.fixture
def clock(monkeypatch):
    found = Clock()
    monkeypatch.setattr(latency.time, "perf_counter", lambda: found.now)
    return found


def test_the_second_of_two_calls_is_timed_and_the_first_round_is_not(clock):
    # a cold call, then a timed one; the first round is not recorded
    a = clock.contestant("a", 90, 70, 5, 1, 5, 2, 5, 3, 5, 4, 5, 6)
    times = latency.latencies({"a": a, "b": clock.contestant("b", 2)}, seconds=0)
    np.testing.assert_array_equal(times["a"], [1, 2, 3, 4, 6])
    np.testing.assert_array_equal(times["b"], [2, 2, 2, 2, 2])
    assert Counter(clock.calls) == {"a": 12, "b": 12}
    assert clock.calls[::2] == clock.calls[1::2], "an untimed call right before each"


def test_rounds_begin_until_the_time_is_over(clock):
    times = latency.latencies({"a": clock.contestant("a", 1), "b": clock.contestant("b", 0.5)}, seconds=24)
    assert {name: len(values) for name, values in times.items()} == {"a": 8, "b": 8}


def test_every_place_is_everyones(clock):
    latency.latencies({name: clock.contestant(name, 1) for name in "abc"}, seconds=30)
    rounds = np.reshape(clock.calls[::2], (-1, 3))[:6]
    for place in rounds.T:
        assert Counter(place) == {"a": 2, "b": 2, "c": 2}
    before = Counter((str(x), str(y)) for order in rounds for x, y in itertools.pairwise(order))
    assert set(before.values()) == {2}, "each comes as often after each other one"


def test_a_contestant_may_have_its_own_clock():
    answers = {"a": lambda: 3.0, "b": lambda: 4.0}
    times = latency.latencies(answers, seconds=0, measure=lambda call: call())
    np.testing.assert_array_equal(times["b"] / times["a"], [4 / 3] * 5)


def test_nobody_takes_no_time():
    assert latency.latencies({}, seconds=0) == {}


def test_neither_keras_nor_tensorflow_is_imported():
    script = f"""
import runpy, sys
runpy.run_path({latency.__file__!r})["latencies"]({{"a": list}}, 0)
assert not {{"keras", "tensorflow", "bnzoo"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", script], check=True)
