"""Formats as test parameters, each with the marker of the packages that it needs."""

import pytest

from bnzoo.export.formats import FORMATS


def with_extras(*cases):
    """Return a test parameter for each case: a format, or a tuple that begins with a format."""
    rows = [case if isinstance(case, tuple) else (case,) for case in cases]
    return [pytest.param(*row, marks=needs(row[0])) for row in rows]


def needs(*formats):
    """Return the marker of a test that needs the packages of these formats."""
    packages = sorted(
        {package.replace("-", "_") for format in formats if format in FORMATS for package in FORMATS[format].packages}
    )
    return pytest.mark.extras(*packages) if packages else ()
