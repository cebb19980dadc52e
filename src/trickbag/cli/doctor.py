"""Decode every image of a data source and describe what is in it, and what would be left out.

Exits with 1 if so many files are bad that training would stop (data.max_bad_fraction), or if images
are the same: in two parts, in two classes, or twice in a part (data.duplicates).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from trickbag.data.annotations import AnnotationKind
    from trickbag.data.doctor import Diagnosis
    from trickbag.data.duplicates import CopySet

_NAMED_CLASSES = 20
_NAMED_OBJECTS = 20
_FEW = 10
"""A class with fewer images in the training part is named."""

_ANNOTATIONS: dict[str, AnnotationKind] = {
    "classification": "classes",
    "detection": "boxes",
    "segmentation": "masks",
}
"""What is annotated for each task."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    from trickbag.cli.recipe_options import add_places

    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="digits, a folder, a CSV file, an .arrow pack, torchvision:NAME, hf:NAME, or wds:URL",
    )
    add_places(parser)
    parser.add_argument(
        "--set",
        metavar="data.NAME=VALUE",
        action="append",
        default=[],
        help="change a setting of the data, such as data.multi_label=true",
    )
    parser.add_argument(
        "--task",
        choices=[*_ANNOTATIONS],
        default="classification",
        help="what the images are annotated for; default: classification",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print one JSON object, with every file that is left out",
    )


def run(args: argparse.Namespace) -> int:
    """Print the diagnosis; return 0, or 1 if too many files are bad or some are the same."""
    from trickbag.cli.recipe_options import data_settings
    from trickbag.cli.terminal import checking_progress, print_json, print_line, warn
    from trickbag.data.doctor import diagnose

    data = data_settings(args, "doctor")
    with checking_progress() as progress:
        diagnosis = diagnose(data, progress, annotations=_ANNOTATIONS[args.task])
    if args.json:
        print_json(diagnosis.to_dict())
    else:
        for line in _lines(diagnosis):
            print_line(line)
    bad = len(diagnosis.left_out)
    total = sum(diagnosis.images.values()) + bad
    too_many = bad > data.max_bad_fraction * total
    if too_many:
        share = f"{100 * bad / total:.1f} %"
        warn(
            "doctor",
            f"{bad} of {total} files ({share}) are bad: training would stop; "
            "see data.max_bad_fraction",
        )
    if diagnosis.copies:
        files = sum(len(copies.files) for copies in diagnosis.copies)
        warn(
            "doctor",
            f"{files:,} files are copies, of {len(diagnosis.copies):,} images; see data.duplicates",
        )
    return 1 if too_many or diagnosis.copies else 0


