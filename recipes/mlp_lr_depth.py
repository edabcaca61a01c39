"""Which learning rate and depth suit an MLP on your table, and which norm?

python -m recipes.mlp_lr_depth [DATA] [FOLDER]
"""

import sys

from bnzoo import data, tuning


def main(source: str = "breast_cancer", folder: str | None = None) -> None:
    """Searches with several seeds, prints what it found, ships the winner.

    Args:
        source: What `bnzoo.data.load` takes: a name, an `.npz` file, a folder of images (they are flattened).
        folder: Where the study is kept. Stopped and started again, it goes on where it was.
    """
    table = data.load(source)
    space = tuning.MLPSpace(
        depths=(3, 5, 9),
        learning_rates=(1e-3, 3.0),
        norms=("batch", "layer", None),
        placement="post",
        width=64,
        residual=True,
    )
    study = tuning.Study(space, table, folder or f"runs/mlp-{table.stem}", seeds=2, epochs=12, batch_size=32)
    study.run()

    print(study.results.table().to_string(index=False))
    print(study.verdict)
    if study.results.best is None:
        sys.exit(1)
    print("report:", study.report())

    artefact = study.export()
    print(f"{artefact.path}: test accuracy {artefact.test_accuracy:.2%} on {artefact.test_examples} examples")


if __name__ == "__main__":
    main(*sys.argv[1:])
