from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from tests.builders.annotations import annotated_folder, voc_object, voc_xml
from tests.builders.images import encode
from tests.evaluate.localization.color_network import ColorNetwork, color_trained, painted
from trickbag.errors import RunFailed, UserError
from trickbag.evaluate.extra import EXTRA, ExtraSettings
from trickbag.evaluate.localization import evaluate_localization, heat_map
from trickbag.evaluate.localization.details import LocalizationDetails
from trickbag.evaluate.localization.evaluation import localize
from trickbag.evaluate.record import EvaluationRecord, read_records

RED, GREEN, BLUE = (8, 8, 32, 40), (36, 20, 60, 44), (16, 4, 44, 24)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three images that show their object, and one whose annotation lies elsewhere."""
    wrong, _ = painted(("green", (4, 4, 24, 24)))
    images = {
        "a": painted(("red", RED)),
        "b": painted(("green", GREEN)),
        "c": painted(("blue", BLUE)),
        "d": (wrong, [("green", (40, 40, 60, 60))]),
    }
    return annotated_folder(tmp_path_factory.mktemp("boxes") / "set", images)


@pytest.mark.parametrize("method", ["cam", "grad-cam"])
def test_the_metrics_are_those_of_the_boxes(folder: Path, method: str) -> None:
    record = evaluate_localization(color_trained(), folder, method=method)  # type: ignore[arg-type]
    details = LocalizationDetails.from_dict(record.details)
    assert record.metrics["max_box_acc"] == 75.0
    assert record.metrics["max_box_acc_v2"] == 75.0
    assert record.metrics["gt_known_localization"] == 75.0
    assert record.metrics["top1_localization"] == 75.0
    assert details.top1 == 100.0
    assert (record.images, details.maps, record.part) == (4, 4, "all")
    # Three of four: the limits of Clopper and Pearson.
    assert details.intervals["top1_localization"] == pytest.approx([19.412, 99.369], abs=1e-3)
    assert details.classes["green"] == {"maps": 2, "gt_known_localization": 50.0}
    assert record.settings["threshold"] == {"cam": 0.2, "grad-cam": 0.15}[method]
    assert {each.group for each in details.pictures} == {"worst"}
    assert details.pictures[0].image == "d.png"
    assert details.pictures[0].iou == 0
    assert all(each.iou > 0.5 for each in details.pictures[1:])
    ((kind, reason),) = [(note.kind, note.reason) for note in record.notes]
    assert kind == "choice"
    assert "they are maxima" in reason
    assert "gt_known_localization is 75.00 %" in reason


def test_a_wrong_class_is_localized_but_not_recognised(tmp_path: Path) -> None:
    # More green than red: the prediction is green, the red box is right all the same.
    image, _ = painted(("red", (4, 4, 20, 20)), ("green", (28, 8, 60, 60)))
    root = annotated_folder(tmp_path / "set", {"a": (image, [("red", (4, 4, 20, 20))])})
    record = evaluate_localization(color_trained(), root)
    assert record.metrics["gt_known_localization"] == 100.0
    assert record.metrics["top1_localization"] == 0.0
    assert record.details["top1"] == 0.0


def test_an_image_of_more_than_one_class_has_a_map_for_each(tmp_path: Path) -> None:
    things = [("red", (4, 4, 20, 20)), ("green", (36, 4, 60, 28)), ("red", (4, 40, 24, 60))]
    things += [("cat", (0, 0, 9, 9))]
    image, _ = painted(*things[:3])
    root = annotated_folder(tmp_path / "set", {"a": (image, things), "b": (image, things[3:])})
    record = evaluate_localization(color_trained(), root)
    assert (record.images, record.details["maps"]) == (1, 2)
    assert record.metrics["gt_known_localization"] == 100.0
    assert record.metrics["top1_localization"] == 100.0
    notes = [note.reason for note in record.notes]
    assert f"{root}: 1 image with 2 classes in all: each class of an image has a map" in notes
    unknown = "objects of classes that the network does not know are left out: cat (2)"
    assert f"{root}: {unknown}; 1 image with no other" in notes
    # Several labels an image: no prediction is the top one.
    record = evaluate_localization(color_trained(thresholds=(0.5,) * 3), root)
    assert record.metrics["top1_localization"] is None
    assert record.metrics["max_box_acc"] == 100.0


def test_boxes_outside_of_the_crop_and_files_of_no_use_are_named(
    tmp_path: Path, folder: Path
) -> None:
    images = {f"a{i:02}": painted(("red", RED)) for i in range(20)}
    wide, _ = painted(("red", (0, 8, 24, 40)), ("red", (70, 8, 110, 40)), size=(64, 128))
    boxes = [("red", (0, 8, 24, 40)), ("red", (70, 8, 110, 40)), ("red", (300, 0, 310, 9))]
    images |= {"wide": (wide, boxes), "hidden": (wide, [("red", (0, 8, 24, 40))])}
    root = annotated_folder(tmp_path / "set", images)
    (root / "torn.png").write_bytes(encode(images["a00"][0], "PNG")[:60])
    (root / "torn.xml").write_text(voc_xml([voc_object("red", RED)]))
    record = evaluate_localization(color_trained(), root)
    assert record.images == 21
    assert record.metrics["gt_known_localization"] == 100.0
    files = {each["file"]: each["reason"] for each in record.details["left_out"]}
    assert files.keys() == {"torn.png", "wide.xml"}
    assert files["wide.xml"] == "object 3 (red) lies outside the image"
    notes = " | ".join(note.reason for note in record.notes)
    assert "cuts off a part of 1 object," in notes
    assert "shows nothing of 2; 1 image without an object left out" in notes
    assert "1 file cannot be used" in notes
    assert "1 box cannot be used" in notes


def test_with_letterboxes_nothing_is_cut_off(tmp_path: Path) -> None:
    thing = ("red", (0, 8, 24, 40))
    root = annotated_folder(tmp_path / "set", {"a": painted(thing, size=(64, 128))})
    trained = color_trained()
    preprocessing = trained.preprocessing
    for policy in ("letterbox", "squash"):
        changed = type(preprocessing)(
            image_size=64,
            resize=64,
            mean=(127,) * 3,
            std=(128,) * 3,
            resize_policy=policy,  # type: ignore[arg-type]
        )
        record = evaluate_localization(color_trained(preprocessing=changed), root)
        assert record.metrics["gt_known_localization"] == 100.0
        assert not any("cuts off" in note.reason for note in record.notes)
    with pytest.raises(RunFailed, match="the crop of validation shows no object of the 1 images"):
        evaluate_localization(trained, root)


def test_a_limit_takes_images_spread_over_the_folder(folder: Path) -> None:
    record = evaluate_localization(color_trained(), folder, limit=2, batch_size=1)
    assert record.images == 2
    assert f"{folder}: 2 of 4 images are evaluated" in [note.reason for note in record.notes]
    assert {each["image"] for each in record.details["pictures"]} == {"a.png", "d.png"}


def test_it_can_be_an_outcome_of_a_study(folder: Path) -> None:
    evaluation = EXTRA["localization"]
    record = evaluation(color_trained(), ExtraSettings(directory=str(folder), limit=2))
    assert set(record.metrics) == set(evaluation.metrics)
    assert record.images == 2


class NotPooled(ColorNetwork):
    def forward_head(self, features: Tensor) -> Tensor:
        return super().forward_head(features).tanh()


class Broken(ColorNetwork):
    def forward_head(self, features: Tensor) -> Tensor:
        logits = super().forward_head(features)
        # Of the first image alone, by its colour.
        return torch.where(features[:, :1].mean((2, 3)) > 0, torch.nan, logits)


def test_without_a_choice_the_method_follows_from_the_network(folder: Path) -> None:
    record = evaluate_localization(color_trained(NotPooled()), folder)
    assert record.settings["method"] == "grad-cam"
    assert any("the maps are those of Grad-CAM" in note.reason for note in record.notes)
    assert evaluate_localization(color_trained(), folder).settings["method"] == "cam"
    with pytest.raises(UserError, match=r"NotPooled does not; take Grad-CAM"):
        evaluate_localization(color_trained(NotPooled()), folder, method="cam")
    with pytest.raises(UserError, match=r"method = 'cma': must be one of cam, grad-cam"):
        evaluate_localization(color_trained(), folder, method="cma")  # type: ignore[arg-type]


def test_an_image_without_finite_logits_is_not_right(folder: Path, tmp_path: Path) -> None:
    record = evaluate_localization(color_trained(Broken()), folder)
    assert record.metrics["top1_localization"] == 50.0
    assert any("not finite for 1 of 4 images" in note.reason for note in record.notes)
    red = annotated_folder(tmp_path / "red", {"a": painted(("red", RED))})
    with pytest.raises(RunFailed, match="not finite for all 1 of the images"):
        evaluate_localization(color_trained(Broken()), red)


def test_folders_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    cats = annotated_folder(tmp_path / "cats", {"a": (painted()[0], [("cat", RED)])})
    with pytest.raises(UserError, match="its objects are cat; the network knows red, green, blue"):
        evaluate_localization(color_trained(), cats)
    torn = annotated_folder(tmp_path / "torn", {"a": painted(("red", RED))})
    (torn / "a.png").write_bytes(b"")
    with pytest.raises(RunFailed, match=r"1 of 1 images of .* cannot be used, such as a\.png"):
        evaluate_localization(color_trained(), torn)
    (torn / "a.xml").write_text("<")
    with pytest.raises(RunFailed, match=r"none of the annotations of .* such as a\.xml"):
        evaluate_localization(color_trained(), torn)


def test_the_record_and_its_pictures_are_read_back(folder: Path, tmp_path: Path) -> None:
    localization = localize(color_trained(), folder)
    localization.record.write(tmp_path)
    old = tmp_path / "evaluations" / "localization-worst-99.png"
    old.touch()
    localization.write_pictures(tmp_path)
    record = read_records(tmp_path)["localization"]
    assert record == EvaluationRecord.from_dict(json.loads(json.dumps(record.to_dict())))
    assert LocalizationDetails.from_dict(record.details).to_dict() == record.details
    files = sorted(path.name for path in old.parent.glob("*.png"))
    assert files == sorted(each["file"] for each in record.details["pictures"])
    with Image.open(old.parent / "localization-worst-1.png") as picture:
        assert picture.size == (192, 192)  # small images are enlarged


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("maps", "four"),
        ("thresholds", [0.1, None]),
        ("box_accuracy", {"0.5": [1.0]}),
        ("box_accuracy", 5),
        ("top1", "high"),
        ("classes", {"red": 5}),
        ("pictures", [{"file": "../../secret.png"}]),
        ("left_out", None),
        ("intervals", {"top1_localization": [1.0]}),
    ],
)
def test_damaged_details_are_refused(folder: Path, key: str, value: object) -> None:
    details = dict(evaluate_localization(color_trained(), folder, limit=1).details)
    with pytest.raises(UserError, match=key):
        LocalizationDetails.from_dict({**details, key: value})


def test_pictures_outside_of_the_folder_are_not_read(folder: Path) -> None:
    details = dict(evaluate_localization(color_trained(), folder, limit=1).details)
    picture = {**details["pictures"][0], "file": "../localization-worst-1.png"}
    with pytest.raises(UserError, match="which is none of its"):
        LocalizationDetails.from_dict({**details, "pictures": [picture]})


def test_the_heat_map_of_one_image(tmp_path: Path) -> None:
    image, _ = painted(("red", RED), ("green", GREEN))
    result = heat_map(color_trained(), image, "green")
    assert (result.label, result.predicted) == ("green", "red")
    assert result.values.shape == (64, 64)
    assert result.values.max() == 1.0
    assert result.box(0.5) == GREEN
    assert heat_map(color_trained(), image).label == "red"
    path = tmp_path / "a.png"
    path.write_bytes(encode(image, "PNG"))
    assert np.array_equal(heat_map(color_trained(), path, "green").values, result.values)
    assert result.picture().shape == (192, 192, 3)
    with pytest.raises(UserError, match="the network has no class 'cat'; it has blue, green, red"):
        heat_map(color_trained(), image, "cat")
    broken = color_trained()
    for parameter in broken.network.parameters():
        parameter.data.fill_(torch.nan)
    with pytest.raises(UserError, match="logits that are not finite for the image"):
        heat_map(broken, image)
    grey = heat_map(color_trained(), painted()[0])
    assert grey.box() is None
    assert not grey.values.any()
