from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

import trickbag as tb
from tests.builders.images import shape_folder
from trickbag.errors import Stopped, UserError
from trickbag.evaluate.evaluation import evaluate
from trickbag.evaluate.trained import Trained
from trickbag.recipe import Recipe
from trickbag.recipes.probe import probe
from trickbag.report import run_page
from trickbag.train.folder.log import RunLog
from trickbag.train.folder.result import Result
from trickbag.train.machine.signals import request_stop
from trickbag.train.probe.record import ProbeRecord

QUICK = {
    "data.workers": "0",
    "data.image_size": "32",
    "training.device": "cpu",
    "training.threads": "1",
}


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


def recipe(source: Path, model: str = "timm:test_resnet", **settings: str) -> Recipe:
    named = {path.replace("__", "."): value for path, value in settings.items()}
    return probe(model=model).set_all({"data.source": str(source)} | QUICK | named)


def record_of(result: Result) -> ProbeRecord:
    record = ProbeRecord.read(Path(result.folder) / "probe.json")
    assert record is not None
    return record


def numbers(result: Result) -> dict[str, Any]:
    return {
        name: v
        for name, v in result.metrics.items()
        if name not in ("run_time_s", "time_s", "train_time_s", "peak_memory")
    }


def test_the_folder_is_that_of_a_run(pictures: Path, tmp_path: Path) -> None:
    result = tb.fit(recipe(pictures), out=tmp_path / "run", log=RunLog())
    trained = Trained.load(tmp_path / "run")
    evaluation = evaluate(trained)
    # What the file holds gives on its images what the probe gave on the features.
    for name in ("top1", "loss", "ece", "calibrated_ece"):
        assert evaluation.metrics[name] == result.metrics[name], name
    assert evaluation.intervals["top1"] == result.intervals["top1"]
    assert trained.temperature is not None
    (line,) = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert json.loads(line)["lr"] is None
    record = record_of(result)
    assert (record.l2_by, record.neighbours_by) == ("cross_validation", "leave_one_out")
    assert record.train_images == 48
    assert record.computed == 60
    for name in ("knn_top1", "recall_at_1", "recall_at_10", "r_precision"):
        low, high = result.intervals[name]
        assert low <= (result.metrics[name] or 0) <= high
    assert any("random initial values" in note for note in result.warnings)
    page = run_page(tmp_path / "run").read_text()
    assert "Penalty of the linear probe" in page
    assert "Learning rate" not in page
    # A recipe of the folder repeats the probe, and trains nothing.
    assert tb.recipes.load(str(tmp_path / "run")) == recipe(pictures)
    with pytest.raises(UserError, match="already holds a run"):
        tb.fit(recipe(pictures), out=tmp_path / "run", log=RunLog())


def test_a_second_call_takes_the_features_from_the_cache(
    pictures: Path, tmp_path: Path, cache: Path
) -> None:
    first = tb.fit(recipe(pictures), out=tmp_path / "first", log=RunLog())
    again = tb.fit(recipe(pictures), out=tmp_path / "again", log=RunLog())
    assert (record_of(first).computed, record_of(again).computed) == (60, 0)
    assert numbers(first) == numbers(again)
    best = [(tmp_path / name / "best.safetensors").read_bytes() for name in ("first", "again")]
    assert best[0] == best[1]
    # Damage is noticed, said and mended.
    file = next(cache.rglob("*.features"))
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    mended = tb.fit(recipe(pictures), out=tmp_path / "mended", log=RunLog())
    assert 0 < record_of(mended).computed < 60
    assert any("is damaged" in note for note in mended.warnings)
    assert numbers(mended) == numbers(first)
    # Another preprocessing has features of its own.
    other = tb.fit(recipe(pictures, data__mean="[99,99,99]"), out=tmp_path / "x", log=RunLog())
    assert record_of(other).computed == 60


def test_with_a_test_part_settings_are_chosen_on_the_validation_part(tmp_path: Path) -> None:
    for part in ("train", "val", "test"):
        shape_folder(tmp_path / "data" / part, 8 if part == "train" else 5)
    result = tb.fit(recipe(tmp_path / "data"), out=tmp_path / "run", log=RunLog())
    record = record_of(result)
    assert (record.l2_by, record.neighbours_by) == ("validation", "validation")
    best = min(record.l2_candidates, key=lambda each: each[1])
    assert best[0] == record.l2
    # The classifier of the best penalty is the one that is kept.
    assert best[1] == pytest.approx(result.metrics["loss"], abs=1e-3)
    assert {"test_top1", "test_knn_top1", "test_recall_at_1"} <= result.metrics.keys()
    assert any("those of the test images do not" in note for note in result.warnings)
    assert (
        evaluate(Trained.load(tmp_path / "run"), part="test").metrics["top1"]
        == (result.metrics["test_top1"])
    )


