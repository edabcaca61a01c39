"""The steps of the trials of a study with equal compute."""

from collections import OrderedDict
from types import SimpleNamespace

import pytest
from untrained import SPACE, quiet, study

from bnzoo import tuning
from bnzoo.models import count_macs
from bnzoo.tuning.opening import open_study
from bnzoo.tuning.planning import StudyPlan
from bnzoo.tuning.steps import COMPUTE
from bnzoo.tuning.tuner import StudyTuner, compile_model

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


def test_the_trials_of_a_plan_have_its_steps_and_few_examples(few_digits, tmp_path, monkeypatch):
    made = []

    def compiled_model(space, hp, data, seed, *score, **options):
        made.append((len(data.validation.x), options))
        return SimpleNamespace(hp=hp, whole=44, steps=44)

    monkeypatch.setattr("bnzoo.tuning.tuner.CompiledModel", compiled_model)
    monkeypatch.setattr("bnzoo.tuning.study.VALIDATION", 10)
    plan = StudyPlan(trials=1, epochs=1, steps={1: 5}, search=1.0, final=1.0, export=1.0)
    planned = study(few_digits, tmp_path / "s", plan=plan, epochs=1, seeds=1)
    hp = planned.hyperparameters()
    hp.values = dict(next(planned.space.grid()))
    compiled = [compile_model(each, hp, seed=0) for each in (planned, study(few_digits, tmp_path / "t"))]
    assert [each.steps for each in compiled] == [5, 44]
    usual = {"precision": "float32"}
    assert made == [(10, usual | {"calibration": 2048}), (len(few_digits.validation.x), usual)]
    measured = SimpleNamespace(hp=hp, whole=44, steps=44)
    planned.compiled[planned.space.architecture(hp.values)] = measured
    tuner = SimpleNamespace(hypermodel=planned.space, _study=planned, _compiled=OrderedDict())
    assert StudyTuner._compiled_model(tuner, hp, 0) is measured
    assert measured.steps == 5, "it was compiled before there was a plan"
    assert not planned.compiled


def test_mistakes(few_digits, tmp_path):
    plan = StudyPlan(trials=1, epochs=1, steps={1: 1}, search=1.0, final=1.0, export=1.0)
    with pytest.raises(ValueError, match="cannot be combined with the plan of a budget"):
        study(few_digits, tmp_path / "s", plan=plan, equal=COMPUTE)
    with pytest.raises(ValueError, match="Unknown `equal`: 'time'"):
        study(few_digits, tmp_path / "s", equal="time")
