"""The table of planted faults: each fault still applies to the package. `planted_faults/run.py` runs them."""

import ast
from collections import Counter
from pathlib import Path

from planted_faults.run import TESTS, read

ROOT = Path(__file__).parent.parent
FAULTS = read()


def test_each_fault_can_be_planted():
    for fault in FAULTS:
        text = (ROOT / fault.file).read_text()
        assert ast.dump(ast.parse(fault.planted(text))) != ast.dump(ast.parse(text)), fault.name


def test_every_part_has_faults():
    assert len(FAULTS) == len({fault.name for fault in FAULTS}) == 40
    assert set(Counter(fault.part for fault in FAULTS)) == set(TESTS)
    assert all((ROOT / path).exists() for paths in TESTS.values() for path in paths)
