"""Search the learning rate, depth and norm of an MLP on your table.

python -m recipes.mlp_lr_depth [--data NAME] [--folder FOLDER] [--target COLUMN]
"""

import typer

from bnzoo import tuning
from bnzoo.data import load


def main(data: str = "breast_cancer", folder: str | None = None, target: str | None = None) -> None:
    """Search with several seeds, print the results, and export the best model.

    Args:
        data: A name, a CSV or Parquet table, or an `.npz` file, as in `bnzoo.data.load`.
        folder: The folder of the study. An interrupted study resumes.
        target: The target column of a table: classes, or numbers for a regression.
    """
    table = load(data, target=target)
    space = tuning.MLPSpace(
        depths=(3, 5, 9),
        learning_rates=(1e-3, 3.0),
        norms=("batch", "layer", None),
        placement="post",
        batch_size=32,  # searched if several: (16, 32, 64); also `width`, `activation`, `weight_decay`
        width=64,
        residual=True,
    )
    study = tuning.Study(space, table, folder or f"runs/mlp-{table.stem}", seeds=2, epochs=12)
    study.run()

    print(study.results.table().to_string(index=False))
    print(study.verdict)
    print("report:", study.report())
    print(study.export())


if __name__ == "__main__":
    typer.run(main)
