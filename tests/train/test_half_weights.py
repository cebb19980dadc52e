"""Weights in reduced precision with float32 copies: the numbers of mixed precision."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from tests.train.test_step import make_run, one_step, raw_batch
from trickbag.errors import UserError
from trickbag.train.half_weights import HalfWeights
from trickbag.train.run import Run
from trickbag.tricks.mixed_precision import MixedPrecision
from trickbag.tricks.sam import Sam
from trickbag.tricks.trick import NoEffect, Trick


def trained(pictures: Path, half: bool, *tricks: Trick, **settings: str) -> Run:
    precision = MixedPrecision(dtype="bf16", half_weights=half)
    run = make_run(pictures, precision, *tricks, model="timm:test_resnet", rows=16, **settings)
    for _ in range(2):
        one_step(run, raw_batch(16))
    return run


@pytest.mark.parametrize(("tricks", "accumulate"), [((), "1"), ((Sam(rho=0.5),), "3")])
def test_the_numbers_are_those_of_mixed_precision(
    pictures: Path, tricks: tuple[Trick, ...], accumulate: str
) -> None:
    """Bit for bit, where each layer has a weight of its own."""
    settings = {"training.accumulate": accumulate, "training.clip_norm": "1"}
    plain = trained(pictures, False, *tricks, **settings).network.state_dict()
    half = trained(pictures, True, *tricks, **settings).network.state_dict()
    for name, value in plain.items():
        assert torch.equal(value, half[name]), name
        assert not value.is_floating_point() or value.dtype == torch.float32


def test_layers_compute_with_rounded_weights_and_the_optimizer_with_all_digits(
    pictures: Path,
) -> None:
    run = trained(pictures, True)
    seen: dict[str, torch.dtype] = {}

    def note(module: nn.Module, inputs: object) -> None:
        # A convolution of small maps is of a class of its own.
        kind = nn.Conv2d if isinstance(module, nn.Conv2d) else type(module)
        seen[kind.__name__] = next(module.parameters()).dtype

    for module in run.network.modules():
        if next(module.parameters(recurse=False), None) is not None:
            module.register_forward_pre_hook(note)
    one_step(run, raw_batch(16))
    assert seen["Conv2d"] == seen["Linear"] == torch.bfloat16
    assert all(dtype == torch.float32 for name, dtype in seen.items() if "Norm" in name)
    assert {p.dtype for g in run.optimizer.param_groups for p in g["params"]} == {torch.float32}
    assert {p.dtype for p in run.network.parameters()} == {torch.float32}


def test_a_shared_weight_has_one_copy_and_a_frozen_one_no_gradient() -> None:
    first, second = nn.Linear(3, 3), nn.Linear(3, 3)
    second.weight = first.weight
    second.bias.requires_grad_(False)
    network = nn.Sequential(first, second)
    half = HalfWeights(network, torch.bfloat16)
    half.take()
    half(torch.ones(2, 3, dtype=torch.bfloat16)).sum().backward()
    half.give_gradients()
    assert first.weight.grad is not None
    assert first.weight.grad.dtype == torch.float32
    assert second.bias.grad is None
    once = first.weight.grad.clone()
    half.take()
    half(torch.ones(2, 3, dtype=torch.bfloat16)).sum().backward()
    half.give_gradients()
    assert torch.equal(first.weight.grad, 2 * once)


def test_it_says_that_float32_has_none(pictures: Path) -> None:
    training = make_run(pictures).plan.training
    with pytest.raises(NoEffect):
        MixedPrecision(dtype="fp16").training(
            MixedPrecision(dtype="fp16", half_weights=True).training(training)
        )
    run = make_run(pictures, **{"training.half_weights": "true"})
    assert run.half_weights is None


def test_a_detector_has_none(tmp_path: Path) -> None:
    from tests.builders.tasks import TASKS, task_recipe
    from trickbag.data.dataset import prepare
    from trickbag.train.build import build
    from trickbag.train.plan.resolve import resolve

    recipe = task_recipe("detection", TASKS["detection"].data(tmp_path))
    recipe = recipe.set("training.half_weights", "true").set("training.precision", "bf16")
    dataset = prepare(recipe.data, annotations="boxes")
    plan, _ = resolve(recipe, dataset, seed=0)
    with pytest.raises(UserError, match=r"half weights .* not of detection"):
        build(plan, recipe.tricks, dataset)
