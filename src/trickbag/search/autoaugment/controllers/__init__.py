"""The controllers of the search for a policy: what suggests the next policies to try."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from trickbag.search.autoaugment.space import Policy
    from trickbag.search.controller import Controller

__all__ = ["NAMES", "ControllerName", "create"]

ControllerName = Literal["density", "ppo", "random"]
"""density: Optuna's TPE, as in Fast AutoAugment. ppo: the recurrent controller of AutoAugment.
random: uniform policies."""

NAMES: tuple[ControllerName, ...] = get_args(ControllerName)


def create(name: ControllerName, *, seed: int, batch: int) -> Controller[Policy]:
    """Return a controller by name, with its default settings, that suggests `batch` at a time.

    Raises UserError for `density` without the extra `search`.
    """
    # Imported here: random search needs neither Optuna nor torch.
    if name == "density":
        from trickbag.search.autoaugment.controllers.density import DensityController

        return DensityController(seed, batch)
    if name == "ppo":
        from trickbag.search.autoaugment.controllers.ppo import PPOController

        return PPOController(seed, batch)
    from trickbag.search.autoaugment.controllers.random_search import RandomController

    return RandomController(seed, batch)
