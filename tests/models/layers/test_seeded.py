"""Random numbers of layers: those of the published hash, uniform, and independent."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from trickbag.models.layers.seeded import uniform
from trickbag.streams import seed_of

DRAWS = 200_000


def drawn(
    purpose: str = "layer:conv1:0", epoch: int = 0, step: int = 0, n: int = DRAWS
) -> np.ndarray:
    return uniform(torch.tensor(seed_of(0, purpose, epoch, step)), (n,)).double().numpy()


def lowbias32(x: int) -> int:
    """Return the published hash, computed with unsigned integers."""
    x = (x ^ (x >> 16)) * 0x7FEB352D % 2**32
    x = (x ^ (x >> 15)) * 0x846CA68B % 2**32
    return x ^ (x >> 16)


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 3, 2**63 - 1, 1234567890123456789])
def test_numbers_are_those_of_unsigned_arithmetic(seed: int) -> None:
    def by_hand(place: int) -> float:
        return (lowbias32(lowbias32((seed + place) % 2**32) ^ (seed >> 32)) >> 8) / 2**24

    numbers = uniform(torch.tensor(seed), (2, 3, 4))
    assert numbers.dtype == torch.float32
    assert numbers.flatten().tolist() == [by_hand(place) for place in range(24)]


def test_numbers_are_uniform() -> None:
    numbers = drawn()
    assert numbers.min() >= 0
    assert numbers.max() < 1
    # Within four standard errors of the mean and of the variance.
    assert numbers.mean() == pytest.approx(1 / 2, abs=4 * (1 / 12 / DRAWS) ** 0.5)
    assert numbers.var() == pytest.approx(1 / 12, abs=4 * (1 / 180 / DRAWS) ** 0.5)
    assert stats.chisquare(np.bincount((numbers * 256).astype(int), minlength=256)).pvalue > 1e-3
    # Pairs of neighbours fill the square uniformly; the lowest 8 of the 24 bits are uniform too.
    cells = (numbers[::2] * 16).astype(int) * 16 + (numbers[1::2] * 16).astype(int)
    assert stats.chisquare(np.bincount(cells, minlength=256)).pvalue > 1e-3
    assert (
        stats.chisquare(np.bincount((numbers * 2**24).astype(int) % 256, minlength=256)).pvalue
        > 1e-3
    )


def test_first_numbers_are_uniform_over_steps() -> None:
    # Stochastic depth draws few numbers in a step: they must be uniform over many steps.
    first = np.array([drawn(step=step, n=2) for step in range(5_000)])
    assert stats.chisquare(np.bincount((first[:, 0] * 64).astype(int), minlength=64)).pvalue > 1e-3
    assert abs(np.corrcoef(first.T)[0, 1]) < 4 / 5_000**0.5


@pytest.mark.parametrize(
    "other",
    [{"purpose": "layer:conv2:0"}, {"purpose": "layer:conv1:1"}, {"step": 1}, {"epoch": 1}],
    ids=["layer", "part", "step", "epoch"],
)
def test_streams_are_independent(other: dict[str, int]) -> None:
    first, second = drawn(), drawn(**other)  # type: ignore[arg-type]  # mixed values
    assert abs(np.corrcoef(first, second)[0, 1]) < 4 / DRAWS**0.5
    assert abs(np.corrcoef(first[1:], second[:-1])[0, 1]) < 4 / DRAWS**0.5
    assert not set(first[:1000]) >= set(second[:100])


@pytest.mark.slow
# Torch 2.11 warns about its own code.
@pytest.mark.filterwarnings("ignore:.*script_method. is deprecated:DeprecationWarning")
def test_compiled_numbers_are_the_same() -> None:
    torch.compiler.reset()
    compiled = torch.compile(uniform, fullgraph=True, dynamic=False)
    for seed in (5, 2**63 - 1):
        assert torch.equal(
            compiled(torch.tensor(seed), (300, 7)), uniform(torch.tensor(seed), (300, 7))
        )
