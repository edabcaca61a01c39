"""The command line of the training benchmark."""

import itertools
import os
import re
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from recipes.benchmarks.report import save
from recipes.benchmarks.training.contestants import NETWORKS
from recipes.benchmarks.training.race import kinds_here, race
from recipes.benchmarks.training.results import chart, norm_taxes, table

NetworkName = StrEnum("NetworkName", {re.sub(r"\W", "_", name).upper(): name for name in NETWORKS})
Precision = StrEnum("Precision", {name.upper(): name for name in ("float32", "bfloat16")})


Networks = Annotated[list[NetworkName] | None, typer.Option("--network")]
Precisions = Annotated[list[Precision] | None, typer.Option("--precision")]


def main(
    folder: Annotated[Path, typer.Argument()] = Path("runs/training"),
    network: Networks = None,
    precision: Precisions = None,
    quick: bool = False,
) -> None:
    """Time training steps of bnzoo and of other libraries, in turns.

    Args:
        folder: The folder for `training.csv` (every time), `summary.csv` and `training.png`.
        network: Networks to time. Default: all.
        precision: Precisions to time. Default: both.
        quick: Time few steps, by default only of the CIFAR ResNet-20 in float32. The results are not meaningful.
    """
    start = time.perf_counter()
    networks = network or ([NetworkName.CIFAR_RESNET_20] if quick else list(NetworkName))
    precisions = precision or list(Precision)[: 1 if quick else 2]
    plan = {"rounds": 1, "pairs": 4, "seconds": 6.0} if quick else {"rounds": 2, "pairs": 15, "seconds": 45.0}
    times: list[dict] = []
    if "PyTorch" not in kinds_here("ResNet-50"):
        print('PyTorch is skipped, because it is not installed. To include it: pip install -e ".[peers]"')
    for name, dtype in itertools.product(networks, precisions):
        times.extend(race(name, dtype, **plan))
        print(f"{name}, {dtype}: measured after {time.perf_counter() - start:.0f} s", flush=True)
    frame = pd.DataFrame(times)
    summary = table(frame)
    print(f"{os.cpu_count()} processors. A step trains one batch and fetches loss and metrics.")
    print(summary.to_string(float_format="{:.2f}".format))
    print("norm tax, the time of a step relative to the same network without norms:")
    print(norm_taxes(frame).to_string(float_format="{:.2f}".format))

    frames = {"training.csv": frame, "summary.csv": summary.reset_index()}
    save(folder, frames, {"training.png": chart(summary)})
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    typer.run(main)
