"""Label smoothing: against torch, timm, and the formulas by hand in float64."""

from __future__ import annotations

import math
from typing import Literal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from timm.data.mixup import mixup_target
from torch import Tensor
from torch.nn import functional

from trickbag.tricks.label_smoothing import LabelSmoothing, smooth
from trickbag.tricks.mixup import mix
from trickbag.tricks.trick import Batch

Definition = Literal["uniform", "others"]
DEFINITIONS: tuple[Definition, ...] = ("uniform", "others")


def one_hot(labels: list[int], classes: int) -> Tensor:
    return functional.one_hot(torch.tensor(labels), classes).double()


@pytest.mark.parametrize("smoothing", [0.1, 0.37])
def test_uniform_smoothing_equals_torchs(smoothing: float) -> None:
    logits = torch.randn(5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = [0, 3, 1, 1, 2]
    ours = functional.cross_entropy(logits, smooth(one_hot(labels, 4), smoothing))
    torchs = functional.cross_entropy(logits, torch.tensor(labels), label_smoothing=smoothing)
    torch.testing.assert_close(ours, torchs, rtol=1e-14, atol=0)


def test_smoothing_of_others_is_the_papers() -> None:
    smoothed = smooth(one_hot([2], 5), 0.1, "others")
    expected = torch.tensor([[0.025, 0.025, 0.9, 0.025, 0.025]], dtype=torch.float64)
    torch.testing.assert_close(smoothed, expected, rtol=0, atol=1e-16)
    # The gap of the best logits, section 5.2: log((K - 1) (1 - eps) / eps).
    assert math.log(smoothed[0, 2] / smoothed[0, 0]) == pytest.approx(
        math.log(4 * 0.9 / 0.1), rel=1e-14
    )


@given(st.integers(2, 50), st.floats(0.01, 0.9))
def test_definitions_differ_by_their_smoothing_alone(classes: int, smoothing: float) -> None:
    targets = one_hot([1, 0], classes)
    same = smoothing * (classes - 1) / classes
    torch.testing.assert_close(
        smooth(targets, smoothing), smooth(targets, same, "others"), rtol=1e-12, atol=1e-15
    )


@given(
    st.lists(st.lists(st.floats(0, 1), min_size=3, max_size=3), min_size=1, max_size=6),
    st.floats(0.01, 0.99),
    st.sampled_from(DEFINITIONS),
)
def test_smoothing_keeps_the_sum_of_every_row(
    rows: list[list[float]], smoothing: float, definition: Definition
) -> None:
    targets = torch.tensor(rows, dtype=torch.float64)
    smoothed = smooth(targets, smoothing, definition)
    torch.testing.assert_close(smoothed.sum(1), targets.sum(1), rtol=1e-12, atol=1e-15)
    assert (smoothed >= 0).all()


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_row_of_zeros_stays_zero_and_one_class_stays_as_it_is(definition: Definition) -> None:
    assert not smooth(torch.zeros(2, 4), 0.1, definition).any()
    assert torch.equal(smooth(torch.ones(2, 1), 0.25, definition), torch.ones(2, 1))


def test_several_labels_are_smoothed_as_choices_of_two() -> None:
    targets = torch.tensor([[1, 1, 0], [0, 0, 0], [1, 1, 1], [0, 0, 0]], dtype=torch.float64)
    valid = torch.tensor([1, 1, 1, 0], dtype=torch.float64)
    timms = mixup_target(targets, 3, smoothing=0.2, multi_label=True)
    ours = smooth(targets, 0.2, "uniform", valid)
    torch.testing.assert_close(ours[:3], timms[:3].double(), rtol=0, atol=1e-7)
    assert smooth(targets, 0.2, "others", valid)[0].tolist() == pytest.approx([0.8, 0.8, 0.2])
    assert not ours[3].any(), "an unreadable image has no targets"


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_smoothing_and_mixing_commute(definition: Definition) -> None:
    targets, lam, partner = (
        one_hot([0, 1, 2], 4),
        torch.tensor([0.2, 0.9, 0.5]),
        torch.tensor([2, 0, 1]),
    )
    smoothed = smooth(mix(targets, lam, partner), 0.1, definition)
    torch.testing.assert_close(
        smoothed, mix(smooth(targets, 0.1, definition), lam, partner), rtol=1e-14, atol=1e-16
    )


def test_smoothing_hook_changes_targets_alone() -> None:
    batch = Batch(
        torch.rand(2, 3, 4, 4), one_hot([0, 1], 3), torch.arange(2), {"teacher": torch.rand(2, 3)}
    )
    changed = LabelSmoothing(smoothing=0.3, definition="others").batch(batch)
    assert torch.equal(changed.targets, smooth(batch.targets, 0.3, "others"))
    assert changed._replace(targets=batch.targets) == batch
