"""The steps of the trials of a study with equal compute."""

import pytest
from untrained import SPACE, quiet, study

from bnzoo import tuning
from bnzoo.models import count_macs
from bnzoo.tuning.opening import open_study
from bnzoo.tuning.planning import StudyPlan
from bnzoo.tuning.steps import COMPUTE
from bnzoo.tuning.tuner import compile_model

# three times the batches of the data of other tests, so that half a step is less of them
DEEP = {
    **SPACE,
    "depths": (3, 1),
    "learning_rates": (0.1, 0.1, 1),
    "norms": ("batch",),
    "width": (4, 8),
    "batch_size": 5,
}


@pytest.fixture
def equal(few_digits, tmp_path):
    return study(few_digits, tmp_path / "s", tuning.MLPSpace(**DEEP), seeds=1, equal=COMPUTE)


@pytest.mark.slow
def test_the_steps_of_each_network_cost_the_same_multiplications(equal, few_digits):
    whole = len(few_digits.train.x) // 5
    reference = sum(count_macs(equal.space.network(1)))
    found = {}
    for values in equal.space.grid():
        hp = equal.hyperparameters()
        hp.values = dict(values)
        compiled = compile_model(equal, hp, seed=0)
        multiplications = sum(count_macs(compiled.model))
        assert abs(compiled.steps * multiplications - whole * reference) <= multiplications / 2
        found[values["depth"], values["width"]] = compiled.steps
        compiled.restore(0, 0.1)
        compiled.fit(0, 2, [])
        assert int(compiled.model.optimizer.iterations) == 2 * compiled.steps
    assert found[1, 4] == whole
    assert found[3, 8] < found[3, 4] < whole
    assert found[1, 8] < whole


def test_equal_compute_is_part_of_the_study(equal, few_digits, tmp_path, training_left_out, monkeypatch):
    monkeypatch.setattr("bnzoo.tuning.tuner.set_steps", lambda study, compiled: None)
    equal.run(quiet, trials=1)
    assert open_study(tmp_path / "s", few_digits).equal == COMPUTE
    with pytest.raises(ValueError, match="equal: compute stored, None requested"):
        study(few_digits, tmp_path / "s", tuning.MLPSpace(**DEEP), seeds=1)
    assert "equal" not in study(few_digits, tmp_path / "t").definition, "studies of earlier versions go on"


def test_mistakes(few_digits, tmp_path):
    plan = StudyPlan(trials=1, epochs=1, steps={1: 1}, search=1.0, final=1.0, export=1.0)
    with pytest.raises(ValueError, match="cannot be combined with the plan of a budget"):
        study(few_digits, tmp_path / "s", plan=plan, equal=COMPUTE)
    with pytest.raises(ValueError, match="Unknown `equal`: 'time'"):
        study(few_digits, tmp_path / "s", equal="time")
