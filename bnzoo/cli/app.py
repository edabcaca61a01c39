"""The commands and their examples."""

from collections.abc import Callable
from typing import Annotated

import typer

import bnzoo
from bnzoo.cli import deploy, models, predict, rate, repair, train, tune
from bnzoo.cli.console import DEBUG, STATUSES

_EXAMPLE = "Example: bnzoo tune resnet --data digits --depths 8,14 --norms batch,group,none"
app = typer.Typer(
    name="bnzoo",
    help="The model zoo for Keras 3 in which normalization is an argument.",
    epilog=f"{_EXAMPLE}\n\nExit status: {'; '.join(f'{status} {meaning}' for status, meaning in STATUSES.items())}.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(show: bool) -> None:
    if show:
        typer.echo(f"bnzoo {bnzoo.__version__}")
        raise typer.Exit


@app.callback()
def _bnzoo(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    debug: Annotated[
        bool, typer.Option(DEBUG, help="Show the traceback of an error. Allowed anywhere in the command.")
    ] = False,
) -> None:
    pass


_EXAMPLES: dict[Callable[..., None], str] = {
    models.models: "'resnet*_cifar'",
    tune.tune: "mlp --data wine --depths 2,4 --norms batch,layer,none --seeds 3",
    rate.rate: "resnet --data digits --depth 8,14 --norm batch,none --output rates.png",
    train.train: "resnet --data digits --depth 8 --learning-rate 0.1 --epochs 20",
    repair.fold: "best.keras folded.keras",
    repair.recalibrate: "best.keras recalibrated.keras --data digits",
    repair.health: "best.keras --data digits --report health.html",
    deploy.export: "best.keras serving --data digits --formats saved_model,onnx,onnx-int8",
    deploy.verify: "serving",
    predict.predict: "runs/resnet-images photo.jpg more_photos --output predictions.csv",
}
for _command, _example in _EXAMPLES.items():
    app.command(epilog=f"Example: bnzoo {_command.__name__} {_example}")(_command)
