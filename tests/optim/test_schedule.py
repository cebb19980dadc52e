"""Learning-rate schedules against the papers' numbers, and their general properties."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trickbag.optim.schedule import Constant, Cosine, Exponential, Schedule, Stepwise


def test_the_papers_steps() -> None:
    # /10 at epochs 30, 60 and 90 of 120.
    schedule = Schedule(decay=Stepwise())
    factors = [schedule.factor(epoch * 10, 10, 120) for epoch in (0, 29, 30, 59, 60, 89, 90, 119)]
    assert factors == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01, 0.001, 0.001])


def test_094_every_two_epochs() -> None:
    schedule = Schedule(decay=Exponential())
    assert [schedule.factor(5 * epoch, 5, 9) for epoch in range(9)] == pytest.approx(
        [0.94 ** (e // 2) for e in range(9)]
    )


def test_efficientnets_decay() -> None:
    decay = Exponential(factor=0.97, every_epochs=2.4)
    assert decay(0.5, 24.0) == pytest.approx(0.97**5)
    smooth = Exponential(factor=0.97, every_epochs=2.4, staircase=False)
    assert smooth(0.1, 12.0) == pytest.approx(0.97**0.5)


def test_cosine_excludes_the_warm_up() -> None:
    schedule = Schedule(decay=Cosine(), warmup_epochs=5)
    steps, total = 7, 20
    warm, rest = 5 * steps, 15 * steps
    expected = [(i + 1) / warm for i in range(warm)] + [
        0.5 * (1 + math.cos(math.pi * t / rest)) for t in range(rest)
    ]
    assert [schedule.factor(s, steps, total) for s in range(steps * total)] == pytest.approx(
        expected, abs=1e-15
    )


def test_warm_up_is_the_papers() -> None:
    # lr_i = lr * i / m, i = 1..m: B=1024 has 1251 steps an epoch, so the 50th step of 6255 is at
    # 0.4 * 50 / 6255.
    schedule = Schedule(decay=Cosine(), warmup_epochs=5)
    assert 0.4 * schedule.factor(49, 1251, 120) == pytest.approx(0.4 * 50 / 6255)
    assert schedule.factor(6254, 1251, 120) == 1.0
    assert schedule.factor(6255, 1251, 120) == 1.0  # t = 0 of the cosine


def test_warm_up_by_epoch() -> None:
    schedule = Schedule(decay=Constant(), warmup_epochs=4, warmup="epoch")
    assert [schedule.factor(s, 3, 6) for s in range(18)] == pytest.approx(
        [0.25] * 3 + [0.5] * 3 + [0.75] * 3 + [1.0] * 9
    )


@pytest.mark.parametrize("decay", [Constant(), Cosine(), Stepwise(), Exponential()])
@pytest.mark.parametrize("epochs", [1, 3, 5])
def test_a_warm_up_that_fills_the_run_is_the_papers(
    decay: Constant | Cosine | Stepwise | Exponential, epochs: int
) -> None:
    # lr_i = lr * i / m, with the m of the warm-up, not of the run: both forms end at epochs / 5.
    by_step = Schedule(decay=decay, warmup_epochs=5)
    by_epoch = Schedule(decay=decay, warmup_epochs=5, warmup="epoch")
    factors = [by_step.factor(step, 7, epochs) for step in range(7 * epochs)]
    assert factors == [(step + 1) / 35 for step in range(7 * epochs)]
    # The two agree at the end of each epoch.
    assert factors[6::7] == pytest.approx(
        [by_epoch.factor(step, 7, epochs) for step in range(6, 7 * epochs, 7)]
    )
    assert factors[-1] == pytest.approx(epochs / 5)


@given(
    st.sampled_from(
        [Constant(), Cosine(), Stepwise(), Exponential(), Exponential(staircase=False)]
    ),
    st.floats(0, 5),
    st.sampled_from(["step", "epoch"]),
    st.integers(1, 20),
    st.integers(1, 12),
)
def test_factors_stay_in_bounds_and_fall_after_the_warm_up(
    decay, warmup_epochs, warmup, steps, epochs
) -> None:  # type: ignore[no-untyped-def]
    schedule = Schedule(decay=decay, warmup_epochs=warmup_epochs, warmup=warmup)
    factors = [schedule.factor(step, steps, epochs) for step in range(steps * epochs)]
    assert all(0 < factor <= 1 for factor in factors)
    warm = min(len(factors), round(warmup_epochs * steps))
    assert factors[:warm] == sorted(factors[:warm])
    assert factors[warm:] == sorted(factors[warm:], reverse=True)


def test_decays_are_values() -> None:
    assert Cosine()(0.5) == pytest.approx(0.5)
    assert Cosine() == Cosine()
    assert repr(Stepwise()) == "Stepwise(factor=0.1, at=(0.25, 0.5, 0.75))"


@pytest.mark.parametrize(
    "decay",
    [
        Stepwise(factor=1e300),
        Exponential(factor=1e300),
        Exponential(factor=2.0, every_epochs=1e-300),
        Exponential(factor=2.0, every_epochs=1e-300, staircase=False),
    ],
)
def test_a_rate_too_large_for_a_number_is_infinite(decay: Stepwise | Exponential) -> None:
    assert decay(1.0, epochs=100_000) == math.inf


def test_a_rate_too_small_for_a_number_is_zero() -> None:
    assert Exponential(factor=0.5, every_epochs=1e-300)(1.0, epochs=100) == 0.0
