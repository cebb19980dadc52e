"""What a checkpoint must hold to go on with a run: the parts of its state, checked by their form.

torch would take many a part of another type, and fail in a later step with an error that names
neither the file nor the part.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeGuard

import torch
from torch import Tensor

from trickbag.errors import UserError, shown
from trickbag.metrics.precision import exact_dtype
from trickbag.optim.optimizers import TimmOptimizer

if TYPE_CHECKING:
    from trickbag.train.run import Run

__all__ = ["require_state"]

_SUMS = ("loss_sum", "correct", "count", "first_bad")
_LATER = ("best_score", "best_loss", "best_epoch", "seconds", "elapsed_s", "bad_files")
"""What older checkpoints of this schema may lack of their progress."""


def require_state(state: Mapping[str, Any], run: Run) -> None:
    """Check that the content of a checkpoint has the form of a run's state.

    Raises UserError that names the part and what it must be.
    """
    _require_tensors("network", state.get("network"), run.network.state_dict())
    if run.average is not None:
        _require_tensors("average", state.get("average"), run.average.network.state_dict())
    is_timms = isinstance(run.plan.training.optimizer, TimmOptimizer)
    kept = _kept_of_each(run) if is_timms else None
    _require_optimizer(state.get("optimizer"), run.optimizer, kept)
    if run.scaler.is_enabled():
        _require_like("scaler", state.get("scaler"), run.scaler.state_dict())
    _require_progress(state.get("progress"), run)
    _require_shares(state.get("others"))
    _require_divisions(state.get("divisions", []), run)


def _require(condition: bool, part: str, value: object, expected: str) -> None:
    if not condition:
        raise UserError(f"{part} = {_text(value)}: must be {expected}")


def _text(value: object) -> str:
    """Return a value as text, tensors by type and shape alone."""
    if isinstance(value, Tensor):
        return f"a tensor of {str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
    if isinstance(value, Mapping | list | tuple) and len(value) > 3:
        return f"a {type(value).__name__} of {len(value)}"
    return shown(value)


def _require_tensors(part: str, stored: object, expected: Mapping[str, Tensor]) -> None:
    """Check tensors by name: those of a network, of which none may be missing or be too many."""
    _require(isinstance(stored, Mapping), part, stored, "tensors by name")
    assert isinstance(stored, Mapping)
    if stored.keys() != expected.keys():
        name = min(map(str, stored.keys() ^ expected.keys()))
        lacks = "lacks" if name in expected else "has an unknown"
        raise UserError(f"{part} {lacks} {shown(name)}")
    for name, tensor in expected.items():
        _require_tensor(f"{part}.{name}", stored[name], tensor)


def _require_tensor(part: str, stored: object, expected: Tensor) -> None:
    fits = (
        isinstance(stored, Tensor)
        and stored.shape == expected.shape
        and stored.dtype == expected.dtype
        and stored.layout == expected.layout
    )
    _require(fits, part, stored, _text(expected))


def _require_like(part: str, stored: object, expected: object) -> None:
    """Check a value by another one of the same meaning: the same keys, lengths and types."""
    if isinstance(expected, Tensor):
        _require_tensor(part, stored, expected)
    elif isinstance(expected, Mapping):
        _require(isinstance(stored, Mapping), part, stored, "values by name")
        assert isinstance(stored, Mapping)
        same = stored.keys() == expected.keys()
        _require(same, part, [*stored], f"values by the names {', '.join(map(str, expected))}")
        for name, value in expected.items():
            _require_like(f"{part}.{name}", stored[name], value)
    elif isinstance(expected, list | tuple):
        same = isinstance(stored, list | tuple) and len(stored) == len(expected)
        _require(same, part, stored, f"a list of {len(expected)}")
        assert isinstance(stored, list | tuple)
        for i, value in enumerate(expected):
            _require_like(f"{part}[{i}]", stored[i], value)
    elif isinstance(expected, bool):
        # Of the recipe, as every setting but the learning rate.
        _require(stored is expected, part, stored, str(expected).lower())
    elif expected is None:
        # Of a switch that leaves the choice to torch.
        _require(stored is None or isinstance(stored, bool), part, stored, "true, false or none")
    elif isinstance(expected, torch.dtype):
        _require(stored is expected, part, stored, str(expected))
    elif isinstance(expected, str):
        _require(isinstance(stored, str), part, stored, "a text")
    else:
        _require(_is_number(stored), part, stored, "a number")


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _kept_of_each(run: Run) -> list[dict[str, Any]]:
    """Return what an optimizer keeps of each parameter, in order, after one step on copies.

    An optimizer of timm can keep something else of a filter than of a bias.
    """
    copies = [
        {**group, "params": [torch.zeros_like(p) for p in group["params"]]}
        for group in run.optimizer.param_groups
    ]
    training = run.plan.training
    optimizer = training.optimizer(copies, training.lr, fused=False)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    return [dict(optimizer.state[parameter]) for parameter in parameters]


def _require_optimizer(
    stored: object,
    optimizer: torch.optim.Optimizer,
    kept: list[dict[str, Any]] | None,
) -> None:
    """Check the state of an optimizer; `kept` is what it keeps of each parameter, if known."""
    expected = optimizer.state_dict()
    _require(isinstance(stored, Mapping), "optimizer", stored, "values by name")
    assert isinstance(stored, Mapping)
    groups, wanted = stored.get("param_groups"), expected["param_groups"]
    fits = isinstance(groups, list) and len(groups) == len(wanted)
    _require(fits, "optimizer.param_groups", groups, f"a list of {len(wanted)}")
    assert isinstance(groups, list)
    for i, (group, settings) in enumerate(zip(groups, wanted, strict=True)):
        place = f"optimizer.param_groups[{i}]"
        _require(isinstance(group, Mapping), place, group, "values by name")
        _require("params" in group and "lr" in group, place, [*group], "with params and lr")
        # Another version of torch may have other settings.
        for name in settings.keys() & group.keys():
            _require_like(f"{place}.{name}", group[name], settings[name])
        same = list(group["params"]) == list(settings["params"])
        _require(same, f"{place}.params", group["params"], "the parameters of this run")
    state = stored.get("state")
    _require(isinstance(state, Mapping), "optimizer.state", state, "values by parameter")
    assert isinstance(state, Mapping)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for i, values in state.items():
        place = f"optimizer.state[{shown(i)}]"
        known = type(i) is int and 0 <= i < len(parameters)
        _require(known, place, values, f"of a parameter from 0 to {len(parameters) - 1}")
        _require(isinstance(values, Mapping), place, values, "values by name")
        if kept is not None:
            _require_like(place, values, kept[i])
            continue
        # An optimizer keeps the same of each parameter that it has updated.
        others = next(iter(state.values()))
        same = isinstance(others, Mapping) and _form(values) == _form(others)
        _require(same, place, [*values], "the values that it keeps of the other parameters")
        for name, value in values.items():
            _require_optimizer_value(f"{place}.{name}", name, value, parameters[i])


def _form(values: Mapping[Any, Any]) -> dict[Any, bool]:
    """Return the names of values, each with whether it is none."""
    return {name: value is None for name, value in values.items()}


def _require_optimizer_value(place: str, name: object, value: object, parameter: Tensor) -> None:
    """Check a value that an optimizer keeps of a parameter: `step`, or a tensor of its shape."""
    if name == "step":
        number = value.numel() == 1 if isinstance(value, Tensor) else _is_number(value)
        _require(number, place, value, "a number of steps")
    else:
        fits = value is None or (isinstance(value, Tensor) and value.shape == parameter.shape)
        _require(fits, place, value, f"a tensor {list(parameter.shape)}")


def _require_progress(stored: object, run: Run) -> None:
    _require(isinstance(stored, Mapping), "progress", stored, "values by name")
    assert isinstance(stored, Mapping)
    for name in ("epoch", "step", *_SUMS):
        _require(name in stored, "progress", [*stored], f"values by name, {name} among them")
    for name in stored:
        known = name in ("epoch", "step", *_SUMS, *_LATER)
        _require(known, "progress", [*stored], f"without {shown(name)}")
    limits = {
        "epoch": run.plan.training.epochs,
        "step": run.plan.steps_per_epoch,
        "best_epoch": run.plan.training.epochs,
    }
    for name, limit in limits.items():
        value = stored.get(name, 0)
        valid = type(value) is int and 0 <= value <= limit
        _require(valid, f"progress.{name}", value, f"a whole number from 0 to {limit}")
    for name in _SUMS:
        value = stored[name]
        integer = name == "first_bad"
        dtype = torch.int64 if integer else exact_dtype(run.device)
        fits = isinstance(value, Tensor) and value.shape == () and value.dtype == dtype
        _require(fits, f"progress.{name}", value, _text(torch.zeros((), dtype=dtype)))
    for name in ("best_score", "best_loss"):
        value = stored.get(name)
        # Not by `isfinite`, which fails for whole numbers beyond the range of floats.
        valid = value is None or (_is_number(value) and abs(value) <= sys.float_info.max)
        _require(valid, f"progress.{name}", value, "a number or none")
    for name in ("seconds", "elapsed_s"):
        seconds = stored.get(name, 0.0)
        valid = _is_number(seconds) and 0 <= seconds <= sys.float_info.max
        _require(valid, f"progress.{name}", seconds, "a number of seconds")
    files = stored.get("bad_files", {})
    valid = isinstance(files, Mapping) and all(
        isinstance(text, str) for pair in files.items() for text in pair
    )
    _require(valid, "progress.bad_files", files, "reasons by file")


def _require_shares(stored: object) -> None:
    valid = isinstance(stored, list) and all(
        isinstance(share, list) and len(share) >= 3 and all(map(_is_number, share))
        for share in stored
    )
    _require(valid, "others", stored, "the sums of the other processes")


def _require_divisions(stored: object, run: Run) -> None:
    """Check the parts of a batch by step: more and more of them, later and later."""
    if stored == []:
        return
    plan = run.plan
    valid = isinstance(stored, list) and all(
        isinstance(division, list) and len(division) == 2 and all(type(n) is int for n in division)
        for division in stored
    )
    if valid:
        assert isinstance(stored, list)
        steps, parts = [step for step, _ in stored], [parts for _, parts in stored]
        valid = (
            steps == sorted(steps)
            and all(0 <= step < plan.steps for step in steps)
            and [plan.training.accumulate, *parts] == sorted({plan.training.accumulate, *parts})
            and max(parts, default=1) <= plan.repeats * plan.batch_size
        )
    _require(valid, "divisions", stored, "pairs of a step and the parts of a batch from it on")
