"""Distillation: its losses against formulas by hand in float64 and the original code's values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.models.official.originals import generator, vector
from trickbag.errors import UserError
from trickbag.optim.losses import BinaryCrossEntropy, CrossEntropy, cross_entropy
from trickbag.recipe import Recipe, trick_from_text
from trickbag.tricks.distillation import EXTRA, Distillation, soften, teacher_loss
from trickbag.tricks.label_smoothing import smooth
from trickbag.tricks.mixup import mix
from trickbag.tricks.trick import Batch, TeacherSpec

N, M, K = 6, 2, 5


def softmax(x: np.ndarray) -> np.ndarray:
    exps = np.exp(x - x.max(-1, keepdims=True))
    return exps / exps.sum(-1, keepdims=True)


def random_logits(seed: int, *shape: int) -> np.ndarray:
    return 3 * np.random.default_rng(seed).standard_normal(shape)


def a_batch() -> Batch:
    """Smoothed labels; the last image could not be read."""
    labels = torch.eye(K, dtype=torch.float64)[[0, 3, 1, 1, 2, 4]]
    labels[-1] = 0
    return Batch(torch.zeros(N, 3, 2, 2), smooth(labels, 0.1), torch.arange(N), {})


FORMS = [
    ("form=paper", 1.0, 1.0, 20.0, False),
    ("form=code", 0.5, 0.5, 20.0, False),
    ("form=assemble", 1.0, 1.0, 1.0, False),
    ("form=kl", 0.0, 1.0, 1.0, True),
    ("form=paper,temperature=4,weight=0.3", 1.0, 0.3, 4.0, False),
    ("form=code,weight=0.9", 1 - 0.9, 0.9, 20.0, False),
    ("form=kl,weight=0.75,temperature=2", 0.25, 0.75, 2.0, True),
]
"""Settings; then, as in the card, the weights of the hard and the soft part, the temperature, and
whether the teacher's entropy is subtracted."""


