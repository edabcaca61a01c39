"""Which learning rate and depth suit an MLP on your table, and which norm?

python -m recipes.mlp_lr_depth [--data NAME] [--folder FOLDER] [--target COLUMN]
"""

import typer

from bnzoo import tuning
from bnzoo.data import load


def main(data: str = "breast_cancer", folder: str | None = None, target: str | None = None) -> None:
    """Searches with several seeds, prints what it found, ships the winner.

    Args:
        data: What `bnzoo.data.load` takes: a name, a CSV or Parquet table, an `.npz` file.
        folder: Where the study is kept. Stopped and started again, it goes on where it was.
        target: The column of a table that is to be predicted: classes, or numbers of a regression.
    """
    table = load(data, target=target)
    space = tuning.MLPSpace(
        depths=(3, 5, 9),
        learning_rates=(1e-3, 3.0),
        norms=("batch", "layer", None),
        placement="post",
        batch_size=32,  # several values are searched: (16, 32, 64); likewise `width`, `activation`, `weight_decay`
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
