import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

finetune = SimpleNamespace(**runpy.run_path(str(Path(__file__).parent.parent / "recipes" / "finetune.py")))
ARMS, BATCH_SIZES, UNTRAINED = finetune.ARMS, finetune.BATCH_SIZES, finetune.UNTRAINED


def planted(gains: dict[str, tuple[float, ...]], rates=(0.1, 0.2, 0.3), best_rate=0.2) -> pd.DataFrame:
    """Return runs in which every arm has a test accuracy of 0.5 at its best rate, and some arms have more, by seed."""
    seeds = len(next(iter(gains.values())))
    runs = [(seed, arm, 0, 0.0, 0.3, 0.3) for seed in range(seeds) for arm in UNTRAINED]
    for seed in range(seeds):
        for arm in ARMS:
            gain = gains.get(arm, (0.0,) * seeds)[seed]
            for size in BATCH_SIZES:
                runs += [(seed, arm, size, rate, 0.5 + (rate == best_rate), 0.5 + gain) for rate in rates]
    return pd.DataFrame(runs, columns=["seed", "arm", "batch_size", "rate", "validation", "test"])


def test_the_shift_keeps_the_labels_and_changes_the_statistics(digits):
    shifted = finetune.shifted(digits.test)
    np.testing.assert_array_equal(shifted.y, digits.test.y)
    assert shifted.x.shape == digits.test.x.shape
    assert shifted.x.dtype == np.float32
    assert shifted.x.std() < 0.8 * digits.test.x.std()
    left, right = (shifted.x[:, :, half].mean() for half in (slice(4), slice(4, None)))
    assert right > left + 2
    np.testing.assert_array_equal(shifted.x, finetune.shifted(digits.test).x)
    assert (shifted.x != finetune.shifted(digits.test, seed=1).x).any()


def test_the_rate_is_chosen_on_the_validation_digits():
    runs = planted({"frozen": (0.1, 0.1)})
    # better on the test digits, which must have no influence
    runs.loc[runs["rate"] == 0.3, "test"] = 1.0
    best = finetune.chosen(runs)
    assert set(best["rate"]) == {0.0, 0.2}
    assert len(best) == 2 * (len(UNTRAINED) + len(ARMS) * len(BATCH_SIZES))


def test_the_rate_is_one_for_all_seeds():
    runs = planted({"frozen": (0.1, 0.1)})
    runs.loc[(runs["seed"] == 0) & (runs["rate"] == 0.1), "validation"] = 1.8
    assert set(finetune.chosen(runs)["rate"]) == {0.0, 0.2}


def test_the_table_has_each_arm_and_batch_size():
    table = finetune.table(finetune.chosen(planted({"frozen": (0.1, 0.2)})))
    assert list(table.index) == [*UNTRAINED, *ARMS]
    assert list(table) == ["no training", *(f"batch {size}" for size in BATCH_SIZES)]
    assert table.loc["frozen", "batch 8"] == "65.0 ± 7.1"
    assert table.loc["untouched"].tolist() == ["30.0 ± 0.0", "", "", ""]


@pytest.mark.parametrize(
    ("gains", "leader", "cost"),
    [
        (
            {"frozen": (0.2, 0.21, 0.22)},
            "best is 'frozen', 71.0 %; every other is clearly behind.",
            "'unfrozen' costs 21.0 points against 'frozen' (clear; spread over seeds 1.0).",
        ),
        (
            {"unfrozen": (0.1, 0.11, 0.12)},
            "best is 'unfrozen', 61.0 %; every other is clearly behind.",
            "'unfrozen' gains 11.0 points against 'frozen' (clear; spread over seeds 1.0).",
        ),
        (
            {"frozen": (0.3, 0.0, 0.3), "replaced": (0.3, 0.1, 0.3)},
            "best is 'replaced', 73.3 %; not clearly behind: 'frozen'.",
            "'unfrozen' costs 20.0 points against 'frozen' (not clear; spread over seeds 17.3).",
        ),
        (
            {"replaced": (0.2,)},
            "best is 'replaced', 70.0 %; not clearly behind: "
            "'unfrozen', 'unfrozen, recalibrated', 'frozen', 'recalibrated, frozen'.",
            "(not clear; one seed, no spread known).",
        ),
    ],
    ids=["frozen wins", "unfrozen wins", "seeds disagree", "one seed"],
)
def test_the_sentences_follow_from_the_numbers(gains, leader, cost):
    said = finetune.conclusions(planted(gains))
    assert len(said) == len(BATCH_SIZES)
    for size, sentence in zip(BATCH_SIZES, said, strict=True):
        assert sentence.startswith(f"Batch {size}: {leader} ")
        assert sentence.endswith(cost)


def test_rates_at_the_edge_are_told():
    said = finetune.conclusions(planted({"frozen": (0.1, 0.1)}, best_rate=0.3))
    assert said[-1].startswith("15 of 15 chose the smallest or largest learning rate tried")


@pytest.mark.slow
def test_the_quick_run(tmp_path, capsys):
    finetune.main(tmp_path / "new" / "finetune", quick=True)
    out = capsys.readouterr().out
    runs = pd.read_csv(tmp_path / "new/finetune/finetune.csv")
    trained = runs[runs["batch_size"] > 0]
    assert set(zip(trained["arm"], trained["batch_size"], strict=True)) == {(a, b) for a in ARMS for b in BATCH_SIZES}
    assert runs.groupby("arm").size()[list(UNTRAINED)].tolist() == [1, 1]
    assert (tmp_path / "new/finetune/finetune.png").read_bytes().startswith(b"\x89PNG")
    assert all(f"\n{arm}" in out for arm in (*UNTRAINED, *ARMS))
    assert all(f"Batch {size}: best is" in out for size in BATCH_SIZES)

    accuracy = finetune.chosen(runs).groupby("arm")["test"].max()
    assert accuracy["untouched"] < 0.6
    assert accuracy[list(ARMS)].max() > accuracy["untouched"] + 0.2