def _lines(diagnosis: Diagnosis) -> Iterator[str]:
    from trickbag.cli.terminal import aligned, left_out_lines, name_some, printable

    parts, total = list(diagnosis.images), sum(diagnosis.images.values())
    multi_label = diagnosis.labels_per_image is not None
    kind = "labels, of which an image has one or several" if multi_label else "classes"
    yield (
        f"{printable(diagnosis.source)}: {total:,} images that decode, "
        f"{len(diagnosis.classes)} {kind}"
    )
    yield ""
    yield from aligned(
        [
            [_title(diagnosis), *parts],
            *(
                [name, *(str(diagnosis.counts[part][name]) for part in parts)]
                for name in diagnosis.classes
            ),
            ["images" if multi_label else "all", *(str(n) for n in diagnosis.images.values())],
        ]
    )
    yield ""
    yield from _object_lines(diagnosis)
    yield from _pixel_lines(diagnosis)
    if diagnosis.labels_per_image is not None:
        shares = (
            f"{images:,} {'image has' if images == 1 else 'images have'} {labels}"
            for labels, images in diagnosis.labels_per_image.items()
        )
        yield f"labels an image: {', '.join(shares) or 'none'}"
    few = {name: count for name, count in diagnosis.counts["train"].items() if count < _FEW}
    if few:
        names = [f"{printable(name)} ({few[name]})" for name in sorted(few, key=few.__getitem__)]
        yield f"fewer than {_FEW} images in train: {name_some(names, _NAMED_CLASSES)}"
    formats = ", ".join(f"{name} {count:,}" for name, count in diagnosis.formats.items())
    yield f"formats: {formats or 'none'}"
    for side, sizes in (("width", diagnosis.widths), ("height", diagnosis.heights)):
        if sizes is not None:
            yield f"{side}: {sizes[0]} to {sizes[2]} px, median {sizes[1]:g}"
    if not diagnosis.copies:
        yield "copies: none"
    if diagnosis.near_duplicates:
        yield printable(_near_duplicates(diagnosis.near_duplicates))
    for note in diagnosis.notes:
        yield f"note: {printable(note.text)}"
    yield from _passed_over_lines(diagnosis)
    yield from left_out_lines(diagnosis.left_out)
    if diagnosis.object_errors:
        yield f"objects left out: {len(diagnosis.object_errors):,}"
        yield from (
            f"  {printable(file)}: {printable(reason)}"
            for file, reason in diagnosis.object_errors[:_NAMED_OBJECTS]
        )
        if len(diagnosis.object_errors) > _NAMED_OBJECTS:
            yield "  ... (--json has all)"


def _title(diagnosis: Diagnosis) -> str:
    """Return what the rows of the table of images are."""
    if diagnosis.objects is not None or diagnosis.pixels is not None:
        return "images with"
    return "label" if diagnosis.labels_per_image is not None else "class"


def _object_lines(diagnosis: Diagnosis) -> Iterator[str]:
    """Describe the objects of each class, if the images have boxes."""
    from trickbag.cli.terminal import aligned

    if diagnosis.objects is None:
        return
    counts = diagnosis.objects
    yield from aligned(
        [
            ["objects", *counts],
            *(
                [name, *(str(classes[name]) for classes in counts.values())]
                for name in diagnosis.classes
            ),
            ["all", *(str(sum(classes.values())) for classes in counts.values())],
        ]
    )
    yield ""


def _pixel_lines(diagnosis: Diagnosis) -> Iterator[str]:
    """Describe the pixels of each class, if the images have masks."""
    from trickbag.cli.terminal import aligned

    if diagnosis.pixels is None or diagnosis.unlabelled_pixels is None:
        return
    counts, unlabelled = diagnosis.pixels, diagnosis.unlabelled_pixels
    totals = {part: sum(counts[part].values()) for part in counts}
    yield from aligned(
        [
            ["pixels with (%)", *counts],
            *(
                [name, *(_percent(counts[part][name], totals[part]) for part in counts)]
                for name in diagnosis.classes
            ),
            ["all", *(f"{totals[part]:,}" for part in counts)],
            ["without a class", *(f"{unlabelled[part]:,}" for part in counts)],
        ]
    )
    yield ""


def _percent(part: int, total: int) -> str:
    return f"{100 * part / total:.2f}" if total else "-"


def _near_duplicates(sets: Sequence[CopySet]) -> str:
    from trickbag.data.duplicates import first_examples

    divided = [alike for alike in sets if alike.in_parts]
    images = sum(len(alike.files) for alike in sets)
    across = f", {len(divided):,} of them in more than one part" if divided else ""
    return (
        f"alike, but not the same: {images:,} images in {len(sets):,} sets{across} "
        f"({first_examples(sets)})"
    )


def _passed_over_lines(diagnosis: Diagnosis) -> Iterator[str]:
    from trickbag.cli.terminal import aligned

    total = sum(len(record.files) for record in diagnosis.passed_over)
    yield f"passed over: {total:,} files" if total else "passed over: none"
    yield from aligned(
        [f"  {len(files):,} {kind}", f"{reason}: {files[0]}{', ...' * (len(files) > 1)}"]
        for kind, reason, files, _ in diagnosis.passed_over
    )
