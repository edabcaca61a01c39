"""`bnzoo export`, `bnzoo verify`: artefacts that a server can load."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import bnzoo
from bnzoo.cli.console import UserError, mistakes, quietly, say
from bnzoo.cli.inputs import (
    SOURCES,
    Column,
    Drop,
    Encoding,
    ImageSize,
    Separator,
    Source,
    TaskWord,
    load,
    load_examples,
    table_options,
)
from bnzoo.cli.waiting import waiting
from bnzoo.errors import unknown
from bnzoo.export.formats import VARIANTS

if TYPE_CHECKING:
    import keras

    from bnzoo.data import Dataset
    from bnzoo.export import ExportReport

_BATCHES = (1, 8)
_SECONDS = 10.0  # the time to measure for each batch size


def export(
    source: Source,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder for the artefacts: DIR/FORMAT/VERSION.")],
    formats: Annotated[
        str, typer.Option(help=f"Some of {', '.join(VARIANTS)}, separated by commas. The int8 formats need --data.")
    ] = "saved_model",
    data: Annotated[
        str | None,
        typer.Option(
            help=f"The data for the comparison with the model and for the calibration of int8: {SOURCES}; scaled as in "
            "training. By default random numbers."
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(help="A text file with the name of a class on each line. By default the classes of the data."),
    ] = None,
    image: Annotated[
        str | None,
        typer.Option(
            help="The scaling of images in training: raw (0 to 255), unit (0 to 1), tf, torch, caffe. With it the "
            "SavedModel takes JPEG and PNG files too."
        ),
    ] = None,
    warmup: Annotated[
        str | None, typer.Option(help="The batch sizes, such as 1,8, with which TensorFlow Serving warms up.")
    ] = None,
    sign: Annotated[
        Path | None,
        typer.Option(help="A private key (Ed25519 or ECDSA, PEM) to sign the artefacts with. Needs the extra sign."),
    ] = None,
    fold: Annotated[bool, typer.Option(help="Fold batch norms into the linear layers next to them.")] = True,
    column: Column = None,
    task: TaskWord = None,
    drop: Drop = None,
    separator: Separator = None,
    encoding: Encoding = None,
    image_size: ImageSize = None,
) -> None:
    """Export a model in one or more formats, verify each artefact, and compare sizes and latencies."""
    variants = _formats(formats, data)
    if sign is not None:
        with mistakes(ValueError, OSError, ImportError), quietly():
            from bnzoo.export import signing

            signing.signer(sign)  # a wrong key fails before the work
    options: dict[str, Any] = {"image": image, "warmup": _warmup(warmup)}
    for name, value in options.items():
        takers = [variant for variant, (format, _) in VARIANTS.items() if name in format.options]
        if value is not None and not {*takers} & {*variants}:
            raise UserError(f"--{name} needs {' or '.join(takers)} among --formats. Received: --formats {formats}")
    model = load(source)
    reading = table_options(drop, separator, encoding)
    examples = None if data is None else load_examples(model, data, column, task, image_size, **reading)
    if examples is not None:
        from bnzoo.training.tasks import with_named_output

        model = with_named_output(model, examples.task)
    names = _labels(labels, examples)
    with quietly(), mistakes(ImportError):
        for name in variants:
            VARIANTS[name][0].require()
    options |= {"encoder": None if examples is None else examples.encoder}
    job = _Job(model, folder, fold, sign, names, examples, {k: v for k, v in options.items() if v is not None})
    reports = {}
    for name in variants:
        with mistakes(ValueError, OSError, ImportError):
            try:
                with waiting(f"{name}: writing and verifying"):
                    reports[name] = job.run(name)
            except RuntimeError as error:
                say(f"{name}: {error}")
                raise typer.Exit(1) from error
    typer.echo(str(next(iter(reports.values())).fold))
    for name, report in reports.items():
        for note in report.notes:
            typer.echo(f"{name}: note: {note}")
        if report.accuracy is not None:
            typer.echo(f"{name}: {report.accuracy}")
    with waiting("measuring"), quietly():
        latencies = _latencies(reports)
    typer.echo(_table(reports, latencies, examples))


def verify(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="An artefact, or a folder that contains artefacts.")],
    checksums_only: Annotated[
        bool, typer.Option("--checksums-only", help="Do not run the artefacts. Use it if you do not know their author.")
    ] = False,
    key: Annotated[
        Path | None,
        typer.Option(
            help="A public key (PEM). Artefacts without its signature fail and are not run. Needs the extra sign."
        ),
    ] = None,
) -> None:
    """Compare artefacts with their checksums, then run them and compare their outputs with the stored ones.

    The exit status is 1 if one fails.

    An artefact runs with all your rights.
    """
    with mistakes(ValueError, OSError, ImportError), quietly():
        verifications = bnzoo.export.verify(folder, checksums_only=checksums_only, key=key)
    for verification in verifications:
        typer.echo(verification)
    raise typer.Exit(1 if any(verification.problems for verification in verifications) else 0)


@dataclass(frozen=True)
class _Job:
    model: "keras.Model"
    folder: Path
    fold: bool
    sign: Path | None
    labels: list[str] | None
    examples: "Dataset | None"
    options: dict[str, Any]  # that some formats have

    def run(self, name: str) -> "ExportReport":
        format, quantization = VARIANTS[name]
        options: dict[str, Any] = {"fold": self.fold, "labels": self.labels, "sign": self.sign}
        if quantization is None:
            options |= {"sample": None if self.examples is None else self.examples.test.x}
        else:
            options |= {"quantize": quantization, "calibration": self.examples}
        options |= {option: value for option, value in self.options.items() if option in format.options}
        with quietly():
            return format.export(self.model, self.folder / name, **options)


def _formats(text: str, data: str | None) -> list[str]:
    variants = list(dict.fromkeys(text.split(",")))
    for name in variants:
        if name not in VARIANTS:
            raise UserError(unknown("format in --formats", name, VARIANTS))
        if VARIANTS[name][1] is not None and data is None:
            raise UserError(f"{name} needs --data, from which the ranges of the activations are taken")
    return variants


def _warmup(text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise UserError(f"--warmup must be batch sizes separated by commas, such as 1,8. Received: {text!r}") from error


def _labels(path: Path | None, examples: "Dataset | None") -> list[str] | None:
    if path is None:
        return None if examples is None else list(examples.names_of_outputs) or None
    return read_labels(path)


def read_labels(path: Path) -> list[str]:
    """Read a text file with the name of a class on each line."""
    from bnzoo.reading import reading

    with mistakes(OSError, ValueError), reading(path, "the text file (UTF-8) of --labels") as file:
        return file.read_text(encoding="utf-8").splitlines()


def _latencies(reports: "dict[str, ExportReport]") -> "dict[int, dict[str, float]]":
    """Measure the median seconds of a call, by batch size and name, of all artefacts in turns."""
    from bnzoo.export.latency import medians, open_calls

    calls = {name: open_calls(VARIANTS[name][0], report.path) for name, report in reports.items()}
    return {size: medians({name: call(size) for name, call in calls.items()}, _SECONDS) for size in _BATCHES}


def _table(
    reports: "dict[str, ExportReport]", latencies: dict[int, dict[str, float]], examples: "Dataset | None"
) -> str:
    """Return the comparison as a table in Markdown."""
    from bnzoo.metrics import measured, metric_of, predictions_of

    head = ["format", "MB", "difference", *(f"ms, batch {size}" for size in latencies)]
    rows = []
    for name, report in reports.items():
        times = [f"{latencies[size][name] * 1e3:.2f}" for size in latencies]
        rows.append([name, f"{report.size / 1e6:.2f}", f"{report.difference:.1e}", *times])
    if examples is not None:
        metric = metric_of(examples.test.y)
        head.append(f"{metric.label} (95 % interval)")
        truth = examples.test.y
        for row, report in zip(rows, reports.values(), strict=True):
            found = measured({"": metric}, predictions_of(report.outputs, truth), truth)[""]
            row.append(f"{metric.text(found.value)} ({found.ends(metric)})")
    lines = [head, ["---", *("---:" for _ in head[1:])], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
