from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.report.html_page import Page
from tests.report.run_folder import TRICKS, trained, validation, write_json, write_run
from trickbag.errors import UserError
from trickbag.report import compare_page, read_record
from trickbag.report.format import MINUS
from trickbag.report.run.comparison import differences, paired_scores, right_gap
from trickbag.train.folder.predictions import PredictionRow

if TYPE_CHECKING:
    from pathlib import Path


def test_two_runs(tmp_path: Path) -> None:
    a = write_run(tmp_path / "a")
    fewer = {name: settings for name, settings in TRICKS.items() if name != "mixup"} | {
        "warmup": {"epochs": 2.0}
    }
    b = write_run(tmp_path / "b<1>", seed=1, alpha=0.1, tricks=fewer)
    page = Page(compare_page(a, b, tmp_path / "out.html"))
    page.check()
    assert len(page.all("svg")) == 4
    first, second = trained(6)[-1], trained(6, 1, 0.1)[-1]
    gap = f"{second.metrics['top1'] - first.metrics['top1']:+.2f}".replace("-", "\u2212")
    assert f"top-1 {first.metrics['top1']:.2f} {second.metrics['top1']:.2f} {gap} %" in page.words(
        "metrics"
    )
    words = page.words("differences")
    assert "tricks.mixup on: alpha 0.2, lam batch off" in words
    assert "tricks.warmup on: epochs 1, by step on: epochs 2" in words
    assert "seed 0 1" in words
    assert "label_smoothing" not in words
    assert "b<1>" in page.words("")
    _, labels, _ = validation()
    alone = int(((first.predicted == labels) & (second.predicted != labels)).sum())
    assert f"A alone {alone}, B alone" in page.words("metrics")
    gain = 100 * float((second.predicted == labels).mean() - (first.predicted == labels).mean())
    assert f"B {MINUS} A is {gain:+.2f}".replace("-", MINUS) in page.words("metrics")


def test_the_shares_of_right_images_are_compared_in_pairs() -> None:
    rng = np.random.default_rng(0)
    first, second = (
        [
            PredictionRow(f"i{n}", "x", "x" if right else "y", 0.5)
            for n, right in enumerate(rng.random(300) < share)
        ]
        for share in (0.7, 0.8)
    )
    row = right_gap(first, second[::-1])
    assert row is not None
    gains = 100.0 * np.array([b.right - a.right for a, b in zip(first, second, strict=True)])
    low, high = (float(end.replace(MINUS, "-")) for end in row["interval"].split(" to "))
    half = 1.968 * gains.std(ddof=1) / np.sqrt(300)
    assert low == pytest.approx(gains.mean() - half, abs=0.25 * half)
    assert high == pytest.approx(gains.mean() + half, abs=0.25 * half)
    # Where no image differs, nothing is known of how rare such images are.
    equal = right_gap(first, first)
    assert equal is not None
    assert (equal["gap"], equal["interval"]) == ("0.00", "—")
    assert right_gap(first, second[1:]) is None


def test_settings_that_differ_in_any_part(tmp_path: Path) -> None:
    a = write_run(tmp_path / "a", epochs=1)
    b = write_run(
        tmp_path / "b",
        epochs=1,
        training={"epochs": 1, "optimizer": {"kind": "adamw"}},
        model="resnet18_d",
    )
    changes = {
        path: (first, second) for path, first, second in differences(read_record(a), read_record(b))
    }
    assert changes["training.optimizer.kind"] == ("sgd", "adamw")
    assert changes["training.lr"] == ("0.1", "—")
    assert changes["model"] == ("—", "resnet18_d")
    assert changes["model.depth"] == ("18", "—")
    assert "training.epochs" not in changes
    assert differences(read_record(a), read_record(a)) == []


def test_runs_of_the_same_recipe_and_of_unlike_progress(tmp_path: Path) -> None:
    a = write_run(tmp_path / "a", epochs=2)
    b = write_run(tmp_path / "b", epochs=0, planned=2)
    path = compare_page(a, b)
    assert path == a / "report.html"
    page = Page(path)
    page.check()
    assert "Nothing: recipe and seed are the same" in page.words("differences")
    assert "no predictions for the same images" in page.words("metrics")


def test_two_recipes_alone(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        write_json(tmp_path / name / "recipe.json", {"schema": 1, "name": name})
    page = Page(compare_page(tmp_path / "a", tmp_path / "b"))
    page.check()
    assert page.all("svg") == []
    assert "Neither run has finished an epoch" in page.words("metrics")


def test_wrong_folders(tmp_path: Path) -> None:
    a = write_run(tmp_path / "a", epochs=1)
    with pytest.raises(UserError, match="are the same run"):
        compare_page(a, tmp_path / "a" / ".." / "a")
    with pytest.raises(UserError, match="no folder"):
        compare_page(a, tmp_path / "absent")
    with pytest.raises(UserError, match="there is no folder"):
        compare_page(a, write_run(tmp_path / "b", epochs=1), tmp_path / "absent" / "page.html")


def test_the_data_of_a_trial_are_compared_once(tmp_path: Path) -> None:
    a, b = (
        write_run(
            tmp_path / name,
            epochs=1,
            notes=[name],
            trial={"recipe": {"lr": name}, "seed": 0, "data": name * 4},
        )
        for name in "ab"
    )
    assert differences(read_record(a), read_record(b)) == [
        ("fingerprint of the data", "aaaa", "bbbb")
    ]


def test_a_mean_difference_has_its_interval_over_images() -> None:
    rng = np.random.default_rng(0)
    names = [f"i{n}" for n in range(200)]
    first = dict(zip(names, rng.uniform(20, 60, 200).tolist(), strict=True))
    gains = rng.normal(5, 8, 200)
    second = {name: first[name] + gain for name, gain in zip(names, gains, strict=True)}
    row = paired_scores("F1", first, dict(reversed(second.items())))
    assert row is not None
    assert row["gap"] == f"+{gains.mean():.2f}"
    low, high = (float(end.replace(MINUS, "-")) for end in row["interval"].split(" to "))
    # That of a t interval, nearly: the differences are normal.
    half = 1.972 * gains.std(ddof=1) / np.sqrt(200)
    assert low == pytest.approx(gains.mean() - half, abs=0.25 * half)
    assert high == pytest.approx(gains.mean() + half, abs=0.25 * half)
    assert (row["a_higher"], row["b_higher"]) == (int((gains < 0).sum()), int((gains > 0).sum()))
    swapped = paired_scores("F1", second, first)
    assert swapped is not None
    assert swapped["gap"] == f"{MINUS}{gains.mean():.2f}"
    assert paired_scores("F1", first, {"i0": 1.0}) is None
    assert paired_scores("F1", {}, {}) is None
