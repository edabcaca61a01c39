"""The parts that all claims share: running, storage, pages made without training, and the command line."""

import importlib
import json
import os
import pickle
import re
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import untrained
from matplotlib.figure import Figure
from portable import ON_POSIX
from tiers import tiered

from bnzoo.tuning import MLPSpace
from recipes.claims import NAMES, FailedTrialsError, pages
from recipes.claims.bench import Bench
from recipes.claims.claim import CONDITION, HOLDS, NOT, Claim, Verdict, get, names_on_images
from recipes.claims.run import run
from recipes.claims.store import SEEDS, Origin, Size, Store

ROOT = Path(__file__).parents[2]
ORIGIN = Origin("full", 5, 12.0, 2, {"keras": "3"})


def draw(rows):
    figure = Figure()
    figure.subplots().plot(rows["x"], rows["y"])
    return figure


TOY = Claim(
    statement="One is less than two.",
    evidence="`Peano`.",
    contradiction="None | known.",
    setup="Counting.",
    criterion="`holds` if so.",
    measure=lambda bench: pd.DataFrame({"x": [1.0, 2.0], "y": [3.0, float("nan")], "norm": ["none", "a|b"]}),
    judge=lambda rows: Verdict(HOLDS, f"The mean is {rows['x'].mean():.1f}.", ("A note.",)),
    table=lambda rows: rows,
    draw=draw,
    caption="Two points.",
    on_images="Counting images.",
)


@pytest.fixture
def toys(monkeypatch):
    """Two claims without training, and a list of their measurements."""
    measured = []

    def toy(name):
        def measure(bench):
            measured.append(name)
            return TOY.measure(bench)

        return Claim(**{**vars(TOY), "measure": measure})

    for module in ("run", "pages"):
        monkeypatch.setattr(f"recipes.claims.{module}.get", toy)
    return measured


def bench(folder, seeds=5, size=Size.FULL, file=None):
    return Bench(folder / "studies", size, seeds, file=file)


@pytest.fixture(scope="session")
def shapes(tmp_path_factory):
    """A file of 480 grey images of 8x8: noise, brighter in the part that belongs to their class."""
    path = tmp_path_factory.mktemp("images") / "shapes.npz"
    random, y = np.random.default_rng(0), np.arange(480) % 4
    x = random.integers(0, 128, (480, 8, 8))
    for image, label in zip(x, y, strict=True):
        image[2 * label : 2 * label + 2] += 100
    np.savez(path, x=x.astype(np.uint8), y=y)
    return path


# a grid of learning rates, a measurement in trained models, and a custom training loop
TRAINED = ("learning_rate", "saturation", "smoothness")


@pytest.mark.parametrize("name", tiered(NAMES, slow=TRAINED))
def test_a_claim_runs_at_its_smallest_and_its_verdict_follows_from_what_is_stored(name, tmp_path, capsys):
    assert_runs_at_its_smallest(name, tmp_path, capsys)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if name not in TRAINED])
def test_a_claim_runs_at_its_smallest_though_nothing_is_trained(name, monkeypatch, tmp_path, capsys):
    untrained.leave_out_training(monkeypatch)
    assert_runs_at_its_smallest(name, tmp_path, capsys)


@pytest.mark.parametrize("name", tiered(names_on_images(), slow=("accuracy",)))
def test_a_claim_runs_on_images_at_its_smallest(name, tmp_path, capsys, shapes):
    assert_runs_at_its_smallest(name, tmp_path, capsys, shapes)


@pytest.mark.slow
@pytest.mark.parametrize("name", names_on_images())
def test_a_claim_runs_on_images_at_its_smallest_though_nothing_is_trained(name, monkeypatch, tmp_path, capsys, shapes):
    untrained.leave_out_training(monkeypatch)
    assert_runs_at_its_smallest(name, tmp_path, capsys, shapes)
    assert Store(tmp_path, "shapes").origin(name).examples == [128, 72, 96]


