"""The gradients of a step in two passes (SAM), against computations by hand in float64."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from trickbag.errors import UserError
from trickbag.optim.config import TrainConfig
from trickbag.optim.steps import OnePass, SharpnessAware, ascent
from trickbag.tricks.sam import Sam
from trickbag.tricks.trick import NoEffect


class Quadratic(nn.Module):
    """w A w / 2 - b w, whose gradient at w is A w - b."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64))

    def forward(self, matrix: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
        return self.weight @ matrix @ self.weight / 2 - vector @ self.weight


@pytest.mark.parametrize("adaptive", [False, True])
def test_a_quadratic_by_hand(adaptive: bool) -> None:
    matrix = np.array([[3.0, 1, 0], [1, 2, 0.5], [0, 0.5, 4]])
    vector = np.array([0.3, -1.0, 2.0])
    network = Quadratic()
    w = network.weight.detach().numpy().copy()
    gradient = matrix @ w - vector
    size = np.abs(w) if adaptive else np.ones(3)
    move = 0.1 * size**2 * gradient / np.sqrt(((size * gradient) ** 2).sum())
    expected = matrix @ (w + move) - vector
    SharpnessAware(rho=0.1, adaptive=adaptive)(
        network, lambda: network(torch.from_numpy(matrix), torch.from_numpy(vector)).backward()
    )
    assert network.weight.grad is not None
    np.testing.assert_allclose(network.weight.grad.numpy(), expected, rtol=1e-12)
    assert network.weight.detach().numpy().tolist() == w.tolist()


def small_network() -> Any:
    torch.manual_seed(0)
    body = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 16, 3)
    )
    return body.double().train()


def test_a_small_network_by_hand() -> None:
    network = small_network()
    images, targets = torch.randn(8, 3, 6, 6, dtype=torch.float64), torch.arange(8) % 3

    def gradients(of: nn.Module) -> list[torch.Tensor]:
        return list(
            torch.autograd.grad(
                functional.cross_entropy(of(images), targets), list(of.parameters())
            )
        )

    # By hand on a copy: the gradients, a step of length 0.2 along them, the gradients there.
    other = copy.deepcopy(network)
    first = gradients(other)
    length = torch.cat([g.flatten() for g in first]).norm()
    statistics = [b.clone() for b in other.buffers()]
    with torch.no_grad():
        for parameter, gradient in zip(other.parameters(), first, strict=True):
            parameter += 0.2 * gradient / length
    expected = gradients(other)

    before = [p.detach().clone() for p in network.parameters()]
    SharpnessAware(rho=0.2)(
        network, lambda: functional.cross_entropy(network(images), targets).backward()
    )
    for parameter, old, gradient in zip(network.parameters(), before, expected, strict=True):
        assert torch.equal(parameter, old)
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-10, atol=1e-12)
    # The running statistics are those of the pass at the weights alone.
    pairs = zip(network.buffers(), statistics, strict=True)
    assert all(torch.equal(*pair) for pair in pairs)
    assert int(network[1].num_batches_tracked) == 1


def test_the_length_is_rho_whatever_the_loss_scale() -> None:
    weights = [torch.randn(3, 4), torch.randn(5)]
    gradients = [torch.randn(3, 4), torch.randn(5)]
    for adaptive in (False, True):
        move = ascent(weights, gradients, 0.3, adaptive=adaptive)
        scaled = ascent(weights, [g * 2.0**16 for g in gradients], 0.3, adaptive=adaptive)
        torch.testing.assert_close(scaled, move)
        units = [w.abs() for w in weights] if adaptive else [torch.ones(())] * 2
        lengths = torch.cat([(m / u).flatten() for m, u in zip(move, units, strict=True)])
        assert float(lengths.norm()) == pytest.approx(0.3, rel=1e-5)
    assert not any(move.any() for move in ascent(weights, [torch.zeros(3, 4), torch.zeros(5)]))


def test_both_passes_see_the_same_random_numbers() -> None:
    network, seen = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5)).train(), []

    def backward() -> None:
        out = network(torch.ones(6, 4))
        seen.append(out != 0)
        out.square().sum().backward()

    torch.manual_seed(5)
    SharpnessAware(rho=0.01)(network, backward)
    after = torch.rand(2)
    assert torch.equal(*seen)
    # The stream goes on as after one pass.
    torch.manual_seed(5)
    OnePass()(network, backward)
    assert torch.equal(torch.rand(2), after)


def test_an_overflow_leaves_the_weights_and_reaches_the_gradients() -> None:
    network = nn.Linear(2, 1)
    before = network.weight.detach().clone()

    def overflow() -> None:
        (network(torch.ones(1, 2)).sum() * torch.inf).backward()

    SharpnessAware()(network, overflow)
    assert torch.equal(network.weight, before)
    assert network.weight.grad is not None
    assert not torch.isfinite(network.weight.grad).any()


def test_a_loss_scale_skips_the_step_whose_way_uphill_overflows() -> None:
    network = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**16)
    for scale, moves in ((1e34, False), (1.0, True)):
        before = network.weight.detach().clone()

        def backward(scale: float = scale) -> None:
            loss = network(torch.full((1, 2), scale)).sum()
            scaler.scale(loss).backward()  # type: ignore[no-untyped-call]

        SharpnessAware()(network, backward)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        assert torch.equal(network.weight, before) == (not moves)
        assert torch.isfinite(network.weight).all()


def test_a_parameter_without_a_gradient_stays() -> None:
    network = nn.ModuleDict({"used": nn.Linear(2, 1), "unused": nn.Linear(2, 1)})
    network["used"].bias.requires_grad_(False)
    SharpnessAware()(network, lambda: network["used"](torch.ones(1, 2)).square().sum().backward())
    assert [p.grad is None for p in network.parameters()] == [False, True, True, True]


def test_the_trick_sets_the_step_of_the_run() -> None:
    training = Sam(rho=0.5, adaptive=True).training(TrainConfig())
    assert training.step == SharpnessAware(rho=0.5, adaptive=True)
    with pytest.raises(NoEffect, match=r"training.step already is sam with rho 0.5"):
        Sam(rho=0.5, adaptive=True).training(training)
    with pytest.raises(UserError, match=r"sam.rho = 0.0: must be a number above 0"):
        Sam(rho=0.0)
