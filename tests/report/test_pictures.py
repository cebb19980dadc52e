from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.report.run_folder import pictures_of, write_run
from trickbag.errors import UserError
from trickbag.optim.schedule import Constant, Cosine, Schedule, Stepwise
from trickbag.report import PicturePanel, draw_recipe, schedule_points

if TYPE_CHECKING:
    from pathlib import Path


@settings(deadline=None)
@given(
    epochs=st.integers(1, 300),
    steps=st.integers(1, 6000),
    warmup=st.floats(0, 12),
    most=st.integers(1, 800),
)
def test_points_are_the_schedule(epochs: int, steps: int, warmup: float, most: int) -> None:
    schedule = Schedule(decay=Cosine(), warmup_epochs=warmup)
    points = schedule_points(schedule, 0.4, epochs, steps, most)
    places = [round(place * steps) for place, _ in points]
    assert places[0] == 0
    assert places[-1] == epochs * steps - 1
    assert places == sorted(set(places))
    assert len(points) <= most + 3
    assert [lr for _, lr in points] == [
        0.4 * schedule.factor(place, steps, epochs) for place in places
    ]


def test_a_drawn_recipe_shows_its_images_and_repeats_to_the_byte(tmp_path: Path) -> None:
    images = [
        picture.image for picture in pictures_of(write_run(tmp_path / "run", epochs=1)).augmented
    ]
    points = schedule_points(Schedule(decay=Stepwise(), warmup_epochs=1), 0.1, 10, 44)
    for name in ("a.png", "b.PNG"):
        draw_recipe(points, [PicturePanel(title="a batch", images=images)], tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.PNG").read_bytes()
    drawn = np.asarray(Image.open(tmp_path / "a.png").convert("RGB")).astype(int)
    blue = np.abs(drawn - [0x00, 0x72, 0xB2]).max(2) < 8
    assert blue[: len(blue) // 2].sum() > 500  # the line of the learning rate
    assert blue[len(blue) // 2 :].sum() == 0
    red = PicturePanel(title="one", images=[np.full((8, 8, 3), (250, 20, 90), np.uint8)])
    draw_recipe(points, [red], tmp_path / "one.png")
    drawn = np.asarray(Image.open(tmp_path / "one.png").convert("RGB")).astype(int)
    share = (np.abs(drawn - [250, 20, 90]).max(2) < 3).mean()
    assert 0.01 < share < 0.5
    assert sorted(path.name for path in tmp_path.glob("*.[pP]*")) == ["a.png", "b.PNG", "one.png"]


@pytest.mark.parametrize("count", [0, 1, 3, 9, 32])
def test_any_number_of_images(tmp_path: Path, count: int) -> None:
    points = schedule_points(Schedule(decay=Constant()), 0.1, 1, 1)
    draw_recipe(
        points,
        [PicturePanel(title="some", images=[np.zeros((5, 9, 1), np.uint8)] * count)],
        tmp_path / "out.png",
    )
    with Image.open(tmp_path / "out.png") as image:
        assert image.width == 960


def test_panels_stand_below_each_other(tmp_path: Path) -> None:
    colours = ((250, 20, 90), (20, 200, 30), (240, 200, 20))
    panels = [
        PicturePanel(title="p", images=[np.full((8, 8, 3), c, np.uint8)] * n)
        for c, n in zip(colours, (8, 3, 9), strict=True)
    ]
    draw_recipe(
        [(0, 1)],
        [panels[0], PicturePanel(title="none", images=[]), *panels[1:]],
        tmp_path / "three.png",
    )
    drawn = np.asarray(Image.open(tmp_path / "three.png").convert("RGB")).astype(int)
    masks = [np.abs(drawn - colour).max(2) < 3 for colour in colours]
    rows = [np.flatnonzero(mask.any(1)) for mask in masks]
    assert rows[0].max() < rows[1].min() < rows[1].max() < rows[2].min()
    areas = [mask.sum() for mask in masks]
    assert areas[1] / areas[0] == pytest.approx(3 / 8, rel=0.02)
    assert areas[2] / areas[0] == pytest.approx(9 / 8, rel=0.02)


def test_a_note_stands_below(tmp_path: Path) -> None:
    heights = []
    for note in ("", "a few words", "many more words " * 20):
        draw_recipe([(0, 1)], [], tmp_path / "out.png", note)
        drawn = np.asarray(Image.open(tmp_path / "out.png").convert("L"))
        heights.append(len(drawn))
        assert (drawn[-2:] == 255).all()
    assert heights[0] + 20 < heights[1] < heights[2]


def test_where_a_picture_cannot_go(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"must end in \.png"):
        draw_recipe([(0, 1)], [], tmp_path / "a.jpg")
    with pytest.raises(UserError, match="there is no folder"):
        draw_recipe([(0, 1)], [], tmp_path / "absent" / "a.png")
