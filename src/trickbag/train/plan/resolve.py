"""Resolve a recipe: settle every open choice from the recipe, the data set and the machine.

Nothing is built here, and nothing is measured: the same recipe, data set, machine and share of its
cores give the same plan.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from trickbag.data.config import EVAL_CROP, RESIZE, DataConfig
from trickbag.data.labels import label_counts
from trickbag.data.loading.preprocess import Preprocessing
from trickbag.data.loading.sampling import require_one_class
from trickbag.data.size import SMALLEST_SIDE, number_of_pixels, scaled, shorter_side, size_text
from trickbag.data.visible import visible_notes
from trickbag.errors import Note, UserError
from trickbag.models.config import ModelConfig, OwnConfig, TimmConfig
from trickbag.models.task_config import ClassificationConfig
from trickbag.optim.config import TrainConfig
from trickbag.optim.optimizers import TimmOptimizer
from trickbag.train.plan.channels import (
    channel_notes,
    fitting_channels,
    require_colours,
    with_pixels,
)
from trickbag.train.plan.compiling import is_compiled, mode_notes
from trickbag.train.plan.ending_notes import ending_notes
from trickbag.train.plan.no_effect_notes import first_reasons, no_effect_notes
from trickbag.train.plan.phase_notes import phase_notes
from trickbag.train.plan.plan import Plan
from trickbag.train.plan.preparation import settle_preparation
from trickbag.train.plan.probe_notes import probe_notes, require_probe, with_new_head
from trickbag.train.plan.processes import require_eager, sync_notes
from trickbag.train.plan.reading import settle_reading
from trickbag.train.plan.schedule_notes import schedule_notes
from trickbag.train.plan.score import score_notes
from trickbag.train.plan.task_settings import unused_notes, whole_images
from trickbag.train.plan.task_tricks import require_backbone, require_task
from trickbag.train.plan.value_hooks import ValueHooks
from trickbag.tricks.trick import Trick

if TYPE_CHECKING:
    from collections.abc import Callable

    from trickbag.data.dataset import Dataset
    from trickbag.recipe import Recipe
    from trickbag.train.machine.presence import CoreShare

__all__ = ["resolve"]

_CAN_BE_HIDDEN = ("depth_factor", "width_factor", "shortcut")
"""The settings of a network that can change nothing in it, and show in its modules if they do."""

_MIXED_PRECISION = "mixed_precision"
"""The trick that sets the precision of a run; the one trick whose effect the machine decides."""


def resolve(
    recipe: Recipe,
    dataset: Dataset,
    seed: int,
    *,
    processes: int = 1,
    local_processes: int = 1,
    share: Callable[[], CoreShare] | None = None,
) -> tuple[Plan, list[Note]]:
    """Settle a recipe for a data set and this machine; return the plan and notes on it.

    `processes` train the run together; `local_processes` of them are on this machine and share its
    cores for reading images. `share` returns the threads of a run on the CPU whose recipe leaves
    them open; by default the run has all cores for itself. Raises DoesNotApply for a trick that
    cannot work on the network or the recipe, and UserError for a choice that this machine or this
    data set does not allow.
    """
    require_probe(recipe, processes)
    hooks = ValueHooks(recipe.tricks)
    require_colours(recipe, dataset.pixels.count)
    require_task(recipe)
    data, default_crop, size_notes = _sized_data(recipe, dataset, hooks)
    model, stem_notes = _fitted_model(recipe.model, data, dataset, hooks)
    data, preparation_notes = settle_preparation(data, model, recipe.training, default_crop)
    training, batch_notes = _fitted_training(
        with_new_head(recipe.training), len(dataset.train.names), processes, hooks
    )
    if isinstance(training.optimizer, TimmOptimizer):
        training.optimizer.check("training.optimizer")
    if not isinstance(recipe.task, ClassificationConfig):
        # The shapes of their batches differ, and much of a detector depends on values.
        training = replace(training, compile="off")
    training = require_eager(training, processes)
    schedule = hooks.apply(Trick.schedule, recipe.schedule)
    class_weights = _class_weights(dataset, hooks)
    # The images that do not fill a batch are left out; another epoch shuffles them in.
    steps_per_epoch = max(1, len(dataset.train.names) // training.batch_size)
    steps = steps_per_epoch * training.epochs
    training, precision_notes = _on_this_machine(training, recipe.tricks, share, steps)
    data, reading_notes = settle_reading(data, dataset, training.device, local_processes)
    plan = Plan(
        seed=seed,
        data=data,
        model=model,
        training=training,
        schedule=schedule,
        steps_per_epoch=steps_per_epoch,
        repeats=math.prod(trick.repeats for trick in recipe.tricks),
        processes=processes,
        class_weights=class_weights,
        task=recipe.task,
    )
    require_backbone(plan.model, plan.task)
    plan, fit_notes = _fitted_timm(plan, recipe.tricks)
    notes = [
        *probe_notes(plan),
        *size_notes,
        *channel_notes(recipe.data, plan.data),
        *unused_notes(recipe.data, recipe.task.annotations),
        *preparation_notes,
        *stem_notes,
        *fit_notes,
        *batch_notes,
        *precision_notes,
        *reading_notes,
    ]
    # What a hook says of itself comes first: it knows best why it changes nothing.
    notes += hooks.no_effect_notes()
    notes += phase_notes(plan)
    notes += sync_notes(plan)
    notes += ending_notes(plan)
    notes += schedule_notes(plan, recipe.tricks, recipe.schedule)
    notes += _notes_on_networks(plan, recipe, dataset)
    return plan, first_reasons(notes + _plan_notes(plan, recipe.tricks, dataset))


def _choice(reason: str) -> Note:
    return Note("choice", None, reason)


def _sized_data(
    recipe: Recipe, dataset: Dataset, hooks: ValueHooks
) -> tuple[DataConfig, float, list[Note]]:
    """Return the data after the tricks, with their image size; and the network's validation crop.

    The size of the recipe comes first, then the source's, then the recipe's default, and last the
    network's. The network's crop goes with the network's size. Raises UserError if the recipe's
    factor makes images too small.
    """
    from trickbag.models.image_size import default_image_size

    annotations = recipe.task.annotations
    given_data = whole_images(recipe.data, annotations)
    data = hooks.apply(Trick.data, with_pixels(given_data, dataset.pixels))
    # A mirrored digit is another digit, or none.
    if not dataset.mirror:
        data = replace(data, flip_prob=0.0)
    model, of_network = recipe.model, default_image_size(recipe.model)
    given = data.image_size or dataset.natural_size or data.default_size
    unscaled = given or of_network.image_size
    size = scaled(unscaled, data.size_factor)
    if shorter_side(size) < SMALLEST_SIDE:
        raise UserError(
            f"data.size_factor = {data.size_factor:g}: it makes {size_text(size)} px of "
            f"{size_text(unscaled)}, and images have at least {SMALLEST_SIDE}",
            "choose a larger factor or --image-size",
        )
    default_crop = of_network.eval_crop if size == of_network.image_size else EVAL_CROP
    if data.resize not in (None, RESIZE):
        default_crop = EVAL_CROP
    crop = default_crop if data.eval_crop is None else data.eval_crop
    notes = [] if dataset.mirror else _orientation_notes(data)
    if size != unscaled:
        factor = f"{data.size_factor:.4g} times {size_text(unscaled)}"
        notes.append(_choice(f"images have {size_text(size)} px: {factor}"))
    # The crop of weights that a run starts from has a note of its own.
    starts_anew = not (recipe.training.init or recipe.training.pretrained)
    crop_is_timms = starts_anew and data.eval_crop is None and crop != EVAL_CROP
    if isinstance(model, TimmConfig) and size == unscaled and (not given or crop_is_timms):
        cuts = starts_anew and annotations == "classes"
        share = f", {crop:g} of the shorter edge in validation" if cuts else ""
        made_for = f"what timm's {model.name} is made for"
        notes.append(_choice(f"images have {size_text(size)} px{share}: {made_for}"))
    return replace(data, image_size=size), default_crop, notes


def _orientation_notes(data: DataConfig) -> list[Note]:
    """Return a note on images of signs that are flipped or turned all the same."""
    given = {
        "data.vertical_flip_prob": data.vertical_flip_prob > 0,
        "data.quarter_turns": data.quarter_turns,
    }
    names = " and ".join(name for name, is_given in given.items() if is_given)
    if not names:
        return []
    return [_choice(f"{names} can make another sign of an image, as of a 6 a 9: done as asked")]


def _fitted_model(
    model: ModelConfig, data: DataConfig, dataset: Dataset, hooks: ValueHooks
) -> tuple[ModelConfig, list[Note]]:
    """Return the network after the tricks, for the data's classes and, if left open, its stem."""
    from trickbag.models.zoo import fit_stem

    stem_is_open = isinstance(model, OwnConfig) and model.small_stem == "auto"
    # Before the tricks: those that change the stem change the one that fits the images.
    if isinstance(model, OwnConfig) and stem_is_open:
        assert data.image_size is not None
        model = fit_stem(model, data.image_size)
    model = replace(
        hooks.apply(Trick.model, model),
        num_classes=len(dataset.classes),
        in_channels=fitting_channels(model, dataset.pixels.count),
    )
    if isinstance(model, OwnConfig) and stem_is_open:
        assert data.image_size is not None
        images = f"images of {size_text(data.image_size)} px"
        return model, [_choice(f"the stem is {model.stem}, for {images}")]
    return model, []


