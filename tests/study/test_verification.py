"""`verify`: a stated result that comes out again, one that does not, and what cannot be tried."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from trickbag.cli import main
from trickbag.data.config import DataConfig
from trickbag.data.dataset import Dataset, prepare
from trickbag.errors import RunFailed, Stopped, UserError
from trickbag.models.weights import weights_digest
from trickbag.recipes import RECIPES
from trickbag.recipes.stated import PUBLISHED, MeasuredResult
from trickbag.study.executors import Machine, Task
from trickbag.study.trial import Trial
from trickbag.study.verification import (
    Verification,
    measured_result,
    require_measured,
    verification_recipe,
    verify,
)
from trickbag.train.folder.result import Result


@dataclass
class FakeRuns:
    """Gives each seed the result of a run, without training."""

    top1: Sequence[float | None]
    error: str | None = None
    stops_at: int = 10**6
    machine: Machine = Machine(workers=1, threads=1)
    trials: list[Trial] = field(default_factory=list)

    def run(self, task: Task, trials: Sequence[Trial]) -> Iterator[Result]:
        for trial in trials:
            if trial.seed == self.stops_at:
                raise Stopped("stopped by SIGTERM", signal="SIGTERM")
            self.trials.append(trial)
            yield Result(
                trial=trial.id,
                label=trial.label,
                seed=trial.seed,
                metrics={"top1": self.top1[trial.seed]},
                error=self.error,
            )


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return prepare(DataConfig())


@pytest.fixture(scope="module")
def stated(digits: Dataset) -> MeasuredResult:
    return measured_result("small", digits, "digits")


def try_again(
    stated: MeasuredResult, digits: Dataset, folder: Path, runs: FakeRuns, seeds: int | None = None
) -> Verification:
    recipe = verification_recipe("small", stated, "digits")
    return verify("small", stated, recipe, digits, executor=runs, folder=folder, seeds=seeds)


def test_the_runs_are_those_that_were_measured(
    stated: MeasuredResult, digits: Dataset, tmp_path: Path
) -> None:
    runs = FakeRuns(stated.values)
    verification = try_again(stated, digits, tmp_path, runs)
    assert verification.holds
    assert verification.mean == pytest.approx(stated.value)
    assert [trial.seed for trial in runs.trials] == [0, 1, 2, 3, 4]
    recipe = runs.trials[0].recipe
    assert (recipe.training.epochs, recipe.training.keep) == (8, "last")
    assert recipe.trick_names == RECIPES["small"]().trick_names
    record = json.loads((tmp_path / "verification.json").read_text())
    assert (record["recipe"], record["holds"]) == ("small", True)
    # A folder of it goes on, one of something else is refused.
    assert try_again(stated, digits, tmp_path, runs).holds
    with pytest.raises(UserError, match="holds the verification of small; choose another --out"):
        verify("baseline", stated, recipe, digits, executor=runs, folder=tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a.txt").write_text("x")
    with pytest.raises(UserError, match="is not empty and holds no verification"):
        try_again(stated, digits, tmp_path / "full", runs)


@pytest.mark.parametrize(
    ("shift", "seeds", "holds"),
    [
        (0.0, 5, True),
        (-0.3, 5, True),
        (-0.6, 5, False),
        (-0.6, 1, True),
        (-1.5, 1, False),
        (-30.0, 5, False),
    ],
)
def test_what_holds(
    stated: MeasuredResult, digits: Dataset, tmp_path: Path, shift: float, seeds: int, holds: bool
) -> None:
    runs = FakeRuns([stated.value + shift] * 5)
    assert try_again(stated, digits, tmp_path, runs, seeds).holds == holds
    assert len(runs.trials) == seeds


def test_runs_that_fail_and_runs_that_are_stopped(
    stated: MeasuredResult, digits: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(RunFailed, match="small, seed 0: the loss is not finite"):
        try_again(stated, digits, tmp_path, FakeRuns([None], error="the loss is not finite"))
    with pytest.raises(RunFailed, match="seed 0 has no top1"):
        try_again(stated, digits, tmp_path, FakeRuns([None]))
    with pytest.raises(Stopped, match="2 of 5 runs are finished"):
        try_again(stated, digits, tmp_path, FakeRuns([99.0] * 5, stops_at=2))


def test_other_data_are_not_those_of_the_result(pictures: Path) -> None:
    dataset = prepare(DataConfig(source=str(pictures)))
    with pytest.raises(UserError, match=r"fingerprint .* on digits \(1b09.*imagenette-128 \(4de7"):
        measured_result("small", dataset, str(pictures))


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_papers_figure_is_not_measured_here(name: str) -> None:
    with pytest.raises(
        UserError, match=r"% top1 on (ImageNet|Oxford-IIIT Pets) .*not measured here; to verify it"
    ):
        require_measured(name)


def test_a_result_that_starts_from_weights_needs_them(
    stated: MeasuredResult, tmp_path: Path
) -> None:
    file = tmp_path / "weights.safetensors"
    file.write_bytes(b"x")
    taught = dataclasses.replace(
        stated,
        model="resnet34_d",
        weights="weights.safetensors",
        weights_digest=weights_digest(file),
    )
    with pytest.raises(UserError, match=r"from the weights weights.safetensors; name the file"):
        verification_recipe("finetune", taught, "digits")
    recipe = verification_recipe("finetune", taught, "digits", init=str(file))
    assert (recipe.training.init, recipe.training.pretrained) == (str(file), False)
    assert recipe.network == "resnet34_d"
    other = dataclasses.replace(taught, weights_digest="0")
    with pytest.raises(UserError, match=r"not the weights weights\.safetensors that the result"):
        verification_recipe("finetune", other, "digits", init=str(file))
    with pytest.raises(UserError, match="the result of small starts from no weights"):
        verification_recipe("small", stated, "digits", init=str(file))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["nothing"], "no recipe 'nothing' that ships with a result; there are assemble_e0"),
        (["baseline"], "baseline states 75.87 % top1 on ImageNet after 120 epochs"),
        (["finetune"], "finetune on digits starts from the weights"),
        (["small", "--seeds", "0"], "--seeds = 0: must be a whole number at least 1, at most 5"),
        (["small", "--seeds", "6"], "--seeds = 6: must be a whole number at least 1, at most 5"),
        (["small", "--workers", "x"], "--workers = 'x'"),
        (["small", "--device", "tpu"], "--device = 'tpu'"),
        (["small", "--data", "nowhere"], "nowhere"),
    ],
)
def test_wrong_input(
    arguments: list[str], text: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["verify", *arguments, "--out", str(tmp_path / "out")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("trickbag verify: ")
    assert text in line
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.long
def test_small_holds_with_one_seed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["verify", "small", "--seeds", "1", "--json", "--out", str(tmp_path / "out")]
    assert main(arguments) == 0
    first = json.loads(capsys.readouterr().out)
    assert first["holds"]
    assert first["low"] <= first["values"][0] <= first["high"]
    # Nothing trains again.
    assert main(arguments) == 0
    assert json.loads(capsys.readouterr().out) == first
