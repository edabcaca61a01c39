import pytest
import untrained


@pytest.fixture(scope="module")
def training_left_out():
    """Replace training in this module's studies by `untrained.measure`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bnzoo.tuning.tuner.CompiledModel", untrained.Untrained)
        patch.setattr("bnzoo.tuning.tuner.measure", untrained.measure)
        yield