def assert_runs_at_its_smallest(name, tmp_path, capsys, file=None):
    run([name], bench(tmp_path, SEEDS[Size.SMALLEST], Size.SMALLEST, file), tmp_path)
    claim, store = get(name), Store(tmp_path, file.stem if file else "")
    verdict = claim.judge(store.rows(name))
    assert verdict.word in (HOLDS, CONDITION, NOT)
    assert f"{name}: {verdict.word}. {verdict.sentence}" in capsys.readouterr().out
    assert (store.folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / f"{name}.md").read_text()
    assert page.startswith(f"# {name.replace('_', ' ').capitalize()}: {verdict.word}\n")
    assert claim.statement in page
    assert not re.search(r"\bnan\b|\[\]|\{\}", claim.setup + claim.criterion)
    assert "failed" not in set(store.rows(name).get("outcome", ()))
    assert store.origin(name).seeds == SEEDS[Size.SMALLEST]
    assert store.origin(name).data == (file.name if file else "")


def test_every_claim_says_what_it_is():
    claims = [get(name) for name in NAMES]
    for claim in claims:
        for word in (HOLDS, CONDITION, NOT):
            assert f"`{word}`" in claim.criterion
        assert claim.statement.endswith(".")
        assert claim.evidence
        assert claim.contradiction
    assert len({claim.statement for claim in claims}) == len(NAMES)


def test_what_is_stored_is_shown_again_without_measuring(toys, tmp_path, capsys):
    run(["accuracy", "seeds"], bench(tmp_path), tmp_path)
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    assert set(first) == {
        *("README.md", "claims.html"),
        *(f"{name}.{kind}" for name in ("accuracy", "seeds") for kind in ("csv", "json", "md", "png")),
    }
    for path in tmp_path.glob("*.png"):
        path.unlink()
    capsys.readouterr()
    run(["seeds"], bench(tmp_path), tmp_path)
    assert toys == ["accuracy", "seeds"], "nothing was measured a second time"
    assert capsys.readouterr().out.startswith("seeds: holds. The mean is 1.5.\n  A note.\n")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == first


ON_IMAGES = Origin("full", 3, 12.0, 2, {"keras": "3"}, "shapes.npz", [6500, 1500, 2000])


def plant(store, name, origin, mean):
    store.save(name, TOY.measure(None).assign(x=mean), origin)


@pytest.fixture
def two_verdicts(toys, monkeypatch):
    """Claims that hold if the mean of x is above 1."""

    def claim(name):
        def judge(rows):
            mean = rows["x"].mean()
            return Verdict(HOLDS if mean > 1 else NOT, f"The mean is {mean:.1f}.", (f"A note on {mean:.1f}.",))

        return Claim(**{**vars(TOY), "judge": judge})

    for module in ("run", "pages"):
        monkeypatch.setattr(f"recipes.claims.{module}.get", claim)


@pytest.mark.parametrize(
    ("mean", "title", "said"),
    [
        (0.5, "holds on digits, does not hold on shapes.npz", "The verdicts differ: holds on digits, does not hold on"),
        (2.5, "holds", "The verdict on digits and shapes.npz is: holds."),
    ],
)
def test_results_on_two_data_sets_are_side_by_side(two_verdicts, tmp_path, mean, title, said):
    plant(Store(tmp_path), "accuracy", ORIGIN, 1.5)
    plant(Store(tmp_path), "seeds", ORIGIN, 1.5)
    plant(Store(tmp_path, "shapes"), "accuracy", ON_IMAGES, mean)
    run(["accuracy", "seeds"], bench(tmp_path), tmp_path)
    page = (tmp_path / "accuracy.md").read_text()
    word = title.split(" on ")[1].split(", ")[-1] if " on " in title else HOLDS
    assert page.startswith(f"# Accuracy: {title}\n")
    assert said in page
    assert f"|  | digits | shapes.npz |\n| --- | --- | --- |\n| verdict | **holds** | **{word}** |\n" in page
    assert f"| result | The mean is 1.5. | The mean is {mean}. |\n" in page
    assert "| picture | ![Two points.](accuracy.png) | ![Two points.](shapes/accuracy.png) |" in page
    details = page[page.index("## On shapes.npz") :]
    for text in (
        f"A note on {mean}.",
        f"| {mean} | 3 | none |",
        "10,000 images of `shapes.npz`: 6,500 for training, 1,500 for validation, 2,000 for testing. Counting images.",
        "`python -m recipes.claims --data shapes.npz --seeds 3 accuracy`",
        "[shapes/accuracy.csv](shapes/accuracy.csv)",
    ):
        assert text in details
    assert page.count(TOY.criterion) == 1
    assert (tmp_path / "shapes/accuracy.png").exists()
    index = (tmp_path / "README.md").read_text()
    assert "| claim |  | digits | shapes.npz |" in index
    assert f"| **holds.** The mean is 1.5. | **{word}.** The mean is {mean}. |" in index
    assert "scikit-learn's digits or 10,000 images of `shapes.npz`" in index
    assert "| **holds.** The mean is 1.5. |  |\n" in index  # seeds has no result on images
    html = (tmp_path / "claims.html").read_text()
    assert html.count("<svg") == 3
    assert said in html


