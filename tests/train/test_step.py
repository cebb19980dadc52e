"""The training step against what it must equal, and the order of the pipeline."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.builders.marks import long
from tests.builders.recipes import bare_recipe
from trickbag.data.dataset import prepare
from trickbag.data.loading.raw_batch import RawBatch
from trickbag.errors import UserError
from trickbag.optim.losses import cross_entropy
from trickbag.train.build import build
from trickbag.train.checkpoint import Progress
from trickbag.train.pipeline import mirror
from trickbag.train.plan.resolve import resolve
from trickbag.train.run import Run
from trickbag.train.step import train_step
from trickbag.tricks.color_jitter import ColorJitter
from trickbag.tricks.cutout import Cutout
from trickbag.tricks.label_smoothing import LabelSmoothing
from trickbag.tricks.mixup import Mixup, mix
from trickbag.tricks.pca_noise import PCANoise, add_pca_noise
from trickbag.tricks.random_erasing import RandomErasing
from trickbag.tricks.sam import Sam
from trickbag.tricks.trick import Trick

N, K, S = 64, 3, 32


def raw_batch(n: int = N) -> RawBatch:
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.integers(0, 256, (n, 3, S, S), dtype=np.uint8))
    labels = torch.from_numpy(rng.integers(0, K, n))
    return RawBatch(
        images,
        labels,
        torch.arange(n),
        torch.ones(n, dtype=torch.bool),
        torch.empty(n, 0, 0),
        torch.empty(n, 0, dtype=torch.int64),
    )


def make_run(  # type: ignore[no-untyped-def]
    pictures: Path,
    *tricks,
    accumulate: int = 1,
    model: str = "timm:convnext_atto",
    rows: int = N,
    world=None,
    **changes: str,
) -> Run:
    sizes = {"data.image_size": str(S), "training.batch_size": str(N)}
    parts = {"training.accumulate": str(accumulate)}
    recipe = bare_recipe(pictures, *tricks, model=model, **(sizes | parts | changes))
    dataset = prepare(recipe.data)
    plan, _ = resolve(recipe, dataset, seed=0)
    plan = dataclasses.replace(plan, training=dataclasses.replace(plan.training, batch_size=rows))
    return build(plan, recipe.tricks, dataset, world=world)[0]


def one_step(run: Run, raw: RawBatch) -> tuple[dict[str, torch.Tensor], Progress]:
    progress = Progress.start(run.device)
    run.network.train()
    draws = run.pipeline.draw(len(raw.images), 0, run.plan.timestamp(0), run.device)
    train_step(run, raw, draws, 0.1, int(raw.valid.sum()), progress)
    return {
        name: value.detach().clone() for name, value in run.network.named_parameters()
    }, progress


@pytest.mark.parametrize("accumulate", [4, 5])
def test_accumulation_is_the_same_step(pictures: Path, accumulate: int) -> None:
    # A network without BatchNorm; mixing partners lie in other parts of the batch.
    tricks = (Mixup(alpha=1.0, lam="pair"), LabelSmoothing(), PCANoise())
    weights, progress = one_step(make_run(pictures, *tricks), raw_batch())
    accumulating = make_run(pictures, *tricks, accumulate=accumulate)
    accumulated, other = one_step(accumulating, raw_batch())
    start = dict(make_run(pictures, *tricks).network.named_parameters())
    for name, value in weights.items():
        moved = (value - start[name]).norm()
        assert (value - accumulated[name]).norm() <= 1e-4 * moved + 1e-7, name
    assert float(progress.loss_sum) == pytest.approx(float(other.loss_sum), rel=1e-5)
    assert float(progress.count) == float(other.count)
    assert float(progress.correct) == float(other.correct)


def test_accumulation_is_the_same_step_in_two_passes(pictures: Path) -> None:
    # The step uphill is that of the effective batch, for each micro-batch of the second pass.
    weights, progress = one_step(make_run(pictures, Sam(rho=0.5)), raw_batch())
    accumulated, other = one_step(make_run(pictures, Sam(rho=0.5), accumulate=4), raw_batch())
    in_one_pass, _ = one_step(make_run(pictures), raw_batch())
    start = dict(make_run(pictures).network.named_parameters())
    for name, value in weights.items():
        moved = (value - start[name]).norm()
        assert (value - accumulated[name]).norm() <= 1e-4 * moved + 1e-7, name
    assert any(
        (value - in_one_pass[name]).norm() > 1e-2 * (value - start[name]).norm()
        for name, value in weights.items()
    )
    # Loss and accuracy are counted once.
    assert float(progress.loss_sum) == pytest.approx(float(other.loss_sum), rel=1e-5)
    assert float(progress.count) == float(other.count) == N


def test_a_row_that_could_not_be_read_counts_nothing(pictures: Path) -> None:
    raw = raw_batch()
    keep = torch.arange(N) >= 10
    damaged = raw._replace(valid=keep, images=raw.images * keep[:, None, None, None])
    run = make_run(pictures, LabelSmoothing(), **{"data.flip_prob": "0"})
    with_bad, progress = one_step(run, damaged)
    assert float(progress.count) == N - 10
    rest = RawBatch(*(tensor[keep] for tensor in raw))
    without, other = one_step(make_run(pictures, LabelSmoothing(), **{"data.flip_prob": "0"}), rest)
    for name, value in with_bad.items():
        torch.testing.assert_close(value, without[name], rtol=1e-4, atol=1e-6)
    assert float(progress.loss_sum) == pytest.approx(float(other.loss_sum), rel=1e-5)


def test_two_images_read_for_each_one_of_a_batch_make_one_step_of_it(pictures: Path) -> None:
    run = make_run(
        pictures, Mixup(alpha=1.0, lam="pair", pairing="double"), PCANoise(), LabelSmoothing()
    )
    raw, progress = raw_batch(2 * N), Progress.start(run.device)
    draws = run.pipeline.draw(2 * N, 0, run.plan.timestamp(0), run.device)
    assert [len(draw[0]) for draw in draws if draw] == [2 * N, 2 * N, N]
    assert run.plan.repeats == 2
    batch = run.pipeline(raw, draws)
    assert batch.images.shape == (N, 3, S, S)
    run.network.train()
    expected = cross_entropy(run.network(batch.images), batch.targets).sum().item()
    train_step(run, raw, draws, 0.1, int(raw.valid.sum()) / run.plan.repeats, progress)
    assert float(progress.count) == N
    assert float(progress.loss_sum) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    "trick",
    [
        ColorJitter(),
        ColorJitter(form="code"),
        PCANoise(),
        Cutout(),
        RandomErasing(fill="zero"),
        RandomErasing(fill="color"),
        RandomErasing(fill="pixel"),
    ],
    ids=repr,
)
def test_the_first_of_two_images_is_what_it_is_without_the_second(
    pictures: Path, trick: Trick
) -> None:
    both = make_run(pictures, trick, Mixup(pairing="double"))
    _, of_both, _ = both.pipeline.draw(2 * N, 0, both.plan.timestamp(1), both.device)
    single = make_run(pictures, trick)
    _, alone = single.pipeline.draw(N, 0, single.plan.timestamp(1), single.device)
    assert not torch.equal(of_both[0][N:], alone[0]), "the second has numbers of its own"
    for drawn, expected in zip(of_both, alone, strict=True):
        assert len(drawn) == 2 * N
        assert torch.equal(drawn[:N], expected)


def test_the_pipeline_is_the_papers_order_whatever_the_recipes(pictures: Path) -> None:
    raw = raw_batch(8)
    runs = [
        make_run(pictures, Mixup(), PCANoise(), ColorJitter(), LabelSmoothing()),
        make_run(pictures, LabelSmoothing(), ColorJitter(), PCANoise(), Mixup()),
    ]
    first, second = (
        run.pipeline(raw, run.pipeline.draw(8, 7, run.plan.timestamp(0), run.device))
        for run in runs
    )
    torch.testing.assert_close(first.images, second.images)
    torch.testing.assert_close(first.targets, second.targets)


def test_the_pipeline_step_by_step(pictures: Path) -> None:
    # Mirror, noise, normalise, mix, written out in float64.
    run = make_run(pictures, PCANoise(), Mixup(alpha=1.0))
    raw = raw_batch(8)
    draws = run.pipeline.draw(8, 7, run.plan.timestamp(0), run.device)
    (flipped,), (alphas,), (lam, partner) = draws
    assert flipped.any()
    assert not flipped.all()
    images = raw.images.double()
    images = torch.stack(
        [image.flip(-1) if flip else image for image, flip in zip(images, flipped, strict=True)]
    )
    images = add_pca_noise(images, alphas.double())
    mean, std = (
        torch.tensor([123.68, 116.779, 103.939]).double(),
        torch.tensor([58.393, 57.12, 57.375]).double(),
    )
    images = (images - mean[:, None, None]) / std[:, None, None]
    batch = run.pipeline(raw, draws)
    torch.testing.assert_close(
        batch.images.double(), mix(images, lam.double(), partner), rtol=1e-5, atol=1e-5
    )
    targets = torch.nn.functional.one_hot(raw.labels, K).double()
    torch.testing.assert_close(
        batch.targets.double(), mix(targets, lam.double(), partner), rtol=1e-6, atol=1e-6
    )


def test_mirror_flips_what_it_is_told() -> None:
    images = torch.arange(12.0).reshape(2, 1, 2, 3)
    assert mirror(images, torch.tensor([True, False])).tolist() == [
        images[0].flip(-1).tolist(),
        images[1].tolist(),
    ]


def test_cross_entropy_is_torchs() -> None:
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(9, 5, generator=rng, dtype=torch.float64)
    targets = torch.rand(9, 5, generator=rng, dtype=torch.float64).softmax(1)
    expected = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
    torch.testing.assert_close(cross_entropy(logits, targets), expected)
    assert cross_entropy(logits, torch.zeros(9, 5, dtype=torch.float64)).tolist() == [0.0] * 9


def test_clipping_bounds_the_step(pictures: Path) -> None:
    free, clipped = (
        make_run(
            pictures,
            **{"training.optimizer": "sgd:momentum=0", "training.weight_decay": "0"} | extra,
        )
        for extra in ({}, {"training.clip_norm": "0.01"})
    )
    start = torch.cat([p.detach().flatten().clone() for p in clipped.network.parameters()])
    moved = []
    for run in (free, clipped):
        weights, _ = one_step(run, raw_batch())
        moved.append(float((torch.cat([w.flatten() for w in weights.values()]) - start).norm()))
    assert moved[1] == pytest.approx(0.1 * 0.01, rel=1e-2)
    assert moved[0] > moved[1]


def test_layer_decay_scales_the_learning_rate(pictures: Path) -> None:
    run = make_run(pictures, **{"training.layer_decay": "0.5"}, model="timm:resnet10t")
    scales = [group["lr_scale"] for group in run.optimizer.param_groups]
    assert scales[-1] == 1.0
    assert scales == [0.5 ** (len(scales) - 1 - i) for i in range(len(scales))]
    one_step(run, raw_batch())
    assert [group["lr"] for group in run.optimizer.param_groups] == pytest.approx(
        [0.1 * scale for scale in scales]
    )


@pytest.mark.parametrize("accumulate", [1, 2])
def test_gradient_checkpointing_is_the_same_step_to_the_bit(
    pictures: Path, accumulate: int
) -> None:
    runs = [
        make_run(
            pictures,
            Mixup(),
            accumulate=accumulate,
            model="timm:resnet10t",
            **{"training.gradient_checkpointing": mode},
        )
        for mode in ("true", "false")
    ]
    (weights, progress), (other, expected) = (one_step(run, raw_batch()) for run in runs)
    assert all(torch.equal(value, other[name]) for name, value in weights.items())
    buffers = zip(*(run.network.buffers() for run in runs), strict=True)
    assert all(torch.equal(a, b) for a, b in buffers)
    assert float(progress.loss_sum) == float(expected.loss_sum)


def test_a_network_that_cannot_compute_anew_is_refused(pictures: Path) -> None:
    with pytest.raises(
        UserError, match=r"training\.gradient_checkpointing = True: VGG has no blocks"
    ):
        make_run(pictures, model="timm:vgg11", **{"training.gradient_checkpointing": "true"})


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore:.torch.jit.script_method. is deprecated:DeprecationWarning"
)  # inductor of torch 2.11
@pytest.mark.parametrize("accumulate", [1, long(2)])
def test_the_compiled_step_is_the_step(pictures: Path, accumulate: int) -> None:
    compiled, free = (
        make_run(
            pictures,
            Mixup(),
            LabelSmoothing(),
            model="timm:resnet10t",
            accumulate=accumulate,
            **{"training.compile": mode},
        )
        for mode in ("on", "off")
    )
    weights, progress = one_step(compiled, raw_batch())
    other, expected = one_step(free, raw_batch())
    assert float(progress.loss_sum) == pytest.approx(float(expected.loss_sum), rel=1e-4)
    for name, value in weights.items():
        torch.testing.assert_close(value, other[name], rtol=1e-2, atol=1e-4)