def _fitted_timm(plan: Plan, tricks: tuple[Trick, ...]) -> tuple[Plan, list[Note]]:
    """Return the plan with a network of timm that is built for its images."""
    if not isinstance(plan.model, TimmConfig):
        return plan, []
    from trickbag.models.timm.fitting import fit_timm

    sizes = (data.image_size or plan.image_size for data in plan.data_by_epoch(tricks))
    smallest = min(sizes, key=number_of_pixels)
    model, notes = fit_timm(plan.model, plan.image_size, smallest)
    return replace(plan, model=model), notes


def _fitted_training(
    training: TrainConfig, images: int, processes: int, hooks: ValueHooks
) -> tuple[TrainConfig, list[Note]]:
    """Return the optimisation after the tricks, its batch not larger than the training set.

    Raises UserError if the batch cannot be divided among parts and processes.
    """
    batch_size = min(training.batch_size, images)
    notes = []
    if batch_size < training.batch_size:
        notes.append(
            _choice(
                f"batch_size {training.batch_size} is more than the {batch_size} training images: "
                "the batch is the whole set"
            )
        )
    # Before the tricks, so that they see the batch that is trained, as linear scaling has to.
    training = hooks.apply(Trick.training, replace(training, batch_size=batch_size))
    batch_size, accumulate = training.batch_size, training.accumulate
    if batch_size < accumulate:
        raise UserError(
            f"training.accumulate = {accumulate}: a batch of {batch_size} images has no so many "
            "parts"
        )
    if batch_size < processes * accumulate:
        parts = f" in {accumulate} parts each (training.accumulate)" if accumulate > 1 else ""
        raise UserError(
            f"{processes} processes cannot share a batch of {batch_size} images{parts}",
            "start fewer of them, or choose a larger --batch-size",
        )
    return training, notes


