"""The plan of a run: a recipe with every choice settled, for one data set and one machine."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

from trickbag.data.config import INTERPOLATION, MEAN, RESIZE, STD, DataConfig
from trickbag.errors import UserError
from trickbag.models.config import ModelConfig
from trickbag.models.task_config import ClassificationConfig, TaskConfig
from trickbag.optim.config import TrainConfig
from trickbag.optim.schedule import Schedule
from trickbag.ranges import AtLeast, Seed
from trickbag.settings import Settings, plain, read
from trickbag.tricks.trick import Timestamp, Trick

if TYPE_CHECKING:
    from trickbag.data.size import Size
    from trickbag.tasks.task import Task

__all__ = ["Plan"]

CHANGES_BY_EPOCH = ("image_size", "crop_area", "crop_ratio", "class_power", "policy")
"""The settings of the data that a trick's `data_at` can change at the start of an epoch."""

_FACTS = {
    "image_size": "data",
    "workers": "data",
    "batch_size": "training",
    "device": "training",
    "precision": "training",
    "layout": "training",
    "compile": "training",
    "threads": "training",
}
"""Settled settings that `recipe.json` also holds at the top of its plan, and their parts."""

_PREPARED = {"mean": MEAN, "std": STD, "interpolation": INTERPOLATION, "resize": RESIZE}
"""What a stored plan means that does not have these settings of the data."""


