"""The recurrent controller: its decisions, and the objective by which it learns."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.distributions import Categorical

from trickbag.search.autoaugment.controllers.ppo import (
    ControllerNetwork,
    PPOController,
    PPOSettings,
    clipped_gain,
    entropy,
)
from trickbag.search.autoaugment.space import SIZES

B, T = 7, len(SIZES)


def test_choices_are_drawn_from_the_probabilities_of_training() -> None:
    controller = ControllerNetwork(20, seed=3)
    uniform_BT = torch.from_numpy(np.random.default_rng(0).random((B, T)))
    choices_BT = controller.sample(uniform_BT)
    probabilities_BTC = controller(choices_BT).detach().double().exp()
    assert probabilities_BTC.shape == (B, T, max(SIZES))
    ends_BTC = probabilities_BTC.cumsum(dim=2)
    assert torch.allclose(ends_BTC[..., -1], torch.ones(B, T, dtype=torch.float64), atol=1e-6)
    end_BT = ends_BTC.gather(2, choices_BT[..., None])[..., 0]
    start_BT = end_BT - probabilities_BTC.gather(2, choices_BT[..., None])[..., 0]
    assert (start_BT <= uniform_BT + 1e-5).all()
    assert (uniform_BT <= end_BT + 1e-5).all()
    # A decision has as many choices as its kind, and depends on those before it alone.
    for t, size in enumerate(SIZES):
        assert (probabilities_BTC[:, t, :size] > 0).all()
        assert (probabilities_BTC[:, t, size:] == 0).all()
    changed_BT = choices_BT.clone()
    changed_BT[:, 10] = (changed_BT[:, 10] + 1) % SIZES[10]
    after_BTC = controller(changed_BT).detach().double().exp()
    assert torch.equal(after_BTC[:, :11], probabilities_BTC[:, :11])
    assert not torch.allclose(after_BTC[:, 11], probabilities_BTC[:, 11], atol=1e-6)


def test_the_first_step_of_ppo_is_that_of_the_policy_gradient() -> None:
    log_probs_BT = torch.randn(B, T).requires_grad_()
    advantages_B = torch.randn(B)
    clipped_gain(log_probs_BT, log_probs_BT.detach(), advantages_B, 0.2).backward()
    assert log_probs_BT.grad is not None
    assert torch.allclose(log_probs_BT.grad, (advantages_B / B)[:, None].expand(B, T))


@pytest.mark.parametrize(
    ("ratio", "advantage", "gain", "moves"),
    [
        (1.5, 1.0, 1.2, False),
        (0.5, 1.0, 0.5, True),
        (1.5, -1.0, -1.5, True),
        (0.5, -2.0, -1.6, False),
    ],
)
def test_the_gain_is_clipped(ratio: float, advantage: float, gain: float, moves: bool) -> None:
    log_probs_BT = torch.tensor([[ratio]]).log().requires_grad_()
    value = clipped_gain(log_probs_BT, torch.zeros(1, 1), torch.tensor([advantage]), 0.2)
    assert value.item() == pytest.approx(gain)
    value.backward()
    assert log_probs_BT.grad is not None
    assert bool(log_probs_BT.grad.abs().sum() > 0) is moves


def test_the_entropy_is_torchs() -> None:
    log_probs_BTC = ControllerNetwork(20, seed=1)(torch.zeros(B, T, dtype=torch.int64))
    by_decision = [
        Categorical(logits=log_probs_BTC[:, t, :size]).entropy() for t, size in enumerate(SIZES)
    ]
    expected = torch.stack(by_decision).sum(dim=0).mean()
    assert torch.allclose(entropy(log_probs_BTC), expected, rtol=1e-5)
    # At first all choices are nearly equally likely.
    assert expected.item() == pytest.approx(np.log(SIZES).sum(), rel=0.01)
    entropy(log_probs_BTC).backward()  # choices that there are not have no part in it


def test_good_policies_become_likelier() -> None:
    controller = PPOController(0, 8, PPOSettings(hidden=20))
    controller.suggest()
    choices_BT = controller._choices_BT

    def log_probs() -> torch.Tensor:
        log_probs_BTC = controller._controller(choices_BT).detach()
        return log_probs_BTC.gather(2, choices_BT[..., None]).sum(dim=(1, 2))

    before_B = log_probs()
    controller.tell([1.0, *[0.0] * 7])
    change_B = log_probs() - before_B
    assert change_B[0] > 0
    assert change_B.argmax() == 0


def test_the_scale_of_rewards_makes_no_difference() -> None:
    suggestions = []
    for scale, shift in ((1.0, 0.0), (256.0, 64.0)):
        controller = PPOController(0, 4, PPOSettings(hidden=20, steps=3))
        rng = np.random.default_rng(0)
        for _ in range(2):
            controller.suggest()
            controller.tell([scale * round(reward, 2) + shift for reward in rng.random(4)])
        suggestions.append(controller.suggest())
    assert suggestions[0] == suggestions[1]


def test_threads_stay_as_they_were() -> None:
    threads = torch.get_num_threads()
    controller = PPOController(0, 2)
    controller.suggest()
    controller.tell([1.0, 0.0])
    assert torch.get_num_threads() == threads
