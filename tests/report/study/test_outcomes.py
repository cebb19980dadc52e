"""Outcomes with long titles, and those that are measured once a run, on the page of a study."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest

from tests.report.html_page import Page
from tests.report.study_folder import write_study
from trickbag import recipes
from trickbag.metrics.metric import PREFIXES, default_score
from trickbag.report import study_page
from trickbag.report.format import short_title, title, unit
from trickbag.report.study.charts import forest_chart, forest_limits
from trickbag.report.study.price_chart import Point, price_chart
from trickbag.report.svg import wrapped
from trickbag.study.analysis.effects import Effect
from trickbag.study.analysis.images import ImageInterval
from trickbag.study.analysis.outcomes import OUTCOMES

if TYPE_CHECKING:
    from pathlib import Path

LONGEST = sorted(OUTCOMES, key=lambda name: len(short_title(name)))[-3:]
OF_TASKS = ["map50", "test_map50_voc07", "miou", "test_miou"]
EFFECT = Effect(
    label="mixup",
    model="m",
    delta=1.0,
    low=0.5,
    high=1.5,
    p=0.01,
    p_raw=0.01,
    sd=0.1,
    pairs=3,
    verdict="helps",
)
LONG = dataclasses.replace(EFFECT, label="a_trick_with_a_long_name_too", verdict="undetermined")


def overflow(svg: str) -> list[str]:
    """Return the texts of a drawing that do not lie in it, by an estimate of their widths."""
    root = ElementTree.fromstring(svg)
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    outside = []
    for text in root.iter("text"):
        words, style = "".join(text.itertext()), text.attrib.get("style", "")
        size = float(re.search(r"([\d.]+)px", style)[1])  # type: ignore[index]
        anchor = "middle" if "middle" in style else "end" if "anchor: end" in style else "start"
        move = text.attrib.get("transform", "")
        turned = re.search(r"rotate\(-90", move) is not None
        x, y = _position(text.attrib, move)
        before = {"start": 0.0, "middle": 0.5, "end": 1.0}[anchor] * len(words) * 0.53 * size
        low = (height - y if turned else x) - before
        high = low + len(words) * 0.53 * size
        if low < -1 or high > (height if turned else width) + 1:
            outside.append(words)
    return outside


def _position(attributes: dict[str, str], move: str) -> tuple[float, float]:
    shift = re.search(r"translate\(([-\d.]+)[ ,]+([-\d.]+)\)", move)
    if shift:
        return float(shift[1]), float(shift[2])
    turn = re.search(r"rotate\([-\d.]+[ ,]+([-\d.]+)[ ,]+([-\d.]+)\)", move)
    if turn:
        return float(turn[1]), float(turn[2])
    return float(attributes["x"]), float(attributes["y"])


def test_a_short_title_is_no_longer_than_the_title() -> None:
    for outcome in OUTCOMES:
        assert 0 < len(short_title(outcome)) <= len(title(outcome))
    for prefix in PREFIXES:
        # What stands before the name is not lost in its short form.
        assert short_title(f"{prefix}map50") not in (short_title("map50"), title(f"{prefix}map50"))


@pytest.mark.parametrize("outcome", [*OF_TASKS, *LONGEST])
def test_the_labels_of_axes_lie_in_the_figures(outcome: str) -> None:
    for effect in (EFFECT, LONG):
        forest = forest_chart([effect], outcome=outcome)
        assert forest is not None
        assert overflow(forest) == []
    points = [Point(label="full", price=1.0, outcome=90.0), Point(label="b", price=2, outcome=91)]
    price = price_chart(points, metric="train_throughput", outcome=outcome)
    assert price is not None
    assert overflow(price) == []


def lines(svg: str) -> int:
    """Return how many horizontal lines longer than a tick a drawing has."""
    paths = re.findall(r'd="M ([\d.]+) ([\d.]+) \s*L ([\d.]+) ([\d.]+)', svg)
    return sum(y0 == y1 and float(x1) - float(x0) > 20 for x0, y0, x1, y1 in paths)


def test_a_second_line_is_for_new_images() -> None:
    def drawn(effect: Effect) -> str:
        forest = forest_chart([effect], limits=(-1.0, 4.0))
        assert forest is not None
        return forest

    images = ImageInterval(images=50, low=-0.2, high=2.2, p_raw=0.1)
    with_images = drawn(dataclasses.replace(EFFECT, images=images))
    assert lines(with_images) == lines(drawn(EFFECT)) + 1
    beyond = dataclasses.replace(images, low=-9.0)
    assert drawn(dataclasses.replace(EFFECT, images=beyond)) != with_images
    # An axis that is not given holds it.
    limits = forest_limits([dataclasses.replace(EFFECT, images=images)])
    assert limits is not None
    assert limits[0] < images.low
    assert limits[1] > images.high
    # A comparison of two studies does not draw it.
    without = forest_limits([dataclasses.replace(EFFECT, images=images)], images=False)
    assert without == forest_limits([EFFECT])


def test_a_text_that_is_wrapped_keeps_its_words() -> None:
    for outcome in OUTCOMES:
        lines = wrapped(title(outcome), 2.0).split("\n")
        assert " ".join(lines) == title(outcome)
        assert max(map(len, lines)) * 0.53 * 10 / 72 <= 2.0
    assert wrapped("", 2.0) == ""


@pytest.mark.parametrize(
    ("outcome", "recipe", "logged"),
    [
        ("test_map50", recipes.detection(), "map50"),
        ("test_pixel_accuracy", recipes.segmentation(), "pixel_accuracy"),
        # Of an evaluation of its own, no epoch has anything like it.
        ("shift_consistency", recipes.small(), "top1"),
        ("miou", recipes.segmentation(), "miou"),
        (
            "test_miou",
            recipes.segmentation().set("training.score", "pixel_accuracy"),
            "pixel_accuracy",
        ),
    ],
)
def test_the_curves_are_of_what_each_epoch_has(
    tmp_path: Path, outcome: str, recipe: recipes.Recipe, logged: str
) -> None:
    folder = write_study(
        tmp_path / "study",
        recipe=recipe,
        outcome=outcome,
        logged=logged,
        design="one-at-a-time",
        tricks=("mixup",),
        seeds=2,
        epochs=4,
    )
    page = Page(study_page(folder))
    page.check()
    words = page.words("curves")
    instead = f"{short_title(outcome)} is not measured after each epoch: the curves are of the "
    assert (instead in words) == (outcome != logged)
    if outcome != logged:
        assert f"validation part's {short_title(logged)}." in words
    drawn = [svg["aria-label"] for svg in page.all("svg") if "over 4 epochs" in svg["aria-label"]]
    assert len(drawn) == 2
    assert all(label.startswith(f"{short_title(logged)} in {unit(logged)} of ") for label in drawn)
    head = f"{short_title(outcome)} in %"
    assert head in page.words("price")


def test_the_price_of_a_detector_stands_beside_its_own_metric(tmp_path: Path) -> None:
    folder = write_study(
        tmp_path / "study",
        recipe=recipes.detection(),
        outcome="train_loss",
        logged=default_score(False, "detection"),
        tricks=("mixup",),
        seeds=2,
        epochs=2,
    )
    text = (folder / "results.jsonl").read_text().replace('"top1"', '"map50"')
    (folder / "results.jsonl").write_text(text)
    page = Page(study_page(folder))
    assert "mAP at 0.5 against training throughput" in page.words("price")
    assert "mAP at 0.5 in %" in page.words("price")


def test_trials_without_a_value_have_finished_nevertheless(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "study", outcome="map50", tricks=("mixup",), seeds=2, epochs=2)
    lines = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    for line in lines:
        line["metrics"] = {"loss": 1.0}
    (folder / "results.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    words = Page(study_page(folder)).words("price")
    assert "No trial that has finished has a value in this table: mAP at 0.5 in %." in words
    assert "No trial has finished yet" not in words