def test_a_run_is_probed_with_its_own_weights(pictures: Path, tmp_path: Path) -> None:
    first = tb.fit(recipe(pictures), out=tmp_path / "first", log=RunLog())
    again = probe(model=str(tmp_path / "first"), data=recipe(pictures).data)
    again = again.set_all({"training.device": "cpu", "training.threads": "1"})
    assert again.training.init == str(tmp_path / "first")
    assert again.data.image_size == 32
    result = tb.fit(again, out=tmp_path / "second", log=RunLog())
    # The body of the network is the same, and so are its features.
    assert result.metrics["top1"] == first.metrics["top1"]
    assert record_of(result).computed == 0
    assert not any("random initial values" in note for note in result.warnings)
    assert any("training.init_head=new" in note for note in result.warnings)


def test_several_labels(tmp_path: Path) -> None:
    folder = shape_folder(tmp_path / "images", 12)
    rows = ["image,label"]
    for file in sorted(folder.rglob("*.png")):
        label = file.parent.name
        more = " large" if int(file.stem[-1]) % 2 else ""
        rows.append(f"{file.relative_to(folder)},{label}{more}")
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    labelled = recipe(
        tmp_path / "labels.csv", data__image_root=str(folder), data__multi_label="true"
    )
    result = tb.fit(labelled, out=tmp_path / "run", log=RunLog())
    assert result.metrics["map"] is not None
    assert result.metrics["knn_map"] is not None
    trained = Trained.load(tmp_path / "run")
    assert trained.thresholds is not None
    assert evaluate(trained).metrics["map"] == pytest.approx(result.metrics["map"])


class _StopAt(RunLog):
    """Ask for a stop once the features of so many images are known."""

    def __init__(self, images: int) -> None:
        self.images = images

    def features(self, done: int, total: int) -> None:
        if done >= self.images:
            request_stop(signal.Signals.SIGTERM.name)


def test_a_probe_that_is_stopped_goes_on(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trickbag.train.probe import features

    monkeypatch.setattr(features, "_ROWS", 8)
    stopped = recipe(pictures, training__batch_size="8")
    monkeypatch.setattr(features, "evaluation_batch_size", lambda plan: 8)
    with pytest.raises(Stopped, match="after the features of 32 of 60 images"):
        tb.fit(stopped, out=tmp_path / "run", log=_StopAt(20))
    assert not (tmp_path / "run" / "result.json").exists()
    result = tb.fit(stopped, out=tmp_path / "run", resume=True, log=RunLog())
    assert record_of(result).computed == 60 - 32
    unbroken = tb.fit(stopped, out=tmp_path / "whole", log=RunLog())
    assert numbers(unbroken) == numbers(result)
    left = tb.fit(stopped, out=tmp_path / "run", resume=True, log=RunLog())
    assert left.to_dict() == result.to_dict()


def test_images_that_cannot_be_read_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trickbag.data.dataset.CHECK_LIMIT", 10)
    folder = shape_folder(tmp_path / "images", 20)
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*.png")}
    damaged = sorted(names)[3], sorted(names)[30]
    for name in damaged:
        (folder / name).write_bytes((folder / name).read_bytes()[:90])
    results = [
        tb.fit(recipe(folder), out=tmp_path / name, log=RunLog()) for name in ("first", "again")
    ]
    for result in results:
        assert {entry["file"] for entry in result.data_errors} == {*damaged}
    # The cache knows them too.
    assert [record_of(result).computed for result in results] == [60, 0]
    assert numbers(results[0]) == numbers(results[1])
    images = record_of(results[0]).train_images
    rows = (tmp_path / "first" / "predictions.csv").read_text().splitlines()[1:]
    assert images + len(rows) == 58


def test_given_settings_are_not_chosen(pictures: Path, tmp_path: Path) -> None:
    given = recipe(pictures, training__probe__l2="0.2", training__probe__neighbours="3")
    result = tb.fit(given, out=tmp_path / "run", log=RunLog())
    record = record_of(result)
    assert (record.l2, record.neighbours) == (0.2, 3)
    assert record.l2_by == record.neighbours_by == "given"
    assert record.l2_candidates == record.neighbour_candidates == ()
    other = recipe(pictures, training__probe__l2="0.3")
    assert other.id != given.id != recipe(pictures).id


def test_what_a_probe_cannot_have(pictures: Path, tmp_path: Path) -> None:
    from trickbag.tricks.mixup import Mixup

    with pytest.raises(UserError, match=r"training.epochs = 2.*training.probe=none"):
        recipe(pictures, training__epochs="2")
    with pytest.raises(UserError, match=r"the tricks mixup, which change training"):
        tb.fit(recipe(pictures).plus(Mixup()), out=tmp_path / "run", log=RunLog())
    frozen = recipe(pictures, training__batch_norm="frozen")
    with pytest.raises(UserError, match=r"training.batch_norm = frozen is of training"):
        tb.fit(frozen, out=tmp_path / "run", log=RunLog())
    assert not (tmp_path / "run").exists()


def test_features_that_are_not_finite_are_refused(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = recipe(pictures, data__mean="[0,0,0]", data__std="[1e-38,1e-38,1e-38]")
    with pytest.raises(UserError, match=r"not finite for .* of the train part; give other weights"):
        tb.fit(large, out=tmp_path / "run", log=RunLog())
