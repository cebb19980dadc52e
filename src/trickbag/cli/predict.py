"""Predict the class of images with the kept weights of a run; or their objects, or their masks.

Leading arguments that are runs, weights files or timm:NAME are RUN, all others PATH. More than one
RUN is one predictor, the mean of their probabilities.

PATH is an image, a folder, a quoted glob, or a CSV file such as Kaggle's sample_submission.csv,
whose rows name the images; their folder can be given beside it. With --csv FILE its header, rows
and columns are copied: the column of labels gets labels, a column with the name of a class that
class's probability. A file that cannot be read becomes a row with an error; the others are
predicted.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from trickbag.cli.given_images import PixelValues, refuse_input, warn_of_inputs
from trickbag.cli.options import RUN_HELP, add_fold, add_init, add_precision, add_tta
from trickbag.cli.predictions.options import add_task_options, require_options
from trickbag.cli.rejection import (
    add_reject_below,
    reject_limit,
    rejecting,
    require_labels,
    warn_of_rejected,
)

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from trickbag.evaluate.inputs import Inputs
    from trickbag.evaluate.prediction import Prediction, Predictor
    from trickbag.evaluate.sample import SampleFile
    from trickbag.evaluate.table import Written


LIST = "paths"
"""The list of arguments that goes on behind options."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("run", metavar="RUN", help=f"{RUN_HELP}; or timm:NAME")
    parser.add_argument(
        "paths", metavar="PATH", nargs="+", help="images, folders, globs, or one CSV file"
    )
    add_init(parser)
    add_tta(parser)
    parser.add_argument(
        "--csv",
        metavar="FILE",
        help="write a CSV file instead of printing; names and labels stand in it as they are, also "
        "those that begin with =, +, - or @, which a spreadsheet takes for formulas",
    )
    parser.add_argument("--top", metavar="K", default="1", help="give the K most probable classes")
    parser.add_argument(
        "--probabilities", action="store_true", help="with --csv: add a column for each class"
    )
    add_reject_below(parser)
    add_task_options(parser)
    parser.add_argument(
        "--raw-confidence",
        action="store_true",
        help="give the network's own probabilities, not those calibrated by its temperature",
    )
    parser.add_argument(
        "--image-root",
        metavar="DIR",
        action="append",
        help="where the images of a table lie; can be given again",
    )
    parser.add_argument("--device", metavar="auto|cpu|cuda|mps", default="auto")
    add_precision(parser)
    add_fold(parser)
    parser.add_argument("--batch-size", metavar="N")


def run(args: argparse.Namespace) -> int:
    """Predict; return 0, or 1 if no image at all could be read."""
    from pathlib import Path
    from typing import Annotated

    from trickbag.cli.options import optional, output_file, precision_of
    from trickbag.cli.terminal import print_line, warn
    from trickbag.errors import UserError
    from trickbag.evaluate.loading import require_init
    from trickbag.evaluate.runs import split_runs
    from trickbag.evaluate.views import require_tta
    from trickbag.models.config import MAX_CLASSES
    from trickbag.optim.config import MAX_BATCH, Device
    from trickbag.parsing import parse
    from trickbag.ranges import AtLeast

    device = parse(Device, args.device, "--device")
    top = parse(Annotated[int, AtLeast(1, MAX_CLASSES)], args.top, "--top")
    batch_size = optional(Annotated[int, AtLeast(1, MAX_BATCH)], args.batch_size, "--batch-size")
    precision = precision_of(args)
    limit = reject_limit(args)
    if args.probabilities and args.csv is None:
        raise UserError("--probabilities needs the file to write: --csv FILE")
    runs, paths = split_runs([args.run, *args.paths])
    init = require_init(runs, args.init or ())
    if args.tta is not None:
        require_tta(args.tta)
    target = None
    for run in () if args.csv is None else runs:
        target = output_file(args.csv, "--csv", Path(run), [Path(file) for file in init])

    from trickbag.cli.predictions.predict import predict_task
    from trickbag.evaluate.inputs import find_inputs
    from trickbag.evaluate.loading import load_trained
    from trickbag.evaluate.prediction import Predictor
    from trickbag.evaluate.table import Form, Written, write_csv
    from trickbag.output import is_lost
    from trickbag.paths import expanded

    trained = load_trained(
        runs,
        init=init,
        device=device,
        precision=precision,
        tta=args.tta,
        folded=args.fold_batch_norms,
    )
    require_options(args, trained)
    if trained.task.kind != "classification":
        return predict_task(args, trained, paths, batch_size or trained.batch_size)
    predictor = Predictor(
        trained=trained,
        batch_size=batch_size or trained.batch_size,
        calibrated=not args.raw_confidence,
    )
    _require_top(top, predictor)
    columns = predictor.trained.columns
    roots = [expanded(root) for root in args.image_root or ()]
    inputs = find_inputs(paths, image_roots=roots, id_column=columns[0] if columns else None)
    # Behind all that can be refused: for an average images may be evaluated.
    predictor = rejecting(_calibrated(predictor), limit)
    for note in predictor.trained.notes:
        warn("predict", note.text)
    warn_of_inputs(inputs)
    if inputs.csv is None:
        columns = None  # those of a competition: only where its CSV file names the images
    values = PixelValues()
    rows = values.noting(_rows(predictor, inputs))
    if target is None:
        written = Written()
        rejects = predictor.reject_below is not None
        for line in _lines(rows, inputs, predictor.classes, top, written, rejects):
            print_line(line)
            if is_lost(sys.stdout):
                return 0  # nobody reads the rest; a full disk is an error of the output
    else:
        refuse_input(target, inputs, f"--csv {args.csv!r}")
        form = Form(
            classes=predictor.classes,
            columns=columns,
            top=top,
            probabilities=args.probabilities,
            sample=_sample(predictor, inputs, top),
            rejects=predictor.reject_below is not None,
        )
        require_labels(form.sample, predictor)
        written = write_csv(target, form, rows)
        print_line(f"predictions: {target} ({written.predicted:,} images; {_title(predictor)})")
    values.warn(predictor.trained)
    if predictor.calibrated and predictor.trained.lacks_temperature:
        way_out = predictor.trained.way_to_calibrate
        warn(
            "predict",
            f"{predictor.trained.weights_title}: confidences are not calibrated, as these weights "
            f"have no temperature{'; ' if way_out else ''}{way_out}",
        )
    warn_of_rejected(written, predictor)
    _warn_of_errors(written, cells_are_empty=target is not None and not form.has_errors)
    return 0 if written.predicted else 1


