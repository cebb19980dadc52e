"""What only a CUDA device can show: `make gpu-test`."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.builders.images import CLASSES
from tests.builders.recipes import tiny_recipe
from tests.builders.teachers import teacher_file
from trickbag.data.dataset import prepare
from trickbag.data.loading.loader import Loader
from trickbag.errors import Stopped
from trickbag.train.build import build
from trickbag.train.checkpoint import Progress
from trickbag.train.fit import fit
from trickbag.train.folder.log import RunLog
from trickbag.train.plan.resolve import resolve
from trickbag.train.run import Run
from trickbag.train.step import to_device, train_step
from trickbag.tricks.distillation import Distillation
from trickbag.tricks.trick import Trick, View

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]


def started(pictures: Path, *tricks: Trick, **changes: str) -> tuple[Run, Loader]:
    recipe = tiny_recipe(pictures, training__device="cuda", **changes).plus(*tricks)
    dataset = prepare(recipe.data)
    plan, _ = resolve(recipe, dataset, seed=0)
    run, _ = build(plan, recipe.tricks, dataset)
    options: dict[str, Any] = {
        "batch_size": plan.batch_size,
        "workers": 0,
        "pin_memory": True,
        "teacher_logits": run.teacher_logits,
    }
    return run, Loader(dataset.train, plan.data, run.pipeline.preprocessing, train=True, **options)


@pytest.mark.parametrize("mode", ["off", "on"])
@pytest.mark.parametrize("precision", ["auto", "fp16"])
def test_a_step_does_not_wait_for_the_device(pictures: Path, mode: str, precision: str) -> None:
    changes = {
        "tricks__mixed_precision__dtype": precision,
        "training__compile": mode,
        "training__clip_norm": "1",
    }
    does_not_wait(*started(pictures, **changes))


@pytest.mark.parametrize("view", ["online", "replay"])
def test_a_teacher_makes_no_step_wait(pictures: Path, tmp_path: Path, view: View) -> None:
    teacher = teacher_file(tmp_path / "t.safetensors", classes=("x", *CLASSES[::-1]), size=24)
    does_not_wait(
        *started(
            pictures,
            Distillation(teacher=(str(teacher),), view=view, views=2),
            training__compile="on",
        )
    )


def does_not_wait(run: Run, loader: Loader) -> None:
    progress = Progress.start(run.device)
    run.network.train()
    for step, raw in enumerate(loader.epoch(0)):
        draws = run.pipeline.draw(run.plan.batch_size, 0, run.plan.timestamp(0, step), run.device)
        on_device = to_device(raw, run.device)
        torch.cuda.synchronize()
        torch.cuda.set_sync_debug_mode("error" if step > 2 else "default")
        try:
            train_step(run, on_device, draws, 0.01, run.plan.batch_size, progress)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert progress.step > 4
    assert int(progress.first_bad) == -1


def test_precision_and_layout_follow_from_the_device(pictures: Path) -> None:
    run, _ = started(pictures)
    expected = "bf16" if torch.cuda.get_device_capability() >= (8, 0) else "fp16"
    assert (run.plan.precision, run.plan.layout, run.plan.compile) == (
        expected,
        "channels_last",
        True,
    )
    assert next(p for p in run.network.parameters() if p.ndim == 4).is_contiguous(
        memory_format=torch.channels_last
    )


def test_trains_and_resumes(pictures: Path, tmp_path: Path) -> None:
    result = fit(tiny_recipe(pictures, epochs=8, training__device="cuda"), out=tmp_path / "run")
    assert (result.metrics["top1"] or 0) > 80
    again = fit(
        tiny_recipe(pictures, epochs=8, training__device="cuda"), out=tmp_path / "run", resume=True
    )
    assert again.metrics == result.metrics


class StopsAt(RunLog):
    """Stops the run after some steps."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def due(self) -> bool:
        self.left -= 1
        return self.left == 0

    def step(self, epoch: int, step: int, loss: float, top1: float | None, images: int) -> None:
        signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize("mode", ["off", "on"])
def test_a_deterministic_run_is_the_same_bits_resumed_or_not(
    pictures: Path, tmp_path: Path, mode: str
) -> None:
    settings = {"training__device": "cuda", "training__deterministic": "true"}
    recipe = tiny_recipe(pictures, epochs=2, **settings, training__compile=mode)
    for name in ("first", "second"):
        fit(recipe, out=tmp_path / name)
    with pytest.raises(Stopped):
        fit(recipe, out=tmp_path / "resumed", log=StopsAt(8))
    fit(recipe, out=tmp_path / "resumed", resume=True)
    first, *others = (
        (tmp_path / name / "best.safetensors").read_bytes()
        for name in ("first", "second", "resumed")
    )
    assert others == [first, first]


def test_the_pipeline_agrees_with_the_cpu(pictures: Path) -> None:
    run, loader = started(pictures, training__compile="off")
    raw = next(iter(loader.epoch(0)))
    draws = run.pipeline.draw(run.plan.batch_size, 0, run.plan.timestamp(0), run.device)
    on_device = run.pipeline(to_device(raw, run.device), draws)
    on_cpu = run.pipeline(raw, tuple(tuple(t.cpu() for t in draw) for draw in draws))
    torch.testing.assert_close(
        on_device.images.cpu().contiguous(), on_cpu.images.contiguous(), rtol=1e-5, atol=1e-5
    )
    torch.testing.assert_close(on_device.targets.cpu(), on_cpu.targets)
