"""Predict the class of images with the best weights of a run.

PATH is an image, a folder, a quoted glob, or a CSV file such as Kaggle's sample_submission.csv,
whose rows name the images; their folder can be given beside it. A bad file is a row with an error,
not the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from pathlib import Path

    from trickbag.evaluate.inputs import Inputs
    from trickbag.evaluate.prediction import Prediction, Predictor
    from trickbag.evaluate.table import Written


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("run", metavar="RUN", help="a run's folder, or its best.safetensors")
    parser.add_argument(
        "paths", metavar="PATH", nargs="+", help="images, folders, globs, or one CSV file"
    )
    parser.add_argument("--csv", metavar="FILE", help="write a CSV file instead of printing")
    parser.add_argument("--top", metavar="K", default="1", help="give the K most probable classes")
    parser.add_argument(
        "--probabilities", action="store_true", help="with --csv: add a column for each class"
    )
    parser.add_argument("--image-root", metavar="DIR", help="where the images of a CSV file lie")
    parser.add_argument("--device", metavar="auto|cpu|cuda", default="auto")
    parser.add_argument("--batch-size", metavar="N")


def run(args: argparse.Namespace) -> int:
    """Predict; return 0, or 1 where no image at all could be read."""
    from pathlib import Path
    from typing import Annotated, Literal

    from trickbag.cli.terminal import name_some, warn
    from trickbag.errors import UserError
    from trickbag.settings import AtLeast, parse

    device = parse(Literal["auto", "cpu", "cuda"], args.device, "--device")
    top = parse(Annotated[int, AtLeast(1)], args.top, "--top")
    batch_size = (
        None
        if args.batch_size is None
        else parse(Annotated[int, AtLeast(1)], args.batch_size, "--batch-size")
    )
    if args.probabilities and args.csv is None:
        raise UserError("--probabilities needs the file to write: --csv FILE")
    target = None if args.csv is None else _target(args.csv, args.run)

    from trickbag.evaluate.inputs import find_inputs
    from trickbag.evaluate.prediction import Predictor
    from trickbag.evaluate.table import Form, Written, write_csv

    predictor = Predictor.load(args.run, device=device, batch_size=batch_size)
    classes, columns = predictor.classes, predictor.trained.columns
    if top > len(classes):
        raise UserError(f"--top {top}: the network has only {len(classes)} classes")
    if top > 1 and predictor.trained.thresholds is not None:
        raise UserError(
            f"--top {top} is for one label an image; this run gives each image all labels that "
            f"reach their thresholds: "
            "--probabilities with --csv FILE gives the probability of each"
        )
    root = None if args.image_root is None else Path(args.image_root).expanduser()
    inputs = find_inputs(args.paths, image_root=root, id_column=columns[0] if columns else None)
    rows = _rows(predictor, inputs)
    if target is None:
        written = Written()
        for line in _lines(rows, inputs, classes, top, written):
            print(line)
    else:
        _refuse_input(target, inputs, args.csv)
        form = Form(
            classes=classes,
            columns=columns if inputs.csv else None,
            top=top,
            probabilities=args.probabilities,
        )
        written = write_csv(target, form, rows)
        print(f"predictions: {target} ({written.predicted:,} images)")
    if written.errors:
        total = written.predicted + len(written.errors)
        where = (
            "their label is left empty"
            if target and inputs.csv and columns
            else "see the errors beside their names"
        )
        named = name_some([f"{name} ({reason})" for name, reason in written.errors])
        warn(
            "predict",
            f"{len(written.errors)} of {total} images could not be predicted; {where}: {named}",
        )
    return 0 if written.predicted else 1


def _target(text: str, run: str) -> Path:
    """Check the place to write before anything is computed."""
    from pathlib import Path

    from trickbag.errors import UserError
    from trickbag.train.folder.run_folder import RunFolder

    path, folder = Path(text).expanduser(), Path(run)
    if path.is_dir():
        raise UserError(f"--csv {text!r} is a folder; give the name of a file")
    if not path.parent.is_dir():
        raise UserError(f"--csv {text!r}: there is no folder {path.parent}")
    own = RunFolder(folder if folder.is_dir() else folder.parent)
    files = (own.recipe, own.metrics, own.checkpoint, own.best, own.result, own.predictions)
    if path.exists() and any(path.resolve() == file.resolve() for file in files):
        raise UserError(f"--csv {text!r} is a file of the run itself; choose another name")
    return path


def _refuse_input(target: Path, inputs: Inputs, text: str) -> None:
    from trickbag.errors import UserError

    place = target.resolve()
    if any(path is not None and path.resolve() == place for path in (inputs.csv, *inputs.paths)):
        raise UserError(
            f"--csv {text!r} is one of the files to predict from, and would be overwritten; choose "
            f"another name"
        )


def _rows(predictor: Predictor, inputs: Inputs) -> Iterator[tuple[str, Prediction]]:
    from trickbag.evaluate.prediction import Prediction

    predictions = predictor.predict(path for path in inputs.paths if path is not None)
    for name, path in zip(inputs.names, inputs.paths, strict=True):
        if path is not None:
            yield name, next(predictions)
        else:
            reason = "no such file" if name else "no image named"
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
) -> Iterator[str]:
    """Give a line for each image as soon as it is predicted, below a header."""
    from trickbag.cli.terminal import printable

    first = max(len("image"), *(len(printable(name)) for name in inputs.names))
    second = max(len("label"), *(len(printable(name)) for name in classes))
    yield "  ".join(["image".ljust(first), *["label".ljust(second) + "  confidence"] * top])
    for name, prediction in rows:
        shown = printable(name).ljust(first)
        if prediction.error is not None:
            written.errors.append((name, prediction.error))
            yield f"{shown}  error: {printable(prediction.error)}"
            continue
        written.predicted += 1
        found = prediction.top(top)
        found[0] = (prediction.label or "", found[0][1])
        cells = [f"{printable(label).ljust(second)}  {share:<10.4f}" for label, share in found]
        yield "  ".join([shown, *cells]).rstrip()
