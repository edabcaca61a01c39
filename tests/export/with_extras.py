"""Formats as parameters of tests, each with the mark of the packages that it needs."""

import pytest

from bnzoo.export.converters import PACKAGES


def with_extras(*formats):
    """Return a parameter for each format."""
    return [pytest.param(format, marks=needs(format)) for format in formats]


def needs(*formats):
    """Return the mark of a test that needs the packages of these formats."""
    packages = sorted({package.replace("-", "_") for format in formats for package in PACKAGES.get(format, ())})
    return pytest.mark.extras(*packages) if packages else ()
