"""The optimizers of timm by name: which can train a run, and with which settings.

timm's table grows with its versions, so that nothing here lists names. An optimizer is tried on two
small parameters before a run takes it: it steps, its state is stored and read back as a checkpoint
stores it, and both copies have to go on alike, bit for bit.
"""

from __future__ import annotations

import copy
import difflib
import functools
import inspect
import io
import math
import warnings
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from trickbag.errors import UserError, choices, first_line, shown

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["NOT_SETTINGS", "build_optimizer", "optimizer_names", "require_optimizer", "state_size"]

NOT_SETTINGS: Mapping[str, str] = {
    "params": "the network's parameters",
    "lr": "training.lr",
    "weight_decay": "training.weight_decay",
    "foreach": "how it is computed",
    "fused": "how it is computed",
    "capturable": "how it is computed",
    "differentiable": "how it is computed",
    "maximize": "a sign that would train away from the labels",
    "verbose": "what it prints",
}
"""Arguments of optimizers that are no settings: what they are, or the setting in their place."""

_STEPS = 10
"""The steps of a trial: more than RAdam takes before it divides by its second moment."""

Groups = Iterable[dict[str, Any]]


def optimizer_names() -> list[str]:
    """List the optimizers of timm that are its own or torch's, and need no second derivatives."""
    return [name for name in _listed() if _unusable(name) is None]


def _listed() -> list[str]:
    from timm.optim import list_optimizers  # type: ignore[attr-defined]  # not in its __all__

    return [str(name) for name in list_optimizers()]


def _unusable(name: str) -> str | None:
    """Return why an optimizer that timm lists cannot train a run; None if its kind can."""
    from timm.optim import get_optimizer_info  # type: ignore[attr-defined]

    info = get_optimizer_info(name)
    if isinstance(info.opt_class, str):
        package = info.opt_class.partition(".")[0]
        return f"it is of the package {package}, whose state a checkpoint cannot hold"
    with warnings.catch_warnings(action="ignore"):  # such as that a package would make it faster
        optimizer = info.opt_class(_parameters(), lr=0.1)  # type: ignore[call-arg]
    if getattr(optimizer, "is_second_order", False) or hasattr(optimizer, "get_params"):
        return "it needs second derivatives, which a step does not compute"
    if hasattr(optimizer, "rng"):
        return "it draws random numbers from a generator that is no part of its state"
    return None


def build_optimizer(
    name: str, settings: Mapping[str, Any], groups: Groups, lr: float
) -> torch.optim.Optimizer:
    """Build an optimizer as `timm.optim.create_optimizer_v2` does; UserError if timm refuses it."""
    from timm.optim import create_optimizer_v2  # type: ignore[attr-defined]

    groups = list(groups)
    try:
        # Its own default decay: each group has one.
        optimizer: torch.optim.Optimizer = create_optimizer_v2(
            groups, opt=name, lr=lr, weight_decay=0.0, **settings
        )
    except Exception as error:  # each optimizer refuses in its own way
        raise _refused(name, settings, error) from error
    for group in optimizer.param_groups:
        # The largest rate, by which the decay is divided in the `c` forms, is that of the group.
        if group.get("max_lr_snapshot") is not None:
            group["max_lr_snapshot"] = lr * group.get("lr_scale", 1.0)
    return optimizer


def require_optimizer(name: str, settings: Mapping[str, Any], path: str) -> None:
    """Raise UserError for an optimizer that cannot train a run, or a setting that it has not.

    `path` is that of the optimizer's settings in a recipe.
    """
    if name not in _listed():
        usable = optimizer_names()
        close = difflib.get_close_matches(name, usable, n=3)
        hint = f"did you mean {' or '.join(close)}? timm has" if close else "timm has"
        raise UserError(
            f"{path}.name = {shown(name)}: no optimizer of timm", f"{hint}: {choices(usable)}"
        )
    if (problem := _unusable(name)) is not None:
        raise UserError(
            f"{path}.name = {shown(name)} cannot train a run: {problem}",
            f"choose from {choices(optimizer_names())}",
        )
    known = _setting_names(name)
    for key in settings:
        if key in known:
            continue
        if key in NOT_SETTINGS:
            raise UserError(
                f"{path}.{key} is no setting of an optimizer: it is {NOT_SETTINGS[key]}"
            )
        close = difflib.get_close_matches(key, known, n=3)
        hint = f"did you mean {' or '.join(close)}? " if close else ""
        raise UserError(
            f"timm's {name} has no setting {shown(key)}",
            f"{hint}it has: {choices(known) or 'none'}",
        )
    problem = _trial(name, tuple(settings.items()))
    if problem is not None:
        raise UserError(
            f"{path}.name = {shown(name)} cannot train a run{_with(settings)}: {problem}",
            "choose another optimizer",
        )


