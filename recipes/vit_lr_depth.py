"""Which learning rate and depth suit a vision transformer on your images, with layer norm and with batch norm?

python -m recipes.vit_lr_depth [DATA] [FOLDER]
"""

import sys

from bnzoo import data, tuning


def main(source: str = "digits", folder: str | None = None) -> None:
    """Searches, prints what it found, ships the winner.

    Args:
        source: What `bnzoo.data.load` takes: a name, an `.npz` file, a folder of images.
        folder: Where the study is kept. Stopped and started again, it goes on where it was.
    """
    images = data.load(source)
    space = tuning.ViTSpace(
        depths=(1, 2, 4),  # blocks
        learning_rates=(3e-4, 3e-2, 5),  # of AdamW
        norms=("layer", "batch"),
        placement="pre",  # also "post" and "peri", or several
        width=32,
        heads=2,
    )
    study = tuning.Study(space, images, folder or f"runs/vit-{images.stem}", seeds=1, epochs=10)
    study.run()

    print(study.results.table().to_string(index=False))
    print(study.verdict)
    print("report:", study.report())
    print(study.export())


if __name__ == "__main__":
    main(*sys.argv[1:])
