"""Measure memory and speed of data on its way into a training.

python -m recipes.benchmarks.data [FOLDER] [--files 100000] [--arrays FILE.npz] [--quick]

Each part has a separate process. Memory is that of the process at its peak, in MB of 10^6 bytes; without files at the
end, that is without the libraries and arrays that are mapped into memory. A process that has imported TensorFlow takes
about 830 MB, 490 of them files. On 2 cores that other work kept busy, so that the times are upper bounds:

    100,000 JPEG files of 224x224 pixels, resized to 64x64
        to load                        13.1 s (7,700 headers/s)
        to the first batch             13.6 s
        scale and fingerprint          9.1 s, 4,096 images decoded
        training batches, images/s     1,100 with flip,crop while images are decoded; then 180,000 with none, 8,500 with
                                       flip,crop, 3,500 with flip,crop,color,cutmix, 6,100 with randaugment
        to decode the rest             51 s, 62 s of one core
        memory                         2,285 MB, of which 1,229 MB are the images
    Fashion-MNIST (--arrays), 70,000 images
        tune, one trial of one epoch   1,223 MB. Without JAX, which TensorFlow imports if it is installed, 1,095 MB: 732
                                       after `import tensorflow`, 817 after `load`, 995 after the training
        a training step of ResNet-8    1.042 of the time on a batch in memory (median of pairs)

- Only the headers of all files are read before the first batch. The bytes of all files are the fingerprint.
- `keras.layers.RandAugment` computes all its changes for each batch and keeps two of them. Here only these two are
  computed, with the same results.
"""

import functools
import multiprocessing
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import keras
import keras_tuner
import numpy as np
import tensorflow as tf
import typer
from PIL import Image

import bnzoo
from bnzoo import tuning
from bnzoo.data.dataset import chunks
from bnzoo.training.batches import training_batches
from recipes.benchmarks.memory import resident

SIDE, CLASSES, BATCH = 224, 10, 64  # of the JPEG files, and of a batch
AUGMENT = ("none", "flip,crop", "flip,crop,color,cutmix", "randaugment")
TURNS, STEPS = 9, 20  # of the two ways of training, and training steps in a turn


def main(
    folder: Annotated[Path, typer.Argument()] = Path("runs/data"),
    files: Annotated[int, typer.Option(help="The number of JPEG files.")] = 100_000,
    image_size: Annotated[int, typer.Option(help="The side to which images are resized.")] = 64,
    arrays: Annotated[Path | None, typer.Option(help="An .npz file, such as Fashion-MNIST.")] = None,
    quick: bool = False,
) -> None:
    """Measure a folder of JPEG files, which is made if necessary, and arrays, each in a process of its own.

    Args:
        folder: The folder for the data.
        files: The number of JPEG files.
        image_size: The height and width to which images are resized.
        arrays: An `.npz` file; by default random images in the form of Fashion-MNIST.
        quick: Use few examples. The results are not meaningful.
    """
    os.environ["KERAS_HOME"] = str(folder.absolute() / "keras")  # read by the processes
    files, examples, turns = (200, 700, 2) if quick else (files, 70_000, TURNS)
    images = make_images(folder / f"images-{files}", files)
    arrays = arrays or make_arrays(folder / f"arrays-{examples}.npz", examples)
    title = f"{files} JPEG files of {SIDE}x{SIDE}, resized to {image_size}x{image_size}"
    report(title, alone(read, images, image_size))
    report(f"tune, one trial on {arrays.name}", alone(tune, arrays, folder / f"study-{time.time_ns()}"))
    report(f"a training step of ResNet-8 on {arrays.name}", alone(compare_steps, arrays, turns))


def report(title: str, values: dict[str, float]) -> None:
    """Print the measurements of a process."""
    print(f"{title}: " + ", ".join(f"{value:,.4g} {unit}" for unit, value in values.items()), flush=True)


