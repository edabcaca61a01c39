"""`bnzoo tune`."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from bnzoo.cli.artefacts import print_artefact
from bnzoo.cli.clock import Clock
from bnzoo.cli.console import UserError, failures, mistakes, prefer_fast_training, quietly, say
from bnzoo.cli.final import trained, write_report
from bnzoo.cli.inputs import (
    ClassWeight,
    Column,
    Drop,
    Encoding,
    ImageSize,
    Separator,
    TaskWord,
    TrainingData,
    load_data,
    table_options,
)
from bnzoo.cli.latency import measure_latency
from bnzoo.cli.space import (
    FAMILIES,
    BranchScale,
    Momenta,
    Optimizers,
    Option,
    Schedules,
    Warmups,
    assignment,
    axes_of,
    check_family,
    needs_extra,
    seconds_of,
    space_of,
    training_axes,
    value_of,
)
from bnzoo.cli.tables import print_confirmed, print_rates
from bnzoo.cli.waiting import waiting

if TYPE_CHECKING:
    from bnzoo.training.artefact import Artefact
    from bnzoo.tuning import Study


def tune(
    family: Annotated[str, typer.Argument(help=f"The family of networks: {', '.join(FAMILIES)}.")] = "resnet",
    data: TrainingData = "digits",
    target: Column = None,
    task: TaskWord = None,
    drop: Drop = None,
    separator: Separator = None,
    encoding: Encoding = None,
    depths: Annotated[
        str | None,
        typer.Option(
            help="Depths separated by commas, at most 2000: 6n+2 for resnet (by default 8,14,20), 6n+4 for densenet "
            "(10,16,22), blocks of a vit, hidden layers of an mlp (2,4,8)."
        ),
    ] = None,
    learning_rates: Annotated[
        str | None,
        typer.Option(
            help="LOW:HIGH[:POINTS], a logarithmic grid of at most 1000 points. By default 1e-3:3:7 for sgd, "
            "1e-4:0.1:7 for the other optimizers, and both ranges if both are searched."
        ),
    ] = None,
    norms: Annotated[
        str | None,
        typer.Option(
            help="Names of norms, or none for no norm: batch,group,none. By default batch,none, for vit layer,batch."
        ),
    ] = None,
    placement: Annotated[
        str | None,
        typer.Option(
            help="Placements: pre, post, act_norm; for resnet also those of He et al. 2016, for vit also peri. Several "
            "are searched: pre,post. By default that of the study in the folder; for a new one post for resnet, as "
            "accurate as pre and faster once folded, else pre."
        ),
    ] = None,
    branch_scale: BranchScale = None,
    activation: Annotated[str | None, typer.Option(help="Names of activations of Keras: relu,silu.")] = None,
    batch_size: Annotated[
        str | None,
        typer.Option(
            help="The number of examples in a training batch: 64, or 32,128. By default that of the study in the "
            "folder; for a new one 64, with a budget 16 to 128, by the number of examples."
        ),
    ] = None,
    weight_decay: Annotated[
        str | None,
        typer.Option(
            help="Weight decays, relative to the learning rate: 0,1e-3. By default that of the study in the folder; "
            "for a new one 5e-3 for sgd, 0.05 for others."
        ),
    ] = None,
    optimizer: Optimizers = None,
    momentum: Momenta = None,
    schedule: Schedules = None,
    warmup: Warmups = None,
    precision: Annotated[
        str,
        typer.Option(
            help="float32, bfloat16 or float16; auto measures it with a budget, and is float32 in a search without one."
        ),
    ] = "auto",
    option: Option = None,
    seeds: Annotated[int, typer.Option(help="The number of seeds of every configuration, at most 1000.")] = 1,
    epochs: Annotated[int, typer.Option(help="The number of epochs of every trial, at most 1000000.")] = 15,
    equal: Annotated[
        str,
        typer.Option(
            help="The cost that the trials of all networks have in common: epochs, or compute (the multiplications of "
            "the shallowest network, so that deeper ones have fewer steps). Not with --budget, "
            "whose plan gives each depth its steps."
        ),
    ] = "epochs",
    sampler: Annotated[
        str | None,
        typer.Option(
            help="The sampler: grid (all configurations), local (the neighbours of the best), law (learning rates near "
            "the line through the best ones over depth), random, tpe or gp. All but grid and law need "
            "--budget or --trials. By default that of the study in the folder; for a new one grid, with a budget local."
        ),
    ] = None,
    pruner: Annotated[
        str | None,
        typer.Option(
            help="The pruner, which stops trials that are worse than others: successive_halving, hyperband or median."
        ),
    ] = None,
    sampler_seed: Annotated[int, typer.Option(help="The seed of the sampler.")] = 0,
    enqueue: Annotated[
        list[str] | None, typer.Option(help="A configuration to try first: depth=8,norm=batch. Repeatable.")
    ] = None,
    workers: Annotated[
        int,
        typer.Option(
            help="The number of processes that share the trials and the cores, at most 256. A search that is short for "
            "their start has one."
        ),
    ] = 1,
    objective: Annotated[
        str,
        typer.Option(
            help="The score of a configuration: loss; accuracy, balanced_accuracy, macro_f1, top5, auc or "
            "calibration_error for classes; mean_average_precision, macro_f1, auc or all_labels for several labels an "
            "example; r2, rmse or mae for numbers."
        ),
    ] = "loss",
    class_weight: ClassWeight = None,
    budget: Annotated[
        str | None,
        typer.Option(help="The time of the whole command, which plans its trials accordingly: 90s, 10m, 2h."),
    ] = None,
    trials: Annotated[int | None, typer.Option(help="The largest number of trials, at most 100000.")] = None,
    confirm: Annotated[
        int | None,
        typer.Option(
            help="The number of the best configurations, such as 3, that are trained again with three new seeds each: "
            "the best of many owes part of its score to chance. The new scores decide which one is the best."
        ),
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            help="A database that several machines share, each running the same command: "
            "postgresql://me@host/db. Put the password into PGPASSWORD or ~/.pgpass."
        ),
    ] = None,
    study: Annotated[
        str | None,
        typer.Option(
            help="The name of the study in the database. By default the name in the folder of the study, or the name "
            "of the folder."
        ),
    ] = None,
    final: Annotated[
        bool, typer.Option("--final/--no-final", help="Whether the best configuration is trained again, to the end.")
    ] = True,
    latency: Annotated[
        str | None,
        typer.Option(
            help="A format whose latency is measured for each network with one example: saved_model, onnx, litert or "
            "openvino. With a budget only if that takes at most a quarter of the time after the search."
        ),
    ] = None,
    tensorboard: Annotated[Path | None, typer.Option(help="A folder for runs of TensorBoard's HParams.")] = None,
    image_size: ImageSize = None,
    augment: Annotated[
        str | None,
        typer.Option(
            help="Random changes of the training images: flip, crop, rotation, erasing, color, randaugment, mixup, "
            "cutmix. Several are applied: flip,crop. By default none in the search, and crop in the final training."
        ),
    ] = None,
    output: Annotated[Path | None, typer.Option(help="The folder of the study. By default runs/FAMILY-DATA.")] = None,
) -> None:
    """Search the learning rate and the depth for your data, and export the best model."""
    prefer_fast_training()
    check_family(family)
    seconds = None if budget is None else seconds_of(budget)
    clock = Clock(seconds, final, workers, confirm or 0)
    start = [dict(_point(part) for part in text.split(",")) for text in enqueue or ()]
    axes = axes_of(
        depths, learning_rates, norms, placement, activation, batch_size, weight_decay, option or [], branch_scale
    )
    axes |= training_axes(optimizer, momentum, schedule, warmup)
    with mistakes(ValueError, OSError, ImportError):
        with quietly():
            needs_extra("tune")
            from bnzoo import tuning
            from bnzoo.training.options import default_batch_size
            from bnzoo.training.precision import AUTO, FLOAT32, check_precision
            from bnzoo.tuning.latency import check as check_latency
            from bnzoo.tuning.records import find_definition
            from bnzoo.tuning.steps import COMPUTE, EXCLUSIVE
        check_precision(precision)
        if latency is not None:
            check_latency(latency)
        options = table_options(drop, separator, encoding)
        examples = load_data(data, target, task, image_size, workers=workers, augment=augment, **options)
        clock.check()
        output = output or Path("runs") / f"{family}-{examples.stem}"
        stored = find_definition(output, storage, study)
        plans = clock.plans(stored)
        if plans and equal == COMPUTE:
            raise UserError(EXCLUSIVE)
        if stored is not None and stored["space"].get("family") == family:  # earlier versions had other defaults
            kept = {name: stored["space"].get(name) for name in ("placement", "batch_size", "weight_decay")}
            axes |= {name: value for name, value in kept.items() if axes[name] is None}
        elif batch_size is None and plans:
            axes["batch_size"] = default_batch_size(len(examples.train.x))
        search = tuning.Study(
            space_of(family, axes),
            examples,
            output,
            seeds=seeds,
            epochs=epochs if clock.plan is None else clock.plan.epochs,
            sampler=sampler or (stored["sampler"].get("name") if stored else "") or ("local" if plans else "grid"),
            pruner=pruner,
            sampler_seed=sampler_seed,
            enqueue=start,
            storage=storage,
            name=study,
            objective=objective,
            class_weight=class_weight,
            plan=clock.plan,
            precision=(stored or {}).get("precision", FLOAT32) if precision == AUTO else precision,
            equal=equal,
        )
        search.check_bounds(workers, seconds, clock.trials if trials is None else trials)
        if confirm is not None:
            search.check_confirmation(confirm)
        search = clock.timed(search, precision, trials)
        clock.warn_unless_confirming()
        bounds: dict[str, Any] = {
            "workers": clock.workers(clock.of_search()),
            "budget": clock.of_search(),
            "trials": clock.trials if trials is None else trials,  # a new study has its plan only now
        }
    _run(search, lambda: search.run(**bounds))
    if trials is None and clock.plan is not None and search.results.candidate is None and search.results.not_tried:
        # all trials of the plan are running in other processes
        _run(search, lambda: search.run(**bounds | {"budget": clock.of_search(), "trials": search.results.size + 1}))
    if confirm is not None and search.results.usable.empty:
        say(f"warning: --confirm {confirm} has no configuration to train again, since none is usable")
    elif confirm is not None and (left := clock.of_confirmation()) != 0:
        _run(search, lambda: search.confirm(confirm, workers=clock.workers(left), budget=left))
    if latency is not None and len(search.results):
        measure_latency(search, latency, None if clock.deadline is None else clock.left)
    if tensorboard is not None:
        from bnzoo.reports.tensorboard import write_hparams

        with mistakes(ValueError, OSError, ImportError):
            write_hparams(search.results, tensorboard)
    _print_results(search)
    artefact = None
    if search.results.candidate is not None:
        try:
            artefact = _exported(search, clock, final, augment, precision)
        finally:
            write_report(search)
    else:
        write_report(search)
    if artefact is None:
        raise typer.Exit(1)
    print_artefact(artefact, search.directory / "best.keras", search.directory / "report.html")


def _run(study: "Study", trials: Callable[[], Any]) -> None:
    """Run trials of a study."""
    with mistakes(ValueError, OSError, ImportError), failures():
        try:
            trials()
        except KeyboardInterrupt as error:
            results = study.refresh()
            size = results.size + (results.confirmation.size if results.confirmation is not None else 0)
            done = f"{len(results.every)} of {size} trials are done"
            say(f"stopped: {done}. The same command continues with the others")
            raise typer.Exit(130) from error


def _print_results(study: "Study") -> None:
    console = Console()
    print_rates(console, study)
    print_confirmed(console, study)
    counts = ", ".join(f"{count} {outcome}" for outcome, count in study.results.counts.items() if count)
    verdict = study.verdict
    count = len(study.results)
    trials = f"{count} trial{'s' * (count != 1)}: {counts or 'none'}."
    for line in filter(None, (trials, verdict.sentence, verdict.smallest)):
        console.print(line, highlight=False, soft_wrap=True)
    for warning in verdict.warnings:
        console.print(f"warning: {warning}", style="yellow", highlight=False, soft_wrap=True)


def _exported(study: "Study", clock: Clock, final: bool, augment: str | None, precision: str) -> "Artefact | None":
    """Return the artefact of the final training; without one, or if it diverged, that of the best trial."""
    with mistakes(ValueError, OSError, ImportError), failures():
        artefact = trained(study, clock.training_deadline, precision, augment) if final else None
        if artefact is None and study.results.best is not None:
            with waiting("verifying the SavedModel in another process"):
                artefact = study.export()
    return artefact


def _point(text: str) -> tuple[str, Any]:
    name, value = assignment("--enqueue", text)
    parsed = value_of(value)
    if isinstance(parsed, int | float) and not isinstance(parsed, bool):
        return name, parsed
    return name, "none" if parsed is None else str(parsed)  # the labels of `Axis`
