import pytest


@pytest.fixture(autouse=True)
def _process(request):
    """The tests that are marked so verify artefacts in a process of their own, the others in this."""
    if not request.node.get_closest_marker("own_process"):
        request.getfixturevalue("verified_here")
