"""What a run trains of its network, and by which statistics it normalises."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from tests.builders.recipes import bare_recipe
from tests.builders.runs import built
from tests.builders.teachers import teacher_file
from trickbag.data.dataset import Dataset
from trickbag.models.stages import running_norms, stage_groups
from trickbag.optim.config import TrainConfig
from trickbag.recipe import Recipe
from trickbag.train.checkpoint import Progress
from trickbag.train.fit import fit
from trickbag.train.loaders import run_loaders
from trickbag.train.phases import first_trained
from trickbag.train.plan.resolve import resolve
from trickbag.train.run import Run
from trickbag.train.statistics import MOST_IMAGES, reestimate, statistics_rows
from trickbag.train.trainer import train_on
from trickbag.tricks.ema import Ema
from trickbag.tricks.layer_decay import LayerDecay
from trickbag.tricks.no_bias_decay import NoBiasDecay
from trickbag.tricks.trick import Trick


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return teacher_file(tmp_path_factory.mktemp("weights") / "w.safetensors", classes=("x", "y"))


def tuned(pictures: Path, weights: Path, *tricks: Trick, **settings: str) -> Recipe:
    chosen = {
        "training.init": str(weights),
        "training.epochs": "3",
        "training.optimizer": "adamw",
        "training.lr": "0.01",
        "training.weight_decay": "0.1",
        "data.crop_area": "0.5,1",
    }
    return bare_recipe(pictures, *tricks, **(chosen | settings))


def trained_epoch(run: Run, dataset: Dataset, epoch: int, steps: int = 5) -> None:
    progress = Progress.start(run.device)
    progress.epoch = epoch
    run.begin_epoch(epoch)
    with run_loaders(run, dataset) as loaders:
        for raw, _ in zip(loaders.train.epoch(epoch), range(steps), strict=False):
            train_on(run, raw, int(raw.valid.sum()), progress)


def state(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def changed(before: dict[str, torch.Tensor], network: nn.Module) -> set[str]:
    after = network.state_dict()
    return {name for name in before if not torch.equal(before[name], after[name])}


@pytest.mark.parametrize("freeze", ["none", "stem", "2", "body"])
def test_frozen_parts_stay_as_they_are_to_the_bit(
    pictures: Path, weights: Path, dataset: Dataset, freeze: str
) -> None:
    tricks = (Ema(), LayerDecay(), NoBiasDecay())
    recipe = tuned(pictures, weights, *tricks, **{"training.freeze": freeze})
    run, _ = built(recipe, dataset)
    groups = stage_groups(run.network)
    count = {"none": 0, "stem": 1, "2": 3, "body": len(groups) - 1}[freeze]
    frozen = {p for group in groups[:count] for p in group}
    of_optimizer = {p for group in run.optimizer.param_groups for p in group["params"]}
    assert of_optimizer == set(run.network.parameters()) - frozen
    before = state(run.network)
    trained_epoch(run, dataset, 0)
    assert run.average is not None
    for network in (run.network, run.average.network):
        names = changed(before, network)
        parameters = dict(network.named_parameters())
        still = {n for n, p in run.network.named_parameters() if p in frozen}
        assert not names & still
        assert names >= parameters.keys() - still
        # Nor do running statistics of the frozen parts drift.
        norms = {n.rpartition(".")[0] for n in names if n.endswith("running_mean")}
        assert not any(f"{norm}.weight" in still for norm in norms)
        assert bool(norms) == (freeze != "body")
    assert run.optimizer.state.keys() <= of_optimizer


def test_the_head_is_trained_first_and_then_all(
    pictures: Path, weights: Path, dataset: Dataset
) -> None:
    recipe = tuned(pictures, weights, **{"training.head_epochs": "1"})
    run, _ = built(recipe, dataset)
    before = state(run.network)
    trained_epoch(run, dataset, 0)
    assert changed(before, run.network) == {"fc.weight", "fc.bias"}
    assert len(run.optimizer.state) == 2
    before = state(run.network)
    trained_epoch(run, dataset, 1)
    assert changed(before, run.network) == before.keys()


@pytest.mark.parametrize(
    ("settings", "firsts"),
    [
        ({}, [0, 0, 0, 0, 0]),
        ({"head_epochs": 2}, [4, 4, 0, 0, 0]),
        ({"unfreeze": "gradual"}, [4, 3, 2, 1, 0]),
        ({"unfreeze": "gradual", "head_epochs": 2}, [4, 4, 3, 2, 1]),
    ],
)
def test_first_trained(settings: dict[str, Any], firsts: list[int]) -> None:
    training = TrainConfig(**settings)
    assert [first_trained(training, epoch, 5, 0) for epoch in range(5)] == firsts
    frozen = [first_trained(training, epoch, 5, 2) for epoch in range(5)]
    assert frozen == [max(2, first) for first in firsts]


def test_the_schedule_begins_after_the_epochs_of_the_head(
    pictures: Path, weights: Path, dataset: Dataset
) -> None:
    settings = {"schedule.decay": "cosine", "schedule.warmup_epochs": "1"}
    unphased, _ = resolve(tuned(pictures, weights, **settings), dataset, 0)
    recipe = tuned(
        pictures, weights, **settings, **{"training.head_epochs": "2", "training.epochs": "5"}
    )
    plan, _ = resolve(recipe, dataset, 0)
    before = 2 * plan.steps_per_epoch
    rates = [plan.lr(step) for step in range(plan.steps)]
    assert rates == [0.01] * before + [unphased.lr(step) for step in range(unphased.steps)]


def test_frozen_statistics_are_used_and_kept(
    pictures: Path, weights: Path, dataset: Dataset
) -> None:
    recipe = tuned(pictures, weights, **{"training.batch_norm": "frozen"})
    run, _ = built(recipe, dataset)
    before = state(run.network)
    trained_epoch(run, dataset, 0)
    names = changed(before, run.network)
    assert names == set(dict(run.network.named_parameters()))
    # What it computes in training is what it computes in evaluation.
    images = torch.randn(4, 3, 16, 16)
    run.begin_epoch(1)
    in_training = run.network(images)
    torch.testing.assert_close(in_training, run.network.eval()(images))


def test_statistics_are_those_of_training_images_as_in_evaluation(
    pictures: Path, weights: Path, dataset: Dataset
) -> None:
    recipe = tuned(pictures, weights, **{"training.batch_norm": "reestimate"})
    run, _ = built(recipe, dataset)
    trained_epoch(run, dataset, 0)
    first = running_norms(run.network)[0]
    momentum, modes = first.momentum, [m.training for m in run.network.modules()]
    with run_loaders(run, dataset) as loaders:
        assert loaders.statistics is not None
        norms = run.phases.estimated_norms(run.network)
        assert norms == running_norms(run.network)
        reestimate(
            run.network,
            loaders.statistics,
            norms=norms,
            preprocessing=run.evaluation,
            device=run.device,
            autocast_dtype=None,
            layout="contiguous",
        )
        (raw,) = list(loaders.statistics.epoch(0))  # all images are one batch
    assert (first.momentum, [m.training for m in run.network.modules()]) == (momentum, modes)
    # The input of the first normalisation depends on no other.
    inputs: list[torch.Tensor] = []
    hook = first.register_forward_pre_hook(lambda module, args: inputs.append(args[0].detach()))
    run.network.eval()(run.evaluation.normalise(raw.images.float()))
    hook.remove()
    maps = inputs[0].double()
    mean, var = maps.mean((0, 2, 3)), maps.var((0, 2, 3), unbiased=True)
    torch.testing.assert_close(first.running_mean.double(), mean, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(first.running_var.double(), var, rtol=1e-4, atol=1e-5)
    # Normalised by its own statistics, the network computes as on that batch in training.
    images = run.evaluation.normalise(raw.images.float())
    with torch.no_grad():
        evaluated, trained = run.network.eval()(images), run.network.train()(images)
    # But for the variances, which are the biased ones there.
    assert (evaluated - trained).abs().max() < 0.1 * trained.std()


class Rows:
    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def subset(self, rows: Any) -> Any:
        return rows


@pytest.mark.parametrize(
    ("images", "batch", "count"),
    [(10, 64, 10), (64, 64, 64), (130, 64, 128), (10**6, 100, MOST_IMAGES // 100 * 100)],
)
def test_statistics_are_of_whole_batches(images: int, batch: int, count: int) -> None:
    rows: Any = statistics_rows(Rows(images), batch)  # type: ignore[arg-type]
    assert len(rows) == len(set(rows.tolist())) == count
    assert (rows[0], rows[-1]) == (0, images - 1)


WAYS: dict[str, dict[str, str]] = {
    "lp-ft": {"training.head_epochs": "1", "training.batch_norm": "frozen"},
    "gradual": {"training.unfreeze": "gradual", "training.freeze": "stem"},
    "statistics": {"training.batch_norm": "reestimate", "training.head_lr": "3"},
}


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("tricks", [(), (Ema(),)])
def test_a_run_that_is_resumed_is_the_same(
    pictures: Path, weights: Path, tmp_path: Path, way: str, tricks: tuple[Trick, ...]
) -> None:
    recipe = tuned(pictures, weights, *tricks, **WAYS[way])
    uninterrupted = fit(recipe, 0, tmp_path / "run")
    for epochs in (1, 2):
        # A copy of the folder as it was after an epoch.
        folder = tmp_path / f"after-{epochs}"
        stop_after(recipe, folder, epochs)
        resumed = fit(recipe, 0, folder, resume=True)
        assert resumed.metrics["top1"] == uninterrupted.metrics["top1"]
        first, second = (load_file(f / "best.safetensors") for f in (tmp_path / "run", folder))
        assert all(torch.equal(first[name], second[name]) for name in first)


def stop_after(recipe: Recipe, folder: Path, epochs: int) -> None:
    """Train some epochs of a run, and stop as a signal would in the next."""
    import signal

    from trickbag.errors import Stopped
    from trickbag.train.folder.log import RunLog

    class Stopping(RunLog):
        seen = 0

        def epoch(self, row: dict[str, Any]) -> None:
            self.seen += 1
            if self.seen == epochs:
                signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Stopped):
        fit(recipe, 0, folder, log=Stopping())


@pytest.mark.slow
def test_notes_and_plan_say_what_is_trained(pictures: Path, weights: Path, tmp_path: Path) -> None:
    recipe = tuned(pictures, weights, **{"training.freeze": "body"})
    fit(recipe, 0, tmp_path / "run")
    stored = json.loads((tmp_path / "run" / "recipe.json").read_text())
    assert stored["resolved"]["training"]["freeze"] == "body"
    texts = json.loads((tmp_path / "run" / "result.json").read_text())["warnings"]
    assert any("parameters are trained" in text for text in texts)


def test_the_average_of_a_frozen_part_does_not_drift() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(50, 50), nn.BatchNorm1d(50))
    average = Ema(decay=0.9).average(network)
    before = copy.deepcopy(network.state_dict())
    for step in range(50):
        average.update(step)
    after = average.network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
