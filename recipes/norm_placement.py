"""Which norm, and where: before the weight, after it, or after the activation?

python -m recipes.norm_placement [--data NAME] [--folder FOLDER]
"""

import typer

from bnzoo import tuning
from bnzoo.data import load


def main(data: str = "digits", folder: str | None = None) -> None:
    """Searches norm x placement x learning rate at one depth, prints who wins, ships the winner.

    Each pair is judged at its own best learning rate: at one that is the same for all, the finding would be which pair
    likes that one.

    Args:
        data: What `bnzoo.data.load` takes: `cifar10`, `mnist` and other names, an `.npz` file, a folder of images.
        folder: Where the study is kept. Stopped and started again, it goes on where it was.
    """
    images = load(data)
    space = tuning.ResNetSpace(
        depths=(8,),
        learning_rates=(1e-2, 1.0, 5),
        norms=("batch", "group", None),
        placement=("pre", "post", "act_norm"),  # also the five orders of He et al. 2016 by their names
    )
    study = tuning.Study(space, images, folder or f"runs/norm-placement-{images.stem}", seeds=1, epochs=8)
    study.run()

    print(study.results.table().sort_values("loss").to_string(index=False))
    print(study.verdict)
    print("report:", study.report())
    print(study.export())


if __name__ == "__main__":
    typer.run(main)
