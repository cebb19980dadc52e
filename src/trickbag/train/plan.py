"""Resolve a recipe: every open choice settled, from the recipe, the data and the machine, before
anything is built."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from trickbag.data.config import EVAL_CROP, DataConfig
from trickbag.data.labels import label_counts
from trickbag.data.loading.sampling import require_one_class
from trickbag.errors import Note, UserError
from trickbag.models.config import ModelConfig, OwnConfig, TimmConfig
from trickbag.optim.config import TrainConfig
from trickbag.optim.schedule import Schedule
from trickbag.settings import Settings
from trickbag.tricks.trick import NoEffect, Timestamp, Trick

if TYPE_CHECKING:
    from trickbag.data.dataset import Dataset
    from trickbag.recipe import Recipe

__all__ = ["Plan", "resolve"]

SMALLEST = 8
"""Pixels a side of the smallest image that a network takes."""

OBJECT_HOOKS = ("network", "param_groups", "loss", "average", "batch", "advance", "data_at")

CHANGES_BY_EPOCH = ("image_size", "crop_area", "crop_ratio", "class_power", "policy")
"""The settings of the data that a trick's `data_at` can change at the start of an epoch."""


@dataclass(frozen=True, kw_only=True)
class Plan(Settings):
    """A recipe with every choice settled: what `recipe.json` holds as `resolved`, and resume reads back.

    `batch_size` is the effective batch (the whole set where that is smaller), whatever the number
    of `processes` that share it, `steps_per_epoch` the updates of an epoch, `repeats` the images
    read for each one of a batch, `class_weights` what the classes weigh in the loss (None: all the
    same), `image_size` in pixels; `data`, `model`, `training` and `schedule` are the recipe's after
    its tricks.
    """

    seed: int
    data: DataConfig
    model: ModelConfig
    training: TrainConfig
    schedule: Schedule
    device: Literal["cpu", "cuda"]
    precision: Literal["float32", "bf16", "fp16"]
    layout: Literal["contiguous", "channels_last"]
    compile: bool
    threads: int
    workers: int
    image_size: int
    mirror: bool
    batch_size: int
    steps_per_epoch: int
    repeats: int
    processes: int
    class_weights: tuple[float, ...] | None

    @property
    def flip_prob(self) -> float:
        """The share of images that are mirrored on the device, by batch; with `data.repeat_epochs`
        the loader does."""
        return self.data.flip_prob if self.mirror and self.data.repeat_epochs is None else 0.0

    @property
    def steps(self) -> int:
        """Updates of the whole run."""
        return self.steps_per_epoch * self.training.epochs

    def lr(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0 over the run."""
        return self.training.lr * self.schedule.factor(
            step, self.steps_per_epoch, self.training.epochs
        )

    def timestamp(self, epoch: int, step: int = 0) -> Timestamp:
        """Return the moment before step `step` of epoch `epoch`, both from 0."""
        return Timestamp(epoch, step, self.steps_per_epoch, self.training.epochs)

    def data_at(self, tricks: tuple[Trick, ...], epoch: int) -> DataConfig:
        """Return the data of an epoch, from 0, as the tricks change them; the image size is always given.

        Raises UserError where a trick changes what is settled for the whole run.
        """
        before = data = dataclasses.replace(self.data, image_size=self.image_size)
        for trick in tricks:
            data = trick.data_at(data, self.timestamp(epoch))
        fields = {field.name for field in dataclasses.fields(data)} - set(CHANGES_BY_EPOCH)
        changed = sorted(name for name in fields if getattr(data, name) != getattr(before, name))
        if changed:
            raise UserError(
                f"data.{changed[0]} is settled for the whole run, and a trick changes it in epoch "
                f"{epoch + 1}; "
                f"what can change by epoch: {', '.join(CHANGES_BY_EPOCH)}"
            )
        return data

    def data_by_epoch(self, tricks: tuple[Trick, ...]) -> list[DataConfig]:
        """Return the data of every epoch, or of one where no trick changes them by epoch."""
        epochs = self.training.epochs if any(trick.overrides("data_at") for trick in tricks) else 1
        return [self.data_at(tricks, epoch) for epoch in range(epochs)]


def _by_epoch(plan: Plan, tricks: tuple[Trick, ...]) -> list[Note]:
    """Return a note on each trick that changes the data of no epoch."""
    epochs, notes = range(plan.training.epochs), []
    for trick in (trick for trick in tricks if trick.overrides("data_at")):
        others = tuple(other for other in tricks if other is not trick)
        if all(plan.data_at(others, epoch) == plan.data_at(tricks, epoch) for epoch in epochs):
            reason = f"it changes the data of none of {plan.training.epochs} epochs"
            notes.append(Note("no_effect", trick.name, reason))
    return notes


def resolve(
    recipe: Recipe, dataset: Dataset, seed: int, *, processes: int = 1, here: int = 1
) -> tuple[Plan, list[Note]]:
    """Settle a recipe for a data set and this machine; return the plan and what a user should know of it.

    `processes` train the run together, of which `here` are on this machine and share its cores for
    reading images. Raises DoesNotApply where a trick cannot work on the network or the recipe, and
    UserError for a choice that this machine or this data set does not allow.
    """
    import torch

    from trickbag.data.loading.loader import default_workers
    from trickbag.models.zoo import fit_stem
    from trickbag.train.machine.device import choose_device, choose_layout, choose_precision

    notes: list[Note] = []
    apply = _ValueHooks(recipe.tricks)
    data = apply(Trick.data, recipe.data)
    if not dataset.mirror:
        data = dataclasses.replace(data, flip_prob=0.0)
    image_size, data, said = _sized(data, recipe.model, dataset.natural_size)
    notes += said
    model = recipe.model
    fits = isinstance(model, OwnConfig) and model.small_stem == "auto"
    if isinstance(model, OwnConfig) and fits:
        model = fit_stem(model, image_size)
    model = dataclasses.replace(apply(Trick.model, model), num_classes=len(dataset.classes))
    data, said = _normalised(data, model, recipe.training)
    notes += said
    if isinstance(model, OwnConfig) and fits:
        notes.append(_choice(f"the stem is {model.stem}, for images of {image_size} px"))
    batch_size = min(recipe.training.batch_size, len(dataset.train.names))
    if batch_size < recipe.training.batch_size:
        notes.append(
            _choice(
                f"batch_size {recipe.training.batch_size} is more than the {batch_size} training "
                "images: the batch is the whole set"
            )
        )
    training = apply(Trick.training, dataclasses.replace(recipe.training, batch_size=batch_size))
    if training.batch_size < training.accumulate:
        raise UserError(
            f"training.accumulate = {training.accumulate}: a batch of {training.batch_size} images "
            f"has no so many parts"
        )
    if training.batch_size < processes * training.accumulate:
        parts = (
            f" in {training.accumulate} parts each (training.accumulate)"
            if training.accumulate > 1
            else ""
        )
        raise UserError(
            f"{processes} processes cannot share a batch of {training.batch_size} images{parts}; "
            f"start fewer of them, "
            "or choose a larger --batch-size"
        )
    schedule = apply(Trick.schedule, recipe.schedule)
    counts = label_counts(dataset.train.labels, len(dataset.classes))
    weights = apply(Trick.class_weights, (1.0,) * len(counts), counts)
    device = choose_device(training.device)
    precision = choose_precision(training.precision, device)
    if training.precision == "auto" and precision == "float32":
        reason = "this processor has no arithmetic in bf16 or fp16, so training stays in float32"
        notes.append(Note("no_effect", "mixed_precision", reason))
    notes += apply.without_effect({"mixed_precision"})
    workers = data.workers
    if workers is None:
        workers = default_workers(dataset.train, device)
        workers = min(workers, max(1, workers // here))
    require_one_class(dataset.train.labels, data.class_power)
    if data.class_power != 1 and len(set(Counter(dataset.train.labels.tolist()).values())) == 1:
        notes.append(
            _choice(
                f"data.class_power = {data.class_power:g} changes only the order: all classes have "
                "as many images"
            )
        )
    compiled = {"auto": device == "cuda", "on": True, "off": False}[training.compile]
    plan = Plan(
        seed=seed,
        data=data,
        model=model,
        training=training,
        schedule=schedule,
        device=device,
        precision=precision,
        layout=choose_layout(precision, device),
        compile=compiled,
        threads=training.threads or torch.get_num_threads(),
        workers=workers,
        image_size=image_size,
        mirror=dataset.mirror,
        batch_size=training.batch_size,
        steps_per_epoch=max(1, len(dataset.train.names) // training.batch_size),
        repeats=math.prod(trick.repeats for trick in recipe.tricks),
        processes=processes,
        class_weights=None if set(weights) == {1.0} else weights,
    )
    notes += _by_epoch(plan, recipe.tricks)
    if plan.class_weights is not None and data.class_power != 1:
        notes.append(
            _choice(
                "class_weights and balanced sampling both even out the classes: each alone does it"
            )
        )
    if data.views and not any(trick.overrides("loss") for trick in recipe.tricks):
        notes.append(
            _choice(
                f"data.views = {data.views} costs time alone: no trick compares the views of an "
                "image (aug_mix does), and the loss is about the crop that data.policy leaves as "
                "it is"
            )
        )
    return plan, notes


def _choice(reason: str) -> Note:
    return Note("choice", None, reason)


def _sized(
    data: DataConfig, model: ModelConfig, natural_size: int | None
) -> tuple[int, DataConfig, list[Note]]:
    """Choose the image size, and the data with their validation crop.

    The size of the recipe comes first, then the source's, then the recipe's default, last that of
    the network, whose own crop goes with its own size. Raises UserError where the recipe's factor
    makes it too small.
    """
    from trickbag.models.image_size import default_image_size

    own = default_image_size(model)
    fixed = data.image_size or natural_size or data.default_size
    unscaled = fixed or own.image_size
    size = round(unscaled * data.size_factor)
    if size < SMALLEST:
        raise UserError(
            f"data.size_factor = {data.size_factor:g}: it makes {size} px of {unscaled}, and "
            f"images have at least "
            f"{SMALLEST}; choose a larger factor or --image-size"
        )
    crop = data.eval_crop or (own.eval_crop if size == own.image_size else EVAL_CROP)
    notes = []
    if size != unscaled:
        notes.append(_choice(f"images have {size} px: {data.size_factor:.4g} times {unscaled}"))
    if (
        isinstance(model, TimmConfig)
        and size == unscaled
        and (not fixed or (data.eval_crop is None and crop != EVAL_CROP))
    ):
        notes.append(
            _choice(
                f"images have {size} px, {crop:g} of the shorter edge in validation: what timm's "
                f"{model.name} is made for"
            )
        )
    return size, dataclasses.replace(data, eval_crop=crop), notes


def _normalised(
    data: DataConfig, model: ModelConfig, training: TrainConfig
) -> tuple[DataConfig, list[Note]]:
    """Normalise as the weights that are loaded were trained, unless the recipe has a mean and
    deviation of its own."""
    default = DataConfig()
    if (data.mean, data.std) != (default.mean, default.std):
        return data, []
    trained = None
    if training.pretrained:
        from trickbag.models.pretrained import published_normalisation

        trained = published_normalisation(model)
    elif training.init:
        from trickbag.models.weights import normalisation_of

        trained = normalisation_of(Path(training.init))
    if trained is None or trained == (data.mean, data.std):
        return data, []
    changed = dataclasses.replace(data, mean=trained[0], std=trained[1])
    told = "mean {:.2f}, {:.2f}, {:.2f} and std {:.2f}, {:.2f}, {:.2f}".format(
        *trained[0], *trained[1]
    )
    what = "pretrained weights" if training.pretrained else f"weights of {training.init}"
    return changed, [Note("weights", None, f"images are normalised as for the {what}: {told}")]


class _ValueHooks:
    """Calls the value hooks of tricks and keeps who changed something."""

    def __init__(self, tricks: tuple[Trick, ...]) -> None:
        self.tricks = tricks
        self.effects: dict[str, bool] = {}
        self.reasons: dict[str, str] = {}

    def __call__(self, hook: Callable[..., Any], value: Any, *known: Any) -> Any:
        for trick in self.tricks:
            try:
                changed = getattr(trick, hook.__name__)(value, *known)
            except NoEffect as none:
                changed = value
                self.reasons[trick.name] = none.reason
            self.effects[trick.name] = self.effects.get(trick.name, False) or changed != value
            value = changed
        return value

    def without_effect(self, said: set[str]) -> list[Note]:
        """Name the tricks that changed no value and have no hook besides, or said themselves that
        they do nothing."""
        return [
            Note(
                "no_effect",
                trick.name,
                self.reasons.get(trick.name, "it changes nothing in this recipe"),
            )
            for trick in self.tricks
            if not self.effects.get(trick.name)
            and (
                trick.name in self.reasons
                or not any(trick.overrides(hook) for hook in OBJECT_HOOKS)
            )
            and trick.name not in said
        ]
