"""The structure of the package and the style of its texts. CI runs ruff and mypy in a step of its own."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCUMENTED = ("bnzoo", "recipes")


def imports(path: Path, root: Path = ROOT) -> set[str]:
    """Return the parts of bnzoo that a file imports anywhere, except for type checkers: `bnzoo` for the whole."""
    tree = ast.parse(path.read_text())
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in ast.walk(node)
    }
    folder = path.relative_to(root).parent.parts
    names = []
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = folder[: len(folder) - node.level + 1] if node.level else ()
            module = ".".join(filter(None, (*above, node.module)))
            names += [f"{module}.{alias.name}" for alias in node.names]
    split = [name.split(".") for name in names]
    return {(parts[1:] or parts)[0] for parts in split if parts[0] == "bnzoo"}


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("import bnzoo", {"bnzoo"}),
        ("import bnzoo.tuning.study as s, keras, bnzoo.data", {"tuning", "data"}),
        ("from bnzoo import tuning, errors", {"tuning", "errors"}),
        ("def f():\n    from bnzoo.tuning.study import Study", {"tuning"}),
        ("from .record import Format", {"export"}),
        ("from . import record", {"export"}),
        ("from ...tuning.study import Study", {"tuning"}),
        ("from ... import tuning", {"tuning"}),
        ("import keras\nfrom bnzoo_other import x", set()),
        ("if TYPE_CHECKING:\n    import bnzoo.tuning", set()),
    ],
)
def test_every_form_of_import_is_seen(tmp_path, line, parts):
    path = tmp_path / "bnzoo" / "export" / "formats" / "file.py"
    path.parent.mkdir(parents=True)
    path.write_text(line)
    assert imports(path, tmp_path) == parts


# the parts that each part may import; none imports the command line
ARROWS = {
    "layers": {"keras_internals", "layers", "errors"},
    "norms": {"norms", "layers", "errors", "keras_internals"},
    "blocks": {"blocks", "layers", "norms", "placements", "errors"},
    # The weights import the models. The models import the weights in one line, only if they are used.
    "models": {"models", "blocks", "layers", "norms", "placements", "errors", "weights"},
    "weights": {"weights", "models", "norms", "errors", "reading"},
    "metrics": {"metrics"},
    "losses": {"losses"},
    "optimizers": {"optimizers", "keras_internals"},
    "tools": {"keras_internals", "tools", "layers", "norms", "errors", "files", "json_text", "reports", "reading"},
    "export": {
        *("export", "tools", "files", "errors", "json_text", "keras_internals", "machine", "metrics", "pictures"),
        "reading",
    },
    "data": {"data", "errors", "files", "machine", "pictures", "reading"},
    "pictures": {"pictures"},
    "predicting": {"predicting", "export", "data", "tools", "errors", "files", "pictures", "reading"},
    "reading": {"reading", "errors"},
    "reports": {"reports", "files", "metrics"},
    "training": {
        *("training", "data", "tools", "export", "files", "errors", "json_text", "keras_internals", "metrics"),
        *("losses", "machine", "optimizers", "reading"),
    },
    "tuning": {
        *("tuning", "training", "models", "blocks", "norms", "placements", "data", "tools", "export", "reports"),
        *("files", "errors", "json_text", "keras_internals", "machine", "metrics", "reading", "passwords", "silence"),
    },
}


def test_the_package_docstring_of_tuning_names_every_file():
    folder = ROOT / "bnzoo" / "tuning"
    docstring = ast.get_docstring(ast.parse((folder / "__init__.py").read_text()))
    packages = {f"{path.parent.name}/" for path in folder.glob("*/__init__.py")}
    files = {path.name for path in folder.glob("*.py")} - {"__init__.py"}
    assert set(re.findall(r"`(\w+\.py|\w+/)`", docstring)) == files | packages


# parts that use no private members of other packages; Keras' private members are in `keras_internals.py`
PUBLIC_ONLY = ("data", "losses", "optimizers", "reports", "training", "tuning")


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
    """The package loads its parts at first use: `from bnzoo import placements` must not load the models."""
    command = [sys.executable, "-c", "import bnzoo.blocks"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("part", ARROWS)
def test_arrows_point_one_way(part):
    files = list((ROOT / "bnzoo" / part).rglob("*.py"))
    assert files
    for path in files:
        assert imports(path) <= ARROWS[part], path.name


def docstrings() -> Iterator[tuple[str, str]]:
    """Yield the place and the text of every docstring of a module, class or function."""
    for path in (path for folder in DOCUMENTED for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                text = ast.get_docstring(node)
                if text:
                    yield f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}", text


def test_no_docstring_begins_with_a_clause():
    """The check includes modules and classes, which ruff's D401 does not."""
    clause = re.compile(r"(What|Whether|Where|When|How|Which|Who)\b")
    assert not [place for place, text in docstrings() if clause.match(text)]


def test_texts_are_free_of_private_idioms():
    idiom = re.compile(r"\b(is told|are told|comes to|what is due|in the place of)\b", re.IGNORECASE)
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    texts = [*docstrings(), *((str(page.relative_to(ROOT)), page.read_text()) for page in pages)]
    assert not [(place, match[0]) for place, text in texts for match in idiom.finditer(" ".join(text.split()))]


# members that begin with an underscore and belong to Optuna
OPTUNA = {"_trial_id", "_sync_with_backend"}


def private_members(path: Path) -> set[str]:
    """Return the private members that a file uses of objects other than `self` and `cls`."""
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


def test_test_files_have_different_names():
    """Pytest imports them by their names, so that a second file of the same name is an error."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))
