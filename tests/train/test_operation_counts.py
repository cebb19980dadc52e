"""What a step and an epoch do, counted: no number here depends on a clock.

A number that grows is work that every step of every run would do: it needs a reason, and the table
a new number.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import torch
from torch import Tensor
from torch._dynamo.testing import CompileCounter
from torch.utils._python_dispatch import TorchDispatchMode

from tests.builders.images import shape_folder
from tests.builders.recipes import bare_recipe, tiny_recipe
from trickbag.data import source
from trickbag.data.dataset import Dataset, prepare
from trickbag.data.decoding import region
from trickbag.train.build import build
from trickbag.train.checkpoint import Progress
from trickbag.train.fit import fit
from trickbag.train.folder.log import RunLog
from trickbag.train.loaders import train_loader
from trickbag.train.plan.resolve import resolve
from trickbag.train.run import Run
from trickbag.train.trainer import train_on
from trickbag.tricks.ema import Ema
from trickbag.tricks.label_smoothing import LabelSmoothing
from trickbag.tricks.mixup import Mixup
from trickbag.tricks.random_erasing import RandomErasing

if TYPE_CHECKING:
    from types import ModuleType

    from trickbag.data.loading.raw_batch import RawBatch
    from trickbag.recipe import Recipe
    from trickbag.tricks.trick import Trick


class Counts(NamedTuple):
    """The operations of one step.

    - waits: values that Python reads of a tensor. On a GPU each would wait for the device, but for
      those of tensors that stay on the CPU.
    - copies: new tensors as large as the batch of images, before the network sees them.
    """

    waits: int
    copies: tuple[str, ...]


# `one_hot` looks at the smallest and the largest label, on a CPU alone.
LABELS = 2
PLAIN = ("_to_copy", "flip", "where", "_to_copy")
"""Bytes to float32, the mirrored images, those that are mirrored, and all of them normalised."""

CASES: dict[str, tuple[dict[str, str], tuple[Trick, ...], Counts]] = {
    "bare": ({}, (), Counts(LABELS, PLAIN)),
    "not mirrored": ({"data.flip_prob": "0"}, (), Counts(LABELS, ("_to_copy", "_to_copy"))),
    "smoothing": ({}, (LabelSmoothing(),), Counts(LABELS, PLAIN)),
    # The partners' images, into which the others are mixed.
    "mixup": ({}, (Mixup(),), Counts(LABELS, (*PLAIN, "index_select"))),
    "erasing": ({}, (RandomErasing(),), Counts(LABELS, PLAIN)),
    "average": ({}, (Ema(),), Counts(LABELS, PLAIN)),
    "clipping": ({"training.clip_norm": "1"}, (), Counts(LABELS, PLAIN)),
    # They are loaded so.
    "channels last": (
        {"training.layout": "channels_last"},
        (),
        Counts(LABELS, PLAIN),
    ),
    # First and last row of each part, which are indices on the CPU.
    "two parts": ({"training.accumulate": "2"}, (), Counts(LABELS + 4, PLAIN)),
}


class Counting(TorchDispatchMode):
    """Counts the operations of the block, on batches of `shape`."""

    def __init__(self, shape: torch.Size) -> None:
        super().__init__()
        self.shape, self.waits = shape, 0
        self.copies: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        self.waits += name == "_local_scalar_dense"
        if isinstance(result, Tensor) and result.shape == self.shape:
            known = {value.data_ptr() for value in args if isinstance(value, Tensor)}
            if result.data_ptr() not in known:
                self.copies.append(name)
        return result


@pytest.fixture(scope="module")
def dataset(pictures: Path) -> Dataset:
    return prepare(bare_recipe(pictures).data)


def started(recipe: Recipe, dataset: Dataset) -> tuple[Run, Progress, list[RawBatch]]:
    plan, _ = resolve(recipe, dataset, seed=0)
    run, _ = build(plan, recipe.tricks, dataset)
    run.begin_epoch(0)
    pipeline = run.pipeline
    with train_loader(
        plan,
        dataset.train,
        pipeline.preprocessing,
        channels_last=pipeline.takes_channels_last,
    ) as loader:
        return run, Progress.start(run.device), list(loader.epoch(0))


@pytest.mark.parametrize("name", CASES)
def test_operations_of_a_step(name: str, pictures: Path, dataset: Dataset) -> None:
    settings, tricks, expected = CASES[name]
    run, progress, raws = started(bare_recipe(pictures, *tricks, **settings), dataset)
    # The first step allocates what the others keep.
    for raw in raws[:2]:
        with Counting(raw.images.shape) as counting:
            train_on(run, raw, len(raw.images), progress)
    assert Counts(counting.waits, tuple(counting.copies)) == expected


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_a_compiled_step_is_one_graph_for_all_steps(
    layout: str, pictures: Path, dataset: Dataset
) -> None:
    tricks = (LabelSmoothing(), Mixup(), RandomErasing(), Ema())
    settings = {"training.clip_norm": "1", "training.layout": layout}
    recipe = bare_recipe(pictures, *tricks, **settings)
    run, progress, raws = started(recipe, dataset)
    torch._dynamo.reset()
    counter = CompileCounter()
    run._step = run._step._replace(
        forward_raw=torch.compile(run.forward_raw, fullgraph=True, dynamic=False, backend=counter)
    )
    for raw in raws[:3]:
        train_on(run, raw, len(raw.images), progress)
    # A graph break would be an error, and another graph one more frame.
    assert (progress.step, counter.frame_count) == (3, 1)


@pytest.mark.parametrize("suffix", [pytest.param(".png", marks=pytest.mark.slow), ".jpg"])
def test_every_image_is_read_and_decoded_at_most_once_an_epoch(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: Counter[str] = Counter()

    def count(module: ModuleType, name: str, kind: str) -> None:
        function = getattr(module, name)

        def counted(*given: Any, **more: Any) -> Any:
            calls[Path(given[0]).parts[-3] if kind == "read" else kind] += 1
            return function(*given, **more)

        monkeypatch.setattr(module, name, counted)

    count(source, "read_bytes", "read")
    # Of a whole image, of a verified JPEG's crop, and of any other's, which decodes the whole.
    for module, name in ((source, "decode"), (region, "_decoded"), (region, "decode")):
        count(module, name, "decoded")
    folder = shape_folder(tmp_path / "shapes", 8, ("train", "val"), suffix)
    recipe = tiny_recipe(folder, epochs=2)
    dataset = prepare(recipe.data)
    images, validated = len(dataset.train), len(dataset.val)
    calls.clear()
    fit(recipe, out=tmp_path / "run", dataset=dataset, log=RunLog())
    # The images of validation are decoded for the first time alone.
    assert 0 < calls["train"] <= 2 * images
    assert 0 < calls["val"] <= validated
    assert calls["decoded"] == calls["train"] + calls["val"]
