"""What only a CUDA device can show: `make gpu-test`."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

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

pytestmark = pytest.mark.gpu


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


def weights_of(folder: Path) -> torch.Tensor:
    tensors = load_file(folder / "best.safetensors")
    return torch.cat([tensors[name].double().flatten() for name in sorted(tensors)])


def test_cuda_graphs_train_as_the_compiled_step_does(pictures: Path, tmp_path: Path) -> None:
    settings = {"training__device": "cuda", "training__compile": "on"}
    recipe = tiny_recipe(pictures, epochs=2, **settings)
    graphs = recipe.set("training.compile_mode", "reduce-overhead")
    results = [
        fit(each, out=tmp_path / name) for name, each in (("plain", recipe), ("graphs", graphs))
    ]
    plain, recorded = (weights_of(tmp_path / name) for name in ("plain", "graphs"))
    # The same kernels; what they add up in no fixed order differs from run to run.
    assert (plain - recorded).norm() <= 1e-2 * plain.norm()
    first, second = (result.metrics["train_loss"] for result in results)
    assert first == pytest.approx(second, rel=5e-2)
    resumed = tmp_path / "resumed"
    with pytest.raises(Stopped):
        fit(graphs, out=resumed, log=StopsAt(8))
    fit(graphs, out=resumed, resume=True)
    assert (weights_of(resumed) - recorded).norm() <= 1e-2 * recorded.norm()


def test_memory_that_runs_out_halves_the_parts(pictures: Path, tmp_path: Path) -> None:
    changes = {"data__image_size": "224", "training__batch_size": "48", "training__compile": "off"}
    changes |= {"training__device": "cuda", "model__width_factor": "1"}
    recipe = tiny_recipe(pictures, epochs=1, **changes)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    fit(recipe, out=tmp_path / "whole")
    peak, total = (
        torch.cuda.max_memory_allocated(),
        torch.cuda.get_device_properties(0).total_memory,
    )
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(0.7 * peak / total)
    try:
        result = fit(recipe, out=tmp_path / "limited")
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    (note, *_) = [note for note in result.notes if note["kind"] == "memory"]
    assert note["reason"].startswith("the memory ran out at step 1 with 48 images at a time")
    assert torch.isfinite(weights_of(tmp_path / "limited")).all()


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_weights_are_those_of_mixed_precision(pictures: Path, precision: str) -> None:
    changes = {"tricks__mixed_precision__dtype": precision, "training__compile": "off"}
    weights = []
    for half in ("false", "true"):
        run, loader = started(pictures, **changes, tricks__mixed_precision__half_weights=half)
        progress = Progress.start(run.device)
        run.begin_epoch(0)
        for step, raw in enumerate(loader.epoch(0)):
            draws = run.draw(run.plan.timestamp(0, step))
            train_step(run, to_device(raw, run.device), draws, 0.01, run.plan.batch_size, progress)
        weights.append(torch.cat([p.detach().flatten() for p in run.network.parameters()]))
    assert (weights[0] - weights[1]).norm() <= 1e-3 * weights[0].norm()


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
