"""Show a recipe after the options are applied, and what it comes to on the data.

The text is a recipe itself: `trickbag show small > mine.yaml` gives a file to edit and train.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trickbag.cli.recipe_options import add_recipe_options, recipe_from

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from trickbag.data.dataset import Dataset
    from trickbag.data.loading.preprocess import Preprocessing
    from trickbag.errors import Note
    from trickbag.recipe import Recipe
    from trickbag.report.pictures import Image
    from trickbag.report.recipe_picture import PicturePanel
    from trickbag.train.plan.plan import Plan
    from trickbag.train.preview import TrickPreview

_PICTURED = 32
_COMPARED = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_recipe_options(parser)
    parser.add_argument(
        "--picture",
        metavar="FILE.png",
        help="draw the learning rate, an augmented batch, and each trick's effect",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Print the recipe; return 0."""
    from trickbag.cli.terminal import print_json, print_line
    from trickbag.recipes.stated import stated_results

    recipe = recipe_from(args)
    if args.picture is not None:
        _check_picture(args.picture)
    required = args.data is not None or args.picture is not None
    plan, notes, dataset = _resolve(recipe, required=required)
    # Of the recipe that ships, before the options change it.
    stated = stated_results(args.recipe or "small")
    if args.json:
        data = recipe.to_dict() | {
            "resolved": plan.to_stored() if plan else None,
            "notes": [note.text for note in notes],
            "note_values": [note.to_dict() for note in notes],
            "stated": [result.to_dict() for result in stated],
        }
        print_json(data)
    else:
        note_lines = (f"# note: {note.text}" for note in notes)
        stated_lines = (f"# as it ships it states {result.text}" for result in stated)
        plan_lines = _plan_lines(plan, dataset)
        for line in (*_recipe_lines(recipe), *plan_lines, *stated_lines, *note_lines):
            print_line(line)
    if args.picture is not None and plan and dataset:
        _draw(recipe, plan, dataset, args.picture)
    return 0


def _check_picture(file: str) -> None:
    from pathlib import Path

    from trickbag.errors import UserError

    path = Path(file)
    if path.suffix.lower() != ".png":
        raise UserError(f"--picture {file!r}: the name must end in .png")
    if not path.parent.is_dir():
        raise UserError(f"--picture {file!r}: there is no folder {path.parent}")
    if path.is_dir():
        raise UserError(f"--picture {file!r} is a folder; give the name of a file")


def _resolve(recipe: Recipe, *, required: bool) -> tuple[Plan | None, list[Note], Dataset | None]:
    """Resolve the recipe on its data; a note says so if there are none and none are `required`."""
    from trickbag.cli.terminal import checking_progress
    from trickbag.data.dataset import prepare
    from trickbag.errors import Note, TrickbagError
    from trickbag.train.plan.resolve import resolve

    try:
        with checking_progress() as progress:
            dataset = prepare(recipe.data, progress=progress, annotations=recipe.task.annotations)
    except TrickbagError as error:
        if required:
            raise
        reason = f"image size, steps and precision are not settled, for want of the data: {error}"
        return None, [Note("data", None, reason)], None
    plan, notes = resolve(recipe, dataset, seed=0)
    return plan, [*dataset.notes, *notes], dataset


def _recipe_lines(recipe: Recipe) -> Iterator[str]:
    data = recipe.to_dict()
    yield f"schema: {data.pop('schema')}"
    yield f"name: {_scalar(data.pop('name'))}"
    tricks = data.pop("tricks")
    for part, fields in data.items():
        yield ""
        yield f"{part}:"
        yield from (f"  {key}: {_scalar(value)}" for key, value in fields.items())
    yield ""
    yield "tricks:" if tricks else "tricks: {}"
    for trick, (key, settings) in zip(recipe.tricks, tricks.items(), strict=True):
        summary = (trick.__doc__ or "").strip().partition("\n")[0]
        yield f"  {_scalar(key)}: {_scalar(settings)}  # {summary}"


def _scalar(value: Any) -> str:
    """Write a value as YAML in one line."""
    from trickbag.text import holds_unicode, printable

    text = _yaml(value, allow_unicode=holds_unicode())
    # What the output would escape is escaped here: YAML reads its own escapes as they were.
    return text if printable(text) == text else _yaml(value, allow_unicode=False)


def _yaml(value: Any, *, allow_unicode: bool) -> str:
    import yaml

    # Without a width YAML breaks lines at 80 columns; each setting is to be one line.
    text = yaml.safe_dump(
        value,
        default_flow_style=True,
        width=10**9,
        sort_keys=False,
        allow_unicode=allow_unicode,
    )
    # YAML ends a document that is one bare value with a line of three dots.
    return text.removesuffix("\n").removesuffix("\n...")


