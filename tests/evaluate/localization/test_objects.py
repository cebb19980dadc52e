from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.builders.images import encode, exif, photo, with_exif
from trickbag.data.annotations.boxes.orientation import upright_boxes
from trickbag.data.decoding.decode import DecodeError
from trickbag.data.loading.preprocess import Preprocessing
from trickbag.data.size import Size
from trickbag.evaluate.localization.annotations import AnnotatedImage
from trickbag.evaluate.localization.objects import cropped_objects

PREPROCESSING = Preprocessing(image_size=32, resize=32, mean=(127,) * 3, std=(127,) * 3)
BOX = (9.0, 4.0, 20.0, 13.0)


def annotated(
    path: Path,
    boxes: list[tuple[float, ...]],
    size: tuple[int, int] | None = None,
    data: bytes | None = None,
) -> AnnotatedImage:
    path.write_bytes(encode(photo(40, 30), "PNG") if data is None else data)
    return AnnotatedImage(
        name=path.name,
        annotation="a.xml",
        path=path,
        names=tuple(f"object{i}" for i in range(len(boxes))),
        boxes=np.array(boxes, np.float64),
        size=size,
    )


@pytest.mark.parametrize(
    ("policy", "image_size", "resize"),
    [
        ("crop", 64, 80),
        ("crop", (48, 96), (48, 96)),
        ("squash", 64, 64),
        ("squash", (40, 100), (50, 120)),
        ("letterbox", 64, 64),
        ("letterbox", (64, 90), (64, 90)),
    ],
)
@pytest.mark.parametrize("shape", [(120, 200), (200, 120), (90, 90)])
def test_a_box_is_where_the_crop_shows_what_is_in_it(
    policy: str, image_size: Size, resize: Size, shape: tuple[int, int]
) -> None:
    preprocessing = Preprocessing(
        image_size=image_size,
        resize=resize,
        mean=(0, 0, 0),
        std=(1, 1, 1),
        resize_policy=policy,  # type: ignore[arg-type]
    )
    height, width = shape
    left, top, right, bottom = width // 4, height // 3, width * 2 // 3, height * 3 // 4
    image = np.zeros((height, width, 3), np.uint8)
    image[top:bottom, left:right] = 255
    placement = preprocessing.placement(height, width)
    ((x0, y0, x1, y1),) = placement.of_boxes(np.array([[left, top, right, bottom]], float))
    crop = preprocessing.crop(image)[0].astype(float) / 255
    # The brightness along an axis is the length of the part that it covers.
    assert crop.sum(0).max() == pytest.approx(y1 - y0, abs=1.1)
    assert crop.sum(1).max() == pytest.approx(x1 - x0, abs=1.1)
    rows, columns = np.nonzero(crop > 0.5)
    assert (columns.min(), rows.min()) == pytest.approx((x0, y0), abs=1.1)
    assert (columns.max() + 1, rows.max() + 1) == pytest.approx((x1, y1), abs=1.1)


@pytest.mark.parametrize("policy", ["crop", "squash", "letterbox"])
def test_the_border_of_a_crop_is_not_visible(policy: str) -> None:
    preprocessing = Preprocessing(
        image_size=64,
        resize=64,
        mean=(0, 0, 0),
        std=(1, 1, 1),
        resize_policy=policy,  # type: ignore[arg-type]
    )
    crop = preprocessing.crop(np.full((30, 90, 3), 255, np.uint8))[0]
    left, top, right, bottom = preprocessing.placement(30, 90).visible
    assert (crop[top:bottom, left:right] == 255).all()
    assert crop.sum() == 255 * (right - left) * (bottom - top)


def test_objects_that_the_crop_cuts_off_or_hides_are_counted(tmp_path: Path) -> None:
    # 40 x 30 becomes 42 x 32; the crop shows columns 5 to 37 of it.
    boxes = [(10, 5, 20, 15), (0, 0, 12, 30), (0, 0, 3, 3), (50, 2, 60, 9), (-9, 8, 12, 40)]
    result = cropped_objects(annotated(tmp_path / "a.png", boxes), PREPROCESSING)
    assert result.names == ("object0", "object1", "object4")
    assert (result.cut, result.hidden, result.unsure) == (2, 1, False)
    assert result.errors == (("a.xml", "object 4 (object3) lies outside the image"),)
    scale = 32 / 30
    assert result.boxes[0] == pytest.approx([10 * 42 / 40 - 5, 5 * scale, 16, 15 * scale])
    assert result.boxes[1] == pytest.approx([0, 0, 12 * 42 / 40 - 5, 32])
    assert result.crop.shape == (3, 32, 32)
    assert result.visible == (0, 0, 32, 32)


def test_boxes_of_another_size_are_refused(tmp_path: Path) -> None:
    image = annotated(tmp_path / "a.png", [BOX], size=(60, 80))
    with pytest.raises(DecodeError, match="for an image of 80x60 px, and it has 40x30"):
        cropped_objects(image, PREPROCESSING)
    missing = annotated(tmp_path / "b.png", [BOX])
    missing.path.unlink()
    with pytest.raises(DecodeError, match="cannot be read"):
        cropped_objects(missing, PREPROCESSING)


@pytest.mark.parametrize(
    ("orientation", "size", "turned", "unsure"),
    [
        (6, (30, 40), True, False),
        (6, (40, 30), False, False),
        (6, None, False, True),
        (3, (30, 40), False, True),
        (1, None, False, False),
        (1, (30, 40), False, False),
    ],
)
def test_boxes_of_images_that_their_exif_turns(
    tmp_path: Path,
    orientation: int,
    size: tuple[int, int] | None,
    turned: bool,
    unsure: bool,
) -> None:
    data = with_exif(encode(photo(40, 30), "JPEG"), exif(orientation))
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.getexif()[0x0112] == orientation
    preprocessing = Preprocessing(
        image_size=(40, 40), resize=40, mean=(0,) * 3, std=(1,) * 3, resize_policy="letterbox"
    )
    result = cropped_objects(annotated(tmp_path / "a.jpg", [BOX], size, data), preprocessing)
    shape = (40, 30) if orientation >= 5 else (30, 40)
    boxes = np.array([BOX])
    expected = upright_boxes(boxes, (30, 40), orientation) if turned else boxes
    assert result.boxes == pytest.approx(preprocessing.placement(*shape).of_boxes(expected))
    assert result.unsure == unsure
