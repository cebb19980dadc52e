"""The controller of AutoAugment: a recurrent network, trained by proximal policy optimisation.

Shapes: B policies of a batch, T = 30 decisions, C the most choices of a decision, H hidden units.
Source: Cubuk et al. 2018, arXiv 1805.09501, section 3; Zoph et al. 2018, arXiv 1707.07012, whose
training it takes over; Schulman et al. 2017, arXiv 1707.06347, equation 7.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
import torch
from torch import Tensor, nn

from trickbag.ranges import Above, AtLeast, Between
from trickbag.search.autoaugment.space import SIZES, decode
from trickbag.settings import Settings
from trickbag.streams import stream
from trickbag.train.machine.isolation import isolated

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trickbag.search.autoaugment.space import Policy

__all__ = ["PPOController", "PPOSettings"]


@dataclass(frozen=True, kw_only=True)
class PPOSettings(Settings):
    """Settings of the controller and of its training.

    The paper trains the controller with 15,000 policies at lr 3.5e-4. A search has some hundred:
    here it takes `steps` steps for each batch at a higher rate (LOG.md has the measurement), and
    rewards in units of their standard deviation, so that their scale does not matter.
    `baseline_decay` is that of the moving average of rewards that is subtracted from them.
    """

    hidden: Annotated[int, Between(1, 10_000)] = 100
    lr: Annotated[float, Above(0, 10)] = 1e-3
    steps: Annotated[int, AtLeast(1, 1000)] = 10
    clip: Annotated[float, Above(0, 10)] = 0.2
    entropy: Annotated[float, AtLeast(0, 1e6)] = 1e-5
    baseline_decay: Annotated[float, Between(0, 1, open_high=True)] = 0.95


class ControllerNetwork(nn.Module):
    """A one-layer LSTM that makes 30 decisions, each from the state and the previous choice."""

    def __init__(self, hidden: int, seed: int) -> None:
        super().__init__()
        starts = np.cumsum((1, *SIZES[:-1]))
        # Each choice of each decision has an embedding; the first one stands for the start.
        self.embedding = nn.Embedding(1 + sum(SIZES), hidden)
        self.lstm = nn.LSTM(hidden, hidden, batch_first=True)
        self.weight_THC = nn.Parameter(torch.empty(len(SIZES), hidden, max(SIZES)))
        self.bias_TC = nn.Parameter(torch.empty(len(SIZES), max(SIZES)))
        self.starts_T = torch.from_numpy(starts)
        allowed = torch.arange(max(SIZES)) < torch.tensor(SIZES)[:, None]
        self.mask_TC = torch.zeros(allowed.shape).masked_fill(~allowed, -math.inf)
        for name, parameter in self.named_parameters():
            values = stream(seed, f"search ppo init:{name}").uniform(-0.1, 0.1, parameter.shape)
            parameter.data = torch.from_numpy(values).float()

    def forward(self, choices_BT: Tensor) -> Tensor:
        """Return the log-probabilities (B, T, C) of each decision after those before it."""
        before_BT = nn.functional.pad((choices_BT + self.starts_T)[:, :-1], (1, 0))
        states_BTH, _ = self.lstm(self.embedding(before_BT))
        logits_BTC = torch.einsum("bth,thc->btc", states_BTH, self.weight_THC)
        return (logits_BTC + self.bias_TC + self.mask_TC).log_softmax(dim=2)

    @torch.no_grad()
    def sample(self, uniform_BT: Tensor) -> Tensor:
        """Return choices (B, T), by inverse transform of numbers in [0, 1)."""
        choices_BT = torch.zeros(uniform_BT.shape, dtype=torch.int64)
        before_B, state = torch.zeros(len(uniform_BT), dtype=torch.int64), None
        for t in range(len(SIZES)):
            states_B1H, state = self.lstm(self.embedding(before_B)[:, None], state)
            logits_BC = states_B1H[:, 0] @ self.weight_THC[t] + self.bias_TC[t]
            probabilities_BC = logits_BC[:, : SIZES[t]].double().softmax(dim=1)
            below_BC = probabilities_BC.cumsum(dim=1) <= uniform_BT[:, t : t + 1]
            choices_BT[:, t] = below_BC.sum(dim=1).clamp(max=SIZES[t] - 1)
            before_B = choices_BT[:, t] + self.starts_T[t]
        return choices_BT


class PPOController:
    """Suggests policies from the recurrent controller, and trains it with their rewards.

    It runs on the CPU in one thread, so that the same rewards give the same suggestions.
    """

    def __init__(self, seed: int, batch: int, settings: PPOSettings | None = None) -> None:
        self.seed, self.batch = seed, batch
        self.settings = settings or PPOSettings()
        self._batches = 0
        self._controller = ControllerNetwork(self.settings.hidden, seed)
        self._optimizer = torch.optim.Adam(self._controller.parameters(), self.settings.lr)
        self._choices_BT = torch.zeros(0, len(SIZES), dtype=torch.int64)
        self._rewards: list[float] = []
        self._baseline: float | None = None

    def suggest(self) -> list[Policy]:
        """Return the next policies."""
        rng = stream(self.seed, "search ppo", self._batches)
        with isolated(1, "cpu"):
            uniform_BT = torch.from_numpy(rng.random((self.batch, len(SIZES))))
            self._choices_BT = self._controller.sample(uniform_BT)
        return [decode(choices) for choices in self._choices_BT.tolist()]

    def tell(self, rewards: Sequence[float | None]) -> None:
        """Train with the rewards of the last policies; failed trials are left out."""
        self._batches += 1
        kept = [i for i, reward in enumerate(rewards) if reward is not None]
        known = [reward for reward in rewards if reward is not None]
        if known:
            advantages = self._advantages(known)
            with isolated(1, "cpu"):
                self._train(self._choices_BT[kept], torch.tensor(advantages))

    def _advantages(self, rewards: list[float]) -> list[float]:
        """Return the rewards above the baseline, in standard deviations of all rewards so far."""
        self._rewards += rewards
        mean = float(np.mean(rewards))
        baseline = mean if self._baseline is None else self._baseline
        decay = self.settings.baseline_decay ** len(rewards)
        self._baseline = decay * baseline + (1 - decay) * mean
        deviation = float(np.std(self._rewards))
        return [(reward - baseline) / (deviation or 1.0) for reward in rewards]

    def _train(self, choices_BT: Tensor, advantages_B: Tensor) -> None:
        """Take steps of PPO on one batch."""
        before_BT: Tensor | None = None
        for _ in range(self.settings.steps):
            log_probs_BTC = self._controller(choices_BT)
            chosen_BT = log_probs_BTC.gather(2, choices_BT[:, :, None])[:, :, 0]
            if before_BT is None:
                before_BT = chosen_BT.detach()
            gain = clipped_gain(chosen_BT, before_BT, advantages_B, self.settings.clip)
            loss = -(gain + self.settings.entropy * entropy(log_probs_BTC))
            self._optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self._optimizer.step()


def clipped_gain(
    log_probs_BT: Tensor, before_BT: Tensor, advantages_B: Tensor, clip: float
) -> Tensor:
    """Return PPO's objective, summed over the decisions and averaged over the batch, a scalar.

    Source: Schulman et al. 2017, equation 7.
    """
    ratio_BT = (log_probs_BT - before_BT).exp()
    clipped_BT = ratio_BT.clamp(1 - clip, 1 + clip)
    gain_BT = torch.minimum(ratio_BT * advantages_B[:, None], clipped_BT * advantages_B[:, None])
    return gain_BT.sum(dim=1).mean()


def entropy(log_probs_BTC: Tensor) -> Tensor:
    """Return the entropy of the decisions in nats, summed over them and averaged, a scalar."""
    # Choices that a decision has not have a probability of 0, whose logarithm is not finite.
    finite_BTC = log_probs_BTC.clamp(min=-1e4)
    return -(finite_BTC.exp() * finite_BTC).sum(dim=(1, 2)).mean()
