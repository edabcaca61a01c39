"""The structure of the package: what may import what. Lint and types are a step of CI of their own."""

import ast
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
    "layers": {"keras_internals", "layers", "errors"},
    "norms": {"norms", "layers", "errors", "keras_internals"},
    "blocks": {"blocks", "layers", "norms", "placements", "errors"},
    # the weights know the models; one line of the models calls them, when they are asked for
    "models": {"models", "blocks", "layers", "norms", "placements", "errors", "weights"},
    "weights": {"weights", "models", "norms", "errors", "reading"},
    "tools": {"keras_internals", "tools", "layers", "norms", "errors", "files", "json_text", "reports", "reading"},
    "export": {
        *("export", "tools", "files", "errors", "json_text", "keras_internals", "machine", "metrics", "pictures"),
        "reading",
    },
    "data": {"data", "errors", "files", "machine", "pictures", "reading"},
    "pictures": {"pictures"},
    "reading": {"reading", "errors"},
    "reports": {"reports", "files", "metrics"},
    "tuning": {
        *("tuning", "models", "blocks", "norms", "placements", "data", "tools", "export", "reports", "files", "errors"),
        *("json_text", "machine", "metrics", "reading", "passwords"),
    },
}


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


# members that begin with an underscore and belong to Optuna
OPTUNA = {"_trial_id", "_sync_with_backend"}


def private_members(path: Path) -> set[str]:
    """The members with a leading underscore that a file takes from other objects than `self` and `cls`."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Attribute(value=ast.Name(id="self" | "cls")):
                continue
            case ast.Attribute(attr=name):
                names.add(name)
            case ast.Call(
                func=ast.Name(id="getattr" | "hasattr" | "setattr"), args=[_, ast.Constant(value=str(name)), *_]
            ):
                names.add(name)
    return {name for name in names if name.startswith("_") and not name.startswith("__")} - OPTUNA


def test_only_one_file_uses_private_members_of_keras():
    files = {path: private_members(path) for path in (ROOT / "bnzoo").rglob("*.py")}
    assert files.pop(ROOT / "bnzoo" / "keras_internals.py")
    assert {path.name: names for path, names in files.items() if names} == {}
