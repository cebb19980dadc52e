"""Runs on a pretended GPU of Apple's (`tests/builders/fake_mps.py`): the path of the code to it.

Nothing here has seen a Mac: the kernels are those of the CPU.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import trickbag as tb
from tests.builders.fake_mps import fake_mps
from tests.builders.recipes import tiny_recipe
from tests.builders.runs import without_times
from tests.test_every_trick import bare, trained
from tests.train.test_multi_label_runs import multi_label_recipe, table
from tests.tricks.table import TABLE
from trickbag.data.dataset import Dataset, prepare
from trickbag.errors import Stopped, UserError
from trickbag.evaluate.evaluation import evaluate
from trickbag.evaluate.trained import Trained
from trickbag.study.analysis.outcomes import Metrics
from trickbag.train.folder.log import RunLog
from trickbag.train.folder.result import Result
from trickbag.train.folder.run_recipe import RunRecipe
from trickbag.tricks.drop_block import DropBlock
from trickbag.tricks.ema import Ema
from trickbag.tricks.mixed_precision import MixedPrecision
from trickbag.tricks.random_erasing import RandomErasing
from trickbag.tricks.sam import Sam

DRAWING = ("color_jitter", "cutmix", "drop_block", "distillation", "ema", "pca_noise", "sam")
"""Tricks that draw on the device, hold state there, or compute in a form of their own."""

__all__ = ["table"]


@pytest.fixture(scope="module")
def dataset(pictures: Path) -> Dataset:
    return prepare(bare("resnet18", pictures).data)


def fit(source: Path, out: Path, device: str, *tricks: tb.tricks.Trick, **settings: str) -> Result:
    recipe = tiny_recipe(source, training__device=device, **{"training.epochs": "2"} | settings)
    recipe = recipe.without("mixed_precision").plus(*tricks)
    if device == "cpu":
        return tb.fit(recipe, 3, out, log=RunLog())
    with fake_mps():
        return tb.fit(recipe, 3, out, log=RunLog())


def assert_close(metrics: Metrics, expected: Metrics) -> None:
    for name, value in without_times(dict(expected)).items():
        close = value is None or pytest.approx(value, rel=1e-3, abs=1e-3)
        assert (metrics[name] is value) or metrics[name] == close, name


def assert_alike(result: Result, reference: Result) -> None:
    assert_close(result.metrics, reference.metrics)


def test_a_run(pictures: Path, tmp_path: Path) -> None:
    result = fit(pictures, tmp_path / "mps", "mps", RandomErasing(), training__epochs="1")
    record = RunRecipe.read(tmp_path / "mps" / "recipe.json")
    assert record is not None
    plan = record.plan
    assert (plan.device, plan.precision, plan.layout) == ("mps", "float32", "contiguous")
    assert (plan.compile, result.metrics["peak_memory"]) == (False, None)


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"training.optimizer": "adamw", "training.lr": "0.001"},
        {"training.optimizer": "rmsprop", "training.lr": "0.001"},
        {"training.accumulate": "2", "training.clip_norm": "1"},
        {"training.gradient_checkpointing": "true"},
        {"data.workers": "1"},
    ],
)
def test_a_run_is_that_of_the_cpu(pictures: Path, tmp_path: Path, settings: dict[str, str]) -> None:
    tricks = (Ema(), Sam(), DropBlock(), RandomErasing()) if settings else (RandomErasing(),)
    results = [
        fit(pictures, tmp_path / device, device, *tricks, **settings) for device in ("mps", "cpu")
    ]
    assert_alike(*results)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_precision_that_is_asked_for(pictures: Path, tmp_path: Path, precision: str) -> None:
    # Here too the device computes in float32; the loss is scaled for fp16.
    trick = MixedPrecision(dtype=precision)  # type: ignore[arg-type]
    result = fit(pictures, tmp_path / "mps", "mps", trick)
    record = RunRecipe.read(tmp_path / "mps" / "recipe.json")
    assert record is not None
    assert record.plan.precision == precision
    assert_alike(result, fit(pictures, tmp_path / "cpu", "cpu"))


def test_the_automatic_precision_says_that_it_stays(pictures: Path) -> None:
    from trickbag.train.plan.resolve import resolve

    recipe = tiny_recipe(pictures).plus(MixedPrecision(dtype="auto"))
    with fake_mps():
        _, notes = resolve(recipe.set("training.device", "mps"), prepare(recipe.data), 0)
        assert "on MPS training stays in float32" in " ".join(note.text for note in notes)
        _, notes = resolve(recipe.set("training.device", "auto"), prepare(recipe.data), 0)
    if not torch.cuda.is_available():
        assert "--device mps" in " ".join(note.text for note in notes)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        # The pretended device is slow: the tricks that draw on the device stand for all.
        pytest.param(name, marks=[] if name in DRAWING else [pytest.mark.long])
        for name in sorted(TABLE)
    ],
)
def test_every_trick_trains(name: str, dataset: Dataset) -> None:
    recipe = bare(TABLE[name].model).plus(TABLE[name].trick)
    with fake_mps():
        on_mps = trained(recipe.set("training.device", "mps"), dataset, steps=2)
    # The pretended device computes in float32 in spite of autocast.
    on_cpu = trained(recipe.without(*{"mixed_precision"} & {name}), dataset, steps=2)
    np.testing.assert_allclose(on_mps.losses, on_cpu.losses, rtol=1e-3)
    assert {parameter.device.type for parameter in on_cpu.run.network.parameters()} == {"cpu"}


@pytest.mark.slow
def test_a_run_that_was_stopped_goes_on(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uninterrupted = fit(pictures, tmp_path / "uninterrupted", "mps", Ema())

    class StopAfterAnEpoch(RunLog):
        def epoch(self, row: object) -> None:
            raise KeyboardInterrupt

    recipe = tiny_recipe(pictures, epochs=2, training__device="mps")
    recipe = recipe.without("mixed_precision").plus(Ema())
    with fake_mps():
        with pytest.raises((KeyboardInterrupt, Stopped)):
            tb.fit(recipe, 3, tmp_path / "run", log=StopAfterAnEpoch())
        again = tb.fit(recipe, 3, tmp_path / "run", log=RunLog(), resume=True)
    assert without_times(again.metrics) == without_times(uninterrupted.metrics)


@pytest.mark.slow
def test_a_trained_run_is_evaluated(pictures: Path, table: Path, tmp_path: Path) -> None:
    fit(pictures, tmp_path / "run", "cpu")
    tb.fit(multi_label_recipe(table), 0, tmp_path / "labels", log=RunLog())
    images = torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8)
    for run in ("run", "labels"):
        on_cpu = Trained.load(tmp_path / run, "cpu")
        expected, metrics = on_cpu.probabilities(images), evaluate(on_cpu).metrics
        with fake_mps():
            on_mps = Trained.load(tmp_path / run, "mps")
            probabilities = on_mps.probabilities(images)
            evaluated = evaluate(on_mps).metrics
        torch.testing.assert_close(probabilities, expected, rtol=1e-5, atol=1e-5)
        assert_close(evaluated, metrics)


@pytest.mark.slow
def test_several_labels(table: Path, tmp_path: Path) -> None:
    recipe = multi_label_recipe(table).without("mixed_precision")
    reference = tb.fit(recipe, 0, tmp_path / "cpu", log=RunLog())
    with fake_mps():
        recipe = recipe.set("training.device", "mps")
        result = tb.fit(recipe, 0, tmp_path / "mps", log=RunLog())
    assert_alike(result, reference)


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="there is one")
def test_no_such_device(pictures: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(pictures, training__device="mps")
    with pytest.raises(UserError, match=r"'mps': .* \(MPS\); use --device cpu or auto$"):
        tb.fit(recipe, 0, tmp_path / "run", log=RunLog())
    assert not (tmp_path / "run").exists()
