"""What a trick is: the hooks by which it changes a run. By default a hook changes nothing.

Shapes: N images of a batch, M teachers, K classes, H and W pixels. How the hooks are used, with an
example, is in `docs/tricks.md`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Protocol, runtime_checkable

from trickbag.errors import DoesNotApply
from trickbag.functional.batch import Batch
from trickbag.settings import Settings

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

    from trickbag.data.config import DataConfig
    from trickbag.data.policies.policies import Policy
    from trickbag.models.config import ModelConfig
    from trickbag.optim.config import TrainConfig
    from trickbag.optim.schedule import Schedule

__all__ = [
    "PHASES",
    "START",
    "Average",
    "Batch",
    "LateAverage",
    "Loss",
    "NoEffect",
    "Phase",
    "TeacherSpec",
    "Timestamp",
    "Trick",
    "View",
    "require_epochs",
    "require_partners",
    "set_policy",
]

Phase = Literal["color", "noise", "erase", "mix"]
"""When a batch hook runs. `color` and `noise` see pixels from 0 to 255. Images are normalised after
them, so that `erase` and `mix` see normalised images, in which 0 is the mean colour."""

PHASES: tuple[Phase, ...] = ("color", "noise", "erase", "mix")
"""The order of batch hooks, whatever the order of the tricks in a recipe (He et al. 2018, section
2.1)."""

Loss = Callable[["Tensor", Batch], "Tensor"]
"""A loss takes logits (N, K) and the batch, and returns its mean over the N rows, a scalar."""


class Average(Protocol):
    """An average of a network's weights over training.

    `network` holds it: it is evaluated and kept in place of the trained network. The trained one is
    evaluated beside it.
    """

    network: nn.Module

    def update(self, step: int) -> None:
        """Take in the trained network after step `step`, counted from 0, without waiting for it."""


@runtime_checkable
class LateAverage(Average, Protocol):
    """An average that begins within the run; until then the trained network is evaluated."""

    @property
    def has_begun(self) -> bool:
        """Whether the average holds anything yet."""

    def begin_at(self, timestamp: Timestamp) -> None:
        """Take note that the run goes on at a time, with the average of all before it."""


class Timestamp(NamedTuple):
    """A time in a run: before step `step` of epoch `epoch`, both counted from 0."""

    epoch: int = 0
    step: int = 0
    steps_per_epoch: int = 1
    epochs: int = 1

    @property
    def progress(self) -> float:
        """The share of the run's steps that are done, in [0, 1]."""
        done = self.epoch * self.steps_per_epoch + self.step
        return done / (self.epochs * self.steps_per_epoch)

    @property
    def epochs_left(self) -> int:
        """The epochs that are not over, this one included."""
        return self.epochs - self.epoch


START = Timestamp()
"""Before the first step."""

View = Literal["online", "centre", "replay"]
"""Which images teachers see. `online`: each batch as the network sees it, in every step. The others
are computed once, before training. `centre`: the centre crop of each image. `replay`: the crops and
mirrors of training, which repeat after `data.repeat_epochs` epochs."""


class TeacherSpec(NamedTuple):
    """The teachers of a run, and which images they see.

    teachers: each is a run's folder, a weights file that a run wrote, or `timm:NAME` with its
    published weights. top: how many of the largest logits of an image are kept if they are computed
    before training. cache: the file that holds them; None is a file in the user's cache folder.
    """

    teachers: tuple[str, ...]
    view: View = "online"
    top: int = 50
    cache: str | None = None


