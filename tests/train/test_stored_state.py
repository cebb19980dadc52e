"""Checkpoints whose parts are missing or of another type: one line that names file and part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch

from tests.builders.plain_data import OTHER_VALUES, with_value
from tests.builders.recipes import tiny_recipe
from tests.builders.runs import built
from trickbag.data.dataset import prepare
from trickbag.errors import UserError
from trickbag.recipe import trick_from_text
from trickbag.train import checkpoint
from trickbag.train.checkpoint import Progress
from trickbag.train.folder.run_folder import RunFolder
from trickbag.train.run import BatchDivision, Run
from trickbag.train.stored_state import require_state

if TYPE_CHECKING:
    from pathlib import Path

VALUES = {**OTHER_VALUES, "tensor": torch.zeros(2), "tensors": [torch.zeros(1)]}


@pytest.fixture(scope="module")
def run(pictures: Path) -> Run:
    """A run with an average and Adam's state, before its first step."""
    recipe = tiny_recipe(pictures, training__optimizer="adamw").plus(trick_from_text("ema"))
    run = built(recipe, prepare(recipe.data))[0]
    for parameter in run.network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    run.optimizer.step()
    run.divisions = (BatchDivision(0, 2),)
    return run


@pytest.fixture(scope="module")
def state(run: Run, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    file = tmp_path_factory.mktemp("checkpoint") / "last.ckpt"
    checkpoint.save(file, run, Progress.start(run.device), "trial")
    stored: dict[str, Any] = torch.load(file, weights_only=True)
    # As if it had been written before checkpoints had a checksum: no damage hides the parts.
    del stored["has_checksum"]
    return stored


def places(state: dict[str, Any]) -> list[tuple[Any, ...]]:
    group = state["optimizer"]["param_groups"][0]
    return [
        *((key,) for key in state if key != "scaler"),
        *((part, name) for part in ("network", "average") for name in [*state[part]][:2]),
        *(("progress", name) for name in state["progress"]),
        *(("optimizer", name) for name in state["optimizer"]),
        ("optimizer", "param_groups", 0),
        *(("optimizer", "param_groups", 0, name) for name in group),
        ("optimizer", "state", 0),
        *(("optimizer", "state", 0, name) for name in state["optimizer"]["state"][0]),
    ]


def test_any_part_of_another_type(run: Run, state: dict[str, Any]) -> None:
    refused = set()
    cases = [(path, name) for path in places(state) for name in VALUES]
    for path, name in cases:
        changed = with_value(state, path, VALUES[name])
        try:
            require_state(changed, run)
        except UserError as error:
            message = str(error)
            if "\n" not in message and str(path[0]) in message:
                refused.add((path, name))
    # The file's own schema and trial come before this check.
    of_parts = {case for case in cases if case[0][0] not in ("schema", "trial")}
    assert {case for case in of_parts if case[1] in ("tensor", "tensors", "object")} <= refused
    # What is taken goes on.
    taken = {case for case in of_parts - refused if case[0][0] == "optimizer"}
    for path, name in sorted(taken, key=str):
        checkpoint.load_state(with_value(state, path, VALUES[name]), run)
        run.optimizer.step()
    checkpoint.load_state(state, run)


@pytest.mark.parametrize(
    "divisions", [[[0, 1]], [[3, 2], [1, 4]], [[0, 4], [1, 2]], [[0, 10**6]], [[-1, 2]], [[0]], [2]]
)
def test_parts_of_a_batch_that_no_run_has(
    run: Run, state: dict[str, Any], divisions: list[Any]
) -> None:
    with pytest.raises(UserError, match=r"divisions = .* must be pairs of a step and the parts"):
        require_state(with_value(state, ("divisions",), divisions), run)
    require_state(with_value(state, ("divisions",), [[0, 2], [1, 8]]), run)


@pytest.mark.parametrize("path", [("schema",), ("trial",), ("progress", "epoch"), ("optimizer",)])
def test_the_error_names_the_file_and_the_way_out(
    run: Run, state: dict[str, Any], tmp_path: Path, path: tuple[str, ...]
) -> None:
    file = tmp_path / "last.ckpt"
    torch.save(with_value(state, path, torch.zeros(2)), file)
    with pytest.raises(UserError) as error:
        checkpoint.restore(file, run, "trial", way_out="start again")
    assert str(file) in error.value.reason
    assert error.value.way_out == "start again"


def test_the_state_of_a_run_is_its_own(run: Run, state: dict[str, Any], tmp_path: Path) -> None:
    torch.save(state, tmp_path / "last.ckpt")
    progress = checkpoint.restore(tmp_path / "last.ckpt", run, "trial", way_out="")
    assert (progress.epoch, progress.step) == (0, 0)


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (['{"epoch": 1, "time_s": 1}'], "epoch 1 has no number train_throughput"),
        (['{"epoch": 1, "time_s": null, "train_throughput": 1}'], "epoch 1 has no number time_s"),
        (['{"epoch": 2, "time_s": 1, "train_throughput": 1}'], "epoch = 2: must be 1"),
        (['{"epoch": 1, "time_s": "x", "train_throughput": 1}'], "time_s = 'x'"),
        (["[1]"], "must be a JSON object"),
        (["[" * 1500], "line 1 is damaged"),
        (['{"epoch": true}'], "epoch = True"),
    ],
)
def test_lines_that_a_run_cannot_go_on_with(tmp_path: Path, lines: list[str], says: str) -> None:
    folder = RunFolder(tmp_path)
    folder.metrics.write_text("\n".join(lines))
    with pytest.raises(UserError, match=r"metrics\.jsonl") as error:
        folder.read_metrics(1, ("train_throughput", "time_s"))
    assert says in str(error.value)