def test_two_conditions_are_not_said_to_be_the_same():
    claim = replace(TOY, judge=lambda rows: Verdict(CONDITION, f"Only with {rows['x'].iloc[0]:.0f}."))
    rows = TOY.measure(None)
    results = (pages.Result(claim, rows, ORIGIN, ""), pages.Result(claim, rows.assign(x=7.0), ON_IMAGES, ""))
    assert pages.Finding("accuracy", claim, results).comparison == (
        "The verdict on digits and shapes.npz is: holds with a condition. The conditions may differ."
    )


def test_with_one_data_set_a_page_looks_the_same_on_images(two_verdicts, tmp_path, shapes):
    planned = bench(tmp_path, seeds=3, file=shapes)
    plant(Store(tmp_path, "shapes"), "accuracy", replace(ON_IMAGES, fingerprint=planned.fingerprint), 0.5)
    run(["accuracy"], planned, tmp_path)
    page = (tmp_path / "accuracy.md").read_text()
    assert page.startswith("# Accuracy: does not hold\n")
    assert "![Two points.](shapes/accuracy.png)" in page
    assert "## On" not in page
    assert "| claim |  | verdict | result |" in (tmp_path / "README.md").read_text()


def test_an_origin_on_the_digits_has_no_further_fields(tmp_path):
    plant(Store(tmp_path), "accuracy", ORIGIN, 1.5)
    plant(Store(tmp_path, "shapes"), "accuracy", ON_IMAGES, 1.5)
    assert set(json.loads((tmp_path / "accuracy.json").read_text())) == set(vars(ORIGIN)) - {
        *("data", "examples", "fingerprint")
    }
    assert Store(tmp_path).origin("accuracy") == ORIGIN
    assert Store(tmp_path, "shapes").origin("accuracy") == ON_IMAGES


def test_images_are_measured_beside_the_digits_that_are_there(toys, tmp_path, shapes):
    run(["accuracy"], bench(tmp_path), tmp_path)
    run(["accuracy"], bench(tmp_path, seeds=3, file=shapes), tmp_path)
    run(["accuracy"], bench(tmp_path, seeds=3, file=shapes), tmp_path)
    assert toys == ["accuracy", "accuracy"], "once on each"
    assert Store(tmp_path, "shapes").origin("accuracy").examples == [312, 72, 96]
    assert "## On shapes.npz" in (tmp_path / "accuracy.md").read_text()


def test_no_study_is_in_the_folder_of_another(monkeypatch, few_digits, tmp_path):
    """Though the file of images has the name of a study."""
    untrained.leave_out_training(monkeypatch)
    space = MLPSpace(**{**untrained.SPACE, "norms": ("batch",)})
    for file in (None, Path("rates.npz")):
        bench(tmp_path, seeds=1, file=file).study("rates", space, few_digits, epochs=1)
    on_digits, on_images = sorted(path.parent for path in tmp_path.rglob("results.csv"))
    assert on_digits not in on_images.parents


def test_a_file_with_the_name_of_the_folder_of_studies_is_refused(toys, tmp_path, shapes):
    path = tmp_path / "studies.npz"
    path.write_bytes(shapes.read_bytes())
    with pytest.raises(
        ValueError, match=r"studies\.npz: the folder of this name has the studies\. Choose another name"
    ):
        run(["accuracy"], bench(tmp_path, file=path), tmp_path)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["accuracy", "depth"])
