import pytest
import untrained


@pytest.fixture(scope="module")
def training_left_out():
    """Replace training in this module's studies by `untrained.train_and_evaluate`."""
    with pytest.MonkeyPatch.context() as patch:
        untrained.leave_out_training(patch)
        yield
