"""What a trick is: the hooks by which it changes a run, all of them "no change" unless overridden.

Shapes: N images of a batch, K classes, H and W pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Protocol

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

PHASES: tuple[Phase, ...] = ("color", "noise", "erase", "mix")
"""The order of batch hooks, whatever the order of the tricks in a recipe; `color` and `noise` see
pixels from 0 to 255, images are normalised after `noise`, and `erase` and `mix` see them normalised
(section 2.1 of the paper)."""


Loss = Callable[["Tensor", Batch], "Tensor"]
"""A loss takes logits (N, K) and the batch, and returns its mean over the N rows, a scalar."""


class Average(Protocol):
    """What averages the weights of a network as it is trained.

    `network` is the average: it is evaluated and kept in the place of the trained one, which is
    evaluated beside it.
    """

    network: nn.Module

    def update(self, step: int) -> None:
        """Take in the trained network after an update, before which there were `step`; do not wait
        for the device."""


class Timestamp(NamedTuple):
    """Where a run stands: before step `step` of epoch `epoch`, both from 0, of `epochs` of
    `steps_per_epoch` steps."""

    epoch: int = 0
    step: int = 0
    steps_per_epoch: int = 1
    epochs: int = 1

    @property
    def progress(self) -> float:
        """The share of the run's steps that are done, in [0, 1]."""
        return (self.epoch * self.steps_per_epoch + self.step) / (
            self.epochs * self.steps_per_epoch
        )

    @property
    def epochs_left(self) -> int:
        """The epochs that are not over, this one included."""
        return self.epochs - self.epoch


START = Timestamp()
"""Before the first step."""


View = Literal["online", "centre", "replay"]


class TeacherSpec(NamedTuple):
    """The other networks that a run asks about its training images, and what they are shown.

    teachers: each a run's folder, a weights file that a run wrote, or `timm:NAME` with its
    published weights. view: `online` shows them each batch as the network itself sees it; else they
    are asked once for all, about the `centre` of each image or about the crops and mirrors that
    repeat after `data.repeat_epochs` (`replay`), and the `top` largest logits of each answer lie in
    the file `cache` (None: one in the user's cache folder).
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
    """Return the training as it is; raises NoEffect where a trick that ends `off_epochs` before it
    never runs."""
    if off_epochs >= training.epochs:
        raise NoEffect(f"off_epochs = {off_epochs} leaves none of the {training.epochs} epochs")
    return training


def require_partners(off_epochs: int, training: TrainConfig) -> TrainConfig:
    """As `require_epochs`, and raises NoEffect where an image of the batch has no other to be mixed
    with."""
    if training.batch_size == 1:
        raise NoEffect("a batch of one image has no other to mix it with")
    return require_epochs(off_epochs, training)


def set_policy(data: DataConfig, policy: Policy, name: str, **more: Any) -> DataConfig:
    """Return the data with the policy of the trick `name`; raises DoesNotApply where the recipe has
    one of its own."""
    if data.policy is not None:
        raise DoesNotApply(
            f"{name} sets the policy on images, and the recipe has one of its own (data.policy, "
            f"{data.policy.kind}): "
            f"take one out, --set data.policy=none or --without {name}"
        )
    return replace(data, policy=policy, **more)


@dataclass(frozen=True, kw_only=True)
class Trick(Settings):
    """One named change to training that can be switched off; subclasses are frozen, keyword-only dataclasses.

    `name` is its name in recipes, `slot` names what excludes it ("decay": one of them at most),
    `paper` is its citation, `paper_epochs` are the epochs for which the paper trains with it and
    without, where they differ, `phase` is when its batch hook runs, `paths` are those of its
    settings that say where files lie: what the files hold, not where, makes a trial. Hooks raise
    `DoesNotApply` where the trick cannot work, naming the way out, and `NoEffect` where it would
    change nothing.
    """

    name: ClassVar[str]
    slot: ClassVar[str] = ""
    paper: ClassVar[str]
    paper_epochs: ClassVar[tuple[int, int] | None] = None
    phase: ClassVar[Phase] = "mix"
    paths: ClassVar[tuple[str, ...]] = ()

    @property
    def repeats(self) -> int:
        """How many images its batch hook takes for each one that it gives: the loader reads so many
        more."""
        return 1

    # Value hooks: plain data in, plain data out, before anything is built.
    def model(self, model: ModelConfig) -> ModelConfig:
        """Change what the network is."""
        return model

    def data(self, data: DataConfig) -> DataConfig:
        """Change cropping, flipping or the image size."""
        return data

    def training(self, training: TrainConfig) -> TrainConfig:
        """Change the optimisation."""
        return training

    def schedule(self, schedule: Schedule) -> Schedule:
        """Change the learning-rate schedule."""
        return schedule

    def class_weights(
        self, weights: tuple[float, ...], counts: tuple[int, ...]
    ) -> tuple[float, ...]:
        """Change the weight of each class in the loss; `counts` are the training images, or labels,
        of each."""
        return weights

    # Object hooks: once, on what was built.
    def network(self, network: nn.Module) -> None:
        """Change the initial values of a network, in place."""

    def param_groups(
        self, groups: list[dict[str, Any]], network: nn.Module
    ) -> list[dict[str, Any]]:
        """Change the optimizer's groups: dicts of `params`, `weight_decay` and `lr_scale`.

        The network is there to tell what a parameter is, by the type of its module.
        """
        return groups

    def loss(self, loss: Loss) -> Loss:
        """Wrap the loss, or replace it: a trick with the slot `loss`, which comes before those that
        wrap."""
        return loss

    def average(self, network: nn.Module) -> Average | None:
        """Return what averages the network's weights as it is trained; None where nothing does."""
        return None

    @property
    def by_image(self) -> bool:
        """Whether the batch hook changes each image by itself, by its own row of every array drawn.

        Of several processes each then makes its own images alone; else it has to have the whole
        effective batch.
        """
        return self.phase != "mix"

    # Step hooks: draws outside the graph, a pure function of tensors inside it.
    def draw(
        self, n: int, rng: np.random.Generator, timestamp: Timestamp = START
    ) -> tuple[np.ndarray, ...]:
        """Draw the random numbers of an effective batch of `n` images at a moment of the run."""
        return ()

    def batch(self, batch: Batch, *draw: Tensor) -> Batch:
        """Change the batch; a pure function of tensors, compiled with the step."""
        return batch

    # Other networks, which are loaded, matched to the classes and shown the images for it.
    def teachers(self) -> TeacherSpec | None:
        """Say which other networks to ask about the training images, and how."""
        return None

    def teach(self, batch: Batch, logits_NMK: Tensor) -> Batch:
        """Add the answers of the M other networks to the batch's extras; a pure function of tensors, in the graph.

        Called after the batch hooks where they see the batch itself; else before them, so that
        mixing mixes answers.
        """
        return batch

    # Outside the graph, cheap.
    def advance(self, network: nn.Module, timestamp: Timestamp) -> None:
        """Set what changes over the run, before each step, by filling existing tensors."""

    def data_at(self, data: DataConfig, timestamp: Timestamp) -> DataConfig:
        """Change the data at an epoch's start."""
        return data

    @classmethod
    def overrides(cls, hook: str) -> bool:
        """Tell whether this trick has a hook of its own."""
        return getattr(cls, hook) is not getattr(Trick, hook)