def test_rows_on_another_file_of_the_same_name_are_refused(toys, tmp_path, shapes, name):
    """Even if they are those of another claim: both would be in one column of the overview."""
    run(["accuracy"], bench(tmp_path, seeds=3, file=shapes), tmp_path)
    with np.load(shapes) as content:
        other = tmp_path / "other" / shapes.name
        other.parent.mkdir()
        np.savez(other, x=content["x"][::-1], y=content["y"][::-1])
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.csv")}
    with pytest.raises(
        ValueError, match=r"accuracy.csv has rows on other images: from another file of the name shapes"
    ):
        run([name], bench(tmp_path, seeds=3, file=other), tmp_path)
    assert toys == ["accuracy"]
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.csv")} == before


def test_images_are_drawn_in_the_proportions_of_the_splits(tmp_path):
    path = tmp_path / "many.npz"
    x = np.arange(40_000, dtype=np.uint16)  # so many that by default fewer than 15 % would be validation data
    np.savez(path, x=np.tile(x[:, None, None], (1, 4, 4)), y=x % 3)
    for size, counts in ((Size.FULL, (6500, 1500, 2000)), (Size.QUICK, (1300, 300, 400))):
        drawn = bench(tmp_path, size=size, file=path).data
        splits = (drawn.train, drawn.validation, drawn.test)
        assert tuple(len(split.y) for split in splits) == counts
        numbers = np.concatenate([split.x[:, 0, 0, 0] for split in splits])
        assert len(set(numbers)) == sum(counts), "no image twice"
        assert all((split.y == split.x[:, 0, 0, 0] % 3).all() for split in splits)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ((60, 5), np.arange(60) % 3, r"the claims need images.*shape \(5,\) for a classification"),
        ((60, 8, 8), np.linspace(0, 1, 60), r"the claims need images.*for a regression"),
        ((60, 2, 2), np.arange(60) % 3, "The image is too small"),
        ((60, 8, 8), np.arange(60) * 0, "there is only one class"),
    ],
)
def test_a_file_that_the_networks_cannot_take_is_refused_before_a_study(toys, tmp_path, x, y, message):
    path = tmp_path / "other.npz"
    np.savez(path, x=np.random.default_rng(0).random(x).astype(np.float32), y=y)
    with pytest.raises(ValueError, match=message):
        run(["accuracy"], bench(tmp_path, file=path), tmp_path)
    assert not toys
    assert not list(tmp_path.glob("*/"))


def test_a_claim_without_an_experiment_on_images_is_refused(tmp_path):
    expected = "^seeds: there is no experiment on images. With --data the claims are accuracy, learning_rate, depth"
    with pytest.raises(ValueError, match=expected):
        run(["accuracy", "seeds"], bench(tmp_path, file=tmp_path / "images.npz"), tmp_path)


@pytest.mark.parametrize(
    ("name", "message"), [("images.csv", "must be an .npz file"), ("none.npz", "a file or folder of this name")]
)
def test_a_file_that_is_none_is_refused(tmp_path, name, message):
    with pytest.raises((ValueError, OSError), match=message):
        run(["accuracy"], bench(tmp_path, file=tmp_path / name), tmp_path)


