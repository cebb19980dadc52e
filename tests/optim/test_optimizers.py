"""The optimizers against their formulas, step by step in float64."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from trickbag.optim.optimizers import SGD, AdamW, Optimizer, RMSProp

LR, DECAY = 0.1, 0.01


def steps(optimizer: Optimizer, gradients: list[np.ndarray]) -> np.ndarray:
    weight = torch.nn.Parameter(torch.ones(3, dtype=torch.float64))
    groups = [{"params": [weight], "weight_decay": DECAY, "lr_scale": 1.0}]
    stepped = optimizer(groups, LR, fused=optimizer.kind != "rmsprop")
    for gradient in gradients:
        weight.grad = torch.from_numpy(gradient.copy())
        stepped.step()
    return weight.detach().numpy()


def by_hand(optimizer: Optimizer, gradients: list[np.ndarray]) -> np.ndarray:
    w, buffer, square = np.ones(3), np.zeros(3), np.ones(3)
    first = np.zeros(3)
    for t, g in enumerate(gradients, 1):
        if isinstance(optimizer, SGD):
            g = g + DECAY * w
            buffer = optimizer.momentum * buffer + g
            w = w - LR * (
                g + optimizer.momentum * buffer
                if optimizer.nesterov and optimizer.momentum
                else buffer
            )
        elif isinstance(optimizer, RMSProp):
            # TensorFlow: ones at first, epsilon inside the root, lr inside the momentum.
            g = g + DECAY * w
            square = optimizer.alpha * square + (1 - optimizer.alpha) * g**2
            buffer = optimizer.momentum * buffer + LR * g / np.sqrt(square + optimizer.eps)
            w = w - buffer
        else:
            if t == 1:
                square = np.zeros(3)
            first = optimizer.beta1 * first + (1 - optimizer.beta1) * g
            square = optimizer.beta2 * square + (1 - optimizer.beta2) * g**2
            m, v = first / (1 - optimizer.beta1**t), square / (1 - optimizer.beta2**t)
            w = (1 - LR * DECAY) * w - LR * m / (np.sqrt(v) + optimizer.eps)
    return w


@pytest.mark.parametrize(
    "optimizer", [SGD(), SGD(nesterov=False), SGD(momentum=0.0), RMSProp(), AdamW()], ids=repr
)
def test_steps_are_the_formulas(optimizer: Optimizer) -> None:
    gradients = list(np.random.default_rng(0).normal(size=(5, 3)))
    np.testing.assert_allclose(
        steps(optimizer, gradients), by_hand(optimizer, gradients), rtol=1e-9
    )


def test_an_overflow_in_the_first_step_changes_nothing() -> None:
    # torch's fused SGD would otherwise go on from momentum buffers that were never filled.
    weight = torch.nn.Parameter(torch.ones(4))
    optimizer = SGD()([{"params": [weight], "weight_decay": 0.0, "lr_scale": 1.0}], LR, fused=True)
    scaler = torch.amp.GradScaler("cpu", init_scale=65536.0)
    for factor in (float("inf"), 1.0):
        scaler.scale((weight * factor).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
    assert weight.tolist() == pytest.approx([1 - LR * 1.9] * 4)


def test_settings_are_not_shared_with_the_optimizer() -> None:
    settings = AdamW()
    before = copy.deepcopy(settings)
    steps(settings, [np.ones(3)])
    assert settings == before
