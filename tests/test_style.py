"""The structure of the package: what may import what. Lint and types are a step of CI of their own."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def imports(path: Path) -> set[str]:
    """The parts of bnzoo that a file imports, wherever in it, but for type checkers only."""
    tree = ast.parse(path.read_text())
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in ast.walk(node)
    }
    found = set()
    for node in ast.walk(tree):
        if (
            id(node) in typing_only
            or not isinstance(node, ast.ImportFrom)
            or not (node.module or "").startswith("bnzoo")
        ):
            continue
        parts = node.module.split(".")
        found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
    return found


# what each part may know of; nothing knows the command line
ARROWS = {
    "layers": {"layers", "errors"},
    "blocks": {"blocks", "layers", "norms", "placements", "errors"},
    # the weights know the models; one line of the models calls them, when they are asked for
    "models": {"models", "blocks", "layers", "norms", "placements", "errors", "weights"},
    "weights": {"weights", "models", "norms", "errors", "reading"},
    "tools": {"tools", "layers", "norms", "errors", "files", "reports", "reading"},
    "export": {"export", "tools", "files", "errors", "pictures", "reading"},
    "data": {"data", "errors", "files", "pictures", "reading"},
    "pictures": {"pictures"},
    "reading": {"reading", "errors"},
    "reports": {"reports", "files"},
    "tuning": {
        *("tuning", "models", "blocks", "norms", "placements", "data", "tools", "export", "reports", "files", "errors"),
        *("reading", "passwords"),
    },
}


def test_the_package_docstring_of_tuning_names_every_file():
    folder = ROOT / "bnzoo" / "tuning"
    docstring = ast.get_docstring(ast.parse((folder / "__init__.py").read_text()))
    packages = {f"{path.parent.name}/" for path in folder.glob("*/__init__.py")}
    files = {path.name for path in folder.glob("*.py")} - {"__init__.py"}
    assert set(re.findall(r"`(\w+\.py|\w+/)`", docstring)) == files | packages


# parts that use no private members of other packages; Keras' private members are in `keras_internals.py`
PUBLIC_ONLY = ("data", "reports", "tuning")


@pytest.mark.parametrize("part", PUBLIC_ONLY)
def test_private_members_of_other_objects_are_not_used(part):
    for path in (ROOT / "bnzoo" / part).rglob("*.py"):
        private = [
            ast.unparse(node)
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__")
        ]
        others = [name for name in private if not name.startswith(("self._", "cls._", "super()._"))]
        assert not others, path.name


@pytest.mark.slow
def test_a_part_that_others_are_made_of_can_be_imported_first():
    """The package gives its parts when they are asked for: `from bnzoo import placements` must not load the models."""
    command = [sys.executable, "-c", "import bnzoo.blocks"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("part", ARROWS)
def test_arrows_point_one_way(part):
    files = list((ROOT / "bnzoo" / part).rglob("*.py"))
    assert files
    for path in files:
        assert imports(path) <= ARROWS[part], path.name
