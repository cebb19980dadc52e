"""`predict` with a detector or a segmenter: lines or a JSON file, drawn pictures, masks."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from trickbag.cli.given_images import PixelValues, refuse_input, warn_of_inputs
from trickbag.cli.predictions.options import DEFAULT_LEAST, least_score, new_folder

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from trickbag.cli.predictions.shown import Shown
    from trickbag.evaluate.by_task.predictor import PredictedImage, TaskPredictor
    from trickbag.evaluate.inputs import Inputs
    from trickbag.evaluate.trained import Trained

__all__ = ["predict_task"]


@dataclass(kw_only=True)
class _Output:
    """What is written of each image, and what came of it."""

    shown: Shown
    pictures: Path | None
    masks: Path | None
    names: Sequence[str]
    predicted: int = 0
    errors: list[tuple[str, str]] = field(default_factory=list)

    def write(self, place: int, prediction: PredictedImage) -> dict[str, str]:
        """Write the files of an image; return their names in their folders."""
        if prediction.error is not None:
            self.errors.append((prediction.image, prediction.error))
            return {}
        from trickbag.cli.predictions.files import picture_png, write_file

        self.predicted += 1
        names = {}
        if self.pictures is not None:
            picture = self.shown.picture(prediction)
            write_file(self.pictures / self.names[place], picture_png(picture))
            names["picture"] = self.names[place]
        if self.masks is not None:
            write_file(self.masks / self.names[place], self.shown.mask(prediction))
            names["mask"] = self.names[place]
        return names


def predict_task(
    args: argparse.Namespace, trained: Trained, paths: Sequence[str], batch_size: int
) -> int:
    """Predict images; return 0, or 1 if no image at all could be predicted."""
    from pathlib import Path

    from trickbag.cli.options import output_file
    from trickbag.cli.predictions.files import file_names
    from trickbag.cli.predictions.shown import shown_by
    from trickbag.cli.terminal import warn
    from trickbag.evaluate.by_task.predictor import TaskPredictor
    from trickbag.evaluate.inputs import find_inputs
    from trickbag.paths import expanded

    least = least_score(args)
    if least is None:
        least = DEFAULT_LEAST
    target = None if args.json is None else output_file(args.json, "--json", Path(args.run))
    pictures, masks = (
        new_folder(text, option)
        for text, option in ((args.pictures, "--pictures"), (args.masks, "--masks"))
    )
    roots = [expanded(root) for root in args.image_root or ()]
    inputs = find_inputs(paths, image_roots=roots)
    if target is not None:
        refuse_input(target, inputs, f"--json {args.json!r}")
    for note in trained.notes:
        warn("predict", note.text)
    warn_of_inputs(inputs)
    output = _Output(
        shown=shown_by(trained, least),
        pictures=pictures,
        masks=masks,
        names=file_names(inputs.paths),
    )
    values = PixelValues()
    predictor = TaskPredictor(trained=trained, batch_size=batch_size, least=least)
    rows = values.noting(_rows(predictor, inputs))
    if target is None:
        _print(rows, inputs, output)
    else:
        _write_json(target, rows, output, trained)
    _tell(output, values, trained)
    return 0 if output.predicted else 1


def _rows(predictor: TaskPredictor, inputs: Inputs) -> Iterator[tuple[str, PredictedImage]]:
    from trickbag.evaluate.by_task.form import form_of
    from trickbag.evaluate.by_task.predictor import PredictedImage

    form = form_of(predictor.trained)
    predictions = predictor.predict(path for path in inputs.paths if path is not None)
    for name, path, reason in zip(inputs.names, inputs.paths, inputs.reasons, strict=True):
        if path is not None:
            yield name, next(predictions)
        else:
            yield name, PredictedImage(image=name, predicted=form.unread(name, reason))


def _print(rows: Iterator[tuple[str, PredictedImage]], inputs: Inputs, output: _Output) -> None:
    """Print the lines of each image as soon as it is predicted."""
    from trickbag.cli.terminal import print_line, printable
    from trickbag.output import is_lost

    print_line(output.shown.header(inputs.names))
    for place, (name, prediction) in enumerate(rows):
        output.write(place, prediction)
        if prediction.error is not None:
            print_line(f"{printable(name)}  error: {printable(prediction.error)}")
            continue
        for line in output.shown.lines(prediction):
            print_line(line)
        # Nobody reads the rest; pictures and masks are still to be written.
        if is_lost(sys.stdout) and output.pictures is None and output.masks is None:
            return


def _write_json(
    target: Path,
    rows: Iterator[tuple[str, PredictedImage]],
    output: _Output,
    trained: Trained,
) -> None:
    from trickbag.cli.terminal import print_line
    from trickbag.files import write_text
    from trickbag.tasks.box_predictions import json_text

    images: list[dict[str, Any]] = []
    for place, (name, prediction) in enumerate(rows):
        files = output.write(place, prediction)
        images.append({**output.shown.row(prediction), "file": name, **files})
    write_text(target, json_text(output.shown.head(), images))
    title = f"{trained.weights_title}, in {trained.precision}"
    print_line(f"predictions: {target} ({output.predicted:,} images; {title})")


def _tell(output: _Output, values: PixelValues, trained: Trained) -> None:
    """Say where files were written, and which images could not be predicted."""
    from trickbag.cli.terminal import name_some, print_line, warn

    for name, folder in (("pictures", output.pictures), ("masks", output.masks)):
        if folder is not None and output.predicted:
            print_line(f"{name}: {folder}")
    values.warn(trained)
    if output.errors:
        total = output.predicted + len(output.errors)
        names = name_some([f"{name} ({reason})" for name, reason in output.errors])
        warn("predict", f"{len(output.errors)} of {total} images could not be predicted: {names}")
