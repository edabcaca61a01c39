import pytest

from bnzoo.export import parity, runtimes


@pytest.fixture(autouse=True)
def _process(request, monkeypatch):
    """A process of its own takes seconds to start: the tests that are marked so verify in one, the others in this."""
    if not request.node.get_closest_marker("own_process"):
        monkeypatch.setattr(parity, "apply", runtimes.answers)
