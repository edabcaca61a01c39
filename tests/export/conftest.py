import pytest

from bnzoo import export
from bnzoo.export import parity, runtimes


@pytest.fixture(autouse=True)
def _process(request):
    """The tests that are marked so verify artefacts in a process of their own, the others in this."""
    if not request.node.get_closest_marker("own_process"):
        request.getfixturevalue("verified_here")


@pytest.fixture(scope="session")
def exported_here():
    """Export a SavedModel for the tests of a module, verified in this process."""

    def export_here(*args, **options):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(parity, "apply", runtimes.answers)
            return export.saved_model(*args, **options)

    return export_here
