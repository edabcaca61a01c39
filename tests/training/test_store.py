"""The folders of trainings, without a training."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from bnzoo.json_text import json_text
from bnzoo.training.planning import TrainingPlan
from bnzoo.training.store import Store, folder_for

PLAN, OTHER_PLAN = TrainingPlan(2, 7, "float32"), TrainingPlan(1, 7, "bfloat16")


def definition(rate):
    return {"learning_rate": rate, "seed": 0}


def test_trainings_that_begin_at_the_same_moment_share_a_folder_if_they_are_the_same(tmp_path):
    with ThreadPoolExecutor(4) as pool:
        folders = list(pool.map(lambda rate: folder_for(definition(rate), tmp_path), (0.1, 0.2, 0.1, 0.2)))
    assert folders[:2] == folders[2:]
    assert set(folders) == {tmp_path / "1", tmp_path / "2"}


def test_a_plan_is_made_once_in_a_folder_that_has_only_a_definition(tmp_path):
    folder = folder_for(definition(0.1), tmp_path)
    assert Store(folder, definition(0.1)).plan(lambda: PLAN, budget=False) == PLAN
    assert folder_for(definition(0.1), tmp_path) == folder
    assert Store(folder, definition(0.1)).plan(lambda: OTHER_PLAN, budget=False) == PLAN


def test_an_empty_folder_is_used_and_no_other_one(tmp_path):
    for name in ("1", "2", "3"):
        (tmp_path / name).mkdir()
    (tmp_path / "1" / "notes.txt").touch()
    (tmp_path / "3" / "training.json").write_text(json_text({"definition": definition(0.3), "plan": PLAN.get_config()}))
    (tmp_path / "4").touch()
    folders = [folder_for(definition(rate), tmp_path).name for rate in (0.1, 0.2, 0.3)]
    assert folders == ["2", "5", "3"]


def test_a_folder_that_another_training_has_taken_meanwhile_is_refused(tmp_path):
    first, second = Store(tmp_path, definition(0.1)), Store(tmp_path, definition(0.2))
    first.plan(lambda: PLAN, budget=False)
    for budget in (False, True):
        with pytest.raises(ValueError, match=r"has another training \(learning_rate: 0.1 there, 0.2 here\)"):
            second.plan(lambda: OTHER_PLAN, budget=budget)
    assert first.plan(lambda: OTHER_PLAN, budget=False) == PLAN
