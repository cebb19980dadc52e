"""Several processes that train one run: the steps of one process, and one end for all."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.builders.marks import long
from tests.builders.recipes import tiny_recipe, train_arguments
from tests.builders.runs import assert_same_run
from tests.train.machine.parallel_steps import SCENARIOS, steps
from tests.train.processes import ROOT, end, start
from tests.train.test_step import raw_batch
from trickbag.data.loading.loader import share_of
from trickbag.data.loading.raw_batch import RawBatch
from trickbag.errors import UserError
from trickbag.locks import locked_folder
from trickbag.train.fit import fit
from trickbag.train.machine.parallel import ProcessWorld, World, process_world


@pytest.mark.parametrize(("n", "size"), [(7, 3), (8, 2), (2, 4), (0, 2)])
def test_shares_are_all_rows_once(n: int, size: int) -> None:
    shares = [list(range(n))[share_of(n, rank, size)] for rank in range(size)]
    assert [row for share in shares for row in share] == list(range(n))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.fixture(scope="module")
def two(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of two processes that ran `parallel_steps.py`."""
    out = tmp_path_factory.mktemp("two")
    codes, errors = end(
        start(2, ["-m", "tests.train.machine.parallel_steps", str(pictures), str(out)])
    )
    assert codes == [0, 0], errors
    return out


@pytest.mark.slow
@pytest.mark.parametrize("scenario", list(SCENARIOS))
def test_steps_of_two_processes_are_those_of_one(pictures: Path, two: Path, scenario: str) -> None:
    # A network without BatchNorm, an odd batch, images that could not be read, partners in the
    # other's rows, clipping.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        (one_part, totals), (two_parts, sums) = (
            steps(pictures, scenario, World(), accumulate) for accumulate in (1, 2)
        )
    finally:
        torch.set_num_threads(threads)
    states = [torch.load(two / f"{scenario}-{rank}.pt") for rank in range(2)]
    assert states[0]["totals"] == states[1]["totals"]
    if scenario != "synchronised":
        assert states[0]["totals"] == pytest.approx(list(sums), rel=1e-5)
    expected, accumulated = (
        dict(one_part.network.named_parameters()),
        dict(two_parts.network.named_parameters()),
    )
    for name, value in states[0]["network"].items():
        assert torch.equal(value, states[1]["network"][name]), name
        # The same parts, added in the same order.
        if scenario != "synchronised":
            assert torch.equal(value, accumulated[name]), name
    if scenario == "dropping":  # layers draw for each part
        return
    assert states[0]["totals"] == pytest.approx(list(totals), rel=1e-5)
    for name, value in states[0]["network"].items():
        torch.testing.assert_close(value, expected[name], rtol=1e-3, atol=1e-5)
    if scenario != "synchronised":
        return
    # What the first process saves is the statistics of all rows, as all processes have them.
    for name, value in dict(one_part.network.named_buffers()).items():
        torch.testing.assert_close(states[0]["buffers"][name], value, rtol=1e-4, atol=1e-6)
        assert torch.equal(states[0]["buffers"][name], states[1]["buffers"][name]), name


@pytest.mark.slow
def test_collectives_and_errors_reach_all_processes(two: Path) -> None:
    results = [json.loads((two / f"received-{rank}.json").read_text()) for rank in range(2)]
    assert [received["first"] for received in results] == [True, False]
    for received in results:
        assert received["status"] == [7, "SIGTERM", True, 2]
        assert received["broadcast"] == {"rank": 0}
        assert received["tensor"] == [[0.0] * 3] * 2
        assert received["kind"] == "DoesNotApply"
        assert received["reason"] == "the second process has no slot"
        assert received["way_out"] == "Take it out"
    assert [received["elsewhere"] for received in results] == [True, False]


def test_collectives_of_one_process_do_nothing() -> None:
    world = World()
    assert (world.is_main, world.size, world.rows(5)) == (True, 1, slice(0, 5))
    assert world.all_gather({"a": 1}) == [{"a": 1}]


def test_a_script_under_torchrun_without_a_process_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    with pytest.raises(
        UserError,
        match=r"one of 2 processes .* call torch.distributed.init_process_group\(\) first",
    ):
        process_world().__enter__()


def test_more_processes_than_images_of_a_batch(pictures: Path) -> None:
    from trickbag.data.dataset import prepare
    from trickbag.train.plan.resolve import resolve

    recipe = tiny_recipe(pictures, training__accumulate="2")
    with pytest.raises(
        UserError,
        match=r"5 processes cannot share a batch of 8 images in 2 parts each .*--batch-size",
    ):
        resolve(recipe, prepare(recipe.data), 0, processes=5)


