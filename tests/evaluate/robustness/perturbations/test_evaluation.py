from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.builders.images import photo, photo_folder
from trickbag.data.loading.preprocess import Preprocessing
from trickbag.data.size import height_width
from trickbag.errors import RunFailed, UserError
from trickbag.evaluate.record import EvaluationRecord
from trickbag.evaluate.robustness.crops import Crops
from trickbag.evaluate.robustness.perturbations.details import PerturbationDetails
from trickbag.evaluate.robustness.perturbations.evaluation import (
    evaluate_perturbations,
    with_surroundings,
)
from trickbag.evaluate.robustness.perturbations.geometry import centre
from trickbag.evaluate.robustness.perturbations.sequences import frames
from trickbag.evaluate.robustness.perturbations.strips import SHOWN, FrameStrips, read_strip
from trickbag.metrics.flips import ALEXNET_FLIPS, TEST_PERTURBATIONS

if TYPE_CHECKING:
    from pathlib import Path

    from trickbag.evaluate import Trained

KEEPS = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
SMALL = Preprocessing(image_size=8, resize=10, **KEEPS)
FEW = ("gaussian_noise", "translate", "tilt")


class Levels(nn.Module):
    """Ranks eight classes by a level in the middle, above and below which classes are likely."""

    def forward(self, images_NCHW: Tensor) -> Tensor:
        level_N1 = images_NCHW[:, 0, 3, 3][:, None] / 32
        return -(torch.arange(8.0)[None] + 0.5 - level_N1).abs()


class Constant(nn.Module):
    def __init__(self, value: float = 0.0, classes: int = 3) -> None:
        super().__init__()
        self.value, self.classes = value, classes

    def forward(self, images_NCHW: Tensor) -> Tensor:
        return torch.full((len(images_NCHW), self.classes), self.value)


class SometimesNotFinite(Levels):
    def forward(self, images_NCHW: Tensor) -> Tensor:
        dark = images_NCHW[:, 0, 3, 3] < 20
        return super().forward(images_NCHW).masked_fill(dark[:, None], torch.inf)


def with_network(trained: Trained, network: nn.Module, **changes: Any) -> Trained:
    changes = {"preprocessing": SMALL, "classes": tuple("abcdefgh")} | changes
    return dataclasses.replace(trained, network=network.eval(), **changes)


def images_of(trained: Trained) -> tuple[Tensor, list[int]]:
    """Return the images with what lies around their crops, and their rows."""
    wide = with_surroundings(trained.preprocessing)
    with Crops(trained, workers=0, preprocessing=wide) as crops:
        (batch,) = crops.batches()
    return batch.images, batch.index.tolist()


@pytest.fixture(scope="module")
def contrived(trained: Trained) -> Trained:
    # The data of the run have three classes: their labels do not count here.
    return with_network(trained, Levels(), classes=trained.classes)


def test_flips_of_a_contrived_network_are_those_counted_by_hand(contrived: Trained) -> None:
    record = evaluate_perturbations(contrived, names=FEW, seed=7, workers=0, batch_size=4)
    details = PerturbationDetails.from_dict(record.details)
    images, rows = images_of(contrived)
    for name in FEW:
        sequence = frames(images, name, seed=7, index_N=rows, size=(8, 8), photo=(10, 10))
        predicted = [Levels()(frame.float()).argmax(1).tolist() for frame in sequence]
        flipped = [
            predicted[frame][i] != predicted[0 if name == "gaussian_noise" else frame - 1][i]
            for frame in range(1, len(predicted))
            for i in range(len(rows))
        ]
        assert 0 < sum(flipped) < len(flipped)
        assert details.flip_probabilities[name] == pytest.approx(100 * np.mean(flipped))
        assert details.pairs[name] == len(flipped)
        assert details.top5_distances[name] is None  # three classes
    mean = np.mean([details.flip_probabilities[name] for name in FEW])
    assert record.metrics["mean_flip_probability"] == pytest.approx(mean)
    assert set(record.intervals) == {"mean_flip_probability"}
    low, high = record.intervals["mean_flip_probability"]
    assert 0 < low < mean < high < 100
    assert record.metrics["mfr"] is None
    texts = " ".join(note.reason for note in record.notes)
    assert "ImageNet's 1,000 classes" in texts
    assert "not evaluated: shot_noise" in texts
    assert (record.kind, record.images, record.part) == ("perturbations", 9, "val")
    assert record.settings["table"] == "cifar10_p"
    assert EvaluationRecord.from_dict(record.to_dict()) == record


