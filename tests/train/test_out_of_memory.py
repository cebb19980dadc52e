"""Memory that runs out within a step: smaller parts of the same batch, said and kept."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import nn

from tests.builders.recipes import bare_recipe
from tests.train.test_step import make_run, one_step, raw_batch
from trickbag.data.dataset import prepare
from trickbag.errors import RunFailed, Stopped
from trickbag.train.checkpoint import Progress
from trickbag.train.fit import fit
from trickbag.train.folder.log import RunLog
from trickbag.train.out_of_memory import division_notes, follow_division
from trickbag.tricks.mixup import Mixup
from trickbag.tricks.sam import Sam
from trickbag.tricks.trick import Trick

MODEL = "timm:test_resnet"
WITHOUT_NORMS = "timm:test_convnext"


class Limit(nn.Module):
    """Raises what torch raises on a GPU if more than so many images pass it for gradients."""

    def __init__(self, images: int, only_backward: bool) -> None:
        super().__init__()
        self.images, self.only_backward = images, only_backward

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        if not self.training or maps.is_meta:
            return maps
        return _Limited.apply(maps, self.images, self.only_backward)


class _Limited(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, maps: torch.Tensor, images: int, only_backward: bool) -> torch.Tensor:
        ctx.too_many = len(maps) > images
        if ctx.too_many and not only_backward:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB. GPU 0 has")
        return maps.clone()

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        if ctx.too_many:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB. GPU 0 has")
        return gradient, None, None


@dataclass(frozen=True, kw_only=True)
class Small(Trick):
    """Gives a network the memory for so many images, at its end."""

    name: ClassVar[str] = "small_memory"
    paper: ClassVar[str] = "none"

    images: int = 2
    only_backward: bool = False

    def network(self, network: nn.Module) -> None:
        classifier = network.get_classifier()
        limit = Limit(self.images, self.only_backward)
        classifier.register_module("limit", limit)
        classifier.register_forward_hook(lambda module, inputs, output: module.limit(output))


def state(run: Any) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in run.network.state_dict().items()}


@pytest.mark.parametrize(
    ("tricks", "only_backward"),
    [((), True), ((Mixup(alpha=1.0, lam="pair"),), False), ((Sam(rho=0.5),), True)],
)
def test_a_step_is_that_of_so_many_parts(
    pictures: Path, tricks: tuple[Trick, ...], only_backward: bool
) -> None:
    """Bit for bit, running statistics and sums included: what failed leaves nothing."""
    limit = Small(images=4, only_backward=only_backward)
    limited = make_run(pictures, *tricks, limit, model=MODEL, rows=16)
    _, progress = one_step(limited, raw_batch(16))
    assert limited.divisions == ((0, 2), (0, 4))
    expected = make_run(pictures, *tricks, Small(images=16), model=MODEL, rows=16, accumulate=4)
    _, other = one_step(expected, raw_batch(16))
    wanted = state(expected)
    for name, value in state(limited).items():
        assert torch.equal(value, wanted[name]), name
    assert progress.share() == other.share()


class Heard(RunLog):
    """Keeps the notes, and stops the run after some steps."""

    def __init__(self, stop_after: int = 0) -> None:
        super().__init__()
        self.left, self.notes = stop_after, list[str]()

    def note(self, text: str) -> None:
        self.notes.append(text)

    def due(self) -> bool:
        self.left -= 1
        return self.left == 0

    def step(self, *_: Any) -> None:
        signal.raise_signal(signal.SIGTERM)


NOTE = (
    "the memory ran out at step 1 with 8 images at a time: from there on each batch of 8 is "
    "computed in 2 parts instead of 1; the numbers are not those of a run with enough memory: "
    "batch normalisation takes its statistics of the images of a part "
    "(--set training.accumulate=2 computes so from the start)"
)


def test_a_run_says_it_and_goes_on_so(pictures: Path, tmp_path: Path) -> None:
    recipe = bare_recipe(pictures, Small(images=4), **{"training.epochs": "1"})
    log = Heard()
    result = fit(recipe, out=tmp_path / "whole", log=log)
    assert [note for note in log.notes if "memory" in note] == [f"note: {NOTE}"]
    assert [note["reason"] for note in result.notes if note["kind"] == "memory"] == [NOTE]
    # Stopped and resumed: the smaller parts are those of the checkpoint, and the bits are the same.
    resumed = tmp_path / "resumed"
    with pytest.raises(Stopped):
        fit(recipe, out=resumed, log=Heard(stop_after=3))
    assert torch.load(resumed / "last.ckpt", weights_only=True)["divisions"] == [[0, 2]]
    log = Heard()
    again = fit(recipe, out=resumed, log=log, resume=True)
    assert [note for note in log.notes if "memory" in note] == [f"note: {NOTE}"]
    assert again.notes == result.notes
    weights = [
        (folder / "best.safetensors").read_bytes() for folder in (tmp_path / "whole", resumed)
    ]
    assert weights[0] == weights[1]


def test_without_statistics_of_a_batch_only_sums_differ(pictures: Path) -> None:
    run = make_run(pictures, Small(images=10), model=WITHOUT_NORMS, rows=16)
    one_step(run, raw_batch(16))
    (note,) = division_notes(run)
    assert "in 2 parts instead of 1; the numbers stay the same but for the order of" in note.reason


@pytest.mark.parametrize(
    ("images", "model", "message"),
    [
        (
            0,
            WITHOUT_NORMS,
            "at step 1 with 1 image of 3x32x32 at a time, which is the least",
        ),
        (
            1,
            MODEL,
            "with 2 images of 3x32x32 .* of one image its BatchNorm .* variance",
        ),
    ],
)
def test_the_least(pictures: Path, images: int, model: str, message: str) -> None:
    run = make_run(pictures, Small(images=images), model=model, rows=4)
    with pytest.raises(RunFailed, match=f"{message}.*; take a smaller --image-size or --model"):
        one_step(run, raw_batch(4))


def test_a_run_that_cannot_go_on_says_so_in_its_result(pictures: Path, tmp_path: Path) -> None:
    size = {"data.image_size": "32"}
    recipe = bare_recipe(pictures, Small(images=0), model=WITHOUT_NORMS, **size)
    with pytest.raises(RunFailed, match="with 1 image of 3x32x32 at a time"):
        fit(recipe, out=tmp_path, dataset=prepare(recipe.data))
    assert "which is the least" in (tmp_path / "result.json").read_text()


def test_a_process_follows_one_whose_memory_ran_out(pictures: Path) -> None:
    run = make_run(pictures, model=MODEL, rows=16)
    progress = Progress.start(run.device)
    progress.step = 3
    for parts in (1, 4, 4, 2):
        follow_division(run, progress, parts)
    assert run.divisions == ((3, 4),)
    assert run.parts == 4
