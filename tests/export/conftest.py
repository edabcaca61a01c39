import pytest


@pytest.fixture(autouse=True)
def _process(request):
    """Tests with the marker `own_process` verify artefacts in a separate process, all others in this process."""
    if not request.node.get_closest_marker("own_process"):
        request.getfixturevalue("verified_here")
