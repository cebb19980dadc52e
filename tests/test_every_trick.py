"""The contract tests of tricks, for every row of `tests/tricks/table.py`."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

from tests.builders.recipes import bare_recipe
from tests.tricks.table import TABLE
from trickbag import tricks
from trickbag.data.config import DataConfig
from trickbag.data.dataset import Dataset, prepare
from trickbag.data.decoding.pixel_format import PixelFormat
from trickbag.data.loading.loader import Loader
from trickbag.data.loading.preprocess import Preprocessing
from trickbag.data.loading.raw_batch import RawBatch
from trickbag.data.source import ArrayPart
from trickbag.errors import DoesNotApply, Note
from trickbag.recipe import Recipe
from trickbag.settings import plain, read
from trickbag.tasks.classification import ClassificationTask
from trickbag.train.build import build
from trickbag.train.checkpoint import Progress
from trickbag.train.pipeline import Pipeline
from trickbag.train.plan.resolve import resolve
from trickbag.train.run import Run
from trickbag.train.step import to_device, train_step
from trickbag.tricks.label_smoothing import LabelSmoothing
from trickbag.tricks.mixup import Mixup
from trickbag.tricks.pca_noise import PCANoise
from trickbag.tricks.trick import START, Timestamp

NAMES = sorted(TABLE)
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def dataset(pictures: Path) -> Dataset:
    return prepare(bare("resnet18", pictures).data)


def bare(model: str, source: Path | str = "digits") -> Recipe:
    """A recipe without tricks that trains a few steps quickly."""
    settings = {"training.epochs": "2", "schedule.warmup_epochs": "0"}
    # A quarter of the width: the contract says nothing of it, and five steps take a third.
    thin = {} if model.startswith("timm:") else {"model.width_factor": "0.25"}
    return bare_recipe(source, model=model, **(settings | thin))


def started(recipe: Recipe, dataset: Dataset, seed: int = 0) -> tuple[Run, list[Note]]:
    plan, notes = resolve(recipe, dataset, seed)
    run, more = build(plan, recipe.tricks, dataset)
    return run, notes + more


class ShortRun(NamedTuple):
    """A run after a few steps: its notes, its first and last weights, the loss of each step."""

    run: Run
    notes: list[Note]
    first: dict[str, torch.Tensor]
    last: dict[str, torch.Tensor]
    losses: list[float]


def trained(recipe: Recipe, dataset: Dataset, steps: int = 5) -> ShortRun:
    """Train a few steps."""
    run, notes = started(recipe, dataset)
    plan = run.plan
    loader = Loader(
        dataset.train,
        plan.data,
        run.pipeline.preprocessing,
        train=True,
        batch_size=plan.batch_size,
        seed=plan.seed,
        workers=0,
    )
    progress = Progress.start(run.device)
    first, losses = snapshot(run), []
    run.network.train()
    for step, raw in zip(
        range(steps), loader.epoch(0, data=plan.data_at(recipe.tricks, 0)), strict=False
    ):
        timestamp = plan.timestamp(0, step)
        draws = run.pipeline.draw(len(raw.images), plan.seed, timestamp, run.device)
        for trick in recipe.tricks:
            trick.advance(run.network, timestamp)
        lr = plan.training.lr * plan.schedule.factor(
            step, plan.steps_per_epoch, plan.training.epochs
        )
        before = float(progress.loss_sum)
        train_step(run, to_device(raw, run.device), draws, lr, plan.batch_size, progress)
        losses.append((float(progress.loss_sum) - before) / plan.batch_size)
    return ShortRun(run, notes, first, snapshot(run), losses)


_WITHOUT: dict[str, dict[str, torch.Tensor]] = {}


def trained_without(recipe: Recipe, dataset: Dataset) -> dict[str, torch.Tensor]:
    """Return the last weights of a recipe; many tests need the same, which is trained once."""
    if recipe.id not in _WITHOUT:
        _WITHOUT[recipe.id] = trained(recipe, dataset).last
    return _WITHOUT[recipe.id]


def snapshot(run: Run) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in run.evaluated_network.state_dict().items()}


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(
        torch.equal(value, second[name]) for name, value in first.items()
    )


def test_every_builtin_trick_is_in_the_table() -> None:
    assert set(NAMES) == set(tricks.builtin())


@pytest.mark.parametrize("name", NAMES)
def test_saves_and_loads(name: str) -> None:
    trick = TABLE[name].trick
    recipe = bare(TABLE[name].model).plus(trick)
    again = Recipe.from_dict(json.loads(json.dumps(recipe.to_dict())))
    assert again == recipe
    assert again.id == recipe.id != recipe.without(name).id
    assert read(type(trick), plain(trick)) == trick
    assert plain(trick) != plain(type(trick)()) or not dataclasses.fields(trick), (
        "the row in tests/tricks/table.py must have a setting that is not the default"
    )


@pytest.mark.parametrize("name", NAMES)
def test_has_a_card_and_a_citation(name: str) -> None:
    trick = TABLE[name].trick
    assert (ROOT / "docs" / "tricks" / f"{name}.md").read_text().startswith("# ")
    assert trick.paper
    assert (type(trick).__doc__ or "").strip()


@pytest.mark.parametrize("name", NAMES)
def test_has_an_effect_and_trains(name: str, dataset: Dataset) -> None:
    without = bare(TABLE[name].model)
    done = trained(without.plus(TABLE[name].trick), dataset)
    assert all(torch.isfinite(torch.tensor(done.losses)))
    assert not same(done.first, done.last)
    assert not same(done.last, trained_without(without, dataset)), f"{name} left the run as it was"
    assert not [note for note in done.notes if note.kind == "no_effect"]
    assert done.run.tricks == (TABLE[name].trick,)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_trains_on_five_channels_or_says_why_not(name: str, dataset: Dataset) -> None:
    form = PixelFormat(channels=(0, 1, 2, 3, 4))
    images = np.random.default_rng(0).integers(0, 256, (len(dataset.train), 20, 20, 5), np.uint8)
    part = ArrayPart.of(images, dataset.train.labels, "five")
    five = dataclasses.replace(dataset, train=dataclasses.replace(part, pixels=form), pixels=form)
    recipe = bare(TABLE[name].model).plus(TABLE[name].trick)
    teacher = TABLE[name].trick.teachers() is not None
    if TABLE[name].trick.needs_rgb or teacher:
        with pytest.raises(DoesNotApply, match=r"5 channels|and these have 5"):
            trained(recipe, five, steps=1)
    else:
        assert np.isfinite(trained(recipe, five, steps=1).losses).all()


def company_of(name: str) -> tuple[tricks.Trick, ...]:
    """Return other tricks that draw: they would change if a trick used their random streams."""
    slot = TABLE[name].trick.slot or "-"
    return tuple(
        t for t in (LabelSmoothing(), PCANoise(), Mixup()) if t.name != name and t.slot != slot
    )


@pytest.mark.parametrize("name", NAMES)
def test_taking_it_out_gives_back_the_run_without_it(name: str, dataset: Dataset) -> None:
    company = company_of(name)
    without = bare(TABLE[name].model).plus(*company)
    with_it = Recipe(**{**vars(without), "tricks": (TABLE[name].trick, *company)})
    assert with_it.without(name) == without
    assert with_it.without(name).id == without.id
    # The other run may have been trained before other tests trained with other tricks: this also
    # shows that no trick leaves anything behind in the process.
    assert same(trained(with_it.without(name), dataset).last, trained_without(without, dataset))


@pytest.mark.parametrize("name", NAMES)
def test_the_draws_of_others_stay_as_they_were(name: str) -> None:
    company, draws = company_of(name), []
    for those in (company, (TABLE[name].trick, *company)):
        preprocessing = Preprocessing.of(DataConfig(), 16)
        pipeline = Pipeline(
            task=ClassificationTask(num_classes=3, multi_label=False),
            preprocessing=preprocessing,
            flip_prob=0.5,
            tricks=those,
        )
        drawn = pipeline.draw(
            8, 0, Timestamp(1, 2, steps_per_epoch=3, epochs=4), torch.device("cpu")
        )
        by_name = zip(["flip", *(trick.name for trick in pipeline.stages)], drawn, strict=True)
        draws.append(
            {trick: [part.tolist() for part in parts] for trick, parts in by_name if trick != name}
        )
    assert draws[0] == draws[1]


@pytest.mark.parametrize("name", NAMES)
def test_shared_parameters_start_alike(name: str, dataset: Dataset) -> None:
    without = bare(TABLE[name].model)
    plain, tricked = (
        snapshot(started(r, dataset)[0]) for r in (without, without.plus(TABLE[name].trick))
    )
    shared = [key for key in plain if key in tricked and plain[key].shape == tricked[key].shape]
    changed = {key for key in shared if not torch.equal(plain[key], tricked[key])}
    assert len(shared) > 50
    # Only a trick that changes initial values itself may change those of shared parameters.
    assert not changed or TABLE[name].trick.overrides("network")


@pytest.mark.parametrize(
    "name",
    [n for n in NAMES if TABLE[n].trick.overrides("batch") or TABLE[n].trick.overrides("loss")],
)
def test_adds_no_graph_break(name: str, dataset: Dataset) -> None:
    run, _ = started(bare(TABLE[name].model).plus(TABLE[name].trick), dataset)
    loader = Loader(
        dataset.train,
        run.plan.data,
        run.pipeline.preprocessing,
        train=True,
        batch_size=8,
        workers=0,
    )
    raw = next(iter(loader.epoch(0)))
    draws = run.pipeline.draw(8, 0, run.plan.timestamp(0), run.device)
    torch._dynamo.reset()
    run.network.eval()
    compiled = torch.compile(run.forward_raw, fullgraph=True, backend="eager")
    for computed, expected in zip(compiled(raw, draws), run.forward_raw(raw, draws), strict=True):
        torch.testing.assert_close(computed, expected)


@pytest.mark.parametrize(
    "name", [n for n in NAMES if TABLE[n].trick.overrides("batch") and TABLE[n].trick.by_image]
)
def test_a_hook_by_image_gives_the_same_for_any_rows(name: str) -> None:
    crops = Preprocessing.of(DataConfig(), 16)
    pipeline = Pipeline(
        task=ClassificationTask(num_classes=3, multi_label=False),
        preprocessing=crops,
        flip_prob=0.5,
        tricks=(TABLE[name].trick,),
    )
    rng, cpu = np.random.default_rng(0), torch.device("cpu")
    images = torch.from_numpy(rng.integers(0, 256, (8, 3, 16, 16), dtype=np.uint8))
    raw = RawBatch(images, torch.arange(8) % 3, torch.arange(8), torch.ones(8, dtype=torch.bool))
    batch = pipeline(raw, pipeline.draw(8, 0, START, cpu))
    rows = slice(3, 6)
    part = pipeline(
        RawBatch(*(tensor[rows] for tensor in raw)), pipeline.draw(8, 0, START, cpu, rows)
    )
    torch.testing.assert_close(part.images, batch.images[rows])
    torch.testing.assert_close(part.targets, batch.targets[rows])


@pytest.mark.parametrize("name", [n for n in NAMES if TABLE[n].trick.overrides("batch")])
def test_how_images_lie_in_memory_changes_no_bit(name: str) -> None:
    pipeline = Pipeline(
        task=ClassificationTask(num_classes=3, multi_label=False),
        preprocessing=Preprocessing.of(DataConfig(), 16),
        flip_prob=0.5,
        tricks=(TABLE[name].trick,),
        layout="channels_last",
    )
    is_before = TABLE[name].trick.phase in ("color", "noise")
    assert pipeline.takes_channels_last is not is_before
    assert not replace(pipeline, layout="contiguous").takes_channels_last
    count = 8 * TABLE[name].trick.repeats
    rng, cpu = np.random.default_rng(0), torch.device("cpu")
    images = torch.from_numpy(rng.integers(0, 256, (count, 3, 16, 16), dtype=np.uint8))
    raw = RawBatch(
        images, torch.arange(count) % 3, torch.arange(count), torch.ones(count, dtype=torch.bool)
    )
    other = raw._replace(images=images.contiguous(memory_format=torch.channels_last))
    draws = pipeline.draw(count, 0, START, cpu)
    batches = [pipeline(each, draws) for each in (raw, other)]
    assert batches[0].images.is_contiguous(memory_format=torch.channels_last)
    if not is_before:
        assert torch.equal(batches[0].images, batches[1].images)
    torch.testing.assert_close(batches[0].images, batches[1].images)
    assert torch.equal(batches[0].targets, batches[1].targets)


@pytest.mark.parametrize("name", NAMES)
def test_draws_are_a_function_of_epoch_and_step(name: str, dataset: Dataset) -> None:
    run, _ = started(bare(TABLE[name].model).plus(TABLE[name].trick), dataset)

    def draw(epoch: int, step: int) -> list[list[float]]:
        return [
            t.flatten().tolist()
            for d in run.pipeline.draw(8, 0, run.plan.timestamp(epoch, step), run.device)
            for t in d
        ]

    first = draw(1, 2)
    draw(0, 0)
    assert draw(1, 2) == first
    assert draw(1, 3) != first
