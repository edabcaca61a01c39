"""The command line: one function a command, each as thin as it can be."""

import sys
from collections.abc import Callable
from typing import Annotated, NoReturn

import typer

import bnzoo
from bnzoo.cli import deploy, models, repair, tune
from bnzoo.cli.console import UserError, say

app = typer.Typer(
    name="bnzoo",
    help="The model zoo for Keras 3 in which normalization is an argument.",
    epilog="Example: bnzoo tune resnet --data digits --depths 8,14 --norms batch,group,none",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> NoReturn:
    """Runs a command; the user's mistakes are one line on stderr and exit status 2."""
    try:
        status = app(standalone_mode=False)
    except typer.TyperException as error:
        status = say(error.format_message()) if str(error.format_message()).strip() else 2
    except UserError as error:
        status = say(str(error))
    sys.exit(status or 0)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"bnzoo {bnzoo.__version__}")
        raise typer.Exit


@app.callback()
def _bnzoo(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="The version.")] = False,
) -> None:
    pass


_EXAMPLES: dict[Callable[..., None], str] = {
    models.models: "'resnet*_cifar'",
    tune.tune: "mlp --data wine --depths 2,4 --norms batch,layer,none --seeds 3",
    repair.fold: "best.keras folded.keras",
    repair.recalibrate: "best.keras recalibrated.keras --data digits",
    repair.health: "best.keras --data digits --report health.html",
    deploy.export: "best.keras serving --data digits --formats saved_model,onnx,onnx-int8",
    deploy.verify: "serving",
}
for _command, _example in _EXAMPLES.items():
    app.command(epilog=f"Example: bnzoo {_command.__name__} {_example}")(_command)
