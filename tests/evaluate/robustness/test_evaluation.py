"""Evaluation on corruptions made in memory, against images corrupted one by one."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from tests.builders.images import image_folder
from tests.evaluate.robustness.brightness import LEVELS, by_brightness, plain_folder
from trickbag.data.config import DataConfig
from trickbag.data.loading.preprocess import Preprocessing
from trickbag.data.sources import open_source
from trickbag.errors import RunFailed, UserError
from trickbag.evaluate.average import averaged
from trickbag.evaluate.robustness.comparable import is_imagenet
from trickbag.evaluate.robustness.corruptions.catalog import corrupt
from trickbag.evaluate.robustness.crops import Crops
from trickbag.evaluate.robustness.details import RobustnessDetails
from trickbag.evaluate.robustness.evaluation import evaluate_robustness
from trickbag.evaluate.robustness.folder import Cell
from trickbag.evaluate.robustness.pictures import CorruptionPictures, read_pictures

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("brightness", "contrast", "gaussian_noise")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plain_folder(tmp_path_factory.mktemp("plain"), 4, size=21)


def by_hand(photos: Path, rows: list[int], name: str, severity: int, seed: int) -> float:
    """Corrupt the images at some places of the part one by one; return the error in percent."""
    part = open_source(DataConfig(source=str(photos)), for_training=False).parts["train"]
    preprocessing, wrong = by_brightness().preprocessing, 0
    for row in rows:
        crop = torch.from_numpy(preprocessing.crop(part.read(row)))[None]
        image = corrupt(crop, name, severity, seed=seed, index_N=[row])
        brightness = float(image.double().mean())
        nearest = min(range(3), key=lambda k: abs(brightness - list(LEVELS.values())[k]))
        wrong += nearest != part.labels[row]
    return 100 * wrong / len(rows)


@pytest.mark.parametrize(("limit", "batch_size"), [(None, None), (None, 5), (5, 2)])
def test_errors_are_those_of_images_corrupted_one_by_one(
    photos: Path, limit: int | None, batch_size: int | None
) -> None:
    record = evaluate_robustness(
        by_brightness(),
        data=str(photos),
        names=NAMES,
        severities=(2, 5),
        limit=limit,
        batch_size=batch_size,
        seed=3,
        workers=0,
    )
    rows = list(range(12)) if limit is None else [0, 2, 5, 8, 11]
    assert record.images == len(rows)
    assert record.metrics["clean_error"] == 0
    for name in NAMES:
        expected = [by_hand(photos, rows, name, severity, 3) for severity in (2, 5)]
        assert record.details["corruptions"][name] == [None, expected[0], None, None, expected[1]]
    # The corruptions differ, and not all of them are right.
    assert 0 < record.metrics["mean_corruption_error"] < 100


def test_stored_corruptions_have_the_errors_of_those_made_in_memory(
    photos: Path, tmp_path: Path
) -> None:
    trained = by_brightness()
    wanted: dict[str, Any] = {"names": ["fog", "contrast"], "severities": [3, 5]}
    with Crops(trained, data=str(photos), workers=0) as crops:
        (batch,) = crops.batches()
    for name, severity in itertools.product(wanted["names"], wanted["severities"]):
        images = corrupt(batch.images, name, severity, seed=0, index_N=batch.index)
        folders: dict[str, list[Any]] = {}
        for image, label in zip(images, batch.labels.tolist(), strict=True):
            folders.setdefault(trained.classes[label], []).append(image.permute(1, 2, 0).numpy())
        image_folder(tmp_path / name / str(severity), folders, ".png")
    stored = evaluate_robustness(trained, source_dir=tmp_path, workers=0, **wanted)
    drawn = evaluate_robustness(trained, data=str(photos), workers=0, **wanted)
    assert stored.details["corruptions"] == drawn.details["corruptions"]
    assert 0 < drawn.metrics["mean_corruption_error"] < 100


def test_the_record_says_what_it_is_of(photos: Path) -> None:
    record = evaluate_robustness(
        by_brightness(), data=str(photos), names=["contrast"], severities=[1], seed=7, workers=0
    )
    assert (record.kind, record.data, record.part, record.images) == (
        "robustness",
        str(photos),
        "train",
        12,
    )
    assert (record.weights, record.precision) == ("brightness.safetensors", "float32")
    assert record.settings == {
        "names": ["contrast"],
        "severities": [1],
        "image_size": [16, 16],
        "limit": None,
        "source_dir": None,
        "seed": 7,
        "table": "cifar10_c",
        "frost": None,
        "comparable": True,
    }
    texts = [note.text for note in record.notes]
    assert any("1,000 classes, which are not those of the network" in text for text in texts)
    assert any("contrast (2, 3, 4, 5)" in text for text in texts)


def test_the_seed_decides_the_draws_and_the_batch_does_not(photos: Path) -> None:
    def noisy(seed: int, **options: Any) -> np.ndarray[Any, Any]:
        pictures = {}
        evaluate_robustness(
            by_brightness(),
            data=str(photos),
            names=["gaussian_noise"],
            severities=[5],
            seed=seed,
            workers=0,
            picture_of=lambda cell, pixels: pictures.update({cell: pixels}),
            **options,
        )
        assert list(pictures) == [("clean", 0), ("gaussian_noise", 5)]
        return pictures["gaussian_noise", 5]

    first = noisy(0)
    assert first.shape == (16, 16, 3)
    assert (noisy(0, batch_size=1, limit=2) == first).all()
    assert (noisy(1) != first).any()


class SometimesNotFinite(torch.nn.Module):
    """Gives no finite logits for images that are brighter than a level."""

    def __init__(self, level: float) -> None:
        super().__init__()
        self.network, self.level = by_brightness().network, level

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.network(images)
        bright = images.mean(dim=(1, 2, 3)) > self.level
        return torch.where(bright[:, None], torch.tensor([0.0, 0.0, torch.inf]), logits)


def test_logits_that_are_not_finite_are_wrong(photos: Path) -> None:
    options: dict[str, Any] = {
        "data": str(photos),
        "names": ["contrast"],
        "severities": [1],
        "workers": 0,
    }
    good = evaluate_robustness(by_brightness(), **options)
    some = evaluate_robustness(by_brightness(network=SometimesNotFinite(180)), **options)
    assert good.details["corruptions"]["contrast"][0] == 0
    # The four images of the class light, which infinity would have made right.
    assert some.details["corruptions"]["contrast"][0] == pytest.approx(100 / 3)
    assert some.metrics["clean_error"] == pytest.approx(100 / 3)
    assert any("not finite for 4 of the corrupted images" in n.text for n in some.notes)
    with pytest.raises(RunFailed, match="not finite for all 12 images; try --precision"):
        evaluate_robustness(by_brightness(network=SometimesNotFinite(-1)), **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"names": ["fogg"]}, "no corruption 'fogg': must be one of brightness, contrast"),
        ({"names": []}, "no corruption to evaluate"),
        ({"severities": []}, "no corruption to evaluate"),
        ({"severities": [0]}, "severity = 0: must be a whole number from 1 to 5"),
        ({"severities": [1, 6]}, "severity = 6: must be"),
        ({"severities": [True]}, "severity = True: must be"),
        ({"data": "/no/such"}, "does not exist"),
        ({"source_dir": "/no/such"}, "source_dir '/no/such' is no folder"),
        ({"names": ["frost"], "frost": "/no/such"}, "frost /no/such is no folder"),
    ],
)
def test_wrong_input(photos: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        evaluate_robustness(by_brightness(), **{"data": str(photos), "workers": 0} | options)


def test_networks_that_cannot_be_evaluated_so(photos: Path) -> None:
    with pytest.raises(UserError, match=r"gives several labels an image, and mCE is defined for"):
        evaluate_robustness(by_brightness(thresholds=(0.5, 0.5, 0.5)), data=str(photos))
    grey = Preprocessing(image_size=16, resize=16, mean=(0.0,), std=(1.0,), channels=(1,))
    with pytest.raises(UserError, match=r"takes images of 1 channels, and the corruptions are of"):
        evaluate_robustness(by_brightness(preprocessing=grey), data=str(photos))
    views = averaged([by_brightness()], "five-crop")
    with pytest.raises(UserError, match="averages other crops of an image than one"):
        evaluate_robustness(views, data=str(photos))
    mirrored = evaluate_robustness(
        averaged([by_brightness()], "flip"),
        data=str(photos),
        names=["contrast"],
        severities=[1],
        workers=0,
    )
    assert mirrored.metrics["clean_error"] == 0


def test_the_classes_of_imagenet_are_known_by_their_ids() -> None:
    assert not is_imagenet(tuple("0123456789"))
    assert not is_imagenet([str(number) for number in range(1000)])
    assert not is_imagenet([f"n{number:08}" for number in range(999)])


def test_details_are_read_back() -> None:
    details = RobustnessDetails(
        corruptions={"fog": [1.0, 2.5, None, 4, 100]},
        images={"fog": [3, 3, 0, 3, 3]},
        ce={"fog": None},
        clean_error=0.0,
        clean_images=3,
        picture="a.png",
    )
    data = details.to_dict()
    assert RobustnessDetails.from_dict(data) == details
    wrong: list[dict[str, Any]] = [
        {"corruptions": {"../../x": [1, 2, 3, 4, 5]}},
        {"corruptions": {"fog": [1, 2, 3, 4]}},
        {"corruptions": {"fog": [1, 2, 3, 4, 101]}},
        {"corruptions": {"fog": [1, 2, 3, 4, "5"]}},
        {"corruptions": {"fog": 7}},
        {"corruptions": []},
        {"images": {"fog": [1, 2, 3, 4, -5]}},
        {"images": None},
        {"ce": {"fog": "1"}},
        {"ce": 3},
        {"clean_error": True},
        {"clean_images": 1.5},
        {"picture": None},
    ]
    for change in wrong:
        with pytest.raises(UserError, match=next(iter(change))):
            RobustnessDetails.from_dict(data | change)


def test_pictures_are_kept_beside_the_record(tmp_path: Path) -> None:
    (tmp_path / "evaluations").mkdir()
    (tmp_path / "evaluations" / "robustness-snow.png").write_bytes(b"of before")
    rows = np.random.default_rng(0).integers(0, 256, (5, 9, 7, 3), np.uint8)
    pictures = CorruptionPictures()
    pictures(Cell("clean", 0), rows[0])
    for severity, pixels in enumerate(rows, 1):
        pictures(Cell("fog", severity), pixels)
    assert [path.name for path in pictures.write(tmp_path)] == ["robustness-fog.png"]
    assert [path.name for path in (tmp_path / "evaluations").iterdir()] == ["robustness-fog.png"]
    assert (np.stack(read_pictures(tmp_path, "fog", 5)) == rows).all()
    assert read_pictures(tmp_path, "fog", 4) == []
    assert read_pictures(tmp_path, "snow", 5) == []
    (tmp_path / "evaluations" / "robustness-fog.png").write_bytes(b"\x89PNG damaged")
    assert read_pictures(tmp_path, "fog", 5) == []
    large = CorruptionPictures()
    large(Cell("fog", 1), np.zeros((300, 200, 3), np.uint8))
    large.write(tmp_path)
    assert read_pictures(tmp_path, "fog", 1)[0].shape == (128, 85, 3)