@pytest.mark.parametrize("mixed", ["before", "after", "not"])
@pytest.mark.parametrize(("text", "hard", "soft", "t", "divergence"), FORMS)
def test_forms_by_hand(
    text: str, hard: float, soft: float, t: float, divergence: bool, mixed: str
) -> None:
    trick = trick_from_text(f"distillation:{text}")
    z, r = random_logits(0, N, K), random_logits(1, N, M, K)
    lam, partner = (
        torch.tensor([0.1, 0.9, 0.5, 1.0, 0.3, 0.8], dtype=torch.float64),
        torch.arange(N - 1, -1, -1),
    )
    batch, teacher_logits = a_batch(), torch.from_numpy(r)

    def mixing(batch: Batch) -> Batch:
        extras = {name: mix(value, lam, partner) for name, value in batch.extras.items()}
        return batch._replace(targets=mix(batch.targets, lam, partner), extras=extras)

    q = softmax(r / t).mean(1) * np.array([1, 1, 1, 1, 1, 0])[:, None]
    if mixed == "before":  # online: the teacher has seen mixed images, of which one may be a blank
        batch = trick.teach(mixing(batch), teacher_logits)
        q = softmax(r / t).mean(1) * batch.targets.sum(1).numpy()[:, None]
    else:
        batch = trick.teach(batch, teacher_logits)
        if mixed == "after":
            batch = mixing(batch)
            q = lam.numpy()[:, None] * q + (1 - lam.numpy()[:, None]) * q[::-1]
    log_p, log_pt = np.log(softmax(z)), np.log(softmax(z / t))
    ce = -(batch.targets.numpy() * log_p).sum(1).mean()
    v = q.sum(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = (
            np.where(q > 0, -q * np.log(q), 0).sum(1) + np.where(v > 0, v * np.log(v), 0)
        ).mean()
    kd = t**2 * (-(q * log_pt).sum(1).mean() - divergence * entropy)
    computed = trick.loss(CrossEntropy())(torch.from_numpy(z), batch)
    assert float(computed) == pytest.approx(float(hard * ce + soft * kd), rel=1e-12)


@pytest.mark.parametrize("mixed", ["before", "after", "not"])
@pytest.mark.parametrize(("text", "hard", "soft", "t", "divergence"), FORMS)
def test_forms_with_several_labels_by_hand(
    text: str, hard: float, soft: float, t: float, divergence: bool, mixed: str
) -> None:
    trick = trick_from_text(f"distillation:{text}")
    z, r, labels = (
        random_logits(0, N, K),
        random_logits(1, N, M, K),
        np.random.default_rng(2).integers(0, 2, (N, K)),
    )
    r[0] = 100  # a teacher that is certain of every class
    v = np.array([1.0, 1, 1, 1, 1, 0])
    lam, partner = np.array([0.1, 0.9, 0.5, 1.0, 0.3, 0.8]), np.arange(N - 1, -1, -1)

    def mixing(values: np.ndarray) -> np.ndarray:
        weights = lam.reshape(-1, *[1] * (values.ndim - 1))
        return weights * values + (1 - weights) * values[partner]

    labels = labels * v[:, None]
    teacher = (1 / (1 + np.exp(-r / t))).mean(1)
    batch = Batch(
        torch.zeros(N, 3, 2, 2),
        torch.from_numpy(labels),
        torch.arange(N),
        {},
        multi_label=True,
        row_weights=torch.from_numpy(v),
    )
    if mixed == "before":  # online: the teacher has seen mixed images, of which one may be a blank
        labels, v = mixing(labels), mixing(v)
        batch = batch._replace(targets=torch.from_numpy(labels), row_weights=torch.from_numpy(v))
        q = teacher * v[:, None]
        batch = trick.teach(batch, torch.from_numpy(r))
    else:
        batch = trick.teach(batch, torch.from_numpy(r))
        q = teacher * v[:, None]
        if mixed == "after":
            labels, v, q = mixing(labels), mixing(v), mixing(q)
            mixed_by = torch.from_numpy(lam), torch.from_numpy(partner)
            batch = batch.map_labels(lambda values: mix(values, *mixed_by))
            batch = batch._replace(targets=torch.from_numpy(labels))

    def binary(q: np.ndarray, z: np.ndarray) -> float:
        log_p, log_not = -np.logaddexp(0, -z), -np.logaddexp(0, z)
        return float(-(q * log_p + (v[:, None] - q) * log_not).sum(1).mean())

    no = np.maximum(v[:, None] - q, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = sum(np.where(x > 0, -x * np.log(x), 0).sum(1).mean() for x in (q, no))
        entropy += K * np.where(v > 0, v * np.log(v), 0).mean()
    expected = hard * binary(labels, z) + soft * t**2 * (binary(q, z / t) - divergence * entropy)
    computed = trick.loss(BinaryCrossEntropy())(torch.from_numpy(z), batch)
    assert float(computed) == pytest.approx(float(expected), rel=1e-12)


def test_several_labels_equal_torchs() -> None:
    z, r = (
        torch.from_numpy(random_logits(0, N, K)).requires_grad_(),
        torch.from_numpy(random_logits(1, N, K)),
    )
    q, ones = soften(r[:, None], 3.0, multi_label=True), torch.ones(N, dtype=torch.float64)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(
        z / 3, (r / 3).sigmoid(), reduction="none"
    )
    torch.testing.assert_close(
        teacher_loss(z, q, 3.0, weights_N=ones), 9 * expected.sum(1), rtol=1e-12, atol=0
    )
    # The factor T^2 makes the gradient as large at every temperature.
    (gradient,) = torch.autograd.grad(
        teacher_loss(z, q, 3.0, divergence=True, weights_N=ones).sum(), z
    )
    torch.testing.assert_close(
        gradient, 3 * ((z / 3).sigmoid() - q).detach(), rtol=1e-10, atol=1e-12
    )
    agreed = teacher_loss(r, q, 3.0, divergence=True, weights_N=ones)
    assert agreed.abs().max() < 1e-13


@pytest.mark.parametrize("form", ["paper", "kl"])
def test_a_certain_teacher_of_several_labels_stays_finite_in_float32(form: str) -> None:
    trick = trick_from_text(f"distillation:form={form},temperature=1")
    batch = Batch(
        torch.zeros(3, 3, 1, 1),
        torch.ones(3, K),
        torch.arange(3),
        {},
        multi_label=True,
        row_weights=torch.ones(3),
    )
    batch = trick.teach(
        batch, torch.full((3, 1, K), float("inf")) * torch.tensor([1.0, -1, 1])[:, None, None]
    )
    lam = torch.tensor([0.1, 0.7, 0.3])
    mixed = batch.map_labels(lambda values: mix(values, lam, torch.tensor([2, 2, 0])))
    z = torch.randn(3, K, generator=torch.Generator().manual_seed(0)).requires_grad_()
    loss = trick.loss(BinaryCrossEntropy())(z, mixed._replace(targets=batch.targets))
    loss.backward()
    assert z.grad is not None
    assert torch.isfinite(loss)
    assert torch.isfinite(z.grad).all()


@pytest.mark.parametrize("t", [1.0, 20.0])
def test_gradient_by_hand(t: float) -> None:
    z = torch.from_numpy(random_logits(0, N, K)).requires_grad_()
    q = torch.from_numpy(softmax(random_logits(1, N, K)))
    for divergence in (False, True):
        (gradient,) = torch.autograd.grad(teacher_loss(z, q, t, divergence=divergence).sum(), z)
        torch.testing.assert_close(
            gradient, t * ((z.detach() / t).softmax(1) - q), rtol=1e-10, atol=1e-12
        )


def test_divergence_is_zero_if_both_agree() -> None:
    z = torch.from_numpy(random_logits(0, N, K))
    # Also for rows that count less, because they were mixed with an unreadable image.
    weights = torch.tensor([1, 0.5, 0.1, 0, 1, 0.9], dtype=torch.float64)
    teacher = weights[:, None] * soften(z[:, None], 3.0)
    assert teacher_loss(z, teacher, 3.0, divergence=True).abs().max() < 1e-14
    teacher = weights[:, None] * soften(z[:, None], 3.0, multi_label=True)
    assert teacher_loss(z, teacher, 3.0, divergence=True, weights_N=weights).abs().max() < 1e-13


def test_the_loss_of_several_teachers_is_the_mean_of_their_losses() -> None:
    z, r = torch.from_numpy(random_logits(0, N, K)), torch.from_numpy(random_logits(1, N, M, K))
    both = teacher_loss(z, soften(r, 20.0), 20.0)
    each = [teacher_loss(z, soften(r[:, m : m + 1], 20.0), 20.0) for m in range(M)]
    torch.testing.assert_close(both, sum(each) / M, rtol=1e-12, atol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_losses_are_float32_at_least(dtype: torch.dtype) -> None:
    z, r = (torch.from_numpy(random_logits(i, N, K)).to(dtype) for i in range(2))
    q = soften(r[:, None], 20.0)
    assert q.dtype == teacher_loss(z, q, 20.0).dtype == torch.float32


def test_the_teachers_rows_sum_to_those_of_the_targets() -> None:
    taught = Distillation(teacher=("t",)).teach(a_batch(), torch.zeros(N, 1, K))
    assert taught.extras[EXTRA].sum(1).tolist() == pytest.approx([1, 1, 1, 1, 1, 0])
    many = a_batch()._replace(targets=torch.ones(N, K), multi_label=True, row_weights=torch.ones(N))
    taught = Distillation(teacher=("t",)).teach(many, torch.zeros(N, 1, K))
    assert taught.extras[EXTRA].tolist() == [[0.5] * K] * N


def test_values_of_the_original_code() -> None:
    facts, arrays = vector("units")
    z = torch.from_numpy(arrays["loss_logits"]).double()
    onehot = torch.from_numpy(arrays["loss_onehot"]).double()
    teacher_logits = torch.from_numpy(arrays["loss_teacher_logits"]).double()[:, None]
    for t in (1, 2, 20):
        loss = teacher_loss(z, soften(teacher_logits, t), t).mean()
        assert float(loss) == pytest.approx(facts["loss"][f"kd_T{t}"], rel=2e-7)
    batch = Batch(torch.zeros(len(z), 3, 1, 1), smooth(onehot, 0.1), torch.arange(len(z)), {})
    trick = Distillation(teacher=("t",), form="assemble")
    total = trick.loss(CrossEntropy())(z, trick.teach(batch, teacher_logits))
    assert float(total) == pytest.approx(
        facts["loss"]["ce_ls0.1"] + facts["loss"]["kd_T1"], rel=2e-7
    )


def test_a_training_step_of_the_original_code() -> None:
    facts, arrays = vector("train_resnet50")
    z = torch.from_numpy(arrays["logits"]).double()
    teacher_logits = 2 * generator().rng_for("train/teacher").standard_normal(tuple(z.shape))
    a, b = (
        torch.nn.functional.one_hot(torch.from_numpy(arrays[f"labels_{x}"]).long(), 1001).double()
        for x in "ab"
    )
    lam = float(arrays["lam"])
    ce = cross_entropy(z, smooth(lam * a + (1 - lam) * b, 0.1)).mean()
    assert float(ce) == pytest.approx(facts["ce"], rel=1e-6)
    kd = teacher_loss(z, soften(torch.from_numpy(teacher_logits)[:, None])).mean()
    assert float(kd) == pytest.approx(facts["kd"], rel=1e-6)


def test_replayed_views_repeat_the_crops() -> None:
    data = Recipe().data
    assert Distillation(view="replay", views=3).data(data).repeat_epochs == 3
    assert all(Distillation(view=view).data(data) == data for view in ("online", "centre"))


def test_settings_from_text() -> None:
    trick = trick_from_text(
        "distillation:teacher=runs/a,timm:resnet50,view=replay,cache=b.arrow,top=7"
    )
    assert trick.teachers() == TeacherSpec(("runs/a", "timm:resnet50"), "replay", 7, "b.arrow")
    for folder in ("runs/a", Path("runs/a")):
        trick = Distillation(teacher=folder)  # type: ignore[arg-type]
        assert trick == Distillation(teacher=("runs/a",))
    with pytest.raises(UserError, match=r"distillation has no teacher.*teacher=RUN"):
        Distillation().teachers()


def test_paths_are_no_part_of_a_trial() -> None:
    recipe = Recipe(tricks=(Distillation(teacher=("a",)),))
    moved = Recipe(tricks=(Distillation(teacher=("b",), cache="c"),))
    assert recipe.id == moved.id != Recipe(tricks=(Distillation(teacher=("a",), top=3),)).id
    assert recipe.to_dict() != moved.to_dict()