def _plan_lines(plan: Plan | None, dataset: Dataset | None) -> Iterator[str]:
    if plan is None or dataset is None:
        return
    from trickbag.data.loading.preprocess import Preprocessing
    from trickbag.data.size import size_text
    from trickbag.models.summary import summary

    counts = {"train": dataset.train, "val": dataset.val, "test": dataset.test}
    parts = ", ".join(f"{len(part):,} {name}" for name, part in counts.items() if part is not None)
    model = plan.model
    yield ""
    yield "# What this comes to on the data and this machine, the tricks applied:"
    left_out = f"{len(dataset.errors)} files left out"
    yield f"#   images: {parts}; {len(dataset.classes)} classes; {left_out}"
    mirrored = "" if plan.data.flip_prob > 0 else ", never mirrored"
    if plan.data.vertical_flip_prob > 0:
        mirrored += ", flipped top to bottom"
    if plan.data.quarter_turns:
        mirrored += ", turned by quarters"
    yield f"#   image size: {size_text(plan.image_size)} px{mirrored}"
    prepared = Preprocessing.for_evaluation(plan.data, plan.image_size)
    mean, std = (", ".join(f"{x:.2f}" for x in values) for values in (prepared.mean, prepared.std))
    yield f"#   preprocessing: {prepared.interpolation}; mean {mean}; std {std}"
    yield f"#   validation: {_evaluated(plan, prepared)}"
    yield f"#   network: {summary(model)}"
    training, schedule = plan.training, plan.schedule
    epochs = f"{training.epochs} epochs of {plan.steps_per_epoch}"
    yield f"#   steps: {plan.steps:,} ({epochs}), batch {plan.batch_size}"
    warmup = f"warm-up {schedule.warmup_epochs:g} epochs, " if schedule.warmup_epochs else ""
    alone = f"{training.head_epochs} epochs of the head alone, " if training.head_epochs else ""
    yield f"#   learning rate: {training.lr:g}, {alone}{warmup}{schedule.decay.kind} decay"
    yield f"#   device: {plan.device}, precision {plan.precision}, memory layout {plan.layout}"


def _evaluated(plan: Plan, prepared: Preprocessing) -> str:
    """Write what becomes of an image in validation."""
    from trickbag.data.size import height_width, size_text

    if plan.task.annotations == "boxes":
        smaller, larger = sorted(height_width(prepared.image_size))
        return f"shorter edge scaled to {smaller} px, or the longer one to {larger} if that is less"
    if plan.task.annotations == "masks":
        return f"scaled to fit into {size_text(prepared.image_size)} px, masks as they are"
    scaled = {"crop": "shorter edge scaled to", "squash": "both edges scaled to"}.get(
        prepared.resize_policy, "scaled to fit into"
    )
    text = f"{scaled} {size_text(prepared.resize)} px"
    if prepared.resize_policy != "crop" and prepared.resize == prepared.image_size:
        return text  # nothing is cut off
    return f"{text}, of which the centre of {size_text(prepared.image_size)}"


def _draw(recipe: Recipe, plan: Plan, dataset: Dataset, file: str) -> None:
    import sys
    from pathlib import Path

    from trickbag.cli.terminal import printable
    from trickbag.report.recipe_picture import draw_recipe, schedule_points
    from trickbag.train.preview import changes_elsewhere, previews

    plain, changed = previews(recipe, dataset, min(_COMPARED, plan.batch_size))
    points = schedule_points(
        plan.schedule,
        plan.training.lr,
        plan.training.epochs,
        plan.steps_per_epoch,
        head_epochs=plan.training.head_epochs,
    )
    unseen = "; ".join(
        f"{subject}: {', '.join(names)}"
        for subject, names in changes_elsewhere(recipe.tricks, changed).items()
    )
    draw_recipe(
        points,
        _panels(recipe, plan, dataset, plain, changed),
        Path(file),
        f"In no image, because they change other things: {unseen}." if unseen else "",
    )
    # Not on stdout, where the recipe is.
    print(f"picture: {printable(file)}", file=sys.stderr)


def _panels(
    recipe: Recipe,
    plan: Plan,
    dataset: Dataset,
    plain: Sequence[Image],
    changed: Sequence[TrickPreview],
) -> list[PicturePanel]:
    """Return the panels: an augmented batch, the first images, and these with each trick alone."""
    from trickbag.report.recipe_picture import PicturePanel
    from trickbag.report.run.tasks.task_report import annotated_batch

    batch = annotated_batch(plan, recipe.tricks, dataset, min(_PICTURED, plan.batch_size))
    title = "a batch as the network sees it, but for normalisation"
    if recipe.task.annotations != "classes":
        title += f", with its {recipe.task.annotations}"
    panels = [PicturePanel(title=title, images=batch)]
    if changed:
        title = "the first images as they are cropped, without any trick"
        panels.append(PicturePanel(title=title, images=plain))
    for effect in changed:
        strongest = f", the strongest of {effect.draws} draws" if effect.draws > 1 else ""
        title = f"the same with {effect.trick} alone{strongest}"
        panels.append(PicturePanel(title=title, images=effect.images))
    return panels
