"""Mixing images: against timm, torchvision, the original code and loops by hand in float64."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from timm.data.mixup import Mixup as TimmMixup
from torch import Tensor
from torch.nn import functional
from torchvision.transforms import v2

from tests.models.official.originals import tensor, vector
from tests.test_every_trick import bare
from trickbag.data.dataset import prepare
from trickbag.errors import Note, UserError
from trickbag.functional.boxes import inside, share, within
from trickbag.functional.mixing import mix, own_share, paste, select_rows, weigh
from trickbag.tricks.cutmix import CutMix, cut_boxes
from trickbag.tricks.mixup import Mixup, halves
from trickbag.tricks.mixup_cutmix import MixupCutMix
from trickbag.tricks.trick import START, Batch, Timestamp, Trick

MIXERS: list[Trick] = [
    Mixup(alpha=1.0),
    Mixup(alpha=1.0, lam="pair"),
    Mixup(alpha=1.0, lam="pair", pairing="double"),
    Mixup(alpha=1.0, lam="pair", pairing="halves"),
    CutMix(),
    CutMix(lam="pair"),
    MixupCutMix(),
    MixupCutMix(per="image"),
]


def batch_of(n: int, size: int = 9, classes: int = 5) -> Batch:
    """Images, targets and extras in float64; each image is different."""
    rng = torch.Generator().manual_seed(n)
    images = torch.rand(n, 3, size, size + 2, generator=rng, dtype=torch.float64)
    targets = functional.one_hot(torch.arange(n) % classes, classes).double()
    teacher = torch.randn(n, classes, generator=rng, dtype=torch.float64)
    return Batch(
        images, targets, torch.arange(n), {"teacher": teacher, "scalar": teacher[:, 0].clone()}
    )


def draws(trick: Trick, n: int, seed: int = 0, timestamp: Timestamp = START) -> list[Tensor]:
    return [
        torch.from_numpy(item) for item in trick.draw(n, np.random.default_rng(seed), timestamp)
    ]


@given(
    st.floats(0, 0.999),
    st.floats(0, 0.999),
    st.floats(0, 1),
    st.integers(2, 40),
    st.integers(2, 40),
)
def test_boxes_around_a_centre_equal_the_published_codes(
    y: float, x: float, lam: float, height: int, width: int
) -> None:
    centre, weight = (
        torch.tensor([[y, x]], dtype=torch.float64),
        torch.tensor([lam], dtype=torch.float64),
    )
    box = cut_boxes(weight, centre, height, width)[0].tolist()
    # The authors' rand_bbox.
    ratio = np.sqrt(1 - lam)
    cut_h, cut_w = int(height * ratio), int(width * ratio)
    cy, cx = int(y * height), int(x * width)
    expected = [cy - cut_h // 2, cy + cut_h // 2, cx - cut_w // 2, cx + cut_w // 2]
    expected = [
        min(max(value, 0), limit)
        for value, limit in zip(expected, (height, height, width, width), strict=True)
    ]
    assert box == expected


@given(
    st.floats(0, 0.999),
    st.floats(0, 0.999),
    st.floats(0.01, 1),
    st.integers(2, 40),
    st.integers(2, 40),
)
def test_boxes_within_an_image_stay_in_it(
    y: float, x: float, side: float, height: int, width: int
) -> None:
    top, bottom, left, right = within(
        torch.tensor([[y, x]]), torch.full((1, 2), side), height, width
    )[0].tolist()
    assert 0 <= top <= bottom <= height
    assert 0 <= left <= right <= width
    assert bottom - top == min(round(float(torch.tensor(side) * height)), height - 1)
    assert right - left < width


def test_the_pixels_of_a_box_and_their_share() -> None:
    boxes = torch.tensor([[1, 3, 0, 4], [2, 2, 1, 3], [0, 5, 0, 6]])
    mask = inside(boxes, 5, 6, torch.float64)
    expected = torch.zeros(3, 1, 5, 6, dtype=torch.float64)
    expected[0, 0, 1:3, 0:4] = 1
    expected[2] = 1
    assert torch.equal(mask, expected)
    assert share(boxes, 5, 6).tolist() == pytest.approx([8 / 30, 0, 1])


def test_centres_are_uniform() -> None:
    _, centre, _ = draws(CutMix(lam="pair"), 40_000)
    counts = torch.bincount((centre[:, 0] * 8).long(), minlength=8)
    assert len(counts) == 8
    assert (counts / 40_000 - 1 / 8).abs().max() < 0.01


def test_pasting_equals_a_loop_by_hand() -> None:
    images = batch_of(5).images
    boxes, partner = (
        torch.tensor([[0, 3, 1, 4], [2, 9, 2, 11], [4, 4, 0, 5], [0, 9, 0, 11], [1, 2, 3, 4]]),
        [4, 3, 2, 1, 0],
    )
    expected = images.clone()
    for i, (top, bottom, left, right) in enumerate(boxes.tolist()):
        expected[i, :, top:bottom, left:right] = images[partner[i], :, top:bottom, left:right]
    assert torch.equal(paste(images, boxes, torch.tensor(partner)), expected)
    shared = paste(images, boxes[:1], torch.tensor(partner))
    assert torch.equal(shared, paste(images, boxes[:1].expand(5, 4), torch.tensor(partner)))


@pytest.mark.parametrize(
    "shape", [(5, 3, 4, 7), (5, 1, 4, 7), (5, 3, 1, 1), (5, 3), (5, 2, 3, 4, 2)]
)
@pytest.mark.parametrize("rows", [[4, 0, 0, 2], [], [1]])
def test_rows_lie_in_memory_as_they_did(shape: tuple[int, ...], rows: list[int]) -> None:
    values = torch.randn(shape)
    index = torch.tensor(rows, dtype=torch.int64)
    layouts = [values]
    if values.ndim == 4:
        layouts.append(values.contiguous(memory_format=torch.channels_last))
    for each in layouts:
        chosen = select_rows(each, index)
        assert torch.equal(chosen, values[rows])
        if rows:
            assert chosen.stride() == torch.empty_like(each[: len(rows)]).stride()
        chosen.zero_()
        assert torch.equal(each, values)  # a copy


@pytest.mark.parametrize("function", [mix, lambda x, lam, p: weigh(x, x[p], lam)])
def test_a_weight_of_one_changes_no_bit(function) -> None:  # type: ignore[no-untyped-def]
    images = torch.randn(7, 3, 4, 4, generator=torch.Generator().manual_seed(0)) * 100
    assert torch.equal(function(images, torch.ones(7), torch.arange(6, -1, -1)), images)


def timm_seeded(seed: int, **settings: object) -> TimmMixup:
    np.random.seed(seed)
    options = {"num_classes": 5, "label_smoothing": 0.0} | settings
    return TimmMixup(**options)  # type: ignore[no-untyped-call]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("seed", range(4))
def test_cutmix_by_batch_equals_timms(seed: int) -> None:
    timm_mixup = timm_seeded(seed, mixup_alpha=0.0, cutmix_alpha=1.0, mode="batch")
    batch = batch_of(6)
    marks = torch.zeros(6, 1, 9, 11, dtype=torch.float64) + torch.arange(6)[:, None, None, None]
    timm_images, timm_targets = timm_mixup(
        torch.cat([batch.images, marks], dim=1), torch.arange(6) % 5
    )
    # timm's box, from the marks of the pasted pixels.
    pasted = (timm_images[0, 3] != 0).nonzero()
    box = (
        torch.tensor([[*pasted.amin(0), *(pasted.amax(0) + 1)]])[:, [0, 2, 1, 3]]
        if len(pasted)
        else torch.zeros(1, 4)
    )
    partner = torch.arange(5, -1, -1)
    assert torch.equal(paste(batch.images, box, partner), timm_images[:, :3])
    targets = mix(batch.targets, own_share(box, 9, 11), partner)
    torch.testing.assert_close(targets.float(), timm_targets.float(), rtol=0, atol=1e-6)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_mixup_by_element_equals_timms() -> None:
    timm_mixup = timm_seeded(1, mixup_alpha=0.5, mode="elem")
    batch = batch_of(4)
    timm_images, timm_targets = timm_mixup(batch.images.float(), torch.arange(4))
    lam = timm_targets.diagonal()  # no partner has the class of its image
    partner = torch.arange(3, -1, -1)
    torch.testing.assert_close(
        mix(batch.images, lam, partner).float(), timm_images, rtol=0, atol=1e-6
    )
    torch.testing.assert_close(
        mix(batch.targets, lam, partner).float(), timm_targets.float(), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("seed", range(3))
def test_mixup_and_cutmix_equal_torchvisions(seed: int) -> None:
    batch, labels, partner = batch_of(6, classes=6), torch.arange(6), torch.arange(6).roll(1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        mixed, mixed_targets = v2.MixUp(num_classes=6)(batch.images, labels)
        pasted, pasted_targets = v2.CutMix(num_classes=6)(batch.images, labels)
    lam = mixed_targets[0, 0].expand(6)
    torch.testing.assert_close(mix(batch.images, lam, partner), mixed, rtol=0, atol=1e-6)
    torch.testing.assert_close(
        mix(batch.targets, lam, partner).float(), mixed_targets, rtol=0, atol=1e-6
    )
    changed = (pasted != batch.images).any(dim=1)[0].nonzero()
    box = torch.tensor(
        [
            [
                changed[:, 0].min(),
                changed[:, 0].max() + 1,
                changed[:, 1].min(),
                changed[:, 1].max() + 1,
            ]
        ]
    )
    assert torch.equal(paste(batch.images, box, partner), pasted)
    torch.testing.assert_close(
        mix(batch.targets, own_share(box, 9, 11), partner).float(),
        pasted_targets,
        rtol=0,
        atol=1e-6,
    )


@pytest.mark.parametrize("pairing", ["double", "halves"])
def test_both_pairings_equal_the_original_code(pairing: Literal["double", "halves"]) -> None:
    facts, arrays = vector("units")
    lams = facts["mixup_lams"]
    images = tensor(arrays["mix_x"]).movedim(-1, 1).double()
    targets, teacher = tensor(arrays["mix_y"]).double(), tensor(arrays["mix_t"]).double()
    n = len(images)
    batch = Batch(images, targets, torch.arange(n), {"teacher": teacher})
    trick = Mixup(pairing=pairing, lam="pair")
    _, *places = draws(trick, n)
    number = 1 if pairing == "double" else 2
    lam = torch.tensor(
        lams["lam1"] if pairing == "double" else [*lams["lam1"], *lams["lam2"]], dtype=torch.float64
    )
    mixed = trick.batch(batch, lam, *places)
    expected = tensor(arrays[f"mixup_type{number}_x"]).movedim(-1, 1).double()
    torch.testing.assert_close(mixed.images, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(
        mixed.targets, tensor(arrays[f"mixup_type{number}_y"]).double(), rtol=1e-5, atol=1e-5
    )
    expected = tensor(arrays[f"mixup_type{number}_t"]).double()
    torch.testing.assert_close(
        mixed.extras["teacher"][: n // 2], expected[: n // 2], rtol=1e-5, atol=1e-5
    )
    if pairing == "halves":
        # In the original code the teacher targets of the second half have labels of the first half:
        # a bug that is not repeated.
        expected = weigh(teacher[: n // 2], teacher[n // 2 :].flip(0), lam[n // 2 :])
        torch.testing.assert_close(mixed.extras["teacher"][n // 2 :], expected)


@pytest.mark.parametrize(
    ("n", "first", "second"),
    [(4, [0, 1, 0, 1], [2, 3, 3, 2]), (5, [0, 1, 0, 1, 4], [2, 3, 3, 2, 4]), (1, [0], [0])],
)
def test_halves(n: int, first: list[int], second: list[int]) -> None:
    assert [places.tolist() for places in halves(n)] == [first, second]


@pytest.mark.parametrize("n", [1, 2, 5, 8])
@pytest.mark.parametrize("trick", MIXERS, ids=repr)
def test_hooks_mix_targets_and_extras_with_the_same_weights(trick: Trick, n: int) -> None:
    batch = batch_of(n * trick.repeats)
    # Image 0 could not be read.
    batch = batch._replace(targets=batch.targets * (torch.arange(len(batch.images)) != 0)[:, None])
    rows = torch.linspace(0, 1, len(batch.images), dtype=torch.float64)
    identity = batch._replace(
        extras={**batch.extras, "eye": torch.eye(len(batch.images), dtype=torch.float64)},
        multi_label=True,
        row_weights=rows,
        class_weights=rows[:, None] * batch.targets,
    )
    mixed = trick.batch(identity, *draws(trick, len(batch.images), seed=n))
    weights = mixed.extras["eye"]
    assert weights.shape == (n, n * trick.repeats)
    torch.testing.assert_close(
        weights.sum(1), torch.ones(n, dtype=torch.float64), rtol=0, atol=1e-6
    )
    torch.testing.assert_close(mixed.targets, weights @ batch.targets, rtol=0, atol=1e-12)
    torch.testing.assert_close(
        mixed.extras["teacher"], weights @ batch.extras["teacher"], rtol=0, atol=1e-12
    )
    torch.testing.assert_close(
        mixed.extras["scalar"], weights @ batch.extras["scalar"], rtol=0, atol=1e-12
    )
    torch.testing.assert_close(mixed.row_weights, weights @ rows, rtol=0, atol=1e-12)
    torch.testing.assert_close(
        mixed.class_weights, weights @ identity.class_weights, rtol=0, atol=1e-12
    )
    assert mixed.images.shape == (n, *batch.images.shape[1:])
    # The mean weight of the pixels equals the weight of the targets: each pixel is from one of the
    # two images, or from both.
    shares = trick.batch(
        identity._replace(
            images=torch.ones_like(batch.images)
            * torch.arange(len(batch.images))[:, None, None, None]
        ),
        *draws(trick, len(batch.images), seed=n),
    )
    places = torch.arange(len(batch.images), dtype=torch.float64)
    torch.testing.assert_close(
        shares.images.mean(dim=(1, 2, 3)), weights @ places, rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("trick", [*MIXERS], ids=repr)
def test_off_epochs_leave_the_images_as_they_are(trick: Trick) -> None:
    off = type(trick)(**{**vars(trick), "off_epochs": 2})
    batch = batch_of(6 * trick.repeats)
    for epoch, mixing in ((0, True), (7, True), (8, False), (9, False)):
        draw = draws(off, len(batch.images), epoch, Timestamp(epoch, 3, 10, 10))
        mixed = off.batch(batch, *draw)
        assert torch.equal(mixed.images, batch.images[:6]) is not mixing
        assert torch.equal(mixed.targets, batch.targets[:6]) is not mixing
        # The same shapes as at any time, so that nothing is compiled again.
        assert [t.shape for t in draw] == [t.shape for t in draws(off, len(batch.images))]


def test_each_image_is_mixed_or_pasted_or_neither() -> None:
    trick = MixupCutMix(per="image", cutmix_prob=0.3, prob=0.8)
    lam, side, _, _ = draws(trick, 20_000)
    mixed, pasted = lam < 1, side > 0
    assert not (mixed & pasted).any()
    assert float(pasted.float().mean()) == pytest.approx(0.8 * 0.3, abs=0.01)
    assert float(mixed.float().mean()) == pytest.approx(0.8 * 0.7, abs=0.01)
    lam, side, centre, _ = draws(MixupCutMix(), 6)
    # One choice, weight and box for the whole batch.
    assert [len(t.unique(dim=0)) for t in (lam, side, centre)] == [1, 1, 1]


def test_cutmix_of_a_share_of_the_batches() -> None:
    trick = CutMix(prob=0.25)
    cut = [bool(draws(trick, 4, seed)[0][0] < 1) for seed in range(2_000)]
    assert np.mean(cut) == pytest.approx(0.25, abs=0.03)


def test_off_for_the_whole_run_is_a_note(pictures: Path) -> None:
    from trickbag.train.plan.resolve import resolve

    recipe = bare("resnet18", pictures).plus(CutMix(off_epochs=2))
    _, notes = resolve(recipe, prepare(recipe.data), 0)
    reason = "off_epochs = 2 leaves none of the 2 epochs"
    assert Note("no_effect", "cutmix", reason) in notes


@pytest.mark.parametrize("trick", MIXERS, ids=repr)
def test_a_batch_of_one_image_has_no_partner(trick: Trick, pictures: Path) -> None:
    from trickbag.train.plan.resolve import resolve

    recipe = bare("resnet18", pictures).set("training.batch_size", "1").plus(trick)
    _, notes = resolve(recipe, prepare(recipe.data), 0)
    reason = "a batch of one image has no other to mix it with"
    assert (Note("no_effect", trick.name, reason) in notes) == (trick.repeats == 1)


def test_mixers_exclude_each_other() -> None:
    with pytest.raises(UserError, match="exclude each other"):
        bare("resnet18").plus(Mixup(), CutMix())
