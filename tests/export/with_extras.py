"""Formats as parameters of tests, each with the mark of the packages that it needs."""

import pytest

from bnzoo.export.formats import FORMATS


def with_extras(*cases):
    """Return a parameter for each case: a format, or a tuple that begins with one."""
    rows = [case if isinstance(case, tuple) else (case,) for case in cases]
    return [pytest.param(*row, marks=needs(row[0])) for row in rows]


def needs(*formats):
    """Return the mark of a test that needs the packages of these formats."""
    packages = sorted(
        {package.replace("-", "_") for format in formats if format in FORMATS for package in FORMATS[format].packages}
    )
    return pytest.mark.extras(*packages) if packages else ()