def test_a_frame_depends_on_seed_and_image_alone(contrived: Trained) -> None:
    names = ("speckle_noise", "shear")
    first = evaluate_perturbations(contrived, names=names, seed=1, workers=0)
    assert first == evaluate_perturbations(
        contrived, names=names[::-1], seed=1, workers=0, batch_size=2
    )
    other = evaluate_perturbations(contrived, names=names, seed=2, workers=0)
    noisy, sheared = (
        [each.details["flip_probabilities"][name] for each in (first, other)] for name in names
    )
    assert noisy[0] != noisy[1]
    assert sheared[0] == sheared[1]


def test_a_constant_prediction_never_flips(contrived: Trained) -> None:
    constant = dataclasses.replace(contrived, network=Constant().eval())
    record = evaluate_perturbations(constant, workers=0, limit=2)
    assert list(record.details["flip_probabilities"]) == list(TEST_PERTURBATIONS)
    assert set(record.details["flip_probabilities"].values()) == {0.0}
    assert record.metrics["mean_flip_probability"] == 0.0
    assert record.images == 2


def test_frames_without_finite_logits_count_as_changes(contrived: Trained) -> None:
    finite = evaluate_perturbations(contrived, names=["brightness"], workers=0)
    broken = dataclasses.replace(contrived, network=SometimesNotFinite().eval())
    record = evaluate_perturbations(broken, names=["brightness"], workers=0)
    mean = "mean_flip_probability"
    assert (record.metrics[mean] or 0) > (finite.metrics[mean] or 0)
    assert any("logits are not finite for" in note.reason for note in record.notes)
    never = dataclasses.replace(contrived, network=Constant(torch.nan).eval())
    with pytest.raises(RunFailed, match="finite logits for no frame"):
        evaluate_perturbations(never, names=["brightness"], workers=0)


def test_wrong_input_is_named_before_images_are_read(contrived: Trained) -> None:
    with pytest.raises(UserError, match=r"no perturbation 'fog': must be one of brightness, "):
        evaluate_perturbations(contrived, names=["tilt", "fog"], data="/absent")
    with pytest.raises(UserError, match="no perturbation to evaluate"):
        evaluate_perturbations(contrived, names=[], data="/absent")
    with pytest.raises(UserError, match="several labels"):
        evaluate_perturbations(dataclasses.replace(contrived, thresholds=(0.5,) * 3))
    two = Preprocessing(image_size=8, resize=8, channels=(0, 1), mean=(0.0, 0.0), std=(1.0, 1.0))
    of_bands = dataclasses.replace(contrived, preprocessing=two)
    with pytest.raises(UserError, match="no perturbation to evaluate for images of 2 channels"):
        evaluate_perturbations(of_bands, names=["snow"], data="/absent")