@pytest.mark.parametrize("on_images", [False, True])
def test_a_claim_that_is_interrupted_leaves_those_before_it(toys, tmp_path, monkeypatch, shapes, on_images):
    whole, planned = Store.save, bench(tmp_path, file=shapes if on_images else None)
    stored = Store(tmp_path, planned.subfolder)

    def killed(store, name, rows, origin):
        if name == "depth":
            raise KeyboardInterrupt
        whole(store, name, rows, origin)

    monkeypatch.setattr(Store, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        run(["accuracy", "depth"], planned, tmp_path)
    assert stored.has("accuracy")
    assert not stored.has("depth")
    monkeypatch.setattr(Store, "save", whole)
    run(["accuracy", "depth"], planned, tmp_path)
    assert toys == ["accuracy", "depth", "depth"]


class Failing(MLPSpace):
    """A space in which networks without a norm need too much memory."""

    def build(self, hp):
        if hp.get("norm") == "none":
            raise MemoryError("no memory left")
        return super().build(hp)


def test_no_verdict_is_computed_without_a_failed_trial(monkeypatch, few_digits, tmp_path):
    untrained.leave_out_training(monkeypatch)
    for _ in range(2):  # the second time the study is finished
        with pytest.raises(
            FailedTrialsError, match=r"planted: 2 of 4 trials failed.*'MemoryError: no memory left'.*Delete"
        ):
            bench(tmp_path, seeds=1).study("planted", Failing(**untrained.SPACE), few_digits, epochs=1)


def test_the_other_claims_are_measured_before_the_error_of_one_is_raised(toys, tmp_path, monkeypatch, capsys):
    whole = Store.save

    def failing(store, name, rows, origin):
        if name == "accuracy":
            raise FailedTrialsError("2 of 4 trials failed")
        whole(store, name, rows, origin)

    monkeypatch.setattr(Store, "save", failing)
    # threads instead of processes, which would not have the toys
    monkeypatch.setattr("recipes.claims.run.ProcessPoolExecutor", lambda *_, **__: ThreadPoolExecutor(1))
    with pytest.raises(FailedTrialsError, match="trials of accuracy failed"):
        run(["accuracy", "depth", "seeds", "saturation"], replace(bench(tmp_path), workers=2), tmp_path)
    assert {path.stem for path in tmp_path.glob("*.md")} == {"depth", "seeds", "saturation", "README"}
    assert capsys.readouterr().err == "accuracy: 2 of 4 trials failed\n"


WAITING = """
    import sys
    import threading
    from pathlib import Path

    from recipes.claims.bench import Bench
    from recipes.claims.run import run
    from recipes.claims.store import Size


    class Waiting(Bench):
        def study(self, name, *arguments, **options):
            print(name, flush=True)
            threading.Event().wait(200)


    if __name__ == "__main__":
        folder = Path(sys.argv[1])
        run(["saturation", "initialization"], Waiting(folder / "studies", Size.SMALLEST, 1, workers=2), folder)
"""


@ON_POSIX
@pytest.mark.slow
def test_claims_end_with_their_parent(tmp_path):
    script = tmp_path / "waiting.py"
    script.write_text(textwrap.dedent(WAITING))
    command = [sys.executable, str(script), str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
    assert {process.stdout.readline().strip() for _ in range(2)} == {"saturation", "initialization"}
    process.kill()
    process.communicate(timeout=60)  # until the workers, which inherit the output, have ended


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        *(("json", content) for content in ("", "[]", "{", '{"size": "full"}', '{"bogus": 1}')),
        *(("csv", content) for content in ("", "garbage", "\0\xff,")),
    ],
)
def test_a_damaged_file_of_a_claim_is_named(toys, tmp_path, kind, content):
    run(["accuracy"], bench(tmp_path), tmp_path)
    path = tmp_path / f"accuracy.{kind}"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(ValueError, match=rf"accuracy\.{kind} cannot be read .*Delete it to run the claim again"):
        run(["accuracy"], bench(tmp_path), tmp_path)
    path.unlink()
    run(["accuracy"], bench(tmp_path), tmp_path)
    assert toys == ["accuracy", "accuracy"]


@pytest.mark.parametrize("other", [{"seeds": 3}, {"size": Size.QUICK}])
def test_rows_of_another_run_are_not_taken_for_those_asked_for(toys, tmp_path, other):
    run(["accuracy"], bench(tmp_path), tmp_path)
    with pytest.raises(ValueError, match=r"accuracy\.csv is from a full run with 5 seeds.*Choose another --output"):
        run(["accuracy"], bench(tmp_path, **other), tmp_path)


def test_a_page_has_all_that_the_claim_says(toys, tmp_path):
    run(["learning_rate"], bench(tmp_path), tmp_path)
    page = (tmp_path / "learning_rate.md").read_text()
    for text in (TOY.statement, TOY.setup, TOY.criterion, TOY.evidence, "The mean is 1.5.", "A note.", TOY.caption):
        assert text in page
    assert "| x | y | norm |\n| --- | --- | --- |\n| 1 | 3 | none |\n| 2 |  | a\\|b |" in page
    assert "`python -m recipes.claims --seeds 5 learning_rate`" in page
    html = (tmp_path / "claims.html").read_text()
    assert html.count("<section") == 1
    assert "<svg" in html
    assert "<code>Peano</code>" in html
    assert "[learning rate](learning_rate.md)" in (tmp_path / "README.md").read_text()


