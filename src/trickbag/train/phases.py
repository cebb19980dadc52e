"""Which parts of a network are trained in which epoch.

A part that is not trained has no gradient, so that no optimizer changes it, decays it or keeps a
state of it, and its layers compute as in evaluation: its batch normalisation keeps its running
statistics and uses them, and its dropout drops nothing. Modes and gradients follow from the epoch
alone: a resumed run needs no state of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from trickbag.models.stages import frozen_groups, running_norms, stage_groups, untrained_modules

if TYPE_CHECKING:
    from torch import nn

    from trickbag.optim.config import TrainConfig

__all__ = ["Phases", "first_trained", "has_phases"]


def first_trained(training: TrainConfig, epoch: int, groups: int, frozen: int) -> int:
    """Return the first of `groups` groups from stem to head that an epoch, from 0, trains.

    `frozen` of them are never trained. While the head alone is trained it is the last; with gradual
    unfreezing it then goes down by one in each epoch.
    """
    head = groups - 1
    after = epoch - training.head_epochs
    if after < 0:
        return head
    if training.unfreeze == "gradual":
        # Without epochs of the head alone its own is the first one, as in the paper.
        return max(frozen, head - after - (training.head_epochs > 0))
    return frozen


@dataclass(frozen=True, kw_only=True, eq=False)
class Phases:
    """The parts of a network that a run trains, epoch by epoch.

    `frozen` of the `groups`, which go from stem to head, are never trained. Empty `groups`: all is
    trained in every epoch. `estimated` names the normalisations whose statistics are computed
    before each evaluation.
    """

    training: TrainConfig
    groups: tuple[tuple[nn.Parameter, ...], ...] = ()
    frozen: int = 0
    estimated: tuple[str, ...] = ()

    @classmethod
    def of(cls, network: nn.Module, training: TrainConfig) -> Phases:
        """Return the phases of a network; UserError if it has not the stages to freeze."""
        groups: list[list[nn.Parameter]] = []
        frozen = 0
        if has_phases(training):
            frozen = frozen_groups(network, training.freeze)
            # What the task freezes is trained in no phase.
            groups = [[p for p in group if p.requires_grad] for group in stage_groups(network)]
        norms: set[nn.Module] = set()
        if training.batch_norm == "reestimate":
            of_groups = [p for group in groups[frozen:] for p in group]
            trained = of_groups or [p for p in network.parameters() if p.requires_grad]
            norms = set(running_norms(network)) - set(untrained_modules(network, trained))
        return cls(
            training=training,
            groups=tuple(map(tuple, groups)),
            frozen=frozen,
            estimated=tuple(name for name, m in network.named_modules() if m in norms),
        )

    @property
    def never_trained(self) -> set[nn.Parameter]:
        """The parameters that no epoch trains."""
        return {p for group in self.groups[: self.frozen] for p in group}

    def estimated_norms(self, network: nn.Module) -> list[nn.Module]:
        """List the normalisations whose statistics are computed before each evaluation.

        `network` is the one of these phases, or a copy of it such as its average.
        """
        return [network.get_submodule(name) for name in self.estimated]

    def begin_epoch(self, network: nn.Module, epoch: int) -> None:
        """Set which parameters of the network have gradients in an epoch, and the modes of layers.

        The network is in training mode then, but for the layers that compute as in evaluation.
        """
        network.train()
        if self.training.batch_norm == "frozen":
            for norm in running_norms(network):
                norm.eval()
        if not self.groups:
            return
        first = first_trained(self.training, epoch, len(self.groups), self.frozen)
        for place, group in enumerate(self.groups):
            for parameter in group:
                parameter.requires_grad_(place >= first)
        trained = (p for group in self.groups[first:] for p in group)
        for module in untrained_modules(network, trained):
            module.eval()


def has_phases(training: TrainConfig) -> bool:
    """Tell whether some part of the network is not trained in some epoch."""
    return training.freeze != "none" or training.head_epochs > 0 or training.unfreeze == "gradual"