@pytest.mark.parametrize("policy", ["crop", "squash", "letterbox"])
@pytest.mark.parametrize(("image_size", "resize"), [(24, 32), ((20, 13), (21, 15)), (25, 25)])
@pytest.mark.parametrize("photo_size", [(48, 32), (33, 61), (300, 40), (24, 24)])
def test_the_centre_of_what_is_read_is_the_crop(
    policy: Any, image_size: Any, resize: Any, photo_size: tuple[int, int]
) -> None:
    preprocessing = Preprocessing(
        image_size=image_size,
        resize=resize,
        resize_policy=policy,
        interpolation="bicubic",
        mean=(120.0, 110.0, 100.0),
        std=(1.0, 1.0, 1.0),
    )
    wide = with_surroundings(preprocessing)
    image = photo(*photo_size, seed=2)
    crop = preprocessing.crop(image).astype(int)
    around = torch.from_numpy(wide.crop(image)[None].astype(int))
    size = height_width(image_size)
    assert all(n > 2 * m for n, m in zip(around.shape[2:], size, strict=True))
    # Where the image ends within what is read, its middle can lie a pixel off.
    shifted = [
        centre(around.roll((y, x), (2, 3)), *size)[0].numpy() for y in (0, 1) for x in (0, 1)
    ]
    assert min(np.abs(each - crop).max() for each in shifted) <= 1


@pytest.mark.parametrize("shape", [(1, 9, 1), (9, 1, 2), (5, 7, 3), (200, 300, 5)])
def test_strips_show_images_of_any_channels(shape: tuple[int, ...], tmp_path: Path) -> None:
    strips = FrameStrips()
    for frame in range(3):
        strips("tilt", frame, np.full(shape, 100 * frame, np.uint8))
    (tmp_path / "evaluations").mkdir()
    strips.write(tmp_path)
    means = [picture.mean() for picture in read_strip(tmp_path, "tilt")]
    assert means == [0, 0, 100, 100, 200, 200]


def test_strips_of_frames_are_written_and_read(contrived: Trained, tmp_path: Path) -> None:
    strips = FrameStrips()
    names = ("brightness", "scale")
    record = evaluate_perturbations(contrived, names=names, workers=0, limit=1, frame_of=strips)
    assert record.details["picture"].startswith("one/")
    (tmp_path / "evaluations").mkdir()
    (tmp_path / "evaluations" / "perturbations-tilt.png").write_bytes(b"old")
    written = strips.write(tmp_path)
    assert sorted(path.name for path in (tmp_path / "evaluations").iterdir()) == [
        "perturbations-brightness.png",
        "perturbations-scale.png",
    ]
    assert len(written) == 2
    pictures = read_strip(tmp_path, "brightness")
    assert len(pictures) == SHOWN
    means = [picture.mean() for picture in pictures]
    assert means == sorted(means)
    assert read_strip(tmp_path, "tilt") == []
    written[0].write_bytes(b"damaged")
    assert read_strip(tmp_path, "brightness") == []


@pytest.mark.slow
def test_mfr_divides_by_alexnet_where_the_classes_are_imagenets(
    trained: Trained, tmp_path: Path
) -> None:
    from timm.data.imagenet_info import ImageNetInfo

    class Thousand(nn.Module):
        def forward(self, images_NCHW: Tensor) -> Tensor:
            level_N1 = images_NCHW[:, 0, 112, 112][:, None] / 8
            return -(torch.arange(1000.0)[None] + 0.5 - level_N1).abs()

    folder = photo_folder(tmp_path / "photos", {"n01440764": 1, "n02102040": 1})
    imagenet = with_network(
        trained,
        Thousand(),
        classes=tuple(ImageNetInfo().label_names()),
        preprocessing=Preprocessing(image_size=224, resize=256, **KEEPS),
    )
    record = evaluate_perturbations(imagenet, workers=0, limit=1, data=str(folder))
    probabilities = record.details["flip_probabilities"]
    assert record.settings["table"] == "imagenet_p"
    rates = {name: 100 * probabilities[name] / ALEXNET_FLIPS[name] for name in TEST_PERTURBATIONS}
    assert dict(record.details["flip_rates"]) == pytest.approx(rates)
    assert record.metrics["mfr"] == pytest.approx(np.mean(list(rates.values())))
    assert 0 < (record.metrics["mean_top5_distance"] or 0) < 15
    (note,) = (note for note in record.notes if "AlexNet" in note.reason)
    assert "compressed as a video" in note.reason
    assert "50,000 images, and these are of 1" in note.reason