def _calibrated(predictor: Predictor) -> Predictor:
    """Return a predictor whose temperature, if it is an average, was fitted to it."""
    from trickbag.cli.terminal import checking_progress, warn

    def announce(text: str) -> None:
        warn("predict", f"{text}; --raw-confidence leaves it out")

    with checking_progress() as progress:
        return predictor.with_fitted_temperature(announce=announce, progress=progress)


def _title(predictor: Predictor) -> str:
    trained = predictor.trained
    tta = "" if trained.tta is None else f", with test-time augmentation {trained.tta}"
    return f"{trained.weights_title}, in {trained.precision}{tta}"


def _sample(predictor: Predictor, inputs: Inputs, top: int) -> SampleFile | None:
    """Return the table that names the images, if it is a sample of what to write."""
    from trickbag.cli.terminal import warn
    from trickbag.data.labels import separator_of_labels
    from trickbag.errors import UserError
    from trickbag.evaluate.sample import SampleFile, sample_columns

    if inputs.sheet is None:
        return None
    trained, title = predictor.trained, str(inputs.csv)
    separator = separator_of_labels(trained.classes, trained.label_separator)
    columns = sample_columns(
        inputs.sheet,
        inputs.column,
        trained.classes,
        title=title,
        label_name=trained.columns[1] if trained.columns else None,
        label_separator=None if trained.thresholds is None else separator,
    )
    for fact in columns.facts:
        warn("predict", fact)
    if columns.label is None and not columns.classes:
        return None
    if columns.label is None and top > 1:
        raise UserError(
            f"--top {top}: {title} has columns of classes alone, which get probabilities",
            "leave --top out",
        )
    return SampleFile(sheet=inputs.sheet, columns=columns, classes=trained.classes)


def _require_top(top: int, predictor: Predictor) -> None:
    from trickbag.errors import UserError

    if top > len(predictor.classes):
        raise UserError(f"--top {top}: the network has only {len(predictor.classes)} classes")
    if top > 1 and predictor.trained.thresholds is not None:
        raise UserError(
            f"--top {top} is for one label an image; this run gives each image all labels that "
            "reach their thresholds: --probabilities with --csv FILE gives the probability of each"
        )


def _warn_of_errors(written: Written, *, cells_are_empty: bool) -> None:
    from trickbag.cli.terminal import name_some, warn

    if not written.errors:
        return
    total = written.predicted + len(written.errors)
    where = "their cells are left empty" if cells_are_empty else "see the errors beside their names"
    names = name_some([f"{name} ({reason})" for name, reason in written.errors])
    warn(
        "predict",
        f"{len(written.errors)} of {total} images could not be predicted; {where}: {names}",
    )


def _rows(predictor: Predictor, inputs: Inputs) -> Iterator[tuple[str, Prediction]]:
    from trickbag.evaluate.prediction import Prediction

    predictions = predictor.predict(path for path in inputs.paths if path is not None)
    for name, path, reason in zip(inputs.names, inputs.paths, inputs.reasons, strict=True):
        if path is not None:
            yield name, next(predictions)
        else:
            yield (
                name,
                Prediction(image=name, classes=predictor.classes, probabilities=None, error=reason),
            )


def _lines(
    rows: Iterator[tuple[str, Prediction]],
    inputs: Inputs,
    classes: tuple[str, ...],
    top: int,
    written: Written,
    rejects: bool = False,
) -> Iterator[str]:
    """Yield a header, and a line for each image as soon as it is predicted."""
    from trickbag.cli.terminal import printable

    first = max(len("image"), *(len(printable(name)) for name in inputs.names))
    widest = "(rejected)" if rejects else "label"
    second = max(len(widest), *(len(printable(name)) for name in classes))
    yield "  ".join(["image".ljust(first), *["label".ljust(second) + "  confidence"] * top])
    for name, prediction in rows:
        cell = printable(name).ljust(first)
        if prediction.error is not None:
            written.errors.append((name, prediction.error))
            yield f"{cell}  error: {printable(prediction.error)}"
            continue
        written.predicted += 1
        ranked = prediction.top(top)
        # With thresholds an image has any number of labels: all stand in the first cell.
        ranked[0] = (prediction.label or "", ranked[0][1])
        if prediction.rejected:
            written.rejected.append(name)
            ranked = [
                ("(rejected)" if k == 0 else "", share) for k, (_, share) in enumerate(ranked)
            ]
        cells = [f"{printable(label).ljust(second)}  {share:<10.4f}" for label, share in ranked]
        yield "  ".join([cell, *cells]).rstrip()
