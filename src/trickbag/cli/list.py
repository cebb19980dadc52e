"""List the known tricks, recipes, models or data sets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

KINDS = ("tricks", "recipes", "models", "datasets")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("kind", metavar="|".join(KINDS), help="what to list")
    parser.add_argument("--json", action="store_true", help="print a JSON list of objects")


def run(args: argparse.Namespace) -> int:
    """Print the list; return 0."""
    from trickbag.errors import UserError

    if args.kind not in KINDS:
        raise UserError(
            f"nothing to list named {args.kind!r}; it must be one of {', '.join(KINDS)}"
        )
    listed = {"tricks": _tricks, "recipes": _recipes, "models": _models, "datasets": _datasets}
    rows, note = listed[args.kind]()
    from trickbag.cli.terminal import aligned, print_json, print_line

    if args.json:
        print_json(rows)
        return 0
    heads = [name for name, cell in rows[0].items() if isinstance(cell, str)]
    cells = ([row[name] or "-" for name in heads] for row in rows)
    for line in aligned([heads, *cells]):
        print_line(line)
    print()
    print_line(note)
    return 0


def _first_line(documented: object) -> str:
    return (documented.__doc__ or "").strip().partition("\n")[0]


def _tricks() -> tuple[list[dict[str, str]], str]:
    import warnings

    from trickbag.cli.terminal import warn
    from trickbag.tricks import available

    # A registered trick that cannot be imported is a warning; it is shown as a line, not with the
    # place in the source where it was raised.
    with warnings.catch_warnings(record=True) as broken:
        warnings.simplefilter("always")
        tricks = available()
    for warning in broken:
        warn("list", str(warning.message))
    rows = [
        {"name": name, "slot": trick.slot, "what": _first_line(trick), "paper": trick.paper}
        for name, trick in tricks.items()
    ]
    return rows, "Two tricks of one slot exclude each other. Settings: docs/tricks/NAME.md."


def _recipes() -> tuple[list[dict[str, Any]], str]:
    from trickbag.recipes import RECIPES
    from trickbag.recipes.stated import stated_results

    rows = [
        {
            "name": name,
            "keeps": recipe().training.keep,
            "what": _first_line(recipe),
            "stated": [result.to_dict() for result in stated_results(name)],
        }
        for name, recipe in RECIPES.items()
    ]
    return (
        rows,
        "keeps: the epoch whose weights a run keeps and reports (training.keep). Details: trickbag "
        "show NAME; whether a recipe comes to the result that it states: trickbag verify NAME. A "
        "recipe can also be a .json or .yaml file, a run's folder, or FILE.py:FUNCTION.",
    )


def _models() -> tuple[list[dict[str, str]], str]:
    from trickbag.models.config import model_config, model_names
    from trickbag.models.summary import summary

    rows = [{"name": name, "what": summary(model_config(name))} for name in model_names()]
    listing = "python -c 'import timm; print(*timm.list_models(), sep=\"\\n\")'"
    return rows, f"Any network of timm too, as timm:NAME; this lists them: {listing}"


def _datasets() -> tuple[list[dict[str, str]], str]:
    from trickbag.data.sources.torchvision import TORCHVISION_SETS

    rows = [
        {
            "name": "digits",
            "what": "1,797 handwritten digits of 8x8 pixels, which scikit-learn ships: the default",
        },
        {
            "name": "FOLDER",
            "what": "train/CLASS/IMAGE with or without val/ and test/, or CLASS/IMAGE",
        },
        {
            "name": "FILE.csv",
            "what": "or .tsv, .parquet: a row for each image with its label; images beside it, "
            "in the folder of its name, or under --image-root",
        },
    ]
    for name, info in TORCHVISION_SETS.items():
        size = f", {info.natural_size} px" if info.natural_size else ""
        rows.append({"name": f"torchvision:{name}", "what": f"parts {', '.join(info.parts)}{size}"})
    note = (
        "A torchvision set is downloaded where there is a network, else looked for in "
        "--image-root or the cache folder."
    )
    return rows, note
