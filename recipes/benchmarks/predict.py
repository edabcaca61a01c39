"""Measure memory and time of `bnzoo predict` on folders of images.

python -m recipes.benchmarks.predict [FOLDER] [--quick]

A ResNet-8 of 64 by 64 pixels predicts folders of JPEG files of 224 by 224 pixels, each folder in a process of its own.
Most names are hard links to the same 200 files. The memory must not depend on the number of images. On 2 cores:

RESULTS
"""

import multiprocessing
import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Annotated

import keras
import numpy as np
import pandas as pd
import typer

import bnzoo
from recipes.benchmarks.memory import resident

COUNTS = (500, 20_000)
_EDGE, _DIFFERENT = 224, 200


def main(folder: Annotated[Path, typer.Argument()] = Path("runs/predict"), quick: bool = False) -> None:
    """Measure each number of images, and print the table.

    Args:
        folder: The folder for the model, the images and the predictions.
        quick: Measure two small folders. The results are not meaningful.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model = folder / "model.keras"
    bnzoo.ResNetCifar(8, input_shape=(64, 64, 3)).save(model)
    print(table(model, folder, (5, 40) if quick else COUNTS).to_string(index=False))


def table(model: Path, folder: Path, counts: Sequence[int]) -> pd.DataFrame:
    """Return the seconds and the peak memory in MB for each number of images."""
    rows = []
    for count in counts:
        images = write_images(folder / str(count), count)
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
            seconds, peak = process.submit(predict, model, images, folder / f"{count}.csv").result()
        rows.append({"images": count, "seconds": round(seconds, 1), "MB": round(peak)})
    found = pd.DataFrame(rows)
    # without the start of the process, which does not depend on the number of images
    found["images/s"] = (found["images"].diff() / found["seconds"].diff()).round()
    return found


def predict(model: Path, images: Path, output: Path) -> tuple[float, float]:
    """Return the seconds of a command, and the peak memory of this process in MB."""
    from bnzoo.cli.ending import run

    start = time.perf_counter()
    status = run(["predict", str(model), str(images), "--image", "raw", "--output", str(output)])
    if status:
        raise RuntimeError(f"bnzoo predict has the exit status {status}")
    return time.perf_counter() - start, resident("VmHWM")


def write_images(folder: Path, count: int) -> Path:
    """Write a folder of JPEG files, unless it exists."""
    if folder.exists():
        return folder
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(count):
        file = folder / f"{number:06}.jpg"
        if number < _DIFFERENT:
            small = random.integers(0, 256, (28, 28, 3)).astype(np.float32)
            keras.utils.save_img(file, keras.ops.image.resize(small, (_EDGE, _EDGE)).numpy(), scale=False)
        else:
            os.link(folder / f"{number % _DIFFERENT:06}.jpg", file)
    return folder


if __name__ == "__main__":
    typer.run(main)
