"""Compare `bnzoo tune` on tables with scikit-learn's HistGradientBoosting.

python -m recipes.benchmarks.tables [FOLDER] [--seconds 180] [--rows 200000]

Each table is written as a CSV file, loaded, searched for a number of seconds or 40 trials, and shipped as a SavedModel.
The scores are R² or accuracy on the same test rows. The trees are trained on the same training rows and features, once,
with the defaults of scikit-learn: they have no search, so the difference favours bnzoo. The generated table has 30
columns: numbers with missing values, integers, booleans, ids, dates, and texts, one of them with 500 different ones.
`shipped` is the score of the SavedModel, which a process with TensorFlow alone computes. The score of the model before
the export and the minutes are printed too. On 2 cores that other programs used too:

            table   rows  columns  features  load s  trials   metric  shipped  trees  difference
        generated 200000       30       285   7.056       5       R²    0.899  0.827       0.072
         diabetes    442       11        10   0.048      40       R²    0.448  0.430       0.018
    breast_cancer    569       31        30   0.021      40 accuracy    0.973  0.956       0.018
"""

import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer
from sklearn import datasets, ensemble

from bnzoo import data, tuning
from bnzoo.metrics import metric_for

TRIALS = 40  # the most for a table


def generated(rows: int) -> pd.DataFrame:
    """Return a table of 30 mixed columns, whose last one is the target of a regression."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame({f"number_{i}": random.normal(size=rows).round(3) for i in range(10)})
    for i in range(6):
        frame[f"count_{i}"] = random.integers(0, 50 * (i + 1), rows)
    words = {size: np.array([f"word{i}" for i in range(size)]) for size in (3, 5, 10, 20, 40, 80, 500)}
    codes = {size: np.minimum(random.geometric(3 / size, rows) - 1, size - 1) for size in words}
    for size, names in words.items():
        frame[f"text_{size}"] = names[codes[size]]
    day = np.datetime64("2015-01-01") + random.integers(0, 3650, rows)
    frame["sold"] = day.astype(str)
    frame["seen"] = 1_700_000_000 + random.integers(0, 10**7, rows)
    frame["open"] = random.random(rows) < 0.3
    frame["checked"] = random.random(rows) < 0.5
    frame["size"] = random.lognormal(size=rows).round(3)
    frame["identifier"] = random.permutation(rows) + 10**9
    frame["price"] = (
        frame.number_0 * frame.number_1
        + np.sin(2 * frame.number_2)
        + frame.count_0 / 25
        + random.normal(size=20)[codes[20]]
        + frame.open * frame.number_3
        + (frame.sold.str[5:7].astype(int) > 6)
        + np.log(frame["size"])
        + random.normal(scale=0.5, size=rows)
    )
    for name in ("number_4", "count_0", "text_10"):
        frame[name] = frame[name].where(random.random(rows) > 0.1)
    return frame


def tables(rows: int) -> dict[str, pd.DataFrame]:
    """Return the tables by name; the last column is the target."""
    cancer = datasets.load_breast_cancer(as_frame=True)
    return {
        "generated": generated(rows),
        "diabetes": datasets.load_diabetes(as_frame=True, scaled=False).frame,
        "breast_cancer": cancer.frame.assign(target=cancer.target.map(dict(enumerate(cancer.target_names)))),
    }


def trees(table: data.Dataset) -> float:
    """Return the test score of gradient boosting."""
    kind = "Classifier" if table.classes else "Regressor"
    model = getattr(ensemble, f"HistGradientBoosting{kind}")(random_state=0)
    return model.fit(table.train.x, table.train.y).score(table.test.x, table.test.y)


def in_memory(study: tuning.Study) -> float:
    """Return the test score of the best model before it is exported."""
    x, y = study.data.test
    outputs = study.best_model().predict(x, batch_size=256, verbose=0)
    return metric_for(study.data.classes).of({"": outputs}, y)


def space(table: data.Dataset) -> tuning.Space:
    """Return the space to search, with larger batches for many rows."""
    many = len(table.train.y) > 10_000
    return tuning.MLPSpace(
        depths=(2, 3),
        learning_rates=(3e-4, 1e-2),
        norms=("batch",),
        optimizer="adamw",
        batch_size=512 if many else 32,
        width=256 if many else 32,
        weight_decay=(1e-3, 0.1),
    )


def main(
    folder: Annotated[Path, typer.Argument()] = Path("runs/tables"), seconds: float = 180, rows: int = 200_000
) -> None:
    """Print a line for each table.

    Args:
        folder: A folder for the CSV files and the studies. A study in it resumes.
        seconds: The time after which no new trial of a table begins.
        rows: The number of rows of the generated table.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lines: list[dict[str, Any]] = []
    for name, frame in tables(rows).items():
        path = folder / f"{name}.csv"
        frame.to_csv(path, index=False)
        begun = time.perf_counter()
        table = data.load(path, target=frame.columns[-1])
        loaded = time.perf_counter() - begun
        study = tuning.Study(space(table), table, folder / name, epochs=10, sampler="tpe")
        study.run(lambda study, event: None, budget=seconds, trials=TRIALS)
        artefact = study.export()
        line = {"table": name, "rows": len(frame), "columns": frame.shape[1], "features": table.input_shape[0]}
        line |= {"load s": loaded, "trials": len(study.results), "metric": artefact.metric}
        line |= {"model": in_memory(study), "shipped": artefact.test_accuracy, "trees": trees(table)}
        lines.append({**line, "minutes": (time.perf_counter() - begun) / 60})
    found = pd.DataFrame(lines)
    found["difference"] = found.shipped - found.trees
    print(found.to_string(index=False, float_format="{:.3f}".format))


if __name__ == "__main__":
    typer.run(main)
