"""Decode every image of a data source and say what is in it, and what would be left out.

Exits 1 where so many files are bad that training would stop (data.max_bad_fraction).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from trickbag.data.config import DataConfig
    from trickbag.data.doctor import Diagnosis

_NAMED = 20
_FEW = 10
"""The doctor says of which classes there are fewer images in the training part."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "source", metavar="SOURCE", help="digits, a folder, a CSV file, or torchvision:NAME"
    )
    parser.add_argument(
        "--image-root", metavar="DIR", help="where a CSV's images or a torchvision data set lie"
    )
    parser.add_argument(
        "--set",
        metavar="data.NAME=VALUE",
        action="append",
        default=[],
        help="change a setting of the data, such as data.multi_label=true",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print one JSON object, with every file that is left out",
    )


def run(args: argparse.Namespace) -> int:
    """Print the diagnosis; return 0, or 1 where too many files are bad."""
    from trickbag.cli.terminal import checking_progress, warn
    from trickbag.data.doctor import diagnose

    data = _settings(args)
    with checking_progress() as progress:
        diagnosis = diagnose(data, progress)
    if args.json:
        import json

        print(json.dumps(diagnosis.to_dict(), indent=2, ensure_ascii=False))
    else:
        for line in _lines(diagnosis):
            print(line)
    good = sum(diagnosis.images.values())
    bad = len(diagnosis.left_out)
    if bad > data.max_bad_fraction * (good + bad):
        share = 100 * bad / (good + bad)
        warn(
            "doctor",
            f"{bad} of {good + bad} files ({share:.1f} %) are bad: training would stop; see "
            f"data.max_bad_fraction",
        )
        return 1
    return 0


def _settings(args: argparse.Namespace) -> DataConfig:
    from trickbag.cli.recipe_options import assignment
    from trickbag.errors import UserError
    from trickbag.recipe import Recipe

    recipe = Recipe()
    for path, value in {"data.source": args.source, "data.image_root": args.image_root}.items():
        if value is not None:
            recipe = recipe.set(path, value)
    for text in args.set:
        path, value = assignment(text, "data.multi_label=true")
        if not path.startswith("data."):
            raise UserError(
                f"--set {text!r}: doctor looks at data alone; set data.NAME, such as "
                f"data.multi_label=true"
            )
        recipe = recipe.set(path, value)
    return recipe.data


def _lines(diagnosis: Diagnosis) -> Iterator[str]:
    from trickbag.cli.terminal import aligned, printable

    parts, counts, total = list(diagnosis.images), diagnosis.counts, sum(diagnosis.images.values())
    kind = (
        "classes" if diagnosis.labels_per_image is None else "labels, of which an image has one or several"
    )
    yield (
        f"{printable(diagnosis.source)}: {total:,} images that decode, {len(diagnosis.classes)} "
        f"{kind}"
    )
    yield ""
    table = [["class" if diagnosis.labels_per_image is None else "label", *parts]]
    table += [[name, *(str(counts[part][name]) for part in parts)] for name in diagnosis.classes]
    table += [
        [
            "all" if diagnosis.labels_per_image is None else "images",
            *(str(diagnosis.images[part]) for part in parts),
        ]
    ]
    yield from aligned(table)
    yield ""
    if diagnosis.labels_per_image is not None:
        shares = (
            f"{images:,} {'image has' if images == 1 else 'images have'} {n}"
            for n, images in diagnosis.labels_per_image.items()
        )
        yield f"labels an image: {', '.join(shares) or 'none'}"
    few = {name: count for name, count in counts["train"].items() if count < _FEW}
    if few:
        named = [
            f"{printable(name)} ({count})"
            for name, count in sorted(few.items(), key=lambda one: one[1])
        ]
        more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
        yield f"fewer than {_FEW} images in train: {', '.join(named[:_NAMED])}{more}"
    yield "formats: " + (
        ", ".join(f"{name} {count:,}" for name, count in diagnosis.formats.items()) or "none"
    )
    for what, sizes in (("width", diagnosis.widths), ("height", diagnosis.heights)):
        if sizes is not None:
            yield f"{what}: {sizes[0]} to {sizes[2]} px, median {sizes[1]:g}"
    for note in diagnosis.notes:
        yield f"note: {printable(note.text)}"
    yield f"left out: {len(diagnosis.left_out)} files" if diagnosis.left_out else "left out: none"
    yield from aligned([f"  {file}", reason] for file, reason in diagnosis.left_out[:_NAMED])
    if len(diagnosis.left_out) > _NAMED:
        yield f"  and {len(diagnosis.left_out) - _NAMED} more: --json names them all"