def command(source: Path, out: Path, *more: str) -> list[str]:
    return ["-m", "trickbag", *train_arguments(source, out), "--seed", "3", "--resume", *more]


def run_torch(arguments_: list[str]) -> subprocess.CompletedProcess[str]:
    starter = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    return subprocess.run(
        [*starter, *arguments_], capture_output=True, text=True, check=False, cwd=ROOT
    )


@pytest.fixture(scope="module")
def reference(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two processes that `torchrun` started, which nothing stopped."""
    out = tmp_path_factory.mktemp("reference") / "run"
    codes, errors = end(start(2, command(pictures, out)))
    assert (codes, errors) == ([0, 0], [])
    return out


def wait_for(path: Path, processes: list[subprocess.Popen[str]]) -> None:
    while not path.exists() and all(process.poll() is None for process in processes):
        time.sleep(0.002)


@pytest.mark.gpu
class TestDevices:
    def test_exchanges_between_devices(self) -> None:
        from torch import distributed

        distributed.init_process_group(
            "cpu:gloo,cuda:nccl", store=distributed.HashStore(), rank=0, world_size=1
        )
        try:
            world = ProcessWorld()
            world.compute_on("cuda")
            network = torch.nn.Linear(3, 2).cuda()
            network(torch.ones(4, 3, device="cuda")).sum().backward()
            before = [parameter.grad.clone() for parameter in network.parameters()]
            world.all_reduce_gradients(network)
            assert all(
                torch.equal(p.grad, g) for p, g in zip(network.parameters(), before, strict=True)
            )
            raw = RawBatch(*(tensor.cuda() for tensor in raw_batch(5)))
            assert all(
                torch.equal(rows, expected)
                for rows, expected in zip(world.all_gather_rows(raw, 5), raw, strict=True)
            )
            world.broadcast_tensors(network.parameters())
            world.close()
        finally:
            distributed.destroy_process_group()

    @pytest.mark.parametrize("count", [2, 4, 8])
    def test_the_weights_are_those_of_as_many_parts(
        self, pictures: Path, tmp_path: Path, count: int
    ) -> None:
        if torch.cuda.device_count() < count:
            pytest.skip(f"there are fewer than {count} CUDA devices")
        changes = [
            "--set",
            "training.device=cuda",
            "--set",
            "training.compile=off",
            "--without",
            "mixed_precision",
        ]
        codes, errors = end(start(count, command(pictures, tmp_path / "run", *changes)))
        assert codes == [0] * count, errors
        recipe = tiny_recipe(
            pictures,
            training__accumulate=str(count),
            training__device="cuda",
            training__compile="off",
        )
        fit(recipe.without("mixed_precision"), seed=3, out=tmp_path / "parts")
        weights, expected = (
            torch.load(tmp_path / name / "last.ckpt", weights_only=True)["network"]
            for name in ("run", "parts")
        )
        for name, value in expected.items():
            if "running" not in name and "tracked" not in name:
                torch.testing.assert_close(weights[name], value, rtol=1e-2, atol=1e-3)


@pytest.mark.slow
class TestRuns:
    def test_the_weights_are_those_of_as_many_parts(
        self, pictures: Path, reference: Path, tmp_path: Path
    ) -> None:
        # Parts of a batch, too, have BatchNorm's statistics of their own.
        fit(tiny_recipe(pictures, training__accumulate="2"), seed=3, out=tmp_path / "parts")
        weights, expected = (
            torch.load(folder / "last.ckpt", weights_only=True)["network"]
            for folder in (reference, tmp_path / "parts")
        )
        for name, value in expected.items():
            if "running" not in name and "tracked" not in name:
                assert torch.equal(weights[name], value), name
        lines = [
            [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
            for folder in (reference, tmp_path / "parts")
        ]
        for line, expected in zip(*lines, strict=True):
            for key in ("train_loss", "train_top1"):
                assert line[key] == pytest.approx(expected[key], rel=1e-12)

    @pytest.mark.parametrize("policy", ["frozen", "reestimate"])
    def test_what_is_fitted_and_estimated_is_that_of_one_process(
        self, pictures: Path, reference: Path, tmp_path: Path, policy: str
    ) -> None:
        settings = {
            "init": str(reference),
            "init_head": "new",
            "fit_head": "true",
            "head_epochs": "1",
            "freeze": "stem",
            "batch_norm": policy,
        }
        options = [f"training.{name}={value}" for name, value in settings.items()]
        more = [text for option in options for text in ("--set", option)]
        codes, errors = end(start(2, command(pictures, tmp_path / "run", *more)))
        assert (codes, errors) == ([0, 0], [])
        settings["accumulate"] = "2"
        recipe = tiny_recipe(pictures, **{f"training__{n}": v for n, v in settings.items()})
        fit(recipe, seed=3, out=tmp_path / "parts")
        weights, expected = (
            load_file(tmp_path / name / "best.safetensors") for name in ("run", "parts")
        )
        for name, value in expected.items():
            assert torch.equal(weights[name], value), name

    def test_metrics_count_each_image_once(self, pictures: Path, reference: Path) -> None:
        from trickbag.evaluate import Trained, evaluate

        with (reference / "predictions.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert len({row["image"] for row in rows}) == len(rows) == 12
        result = json.loads((reference / "result.json").read_text())["metrics"]
        right = sum(row["label"] == row["predicted"] for row in rows)
        assert result["top1"] == 100 * right / 12
        lines = [
            json.loads(line) for line in (reference / "metrics.jsonl").read_text().splitlines()
        ]
        best = next(line for line in lines if line["epoch"] == result["best_epoch"])
        alone = evaluate(Trained.load(reference, "cpu")).metrics
        assert alone["top1"] == best["top1"]
        assert alone["loss"] == pytest.approx(best["loss"], rel=1e-5)
        # The temperature is fitted to the logits of all processes.
        assert Trained.load(reference, "cpu").temperature is not None
        assert alone["calibrated_loss"] == pytest.approx(result["calibrated_loss"], rel=1e-4)
        assert json.loads((reference / "recipe.json").read_text())["resolved"]["processes"] == 2

    @pytest.mark.parametrize("rank", [long(0), 1])
    def test_a_signal_to_one_stops_all(
        self, pictures: Path, reference: Path, tmp_path: Path, rank: int
    ) -> None:
        out = tmp_path / "run"
        processes = start(2, command(pictures, out))
        wait_for(out / "last.ckpt", processes)
        processes[rank].send_signal(signal.SIGTERM)
        codes, errors = end(processes)
        assert codes == [75, 75], errors
        assert len(errors) == 1
        assert "stopped by SIGTERM after step" in errors[0]
        assert not (out / "result.json").exists()
        codes, errors = end(start(2, command(pictures, out)))
        assert (codes, errors) == ([0, 0], [])
        assert_same_run(out, reference)

    @pytest.mark.parametrize("rank", [0, long(1)])
    def test_one_that_is_killed_ends_all(
        self, pictures: Path, reference: Path, tmp_path: Path, rank: int
    ) -> None:
        out = tmp_path / "run"
        processes = start(2, command(pictures, out))
        wait_for(out / "last.ckpt", processes)
        processes[rank].kill()
        codes, errors = end(processes, timeout_s=60)
        assert codes[rank] == -signal.SIGKILL
        assert codes[1 - rank] == 1, errors
        assert [line for line in errors if line.startswith("trickbag train: ")] == errors[-1:]
        assert "another process of the run has ended" in errors[-1]
        codes, errors = end(start(2, command(pictures, out)))
        assert (codes, errors) == ([0, 0], [])
        assert_same_run(out, reference)

    @pytest.mark.parametrize(
        ("more", "code", "message"),
        [
            (
                ["--set", "training.lr=1e30", "--without", "warmup"],
                1,
                "the loss is not finite at step",
            ),
            (
                ["--batch-size", "1"],
                2,
                "2 processes cannot share a batch of 1 images; start fewer of them",
            ),
            (["--without", "nothing"], 2, "no trick 'nothing' in the recipe small"),
        ],
    )
    def test_one_error_is_reported(
        self, pictures: Path, tmp_path: Path, more: list[str], code: int, message: str
    ) -> None:
        codes, errors = end(start(2, command(pictures, tmp_path / "run", *more)))
        assert codes == [code, code], errors
        assert len(errors) == 1
        assert message in errors[0]

    def test_a_folder_in_use_is_refused_once(self, pictures: Path, tmp_path: Path) -> None:
        with locked_folder(tmp_path / "run", lambda _: None):
            codes, errors = end(start(2, command(pictures, tmp_path / "run")))
        assert codes == [2, 2], errors
        assert len(errors) == 1
        assert f"process {os.getpid()} on " in errors[0]

    def test_under_torchrun(self, pictures: Path, reference: Path, tmp_path: Path) -> None:
        done = run_torch(command(pictures, tmp_path / "run"))
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("report: ") == 1
        assert_same_run(tmp_path / "run", reference)
