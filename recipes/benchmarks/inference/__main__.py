"""The command line of the inference benchmark."""

import os
import re
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from recipes.benchmarks.inference.artefacts import SIZES
from recipes.benchmarks.inference.race import PYTORCH, race
from recipes.benchmarks.inference.results import chart, table
from recipes.benchmarks.report import save
from recipes.benchmarks.training.race import kinds_here

NetworkName = StrEnum("NetworkName", {re.sub(r"\W", "_", name).upper(): name for name in SIZES})


def main(
    network: Annotated[list[NetworkName] | None, typer.Option("--network")] = None,
    batch: Annotated[list[int] | None, typer.Option("--batch", min=1)] = None,
    quick: bool = False,
    output: Path = Path("runs/inference"),
) -> None:
    """Time inference and loading of exported networks, in turns.

    Args:
        network: Networks to time. Default: all.
        batch: Batch sizes. Default: 1 and 8.
        quick: Time few calls, by default only of the CIFAR ResNet-20 at batch size 1. The results are not meaningful.
        output: The folder for `inference.csv` (every time), `summary.csv` and `inference.png`.
    """
    start = time.perf_counter()
    networks = network or ([NetworkName.CIFAR_RESNET_20] if quick else list(NetworkName))
    batches = batch or ([1] if quick else [1, 8])
    plan = {"loads": 2, "seconds": 5.0} if quick else {"loads": 7, "seconds": 60.0}
    if PYTORCH not in kinds_here("ResNet-50"):
        print('PyTorch is skipped, because it is not installed. To include it: pip install -e ".[peers]"')
    times: list[dict] = []
    for name in networks:
        times.extend(race(name, batches, **plan))
        print(f"{name}: measured after {time.perf_counter() - start:.0f} s", flush=True)
    frame = pd.DataFrame(times)
    summary = table(frame)
    onednn = os.environ.get("TF_ENABLE_ONEDNN_OPTS", "not set")
    print(f"{os.cpu_count()} processors, TF_ENABLE_ONEDNN_OPTS {onednn}. Ratios are relative to Keras' own export.")
    formats = {"difference": "{:.0e}".format, "size_mb": "{:.1f}".format}
    print(summary.to_string(float_format="{:.4g}".format, formatters=formats))
    frames = {"inference.csv": frame, "summary.csv": summary.reset_index()}
    save(output, frames, {"inference.png": chart(summary)})
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    typer.run(main)
