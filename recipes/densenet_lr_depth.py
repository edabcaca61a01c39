"""Which learning rate, depth and growth rate suit a DenseNet on your images?

python -m recipes.densenet_lr_depth [--data NAME] [--folder FOLDER]
"""

import typer

from bnzoo import tuning
from bnzoo.data import load


def main(data: str = "digits", folder: str | None = None) -> None:
    """Searches, prints what it found, ships the winner.

    Args:
        data: What `bnzoo.data.load` takes: `cifar10`, `mnist` and other names, an `.npz` file, a folder of images.
        folder: Where the study is kept. Stopped and started again, it goes on where it was.
    """
    images = load(data)
    space = tuning.DenseNetSpace(
        depths=(10, 16, 22),  # L = 6n+4: three dense blocks of n layers, each with its bottleneck
        learning_rates=(1e-2, 1.0, 5),
        norms=("batch",),
        growth_rate=(6, 12),  # k: the channels that a layer adds
    )
    study = tuning.Study(space, images, folder or f"runs/densenet-{images.stem}", seeds=1, epochs=8)
    study.run()

    print(study.results.table().to_string(index=False))
    print(study.verdict)
    print("report:", study.report())
    print(study.export())


if __name__ == "__main__":
    typer.run(main)