def _class_weights(dataset: Dataset, hooks: ValueHooks) -> tuple[float, ...] | None:
    """Return the weight of each class in the loss; None if all weigh the same."""
    counts = label_counts(dataset.train.labels, len(dataset.classes))
    weights: tuple[float, ...] = hooks.apply(Trick.class_weights, (1.0,) * len(counts), counts)
    return None if set(weights) == {1.0} else weights


def _on_this_machine(
    training: TrainConfig,
    tricks: tuple[Trick, ...],
    share: Callable[[], CoreShare] | None,
    steps: int,
) -> tuple[TrainConfig, list[Note]]:
    """Return the optimisation with what this machine decides.

    That is device, precision, memory layout, small maps, compilation and threads. Raises UserError
    for a device that this machine does not have.
    """
    import torch

    from trickbag.train.machine.device import choose_device, choose_layout, choose_precision
    from trickbag.train.machine.presence import CoreShare, all_cores

    device = choose_device(training.device)
    precision = choose_precision(training.precision, device)
    notes = []
    if training.precision.startswith("auto") and precision == "float32":
        reason = "this processor has no arithmetic in bf16 or fp16, so training stays in float32"
        if device == "mps":
            reason = (
                "on MPS training stays in float32 unless bf16 or fp16 is named, of which nothing "
                "is measured there"
            )
        if training.precision == "auto_on_gpu" and device == "cpu":
            reason = "on a CPU training stays in float32 (dtype=auto_on_gpu)"
        note = Note("no_effect", _MIXED_PRECISION, reason)
        # Without the trick it is the recipe itself that asks for a reduced precision.
        named = any(trick.name == _MIXED_PRECISION for trick in tricks)
        notes.append(note if named else _choice(note.text))
    if training.device == "auto" and device == "cpu" and torch.backends.mps.is_available():
        notes.append(
            _choice("training is on the CPU; --device mps is this Mac's GPU, not tested on a Mac")
        )
    if training.deterministic and device == "cpu":
        reason = "a run on a CPU computes the same bits each time without it too"
        notes.append(_choice(f"training.deterministic changes nothing: {reason}"))
    compiles, compile_notes = is_compiled(training.compile, device, steps)
    notes += compile_notes + mode_notes(training, device, compiles)
    if training.half_weights and precision == "float32":
        reason = "training is in float32"
        notes.append(_choice(f"training.half_weights changes nothing: {reason}"))
    layout = choose_layout(precision, device) if training.layout == "auto" else training.layout
    by_products = device == "cpu" and precision == "bf16"
    if training.small_maps == "products" and not by_products:
        reason = "it is for bf16 on a CPU"
        notes.append(_choice(f"training.small_maps=products changes nothing: {reason}"))
    if training.threads is not None:
        cores = CoreShare(threads=training.threads)
    else:
        # What computes on another device needs few cores, and takes them from nobody.
        cores = share() if share is not None and device == "cpu" else all_cores()
    if cores.note is not None:
        notes.append(cores.note)
    settled = replace(
        training,
        device=device,
        precision=precision,
        layout=layout,
        small_maps="products"
        if by_products and training.small_maps != "convolutions"
        else "convolutions",
        compile="on" if compiles else "off",
        threads=cores.threads,
    )
    return settled, notes