def state_size(name: str, settings: Mapping[str, Any]) -> int:
    """Return how many numbers an optimizer keeps for each weight of a convolution, rounded up."""
    import torch

    weight = torch.nn.Parameter(torch.ones(32, 16, 3, 3))
    optimizer = build_optimizer(name, settings, [{"params": [weight]}], 1e-3)
    weight.grad = torch.ones_like(weight)
    optimizer.step()
    return math.ceil(sum(map(_numbers, optimizer.state[weight].values())) / weight.numel() - 0.01)


def _form(optimizer: torch.optim.Optimizer) -> str:
    """Return the names of what an optimizer keeps of each weight."""
    state = optimizer.state_dict()["state"]
    return str({place: sorted(map(str, values)) for place, values in state.items()})


def _numbers(value: Any) -> int:
    if isinstance(value, list | tuple):
        return sum(map(_numbers, value))
    return int(getattr(value, "numel", int)())


@functools.cache
def _setting_names(name: str) -> tuple[str, ...]:
    from timm.optim import get_optimizer_class  # type: ignore[attr-defined]

    optimizer = get_optimizer_class(name, bind_defaults=False)
    return tuple(key for key in inspect.signature(optimizer).parameters if key not in NOT_SETTINGS)


def _with(settings: Mapping[str, Any]) -> str:
    return f" with {', '.join(f'{k} = {shown(v)}' for k, v in settings.items())}" * bool(settings)


def _refused(name: str, settings: Mapping[str, Any], error: Exception) -> UserError:
    return UserError(f"timm's {name} refuses its settings{_with(settings)}: {first_line(error)}")


def _parameters() -> list[nn.Parameter]:
    """Return a filter and a bias: the two kinds that optimizers tell apart."""
    import torch

    shapes = (4, 18, 3, 3), (4,)
    return [
        torch.nn.Parameter(torch.linspace(-1, 1, math.prod(shape)).reshape(shape))
        for shape in shapes
    ]


@functools.lru_cache(maxsize=256)
def _trial(name: str, pairs: tuple[tuple[str, Any], ...]) -> str | None:
    """Return why an optimizer cannot train and resume a run exactly; None if it can.

    Raises UserError for settings that it refuses in a step.
    """
    import torch

    settings = dict(pairs)

    def begun() -> tuple[list[nn.Parameter], torch.optim.Optimizer]:
        weights = _parameters()
        groups = [{"params": [w], "weight_decay": 0.01, "lr_scale": 1.0} for w in weights]
        return weights, build_optimizer(name, settings, groups, 0.01)

    def step(weights: list[nn.Parameter], optimizer: torch.optim.Optimizer, number: int) -> None:
        for group in optimizer.param_groups:
            group["lr"] = 0.01 / (1 + number)
        for weight in weights:
            weight.grad = (weight.detach() * (number + 1)).sin()
        optimizer.step()

    weights, optimizer = begun()
    forms: set[str] = set()
    try:
        for number in range(_STEPS):
            step(weights, optimizer, number)
            forms.add(_form(optimizer))
    except Exception as error:  # each optimizer refuses in its own way
        raise _refused(name, settings, error) from error
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    try:
        state = torch.load(file, weights_only=True)
    except Exception:  # torch raises many kinds
        return "its state has more than tensors and numbers, which a checkpoint cannot hold"
    if not forms <= {_form(optimizer)}:
        return "what it keeps of a weight changes from step to step"
    others, resumed = begun()
    for weight, other in zip(weights, others, strict=True):
        other.data.copy_(weight.data)
    resumed.load_state_dict(copy.deepcopy(state))
    for number in range(_STEPS, 2 * _STEPS):
        step(weights, optimizer, number)
        step(others, resumed, number)
    same = all(torch.equal(w, other) for w, other in zip(weights, others, strict=True))
    return None if same else "it does not go on from its stored state as it would have without"
