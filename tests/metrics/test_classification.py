"""Metrics of classification, against scikit-learn, PyTorch and by hand."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, log_loss, top_k_accuracy_score

from trickbag.metrics.classification import Classification

NAMES = {"top1", "top5", "loss", "ece", "balanced_accuracy", "macro_f1"}


def logits_of(n: int, k: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, k)) * 3


def softmax(logits_NK: np.ndarray) -> np.ndarray:
    powers = np.exp(logits_NK - logits_NK.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True))


def ece_by_hand(probabilities_NK: np.ndarray, labels_N: np.ndarray, bins: int) -> float:
    """The definition, image by image: Guo et al. 2017, equation 3."""
    total = 0.0
    confidence_N = probabilities_NK.max(1)
    right_N = probabilities_NK.argmax(1) == labels_N
    for bin_ in range(bins):
        inside = [i for i, p in enumerate(confidence_N) if bin_ / bins < p <= (bin_ + 1) / bins]
        if inside:
            gap = np.mean([right_N[i] for i in inside]) - np.mean([confidence_N[i] for i in inside])
            total += len(inside) / len(labels_N) * abs(float(gap))
    return 100 * total


def test_equals_scikit_learn_over_batches() -> None:
    logits_NK = logits_of(257, 10)
    labels_N = np.random.default_rng(1).integers(0, 10, 257)
    metrics = Classification(10)
    for start in range(0, 257, 64):
        part = slice(start, start + 64)
        metrics.update(torch.tensor(logits_NK[part]), torch.tensor(labels_N[part]))
    values = metrics.compute()
    probabilities = softmax(logits_NK)
    assert values["top1"] == pytest.approx(
        100 * accuracy_score(labels_N, logits_NK.argmax(1)), rel=1e-12
    )
    assert values["top5"] == pytest.approx(
        100 * top_k_accuracy_score(labels_N, logits_NK, k=5), rel=1e-12
    )
    assert values["loss"] == pytest.approx(
        log_loss(labels_N, probabilities, labels=range(10)), rel=1e-12
    )
    assert values["ece"] == pytest.approx(ece_by_hand(probabilities, labels_N, 15), rel=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 40),
    k=st.integers(2, 12),
    bins=st.integers(1, 20),
    seed=st.integers(0, 2**31),
    cuts=st.lists(st.integers(0, 40), max_size=4),
)
def test_any_division_into_batches_gives_the_definition(
    n: int, k: int, bins: int, seed: int, cuts: list[int]
) -> None:
    logits_NK = logits_of(n, k, seed)
    labels_N = np.random.default_rng(seed + 1).integers(0, k, n)
    metrics = Classification(k, bins=bins)
    edges = [0, *sorted(min(cut, n) for cut in cuts), n]
    for low, high in itertools.pairwise(edges):
        metrics.update(torch.tensor(logits_NK[low:high]), torch.tensor(labels_N[low:high]))
    values = metrics.compute()
    probabilities = softmax(logits_NK)
    order_NK = np.argsort(-logits_NK, axis=1, kind="stable")
    right5 = sum(label in order[:5] for order, label in zip(order_NK, labels_N, strict=True))
    assert values["top1"] == pytest.approx(100 * float((order_NK[:, 0] == labels_N).mean()))
    assert values["top5"] == (pytest.approx(100 * right5 / n) if k > 5 else None)
    assert values["loss"] == pytest.approx(float(-np.log(probabilities[range(n), labels_N]).mean()))
    assert values["ece"] == pytest.approx(ece_by_hand(probabilities, labels_N, bins), abs=1e-9)


def test_dense_targets_are_cross_entropy() -> None:
    logits_NK = torch.tensor(logits_of(30, 7))
    targets_NK = torch.tensor(softmax(logits_of(30, 7, seed=5)))
    metrics = Classification(7)
    metrics.update(logits_NK, targets_NK)
    values = metrics.compute()
    expected = torch.nn.functional.cross_entropy(logits_NK, targets_NK)
    assert values["loss"] == pytest.approx(expected.item(), rel=1e-12)
    assert values["top1"] == pytest.approx(
        100 * (logits_NK.argmax(1) == targets_NK.argmax(1)).double().mean().item()
    )


def test_one_hot_targets_are_the_labels() -> None:
    logits_NK, labels_N = torch.tensor(logits_of(40, 9)), torch.arange(40) % 9
    by_label, by_target = Classification(9), Classification(9)
    by_label.update(logits_NK, labels_N)
    by_target.update(logits_NK, torch.nn.functional.one_hot(labels_N, 9).double())
    assert by_label.compute() == pytest.approx(by_target.compute(), rel=1e-12)


@pytest.mark.parametrize("marked", ["valid", "zero targets", "negative label"])
def test_rows_that_do_not_count(marked: str) -> None:
    logits_NK, labels_N = torch.tensor(logits_of(20, 8)), torch.arange(20) % 8
    kept_N = torch.arange(20) % 3 != 0
    expected = Classification(8)
    expected.update(logits_NK[kept_N], labels_N[kept_N])
    counter = Classification(8)
    # The logits of an absent image must not matter.
    broken_NK = torch.where(kept_N[:, None], logits_NK, torch.nan)
    if marked == "valid":
        counter.update(broken_NK, labels_N, kept_N)
    elif marked == "zero targets":
        one_hot_NK = torch.nn.functional.one_hot(labels_N, 8).double()
        counter.update(broken_NK, one_hot_NK * kept_N[:, None])
    else:
        counter.update(broken_NK, torch.where(kept_N, labels_N, -1))
    assert counter.compute() == pytest.approx(expected.compute(), rel=1e-12)
    assert counter.state()["counts"][0] == kept_N.sum()


def test_nothing_counted_is_undefined() -> None:
    metrics = Classification(10)
    assert metrics.compute() == dict.fromkeys(NAMES)
    metrics.update(torch.zeros(0, 10), torch.zeros(0, dtype=torch.int64))
    metrics.update(torch.ones(3, 10), torch.zeros(3, 10))
    assert metrics.compute() == dict.fromkeys(NAMES)


def test_top5_needs_six_classes() -> None:
    for classes, defined in ((2, False), (5, False), (6, True)):
        metrics = Classification(classes)
        metrics.update(torch.eye(classes), torch.arange(classes))
        values = metrics.compute()
        assert (values["top5"] is not None) is defined
        assert values["top1"] == 100.0


def test_of_equal_logits_the_smaller_class_comes_first() -> None:
    metrics = Classification(10)
    metrics.update(torch.zeros(10, 10), torch.arange(10))
    values = metrics.compute()
    assert values["top1"] == 10.0
    assert values["top5"] == 50.0
    assert values["loss"] == pytest.approx(math.log(10))


def test_nan_logits_are_never_right() -> None:
    logits_NK = torch.eye(8) * 4
    logits_NK[3] = torch.nan
    logits_NK[4, 0] = torch.nan
    metrics = Classification(8)
    metrics.update(logits_NK, torch.arange(8))
    values = metrics.compute()
    assert (values["top1"], values["top5"], values["balanced_accuracy"]) == (75.0,) * 3
    assert (values["loss"], values["ece"]) == (None, None)


def test_an_impossible_class_costs_nothing_where_it_is_not_the_target() -> None:
    logits_NK = torch.tensor([[0.0, 0.0, -torch.inf]])
    metrics = Classification(3)
    metrics.update(logits_NK, torch.tensor([[1.0, 0.0, 0.0]]))
    assert metrics.compute()["loss"] == pytest.approx(math.log(2))
    metrics.update(logits_NK, torch.tensor([2]))
    assert metrics.compute()["loss"] is None


def test_certain_and_right_is_perfectly_calibrated_and_certain_and_wrong_is_not() -> None:
    metrics = Classification(2)
    metrics.update(torch.tensor([[1000.0, 0.0]] * 4), torch.tensor([0, 0, 0, 0]))
    assert metrics.compute()["ece"] == 0.0
    metrics.update(torch.tensor([[1000.0, 0.0]] * 4), torch.tensor([1, 1, 1, 1]))
    assert metrics.compute()["ece"] == pytest.approx(50.0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_low_precision_logits_are_summed_in_float64(dtype: torch.dtype) -> None:
    logits_NK = torch.tensor(logits_of(500, 10)).to(dtype)
    labels_N = torch.arange(500) % 10
    metrics = Classification(10)
    for row in range(500):
        metrics.update(logits_NK[row : row + 1], labels_N[row : row + 1])
    expected = torch.nn.functional.cross_entropy(logits_NK.double(), labels_N)
    assert metrics.compute()["loss"] == pytest.approx(expected.item(), rel=1e-12)


def test_state_continues_to_the_bit() -> None:
    logits_NK, labels_N = torch.tensor(logits_of(60, 10)), torch.arange(60) % 10
    uninterrupted, first = Classification(10), Classification(10)
    uninterrupted.update(logits_NK[:30], labels_N[:30])
    first.update(logits_NK[:30], labels_N[:30])
    stored = first.state()
    first.update(logits_NK, labels_N)  # a stored state is a copy
    second = Classification(10)
    second.load_state(stored)
    uninterrupted.update(logits_NK[30:], labels_N[30:])
    second.update(logits_NK[30:], labels_N[30:])
    assert uninterrupted.compute() == second.compute()
    assert all(
        torch.equal(uninterrupted.state()[name], tensor) for name, tensor in second.state().items()
    )
    with pytest.raises(ValueError, match="must be"):
        Classification(10, bins=10).load_state(stored)
    second.reset()
    assert second.compute() == dict.fromkeys(NAMES)


def test_counters_made_in_inference_mode_go_on_outside_it() -> None:
    with torch.inference_mode():
        metrics = Classification(4)
        metrics.update(torch.eye(4), torch.arange(4))
    metrics.update(torch.eye(4, requires_grad=True), torch.arange(4).flip(0))
    assert metrics.compute()["top1"] == 50.0


@pytest.mark.parametrize(
    ("logits", "targets"),
    [
        (torch.zeros(3, 5), torch.zeros(3, dtype=torch.int64)),
        (torch.zeros(4), torch.zeros(4, dtype=torch.int64)),
        (torch.zeros(3, 4), torch.zeros(2, dtype=torch.int64)),
        (torch.zeros(3, 4), torch.zeros(3, 5)),
        (torch.zeros(3, 4), torch.zeros(3)),
    ],
)
def test_shapes_that_do_not_belong_together(logits: torch.Tensor, targets: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="must be"):
        Classification(4).update(logits, targets)


@pytest.mark.gpu
def test_update_never_waits_for_the_device() -> None:
    metrics = Classification(10, "cuda")
    logits_NK, labels_N = torch.tensor(logits_of(64, 10)).cuda(), (torch.arange(64) % 10).cuda()
    torch.cuda.set_sync_debug_mode("error")
    try:
        metrics.update(logits_NK, labels_N)
        metrics.update(logits_NK, torch.nn.functional.one_hot(labels_N, 10), labels_N > 2)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    host = Classification(10)
    host.update(logits_NK.cpu(), labels_N.cpu())
    host.update(logits_NK.cpu(), labels_N.cpu(), labels_N.cpu() > 2)
    assert metrics.compute() == pytest.approx(host.compute(), rel=1e-12)