class NoEffect(Exception):
    """Raised by a hook that would change nothing; `reason` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def require_epochs(off_epochs: int, training: TrainConfig) -> TrainConfig:
    """Return the training unchanged; for a trick that is off for the last `off_epochs`.

    Raises NoEffect if these are all epochs.
    """
    if off_epochs >= training.epochs:
        raise NoEffect(f"off_epochs = {off_epochs} leaves none of the {training.epochs} epochs")
    return training


def require_partners(off_epochs: int, training: TrainConfig) -> TrainConfig:
    """Return the training unchanged; for a trick that mixes each image with another of its batch.

    Raises NoEffect if a batch is one image, and as `require_epochs`.
    """
    if training.batch_size == 1:
        raise NoEffect("a batch of one image has no other to mix it with")
    return require_epochs(off_epochs, training)


def set_policy(data: DataConfig, policy: Policy, name: str, **more: Any) -> DataConfig:
    """Return the data with the policy of the trick `name`, and `more` settings.

    Raises DoesNotApply if the recipe has a policy of its own.
    """
    if data.policy is not None:
        raise DoesNotApply(
            f"{name} sets the policy on images, and the recipe has one of its own (data.policy, "
            f"{data.policy.kind}): "
            f"take one out, --set data.policy=none or --without {name}"
        )
    return replace(data, policy=policy, **more)


@dataclass(frozen=True, kw_only=True)
class Trick(Settings):
    """One named change to training that can be switched off.

    A subclass is a frozen, keyword-only dataclass; its fields are its settings. Class variables:

    - name: its name in recipes and on the command line.
    - paper: its citation.
    - slot: two tricks with the same slot exclude each other. A trick with the slot `loss` replaces
      the loss, before others wrap it.
    - phase: when the hook `batch` runs.
    - only_labels: whether it changes nothing but what the labels say, in targets or loss. It has no
      effect beside a trick whose loss has no use for the labels (`ignores_labels`).
    - needs_rgb: whether it works on red, green and blue. It does not apply to images of another
      number of channels.
    - paths: the settings that are paths of files. They are not part of a trial's identity: the
      content of the files is.
    - fits_lr_to_batch: whether it makes the learning rate right for the batch. A study keeps such a
      trick in every variant, the bare one too, unless it is named among those to study: without it
      the others would be measured at a rate that is wrong.
    - paper_epochs: the epochs for which the paper trains with it and without, if they differ.

    Every hook can raise DoesNotApply if the trick cannot work, with a way out, and NoEffect if it
    would change nothing.
    """

    name: ClassVar[str]
    slot: ClassVar[str] = ""
    paper: ClassVar[str]
    fits_lr_to_batch: ClassVar[bool] = False
    paper_epochs: ClassVar[tuple[int, int] | None] = None
    phase: ClassVar[Phase] = "mix"
    only_labels: ClassVar[bool] = False
    needs_rgb: ClassVar[bool] = False
    paths: ClassVar[tuple[str, ...]] = ()

    @property
    def ignores_labels(self) -> bool:
        """Whether the loss of this trick gives the labels no weight, whatever they are."""
        return False

    @property
    def target_limit(self) -> float | None:
        """The limit above which the loss of this trick takes a target for 1, all others for 0.

        None if the loss takes targets as they are.
        """
        return None

    @property
    def repeats(self) -> int:
        """How many images the hook `batch` takes for each that it returns.

        The loader reads so many more.
        """
        return 1

    @property
    def by_image(self) -> bool:
        """Whether the hook `batch` changes each image by itself, from its own row of each array.

        Each process of a run then computes its own images alone; else each needs the whole
        effective batch. By default it follows from the phase: `mix` mixes.
        """
        return self.phase != "mix"

    # Value hooks: plain data in, plain data out, before anything is built.
    def model(self, model: ModelConfig) -> ModelConfig:
        """Return the config of the network, changed."""
        return model

    def data(self, data: DataConfig) -> DataConfig:
        """Return the data settings, changed: cropping, mirroring, policy, image size."""
        return data

    def training(self, training: TrainConfig) -> TrainConfig:
        """Return the optimisation, changed. Its batch is not larger than the training set."""
        return training

    def schedule(self, schedule: Schedule) -> Schedule:
        """Return the learning-rate schedule, changed."""
        return schedule

    def class_weights(
        self, weights: tuple[float, ...], counts: tuple[int, ...]
    ) -> tuple[float, ...]:
        """Return the weight of each class in the loss, changed.

        `counts` are the training images of each class; with several labels an image its labels.
        """
        return weights

    # Object hooks: once, on what was built.
    def network(self, network: nn.Module) -> None:
        """Change the initial values of the network, in place."""

    def param_groups(
        self, groups: list[dict[str, Any]], network: nn.Module
    ) -> list[dict[str, Any]]:
        """Return the optimizer's groups, changed: dicts of `params`, `weight_decay`, `lr_scale`.

        The network tells what a parameter is, by the type of its module.
        """
        return groups

    def loss(self, loss: Loss) -> Loss:
        """Return the loss wrapped; a trick with the slot `loss` replaces it."""
        return loss

    def average(self, network: nn.Module) -> Average | None:
        """Return an average of the network's weights; one trick of a recipe can have one."""
        return None

    # Step hooks: draws outside the graph, a pure function of tensors inside it.
    def draw(
        self, n: int, rng: np.random.Generator, timestamp: Timestamp = START
    ) -> tuple[np.ndarray, ...]:
        """Draw the random numbers of an effective batch of `n` images.

        Each array has n rows, one for each image, also if one number serves all. With `repeats` 2
        an array can have a row for each image that the hook `batch` returns. The arrays reach
        `batch` as tensors on the device; if several processes share the batch and nothing mixes,
        each process has its rows alone. Shapes and types are the same in every step, so that
        nothing is compiled again: in epochs in which the trick is off it draws numbers that change
        nothing.

        All numbers come from `rng`, which is a stream of the trick's own in each step. If another
        trick has `repeats` 2 and this one runs before it, this hook is called twice: for the first
        images of all pairs, then for the second.
        """
        return ()

    def batch(self, batch: Batch, *draw: Tensor) -> Batch:
        """Return the batch, changed: a pure function of tensors, compiled with the step.

        `draw` are the arrays of the hook `draw`. Images may be changed in place if `batch.owned`,
        and need not be. What mixes images mixes all that is said about them with the same weights:
        see `Batch.map_labels`.
        """
        return batch

    # Teachers, which the run loads and matches to its classes.
    def teachers(self) -> TeacherSpec | None:
        """Return which teachers the run needs; one trick of a recipe can have some."""
        return None

    def teach(self, batch: Batch, logits_NMK: Tensor) -> Batch:
        """Return the batch with the predictions of the M teachers among its extras.

        A pure function of tensors, inside the graph. It is called after the batch hooks if the
        teachers see the batch itself, else before them, so that mixing mixes the predictions.
        """
        return batch

    # Outside the graph, cheap.
    def advance(self, network: nn.Module, timestamp: Timestamp) -> None:
        """Fill tensors of the network that change over the run; called before each step.

        They must be filled, not replaced: the compiled graph holds them.
        """

    def data_at(self, data: DataConfig, timestamp: Timestamp) -> DataConfig:
        """Return the data of an epoch, changed; called at its start.

        Image size, crops, policy and class frequencies can change by epoch.
        """
        return data

    def works_at(self, data: DataConfig, timestamp: Timestamp) -> bool:
        """Tell whether the trick can change anything in a step, with the data of its epoch.

        A trick that works in no step of a run has a note that says so. By default it can.
        """
        return True

    @classmethod
    def needs_classes(cls) -> bool:
        """Tell whether the trick is about the labels of whole images, or moves what they show.

        It then does not apply to detection and segmentation. What changes the network, the
        optimisation or the schedule alone is of every task, and so is a change of colours.
        """
        if cls.overrides("batch") and cls.phase not in ("color", "noise"):
            return True
        return any(map(cls.overrides, ("loss", "data", "data_at", "class_weights", "teachers")))

    @classmethod
    def overrides(cls, hook: str) -> bool:
        """Tell whether this trick defines a hook, given by its name."""
        return getattr(cls, hook) is not getattr(Trick, hook)
