"""Stochastic weight averaging: keep the mean of the weights of the last epochs, at a constant rate.

The learning rate is `ConstantEnd` in `optim/schedule.py`.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from trickbag.errors import DoesNotApply
from trickbag.optim.schedule import ConstantEnd, first_epoch
from trickbag.ranges import MAX_EPOCHS, AtLeast, Between
from trickbag.tricks.trick import START, Average, Timestamp, Trick

if TYPE_CHECKING:
    from torch import nn

    from trickbag.data.config import DataConfig
    from trickbag.optim.config import TrainConfig
    from trickbag.optim.schedule import Schedule

__all__ = ["EpochAverage", "Swa"]


class EpochAverage:
    """The mean of a network's weights after each epoch from a share of the run on.

    `network` holds it: a copy on the same device, in evaluation mode, without gradients. Its
    buffers are those of the network after the last epoch; the running statistics of batch
    normalisation are of other weights, and have to be computed anew before it is evaluated.
    """

    def __init__(self, network: nn.Module, start: float = 0.75) -> None:
        self.start = start
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self._pairs = list(zip(self.network.parameters(), network.parameters(), strict=True))
        self._buffers = list(zip(self.network.buffers(), network.buffers(), strict=True))
        self._timestamp, self._epochs = START, 0

    @property
    def has_begun(self) -> bool:
        """Whether the weights of an epoch are in the mean."""
        return self._epochs > 0

    def begin_at(self, timestamp: Timestamp) -> None:
        """Take note of the length of the run, and of how many epochs are in the mean by now."""
        self._timestamp = timestamp
        over = timestamp.epoch + (timestamp.step == timestamp.steps_per_epoch)
        self._epochs = max(0, over - first_epoch(self.start, timestamp.epochs))

    def update(self, step: int) -> None:
        """Take in the weights after step `step`, from 0, if it is the last of an epoch.

        Does not synchronise with the device.
        """
        from torch.optim.swa_utils import get_swa_multi_avg_fn

        epoch, last = divmod(step + 1, self._timestamp.steps_per_epoch)
        if last != 0 or epoch <= first_epoch(self.start, self._timestamp.epochs):
            return
        means = [mean for mean, _ in self._pairs]
        weights = [weight.detach() for _, weight in self._pairs]
        if self._epochs == 0:
            for mean, weight in zip(means, weights, strict=True):
                mean.copy_(weight)
        else:
            average = get_swa_multi_avg_fn()  # type: ignore[no-untyped-call]
            average(means, weights, self._epochs)
        for kept, buffer in self._buffers:
            kept.copy_(buffer)
        self._epochs += 1


@dataclass(frozen=True, kw_only=True)
class Swa(Trick):
    """Keep the mean of the weights after each of the last epochs, trained at a constant rate.

    From the share `start` of the run on the learning rate is `lr` times `training.lr`, to which it
    goes within `anneal_epochs`, and the weights after each epoch are averaged. The average is
    evaluated and kept, with statistics of batch normalisation of its own; before the first such
    epoch the trained network is.
    """

    name: ClassVar[str] = "swa"
    slot: ClassVar[str] = "average"
    paper: ClassVar[str] = "Izmailov et al. 2018, arXiv 1803.05407, section 3"

    start: Annotated[float, Between(0, 1, open_high=True)] = 0.75
    lr: Annotated[float, Between(0, 1e6, open_low=True)] = 0.5
    anneal_epochs: Annotated[float, AtLeast(0, MAX_EPOCHS)] = 1.0
    anneal: Literal["cos", "linear"] = "cos"

    def training(self, training: TrainConfig) -> TrainConfig:
        """Compute the statistics of batch normalisation before each evaluation."""
        if training.head_epochs:
            raise DoesNotApply(
                f"swa averages epochs of one schedule, and training.head_epochs = "
                f"{training.head_epochs} are before it",
                "Take one out: --set training.head_epochs=0 or --without swa",
            )
        if training.batch_norm != "update":
            return training
        return replace(training, batch_norm="reestimate")

    def schedule(self, schedule: Schedule) -> Schedule:
        """Make the learning rate constant from the start of the average on."""
        end = ConstantEnd(
            start=self.start,
            factor=self.lr,
            anneal_epochs=self.anneal_epochs,
            anneal=self.anneal,
        )
        return replace(schedule, end=end)

    def works_at(self, data: DataConfig, timestamp: Timestamp) -> bool:
        """Tell whether the epoch is one of those that are averaged."""
        return timestamp.epoch >= first_epoch(self.start, timestamp.epochs)

    def average(self, network: nn.Module) -> Average:
        """Return the mean over epochs."""
        return EpochAverage(network, self.start)