@dataclass(frozen=True, kw_only=True)
class Plan(Settings):
    """A recipe with every choice settled.

    - data, model, training, schedule: the recipe's, as its tricks change them. Nothing that depends
      on the data set, the weights or the machine is left open: `data.image_size`, `mean`, `std`,
      `interpolation`, `resize` and `workers`, `training.device`, `precision`, `layout`,
      `small_maps`, `compile` and `threads` are given, and the batch is not larger than the
      training set.
    - steps_per_epoch: the updates of an epoch.
    - repeats: the images that are read for each image of a batch.
    - processes: the processes that share each batch.
    - class_weights: the weight of each class in the loss; None if all weigh the same.
    - task: the recipe's.
    """

    seed: Annotated[int, Seed]
    data: DataConfig
    model: ModelConfig
    training: TrainConfig
    schedule: Schedule
    steps_per_epoch: Annotated[int, AtLeast(0, 2**40)]
    repeats: Annotated[int, AtLeast(0, 10_000)]
    processes: Annotated[int, AtLeast(1, 100_000)]
    class_weights: tuple[float, ...] | None
    task: TaskConfig = ClassificationConfig()

    def __post_init__(self) -> None:
        super().__post_init__()
        open_settings = {
            "data.image_size": self.data.image_size is None,
            "data.workers": self.data.workers is None,
            "data.mean": self.data.mean is None,
            "data.std": self.data.std is None,
            "data.interpolation": self.data.interpolation is None,
            "data.resize": self.data.resize is None,
            "training.threads": self.training.threads is None,
            "training.device": self.training.device == "auto",
            "training.precision": self.training.precision.startswith("auto"),
            "training.layout": self.training.layout == "auto",
            "training.small_maps": self.training.small_maps == "auto",
            "training.compile": self.training.compile == "auto",
        }
        for path, is_open in open_settings.items():
            if is_open:
                raise UserError(f"the plan of a run lacks a value for {path}")

    @property
    def image_size(self) -> Size:
        """The size of training images in pixels."""
        return cast("Size", self.data.image_size)

    @property
    def workers(self) -> int:
        """The number of threads or processes that read images."""
        return cast("int", self.data.workers)

    @property
    def batch_size(self) -> int:
        """The images of an update, whatever the number of processes and parts that share them."""
        return self.training.batch_size

    @property
    def device(self) -> Literal["cpu", "cuda", "mps"]:
        """The kind of device that computes."""
        return cast("Literal['cpu', 'cuda', 'mps']", self.training.device)

    @property
    def precision(self) -> Literal["float32", "bf16", "fp16"]:
        """The type of numbers in the forward and backward pass."""
        return cast("Literal['float32', 'bf16', 'fp16']", self.training.precision)

    @property
    def layout(self) -> Literal["contiguous", "channels_last"]:
        """The memory layout of images and convolutions."""
        return cast("Literal['contiguous', 'channels_last']", self.training.layout)

    @property
    def compile(self) -> bool:
        """Whether the step is compiled."""
        return self.training.compile == "on"

    @property
    def threads(self) -> int:
        """The number of threads that compute on the CPU."""
        return cast("int", self.training.threads)

    @property
    def score(self) -> str:
        """The metric that chooses the best epoch."""
        return self.training.score or self.build_task().score

    def build_task(self) -> Task:
        """Return what the trainer does for the task."""
        from trickbag.tasks import task_of

        return task_of(
            self.task, num_classes=self.model.num_classes, multi_label=self.data.multi_label
        )

    @property
    def batch_flip_prob(self) -> float:
        """The probability with which an image is mirrored on the device, in its batch.

        It is 0 with `data.repeat_epochs`, as crops and mirrors repeat together, and for boxes and
        masks, which follow their images: the loader mirrors then.
        """
        if self.data.repeat_epochs is not None or self.task.annotations != "classes":
            return 0.0
        return self.data.flip_prob

    @property
    def steps(self) -> int:
        """The updates of the whole run."""
        return self.steps_per_epoch * self.training.epochs

    @property
    def scheduled_epochs(self) -> int:
        """The epochs of the schedule: those in which more than the head can be trained."""
        return max(0, self.training.epochs - self.training.head_epochs)

    def lr(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0 over the run.

        While the head alone is trained it is the full rate. The schedule is that of the epochs
        after these.
        """
        epochs = self.scheduled_epochs
        scheduled = step - (self.training.epochs - epochs) * self.steps_per_epoch
        if scheduled < 0:
            return self.training.lr
        return self.training.lr * self.schedule.factor(scheduled, self.steps_per_epoch, epochs)

    def timestamp(self, epoch: int, step: int = 0) -> Timestamp:
        """Return the time before step `step` of epoch `epoch`, both from 0."""
        return Timestamp(epoch, step, self.steps_per_epoch, self.training.epochs)

    def data_at(self, tricks: tuple[Trick, ...], epoch: int) -> DataConfig:
        """Return the data of an epoch, counted from 0, as the tricks change them.

        Raises UserError if a trick changes a setting that is settled for the whole run.
        """
        data = self.data
        for trick in tricks:
            data = trick.data_at(data, self.timestamp(epoch))
        for field in dataclasses.fields(data):
            fixed = field.name not in CHANGES_BY_EPOCH
            if fixed and getattr(data, field.name) != getattr(self.data, field.name):
                raise UserError(
                    f"data.{field.name} is settled for the whole run, and a trick changes it in "
                    f"epoch {epoch + 1}; what can change by epoch: {', '.join(CHANGES_BY_EPOCH)}"
                )
        return data

    def data_by_epoch(self, tricks: tuple[Trick, ...]) -> list[DataConfig]:
        """Return the data of every epoch; of one epoch if no trick changes them by epoch."""
        epochs = self.training.epochs if any(trick.overrides("data_at") for trick in tricks) else 1
        return [self.data_at(tricks, epoch) for epoch in range(epochs)]

    def to_stored(self) -> dict[str, Any]:
        """Return the plan as `recipe.json` holds it under `resolved`.

        What readers of the file ask for most also stands at its top: image size, batch size,
        workers, device, precision, memory layout, compilation and threads.
        """
        stored = {**plain(self), **{name: plain(getattr(self, name)) for name in _FACTS}}
        # As in a recipe: the files of classification are as they were before there were tasks.
        if self.task == ClassificationConfig():
            del stored["task"]
        return stored

    @classmethod
    def from_stored(cls, stored: Mapping[str, Any] | None) -> Plan:
        """Read what `to_stored` returned, or what a run of before wrote.

        In plans of before the facts stand at the top alone, and the settings of the parts can be
        open. Raises UserError for data that are no plan, naming the path and the value.
        """
        if not isinstance(stored, Mapping):
            return read(cls, stored, "resolved")
        data = dict(stored)
        if "reads" in data:  # the name of `repeats` before
            data["repeats"] = data.pop("reads")
        for name, part in _FACTS.items():
            if name in data:
                value = data.pop(name)
                # The file has the fact, true or false; the setting has words, one of them "auto".
                if name == "compile" and isinstance(value, bool):
                    value = "on" if value else "off"
                _set(data, part, name, value)
        # Plans of before were bilinear, had crops, and could leave out what had its default.
        for name, default in _PREPARED.items():
            if isinstance(data.get("data"), Mapping) and data["data"].get(name) is None:
                _set(data, "data", name, default)
        # A run of before there was a choice goes on with the bits that it began with.
        if isinstance(data.get("training"), Mapping):
            training = {"small_maps": "convolutions", **data["training"]}
            data["training"] = training
        # Whether the source's images can be mirrored: `data.flip_prob` is 0 now where they cannot.
        if "mirror" in data and not data.pop("mirror"):
            _set(data, "data", "flip_prob", 0.0)
        return read(cls, data, "resolved")


def _set(data: dict[str, Any], part: str, name: str, value: object) -> None:
    """Give a setting of a part its value, unless the part is damaged, which `read` will report."""
    if isinstance(data.get(part), Mapping):
        data[part] = {**data[part], name: value}