def test_rows_are_read_as_they_were(tmp_path):
    store = Store(tmp_path)
    rows = TOY.measure(None)
    assert not store.has("seeds")
    store.save("seeds", rows, ORIGIN)
    pd.testing.assert_frame_equal(store.rows("seeds"), rows, check_dtype=False)  # 1.0 is written as 1
    assert store.origin("seeds") == ORIGIN
    assert Origin(**{**vars(ORIGIN), "size": "quick"}).command == "python -m recipes.claims --quick --seeds 5"


def test_a_bench_thins_an_axis_from_end_to_end(tmp_path):
    values = (1, 2, 3, 4, 5)
    assert bench(tmp_path).some(values, quick=3) == values
    assert bench(tmp_path, size=Size.QUICK).some(values, quick=3) == (1, 3, 5)
    assert bench(tmp_path, size=Size.SMALLEST).some(values, quick=3) == (1, 5)
    assert bench(tmp_path, size=Size.QUICK).some(values, quick=1) == (3,)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["acuracy"], r"'acuracy' is not one of 'accuracy', 'learning_rate'"),
        (["--seeds", "0"], "'--seeds'.*greater than or equal to 1"),
        (["--seed", "3"], "No such option: --seed"),
        (["--output"], "'--output' requires an argument"),
    ],
)
def test_mistakes_are_one_line(arguments, message):
    done = _claims(*arguments)
    assert done.returncode == 2
    assert not done.stdout
    assert re.fullmatch(rf"claims: .*{message}.*\n", done.stderr)


def test_what_is_asked_for_can_be_told_to_other_processes(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr("recipes.claims.run.run", lambda *arguments: asked.append(arguments))
    app = importlib.import_module("recipes.claims.__main__").app
    app(["seeds", "depth", "--quick", "--output", str(tmp_path)], standalone_mode=False)
    app([], standalone_mode=False)
    app(["--data", "images.npz"], standalone_mode=False)
    (names, bench, folder), (all_names, whole, usual), (image_names, on_images, same) = asked
    assert [type(name) for name in names] == [str, str]
    assert pickle.loads(pickle.dumps((names, bench))) == (["seeds", "depth"], bench)
    assert (bench.size, bench.seeds, folder) == (Size.QUICK, 2, tmp_path)
    assert (all_names, whole.size, whole.seeds, usual) == (NAMES, Size.FULL, 5, Path("runs/claims"))
    assert image_names == ("accuracy", "learning_rate", "depth", "batch_size", "placement")
    assert (on_images.file, on_images.seeds, same) == (Path("images.npz"), 3, usual)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("data", "message"), [((), "seeds.csv is from a full run with 5 seeds"), (("--data", "none.npz"), "none.npz")]
)
def test_a_mistake_that_the_run_finds_is_one_line_too(tmp_path, data, message):
    Store(tmp_path).save("seeds", TOY.measure(None), ORIGIN)
    done = _claims("accuracy" if data else "seeds", *data, "--seeds", "2", "--output", str(tmp_path))
    assert done.returncode == 2
    assert re.fullmatch(f"claims: .*{message}.*", done.stderr.splitlines()[-1])
    assert "Traceback" not in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"seeds.csv", "seeds.json"}
    assert json.loads((tmp_path / "seeds.json").read_text())["seeds"] == 5


def _claims(*arguments):
    command = [sys.executable, "-m", "recipes.claims", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_pages_in_the_documentation_are_those_of_the_stored_rows(tmp_path):
    """No number was typed by hand, and no verdict has changed since."""
    folder = ROOT / "docs/claims"
    findings = pages.find(Store(folder))
    assert [finding.name for finding in findings] == list(NAMES)
    for finding in findings:
        assert (folder / f"{finding.name}.md").read_text() == pages.markdown(finding), finding.name
        for result in finding.results:
            assert result.origin.size == "full"
            assert (folder / f"{result.path}.png").stat().st_size < 150_000
    assert (folder / "README.md").read_text() == pages.index(findings)


def test_the_gallery_in_the_readme_is_that_of_the_stored_rows():
    found = {finding.name: finding for finding in pages.find(Store(ROOT / "docs/claims"))}
    four = [found[name] for name in ("learning_rate", "regularization", "depth", "batch_size")]
    assert pages.gallery(four, "docs/claims") in (ROOT / "README.md").read_text()
