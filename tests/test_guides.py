"""The guides: their code runs as printed with the described results, and every link has a target."""

import re
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bnzoo
from bnzoo.cli import ending as cli

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
LINK = re.compile(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)")


def norm_is_chosen(names: dict, folder: Path) -> None:
    table = names["study"].results.table()
    assert set(table["norm"]) == {"batch", "layer"}
    assert len(names["study"].results) == 4
    kinds = [bnzoo.norms.name_of(layer) for layer in names["grouped"].layers]
    assert kinds.count("group") == 2
    assert {layer.groups for layer in names["grouped"].layers if hasattr(layer, "groups")} == {4}


def placement_is_chosen(names: dict, folder: Path) -> None:
    share = names["share"]
    whole = ("post", "original", "relu_before_addition", "relu_only_preactivation")
    assert [share.pop(placement) for placement in whole] == [1, 1, 1, 1]
    assert share.pop("act_norm") == 0
    assert set(share) == {"pre", "full_preactivation", "after_addition"}
    assert all(0 < part < 1 for part in share.values())
    for scales in names["gradients"].values():
        assert len(scales) == 22  # of every dense layer
        assert np.isfinite(list(scales.values())).all()
    bnzoo.tuning.ResNetSpace(placement=("pre", "post", "act_norm"), norms=("batch", "group"))


def fine_tuning_is_as_told(names: dict, folder: Path) -> None:
    assert len(names["frozen"]) == 2
    assert names["still"] == [True, True]
    # if this fails, Keras respects `training=False`, and the guide must be changed
    assert names["moved"]
    assert all(norm.trainable for norm in names["norms"])


def batches_are_small(names: dict, folder: Path) -> None:
    accuracy = names["accuracy"]
    assert set(accuracy) == {"batch", "batch_renorm", "group"}
    assert min(after for _, after in accuracy.values()) > 0.8
    assert accuracy["group"][0] == accuracy["group"][1]
    renormed = names["models"]["batch_renorm"].get_layer("hidden_1_norm")
    assert (renormed.steps.numpy() == 441).all()
    assert names["report"].groups[0][0] == "Batches with a single value per channel"
    kinds = {bnzoo.norms.name_of(layer) for layer in names["synced"].layers} - {None}
    assert kinds == {"sync_batch"}
    kinds = {bnzoo.norms.name_of(layer) for layer in names["local"].layers} - {None}
    assert kinds == {"batch"}


def it_is_deployed(names: dict, folder: Path) -> None:
    digits = names["digits"]
    assert not names["report"].fold.kept
    assert names["folds"].kept
    assert names["folds"].folded
    served, there = names["probabilities"].numpy(), names["model"].predict(digits.test.x, verbose=0)
    np.testing.assert_allclose(served, there, atol=1e-4)
    assert (served.argmax(-1) == digits.test.y).mean() > 0.8
    assert names["answer"]["label"].numpy()[0, 0].decode() == str(served[0].argmax())
    assert [bool(error) for error in names["answer"]["error"].numpy()] == [False, True]
    assert {found.format for found in names["checked"]} == {"saved_model", "onnx"}
    assert not any(found.problems for found in names["checked"])
    assert (folder / "served/onnx/1/model.onnx").exists()
    commands = re.findall(r"^bnzoo predict .*", (DOCS / "deploying.md").read_text(), flags=re.MULTILINE)
    assert len(commands) == 2
    assert [cli.run(shlex.split(command)[1:]) for command in commands] == [0, 0]
    predictions = pd.read_csv(folder / "predictions.csv")
    assert str(predictions["label"][0]) == names["answer"]["label"].numpy()[0, 0].decode()


def data_is_loaded(names: dict, folder: Path) -> None:
    images, larger, table, arrays = (names[name] for name in ("images", "larger", "table", "arrays"))
    assert (images.labels, images.input_shape, images.train.x.dtype) == (("0", "1", "2"), (8, 8, 1), np.uint8)
    assert larger.input_shape == (16, 16, 1)
    assert table.task == "regression"
    assert {"sex=a", "sex=b", "bmi", "bmi is missing"} <= set(table.encoder.features)
    features = dict(zip(table.encoder.features, names["features"][0], strict=True))
    assert (features["sex=a"], features["sex=b"], features["bmi is missing"]) == (0, 0, 1)
    assert (arrays.classes, arrays.train.x.dtype) == (10, np.uint8)
    sizes = [len(split.x) / 1797 for split in (arrays.train, arrays.validation, arrays.test)]
    assert sizes == pytest.approx([0.65, 0.15, 0.2], abs=0.01)
    np.testing.assert_array_equal(names["stream"].train.x, arrays.train.x)


def model_is_trained(names: dict, folder: Path) -> None:
    training = names["training"]
    assert training.measures.test["accuracy"].value > 0.8
    assert float(training.model.optimizer.learning_rate) == pytest.approx(0.1)
    assert names["distributed"].devices == names["strategy"].num_replicas_in_sync
    assert {path.name for path in (folder / "runs/final").iterdir()} >= {"best", "best.keras", "history.csv"}


GUIDES = {
    "choosing_a_norm": norm_is_chosen,
    "choosing_a_placement": placement_is_chosen,
    "fine_tuning": fine_tuning_is_as_told,
    "small_batches": batches_are_small,
    "deploying": it_is_deployed,
    "data": data_is_loaded,
    "training": model_is_trained,
}


def code(guide: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (DOCS / f"{guide}.md").read_text(), flags=re.DOTALL)


@pytest.mark.slow
@pytest.mark.parametrize(
    "guide",
    [
        pytest.param(guide, marks=pytest.mark.extras("tf2onnx", "onnxruntime") if guide == "deploying" else ())
        for guide in GUIDES
    ],
)
def test_a_guide_runs_as_it_stands(guide, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for block in code(guide):
        exec(compile(block, f"{guide}.md", "exec"), names)
    GUIDES[guide](names, tmp_path)


def test_every_guide_with_code_is_run():
    """`test_readme.py` runs `studies`, this file all others."""
    assert {page.stem for page in DOCS.glob("*.md") if code(page.stem)} == {*GUIDES, "studies"}


def test_the_index_has_every_guide():
    listed = {link for link, _ in LINK.findall((DOCS / "README.md").read_text())}
    assert {page.name for page in DOCS.glob("*.md")} - {"README.md"} <= listed


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    prose = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    dead = [f"{link}#{anchor}" for link, anchor in LINK.findall(prose) if not leads_somewhere(page, link, anchor)]
    assert not dead


def leads_somewhere(page: Path, link: str, anchor: str) -> bool:
    target = page.parent / link if link else page
    return target.exists() and (not anchor or anchor in anchors(target))


def anchors(page: Path) -> set[str]:
    """Return the anchors of GitHub for the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