def _notes_on_networks(plan: Plan, recipe: Recipe, dataset: Dataset) -> list[Note]:
    """Return a note on each trick whose change of the config builds the same network.

    Factors of depth and width are rounded, and an anti-aliasing filter takes the place of the
    shortcut's pool.
    """
    from trickbag.models.zoo import build_on_shapes

    notes, model = [], plan.model
    if not isinstance(model, OwnConfig):
        return []
    hidden: dict[str, Any] = {f: getattr(model, f) for f in _CAN_BE_HIDDEN if hasattr(model, f)}
    for trick in (trick for trick in recipe.tricks if trick.overrides("model")):
        others = ValueHooks(tuple(other for other in recipe.tricks if other is not trick))
        try:
            data, _, _ = _sized_data(recipe, dataset, others)
            without, _ = _fitted_model(recipe.model, data, dataset, others)
        except UserError:
            continue  # another trick needs this one
        can_be_same = (
            type(without) is type(model)
            and without != model
            and replace(without, **hidden) == model
            and data.image_size == plan.image_size
        )
        # A module writes its type, its shape and its stride: all that these settings change.
        if can_be_same and str(build_on_shapes(without)) == str(build_on_shapes(model)):
            reason = "the network and the size of its images are the same without it"
            notes.append(Note("no_effect", trick.name, reason))
    return notes


def _plan_notes(plan: Plan, tricks: tuple[Trick, ...], dataset: Dataset) -> list[Note]:
    """Return notes on what can be seen in the plan as a whole.

    Raises UserError if classes are to be balanced of images with several labels, and for a score
    that these images do not have.
    """
    data, notes = plan.data, []
    require_one_class(dataset.train.labels, data.class_power)
    if data.class_power != 1 and len(set(Counter(dataset.train.labels.tolist()).values())) == 1:
        notes.append(
            _choice(
                f"data.class_power = {data.class_power:g} changes only the order: all classes have "
                "as many images"
            )
        )
    seen = Preprocessing.for_evaluation(data, plan.image_size)
    notes += visible_notes(dataset.val_shapes, seen.image_size, seen.resize, seen.resize_policy)
    notes += score_notes(plan.training, dataset, plan.build_task())
    notes += no_effect_notes(plan, tricks)
    if plan.class_weights is not None and data.class_power != 1:
        notes.append(
            _choice(
                "class_weights and balanced sampling both even out the classes: each alone does it"
            )
        )
    if data.views and not any(trick.overrides("loss") for trick in tricks):
        notes.append(
            _choice(
                f"data.views = {data.views} costs time alone: no trick compares the views of an "
                "image (aug_mix does), and the loss is about the crop that data.policy leaves as "
                "it is"
            )
        )
    return notes
