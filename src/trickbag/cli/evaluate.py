"""Evaluate the kept weights of a run on its validation images, or on other labelled images.

More than one RUN is one predictor, the mean of their probabilities.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from trickbag.cli.evaluations import evaluation_kinds
from trickbag.cli.evaluations.tta import ALL
from trickbag.cli.options import RUN_HELP, add_fold, add_init, add_precision, add_tta
from trickbag.errors import UserError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from trickbag.cli.evaluations.kind import Outcome
    from trickbag.errors import Note
    from trickbag.evaluate.evaluation import Evaluation
    from trickbag.evaluate.trained import Trained


LIST = "run"
"""The list of arguments that goes on behind options."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("run", metavar="RUN", nargs="+", help=f"{RUN_HELP}; or timm:NAME")
    add_init(parser)
    add_tta(parser, f"; {ALL} measures all of them")
    parser.add_argument(
        "--data",
        metavar="SOURCE",
        action="append",
        help="other images: digits, a folder, a CSV file, an .arrow pack, torchvision:NAME, "
        "hf:NAME, or wds:URL; can be given again, for an evaluation of each",
    )
    parser.add_argument(
        "--image-root",
        metavar="DIR",
        action="append",
        help="where a table's images or a torchvision data set lie; can be given again",
    )
    parser.add_argument(
        "--part",
        metavar="train|val|test",
        help="default: val; of other data that have no val: test, or else all",
    )
    parser.add_argument("--device", metavar="auto|cpu|cuda|mps", default="auto")
    add_precision(parser)
    add_fold(parser)
    parser.add_argument("--batch-size", metavar="N")
    parser.add_argument("--workers", metavar="N", help="threads or processes that read images")
    parser.add_argument(
        "--limit", metavar="N", help="evaluate at most N images, spread over the part"
    )
    parser.add_argument(
        "--seed", metavar="N", help="of the random draws of an evaluation that has some; default: 0"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    for kind in evaluation_kinds().values():
        kind.add_arguments(parser)


@dataclass(frozen=True, kw_only=True)
class _Evaluated:
    """The metrics on the images of one source, and what the kinds of evaluations add to them."""

    evaluation: Evaluation
    outcomes: tuple[Outcome, ...]

    @property
    def notes(self) -> list[Note]:
        """The notes of all kinds, each once: more than one can say the same of the images."""
        of_kinds = [note for outcome in self.outcomes for note in outcome.notes]
        return list(dict.fromkeys((*self.evaluation.notes, *of_kinds)))

    def to_dict(self) -> dict[str, Any]:
        """Return plain data; the notes of all kinds are together."""
        data = self.evaluation.to_dict()
        for outcome in self.outcomes:
            data |= outcome.data
            data["metrics"] |= outcome.metrics
            if outcome.record is not None:
                intervals = outcome.record.intervals
                data["intervals"] |= {name: list(ends) for name, ends in intervals.items()}
        data["warnings"] = [note.text for note in self.notes]
        data["notes"] = [note.to_dict() for note in self.notes]
        return data


def run(args: argparse.Namespace) -> int:
    """Print the metrics; return 0."""
    from trickbag.cli.options import optional, precision_of
    from trickbag.cli.terminal import print_json
    from trickbag.evaluate.extra import MAX_SEED
    from trickbag.optim.config import Device
    from trickbag.parsing import parse
    from trickbag.ranges import AtLeast

    device = parse(Device, args.device, "--device")
    options = _options(args)
    precision = precision_of(args)
    seed = optional(Annotated[int, AtLeast(0, MAX_SEED)], args.seed, "--seed")
    settings = {name: kind.settings(args) for name, kind in evaluation_kinds().items()}
    if seed is not None and not any(value is not None for value in settings.values()):
        raise UserError(
            "--seed is of evaluations with random draws, and none is asked for",
            "add --robustness, --perturbations or --shift-consistency, or leave it out",
        )
    tta = None if args.tta == ALL else args.tta

    # Behind the check of the options: torch takes seconds to import, a wrong option should not.
    from trickbag.evaluate.loading import load_trained

    trained = load_trained(
        args.run,
        init=args.init or (),
        device=device,
        precision=precision,
        tta=tta,
        folded=args.fold_batch_norms,
    )
    for name in [name for name, value in settings.items() if value is not None]:
        _require_fit(trained, name)
    trained = _calibrated(trained, settings)
    sources = args.data or [None]
    if len(sources) > 1:
        _require_sources(trained, sources, options)
    evaluated = [_evaluated(trained, data, options, seed or 0, settings) for data in sources]
    evaluated = _keep_records(trained, evaluated)
    if args.json:
        runs = args.run[0] if len(args.run) == 1 else args.run
        print_json({"run": runs, **_json_of([each.to_dict() for each in evaluated])})
    else:
        _show(evaluated)
    return 0


def _calibrated(trained: Trained, settings: Mapping[str, Any]) -> Trained:
    """Return an average with the temperature that is kept for it.

    Where a threshold of its confidences is asked for, one is fitted if none is kept: `predict`
    would fit it, and the threshold were that of other confidences.
    """
    from trickbag.cli.terminal import checking_progress, warn
    from trickbag.evaluate.average_temperature import at_stored_temperature, calibrated_average

    if trained.task.kind != "classification":
        return trained
    if settings["selective"] is None:
        return at_stored_temperature(trained)
    with checking_progress() as progress:
        return calibrated_average(
            trained, announce=lambda text: warn("evaluate", text), progress=progress
        )


def _options(args: argparse.Namespace) -> dict[str, Any]:
    """Return the options that say which images are evaluated, and how they are loaded."""
    from trickbag.cli.options import optional
    from trickbag.data.config import MAX_WORKERS
    from trickbag.evaluate.extra import MAX_IMAGES
    from trickbag.optim.config import MAX_BATCH
    from trickbag.ranges import AtLeast

    return {
        "image_root": None if args.image_root is None else tuple(args.image_root),
        "part": optional(Literal["train", "val", "test"], args.part, "--part"),
        "batch_size": optional(
            Annotated[int, AtLeast(1, MAX_BATCH)], args.batch_size, "--batch-size"
        ),
        "workers": optional(Annotated[int, AtLeast(0, MAX_WORKERS)], args.workers, "--workers"),
        "limit": optional(Annotated[int, AtLeast(1, MAX_IMAGES)], args.limit, "--limit"),
    }


def _keep_records(trained: Trained, evaluated: list[_Evaluated]) -> list[_Evaluated]:
    """Write the records of all kinds into the folder of the run; add a note where that fails."""
    from trickbag.cli.evaluations.keep import keep_record

    return [
        replace(
            each,
            outcomes=tuple(
                replace(
                    outcome,
                    notes=(*outcome.notes, *keep_record(outcome, trained, sources=len(evaluated))),
                )
                for outcome in each.outcomes
            ),
        )
        for each in evaluated
    ]


def _require_fit(trained: Trained, kind: str) -> None:
    """Raise UserError where a kind of evaluation is not for such a task or average."""
    from trickbag.cli.evaluations import OF_CROPS, OF_ONE_NETWORK, OPTIONS
    from trickbag.errors import UserError
    from trickbag.evaluate.of_task import require_task

    require_task(trained, OPTIONS[kind])

    if kind == "tta" and trained.thresholds is not None:
        raise UserError(
            f"--tta {ALL} measures top-1, and {trained.path} gives several labels an image",
            "give one name of --tta at a time",
        )
    if kind in OF_ONE_NETWORK and trained.members:
        raise UserError(
            f"the evaluation {kind} looks into one network, and this is an average",
            "give one RUN, without --tta",
        )
    if kind in OF_CROPS and trained.preprocessing.packed:
        raise UserError(
            f"the evaluation {kind} needs one crop of each image, and this average has others",
            "give runs of one preprocessing; of --tta only flip and dihedral have one crop",
        )


def _require_sources(
    trained: Trained, sources: Sequence[str | None], options: Mapping[str, Any]
) -> None:
    """Raise UserError if one of the sources cannot be evaluated, before the first one is."""
    from trickbag.evaluate.selection import select

    for data in sources:
        select(
            trained,
            data=data,
            image_root=options["image_root"],
            part=options["part"],
            progress=None,
        )


def _evaluated(
    trained: Trained,
    data: str | None,
    options: Mapping[str, Any],
    seed: int,
    settings: Mapping[str, Any],
) -> _Evaluated:
    """Evaluate a network on one source: its metrics, and each kind that is asked for."""
    from trickbag.cli.evaluations.kind import Request
    from trickbag.cli.terminal import checking_progress
    from trickbag.evaluate.evaluation import evaluate

    # A kind shows a progress of its own: a terminal has room for one at a time.
    with checking_progress() as progress:
        evaluation = evaluate(trained, data=data, progress=progress, **options)
    request = Request(data=data, evaluation=evaluation, seed=seed, progress=None, **options)
    outcomes = [
        kind.evaluate(trained, settings[name], request)
        for name, kind in evaluation_kinds().items()
        if settings[name] is not None
    ]
    return _Evaluated(evaluation=evaluation, outcomes=tuple(outcomes))


def _json_of(sources: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the object of one source; of more than one a list of theirs."""
    return sources[0] if len(sources) == 1 else {"evaluations": sources}


def _show(evaluated: list[_Evaluated]) -> None:
    from trickbag.cli.evaluations.metrics import metric_lines, summary_lines
    from trickbag.cli.terminal import print_line, warn

    for place, each in enumerate(evaluated):
        if place:
            print_line("")
        for line in metric_lines(each.evaluation):
            print_line(line)
        for outcome in each.outcomes:
            for line in outcome.lines:
                print_line(line)
        for note in each.notes:
            warn("evaluate", note.text)
    if len(evaluated) > 1:
        print_line("")
        for line in summary_lines([each.evaluation for each in evaluated]):
            print_line(line)