def alone(measure: Callable[..., dict[str, float]], *arguments: Any) -> dict[str, float]:
    """Call a function in a new process, and return its measurements with the peak memory of the process."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(_with_memory, measure, *arguments).result()


def _with_memory(measure: Callable[..., dict[str, float]], *arguments: Any) -> dict[str, float]:
    return {**measure(*arguments), "MB of memory": resident("VmHWM"), "MB without files": resident("RssAnon")}


def make_images(folder: Path, count: int) -> Path:
    """Make a folder with JPEG files of random smooth colours in ten classes."""
    if not folder.exists():
        draft = folder.with_name(f"{folder.name}-draft")
        for label in range(CLASSES):
            (draft / str(label)).mkdir(parents=True, exist_ok=True)
        with ProcessPoolExecutor() as processes:
            list(processes.map(functools.partial(_make_image, draft), range(count), chunksize=100))
        draft.rename(folder)
    return folder


def _make_image(folder: Path, number: int) -> None:
    random = np.random.default_rng(number)
    row, column = random.integers(0, 1024 - SIDE, 2)
    window = _texture(number % CLASSES)[row : row + SIDE, column : column + SIDE]
    Image.fromarray(window).save(folder / str(number % CLASSES) / f"{number}.jpg", quality=85)


@functools.cache
def _texture(label: int) -> np.ndarray:
    small = np.random.default_rng(label).integers(0, 256, (128 - 8 * label, 128 - 8 * label, 3), np.uint8)
    return np.asarray(Image.fromarray(small).resize((1024, 1024), Image.Resampling.BICUBIC))


def make_arrays(path: Path, count: int) -> Path:
    """Make an `.npz` file in the form of Fashion-MNIST."""
    if not path.exists():
        random = np.random.default_rng(0)
        path.parent.mkdir(parents=True, exist_ok=True)
        x = random.integers(0, 256, (count, 28, 28), np.uint8)
        np.savez_compressed(path, x=x, y=random.integers(0, CLASSES, count, np.uint8))
    return path


def read(images: Path, image_size: int) -> dict[str, float]:
    """Measure the time from the call of `load` to the first batch, and images per second with augmentations.

    At first images are decoded while they are used. After all have been decoded, they are not any more.
    """
    start, cpu_start = time.perf_counter(), time.process_time()
    data = bnzoo.data.load(images, image_size=image_size)
    loaded, cpu_loaded = time.perf_counter(), time.process_time()
    next(iter(training_batches(data, BATCH, seed=0)))
    ready, cpu_ready = time.perf_counter(), time.process_time()
    _ = data.scale, data.fingerprint
    defined, cpu_defined = time.perf_counter(), time.process_time()
    parts = (data.train, data.validation, data.test)
    values = {
        "s to load": loaded - start,
        "CPU s to load": cpu_loaded - cpu_start,
        "s to the first batch": ready - start,
        "files/s": sum(len(part.y) for part in parts) / (loaded - start),
        "s for scale and fingerprint": defined - ready,
        "CPU s for scale and fingerprint": cpu_defined - cpu_ready,
        f"images/s with {AUGMENT[1]} at first": speed(replace(data, augment=AUGMENT[1])),
    }
    start, cpu_start = time.perf_counter(), time.process_time()
    for part in parts:
        for _ in chunks(part.x):
            pass
    values |= {"s to decode the rest": time.perf_counter() - start, "CPU s": time.process_time() - cpu_start}
    return values | {f"images/s with {names}": speed(replace(data, augment=names)) for names in AUGMENT}


def speed(data: bnzoo.data.Dataset) -> float:
    """Return the images per second of an epoch of training batches, at most 100 batches."""
    batches = iter(training_batches(data, BATCH, seed=0).take(min(100, len(data.train.x) // BATCH)))
    next(batches)
    start = time.perf_counter()
    seen = sum(len(y) for _, y in batches)
    return seen / (time.perf_counter() - start)


def tune(arrays: Path, directory: Path) -> dict[str, float]:
    """Run a whole study of one trial with one epoch: load, train, recalibrate, report, export."""
    start = time.perf_counter()
    space = tuning.ResNetSpace(depths=(8,), norms=("batch",), learning_rates=(0.1, 0.2, 2))
    study = tuning.Study(space, bnzoo.data.load(arrays), directory, epochs=1)
    study.run(lambda *event: None, trials=1)
    study.report()
    if study.results.best is not None:  # random labels may lead to no usable trial
        study.export()
    return {"s": time.perf_counter() - start}


def compare_steps(arrays: Path, turns: int) -> dict[str, float]:
    """Compare training steps on batches of the pipeline with steps on one batch in memory, in turns."""
    keras.utils.set_random_seed(0)
    data = bnzoo.data.load(arrays)
    space = tuning.ResNetSpace(depths=(8,), norms=("batch",)).for_data(data)
    hyperparameters = keras_tuner.HyperParameters()
    hyperparameters.values.update(depth=8, norm="batch", learning_rate=0.01)
    model = space.build(hyperparameters)
    batches = training_batches(data, BATCH, seed=0)
    one = tf.data.Dataset.from_tensors(next(iter(batches))).repeat()
    seconds: dict[str, list[float]] = {"pipeline": [], "memory": []}
    for turn in range(turns + 1):
        for name, source in [("pipeline", batches), ("memory", one)][:: 1 if turn % 2 else -1]:
            clock = _Clock()
            model.fit(source, steps_per_epoch=STEPS, epochs=2, shuffle=False, verbose=0, callbacks=[clock])
            if turn:  # the first turn traces
                seconds[name].append(clock.seconds / STEPS)
    ratios = np.array(seconds["pipeline"]) / np.array(seconds["memory"])
    return {
        "ms in the pipeline": 1e3 * float(np.median(seconds["pipeline"])),
        "ms on a batch in memory": 1e3 * float(np.median(seconds["memory"])),
        "ratio (median of pairs)": float(np.median(ratios)),
    }


class _Clock(keras.callbacks.Callback):
    """A callback that measures the last epoch, when the pipeline runs."""

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self.seconds = time.perf_counter() - self.start


if __name__ == "__main__":
    typer.run(main)
