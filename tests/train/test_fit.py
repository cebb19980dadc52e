from __future__ import annotations

import csv
import json
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.builders.recipes import tiny_recipe
from tests.builders.runs import assert_same_run
from trickbag.errors import RunFailed, Stopped, UserError
from trickbag.train.fit import fit
from trickbag.train.folder.caller import COMMAND_LINE, PYTHON
from trickbag.train.folder.log import RunLog


class SignalAt(RunLog):
    """Sends this process a signal after some steps, counted from the start of the call."""

    def __init__(self, steps: int, number: signal.Signals) -> None:
        self.left, self.number = steps, number

    def due(self) -> bool:
        self.left -= 1
        return self.left == 0

    def step(self, epoch: int, step: int, loss: float, top1: float | None, images: int) -> None:
        signal.raise_signal(self.number)


class SignalInValidation(RunLog):
    """Sends SIGTERM when the second epoch's line is shown, so that the third starts with it."""

    def epoch(self, row: dict[str, Any]) -> None:
        if row["epoch"] == 2:
            signal.raise_signal(signal.SIGTERM)


@pytest.fixture(scope="module")
def reference(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("reference") / "run"
    fit(tiny_recipe(pictures), seed=3, out=out)
    return out


def test_a_run_leaves_what_the_contract_says(reference: Path) -> None:
    names = {path.name for path in reference.iterdir() if not path.name.startswith("events.")}
    result = json.loads((reference / "result.json").read_text())
    # Which epoch is the best depends on the processor.
    of_last = {"last.safetensors"} if result["metrics"]["best_epoch"] < 4 else set()
    assert names == of_last | {
        "recipe.json",
        "environment.json",
        "metrics.jsonl",
        "last.ckpt",
        "best.safetensors",
        "result.json",
        "predictions.csv",
        "image_scores.npz",
        "data_errors.csv",
    }
    assert len(list(reference.glob("events.*"))) == 1
    assert list(result) == [
        "schema",
        "trial",
        "label",
        "seed",
        "metrics",
        "warnings",
        "environment",
        "data_errors",
        "error",
        "notes",
        "status",
        "weights",
        "classes",
        "intervals",
        "calibration",
    ]
    lines = [json.loads(line) for line in (reference / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3, 4]
    metrics = result["metrics"]
    assert metrics["top1"] == lines[metrics["epoch"] - 1]["top1"]
    assert metrics["last_top1"] == lines[-1]["top1"]
    assert metrics["best_top1"] == max(line["top1"] for line in lines)
    assert lines[metrics["best_epoch"] - 1]["top1"] == metrics["best_top1"]
    assert metrics["top5"] is None  # of three classes
    assert lines[-1]["train_loss"] < lines[0]["train_loss"]
    assert str(reference) not in (reference / "result.json").read_text()
    with (reference / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12
    assert 100 * sum(row["label"] == row["predicted"] for row in rows) / len(rows) == pytest.approx(
        metrics["top1"]
    )


def test_same_seed_same_bits(pictures: Path, reference: Path, tmp_path: Path) -> None:
    fit(tiny_recipe(pictures), seed=3, out=tmp_path / "again")
    assert_same_run(tmp_path / "again", reference)


def test_a_run_leaves_the_callers_threads_and_random_state(pictures: Path, tmp_path: Path) -> None:
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    fit(tiny_recipe(pictures, epochs=1, training__threads=str(threads + 1)), out=tmp_path / "run")
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("kind", "holds"),
    [
        # The reference has no workers, and holds its images.
        ("threads", "false"),
        pytest.param("threads", "true", marks=pytest.mark.slow),
        pytest.param("processes", "false", marks=pytest.mark.slow),
    ],
)
def test_how_images_are_read_changes_nothing(
    pictures: Path, reference: Path, tmp_path: Path, kind: str, holds: str
) -> None:
    reading = {"data__workers": "2", "data__worker_kind": kind, "data__hold_images": holds}
    fit(tiny_recipe(pictures, **reading), seed=3, out=tmp_path / "run")
    recipes = [
        json.loads((run / "recipe.json").read_text()) for run in (reference, tmp_path / "run")
    ]
    assert recipes[0]["resolved"]["data"]["hold_images"] is True
    assert recipes[1]["resolved"]["data"]["hold_images"] is (holds == "true")
    assert recipes[1]["resolved"]["data"]["worker_kind"] == kind
    for name in ("best.safetensors", "predictions.csv"):
        assert (tmp_path / "run" / name).read_bytes() == (reference / name).read_bytes()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("steps", [1, 6, 9])
def test_stopped_and_resumed_is_the_run_that_was_never_stopped(
    pictures: Path, reference: Path, tmp_path: Path, number: signal.Signals, steps: int
) -> None:
    out = tmp_path / "run"
    handlers = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with pytest.raises(Stopped, match=f"stopped by {number.name} after step") as stopped:
        fit(tiny_recipe(pictures), seed=3, out=out, log=SignalAt(steps, number))
    assert (stopped.value.exit_code, stopped.value.signal) == (75, number.name)
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == handlers
    assert not (out / "result.json").exists()
    fit(tiny_recipe(pictures), seed=3, out=out, resume=True)
    assert_same_run(out, reference)


def test_stopped_in_the_validation(pictures: Path, reference: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(Stopped):
        fit(tiny_recipe(pictures), seed=3, out=out, log=SignalInValidation())
    fit(tiny_recipe(pictures), seed=3, out=out, resume=True)
    assert_same_run(out, reference)


def test_stopped_many_times(pictures: Path, reference: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    for _ in range(40):
        try:
            fit(
                tiny_recipe(pictures), seed=3, out=out, resume=True, log=SignalAt(3, signal.SIGTERM)
            )
            break
        except Stopped:
            continue
    assert_same_run(out, reference)


def test_a_finished_run_is_left_as_it_is(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    first = fit(tiny_recipe(pictures, epochs=1), out=out)
    before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in out.iterdir()}
    again = fit(tiny_recipe(pictures, epochs=1), out=out, resume=True)
    assert again == first
    assert {
        path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in out.iterdir()
    } == before


def test_metrics_are_cut_back_to_the_checkpoint(
    pictures: Path, reference: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    with pytest.raises(Stopped):
        fit(tiny_recipe(pictures), seed=3, out=out, log=SignalAt(9, signal.SIGTERM))
    with (out / "metrics.jsonl").open("a") as file:
        file.write(
            '{"epoch": 2, "top1": 1.0}\n{"epoch": 3, "to'
        )  # as a crash between two files, and one in a write
    fit(tiny_recipe(pictures), seed=3, out=out, resume=True)
    assert_same_run(out, reference)


def test_another_trial_is_refused_and_named(
    pictures: Path, reference: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="already holds a run"):
        fit(tiny_recipe(pictures), seed=3, out=reference)
    with pytest.raises(UserError, match=r"holds another trial; these differ: seed \(4, not 3\)"):
        fit(tiny_recipe(pictures), seed=4, out=reference, resume=True)
    with pytest.raises(UserError, match=r"recipe.training.lr \(0.2, not 0.4\)"):
        fit(tiny_recipe(pictures, training__lr="0.2"), seed=3, out=reference, resume=True)
    from tests.builders.images import shape_folder

    with pytest.raises(UserError, match="data \\("):
        fit(tiny_recipe(shape_folder(tmp_path / "other", 19)), seed=3, out=reference, resume=True)


def test_the_same_data_in_another_place_is_the_same_trial(
    pictures: Path, reference: Path, tmp_path: Path
) -> None:
    import shutil

    moved = shutil.copytree(pictures, tmp_path / "moved")
    result = fit(tiny_recipe(moved), seed=3, out=reference, resume=True)
    assert result.trial == json.loads((reference / "result.json").read_text())["trial"]


def test_a_loss_that_is_not_finite_stops_the_run(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    wild = tiny_recipe(pictures, training__lr="1e30").without("warmup")
    with pytest.raises(
        RunFailed,
        match=r"not finite at step \d+ of 24 \(epoch 1, learning rate .*no checkpoint yet",
    ) as error:
        fit(wild, out=out)
    assert error.value.exit_code == 1
    result = json.loads((out / "result.json").read_text())
    assert "not finite" in result["error"]
    assert result["metrics"] == {}


def test_the_last_good_checkpoint_is_named(pictures: Path, tmp_path: Path) -> None:
    # The learning rate explodes in the third epoch.
    out = tmp_path / "run"
    late = tiny_recipe(pictures).without("cosine_decay", "warmup")
    late = late.set("schedule.decay", "exponential:factor=1e20,every_epochs=2")
    with pytest.raises(RunFailed, match=r"epoch 3.*the last good checkpoint is .*last\.ckpt"):
        fit(late, out=out)
    assert torch.load(out / "last.ckpt", weights_only=True)["progress"]["epoch"] == 2


def test_fewer_images_than_the_batch(pictures: Path, tmp_path: Path) -> None:
    result = fit(tiny_recipe(pictures, epochs=1, training__batch_size="500"), out=tmp_path / "run")
    assert any("the batch is the whole set" in text for text in result.warnings)
    assert json.loads((tmp_path / "run" / "metrics.jsonl").read_text())["step"] == 1


def test_a_damaged_checkpoint_is_named(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(Stopped):
        fit(tiny_recipe(pictures), out=out, log=SignalAt(2, signal.SIGTERM))
    data = (out / "last.ckpt").read_bytes()
    (out / "last.ckpt").write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match=r"the checkpoint .*last\.ckpt is damaged"):
        fit(tiny_recipe(pictures), out=out, resume=True)


@pytest.mark.parametrize("precision", ["bf16", pytest.param("fp16", marks=pytest.mark.slow)])
def test_reduced_precision_trains_with_float32_weights(
    pictures: Path, tmp_path: Path, precision: str
) -> None:
    recipe = tiny_recipe(pictures, epochs=1, tricks__mixed_precision__dtype=precision)
    fit(recipe, out=tmp_path / "run")
    assert (
        json.loads((tmp_path / "run" / "recipe.json").read_text())["resolved"]["precision"]
        == precision
    )
    state = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)
    assert {value.dtype for value in state["network"].values()} == {torch.float32, torch.int64}
    assert bool(state["scaler"]) == (precision == "fp16")


def test_tensorboard_events_can_be_read(reference: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(reference)).Reload()
    assert [event.step for event in events.Scalars("top1")] == [1, 2, 3, 4]


def test_a_full_disk_leaves_the_previous_checkpoint(pictures: Path, tmp_path: Path) -> None:
    import resource

    out = tmp_path / "run"
    with pytest.raises(Stopped):
        fit(tiny_recipe(pictures), out=out, log=SignalAt(7, signal.SIGTERM))
    kept = (out / "last.ckpt").read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(kept) // 2, hard))
        with pytest.raises(
            RunFailed, match=r"cannot write .*last\.ckpt: .*; the previous checkpoint is intact"
        ):
            fit(tiny_recipe(pictures), out=out, resume=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert (out / "last.ckpt").read_bytes() == kept
    assert not [path for path in out.iterdir() if path.name.endswith(".tmp")]
    fit(tiny_recipe(pictures), out=out, resume=True)
    assert (out / "result.json").exists()


def test_plans_are_reused_on_resume(pictures: Path, tmp_path: Path) -> None:
    # A run that began with one thread goes on with one, whatever this process would choose.
    out = tmp_path / "run"
    first = tiny_recipe(pictures)
    first = first.replace(training=replace(first.training, threads=None))
    before = torch.get_num_threads()
    with pytest.raises(Stopped):
        fit(first, out=out, log=SignalAt(2, signal.SIGTERM))
    stored = json.loads((out / "recipe.json").read_text())["resolved"]["threads"]
    torch.set_num_threads(stored + 1)
    try:
        fit(first, out=out, resume=True)
        assert json.loads((out / "recipe.json").read_text())["resolved"]["threads"] == stored
    finally:
        torch.set_num_threads(before)


def test_bad_files_of_a_source_too_large_to_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.builders.images import shape_folder

    source = shape_folder(tmp_path / "shapes", 20)
    for kind in ("circle", "cross"):
        (source / kind / "003.png").write_bytes(b"no image")
    monkeypatch.setattr("trickbag.data.dataset.CHECK_LIMIT", 10)
    recipe = tiny_recipe(source, epochs=2)
    result = fit(recipe, out=tmp_path / "whole")
    assert sorted(error["file"] for error in result.data_errors) == [
        "circle/003.png",
        "cross/003.png",
    ]
    assert (tmp_path / "whole" / "data_errors.csv").read_text().count("\n") == 3
    with pytest.raises(Stopped):
        fit(recipe, out=tmp_path / "stopped", log=SignalAt(8, signal.SIGTERM))
    fit(recipe, out=tmp_path / "stopped", resume=True)
    assert_same_run(tmp_path / "stopped", tmp_path / "whole")
    strict = recipe.set("data.max_bad_fraction", "0.01")
    with pytest.raises(RunFailed, match=r"2 of 48 images .* are bad"):
        fit(strict, out=tmp_path / "strict")


def test_ctrl_c_while_files_are_checked(pictures: Path, tmp_path: Path) -> None:
    class Early(RunLog):
        def checking(self, done: int, total: int) -> None:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(
        Stopped, match="before the first step; the same call with resume=True starts"
    ):
        fit(tiny_recipe(pictures), out=tmp_path / "run", log=Early())


def test_wrong_input_leaves_no_folder_behind(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--without resnet_d"):
        fit(tiny_recipe(pictures, model="timm:resnet10t"), out=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_messages_name_the_call_in_python_or_the_options(
    pictures: Path, reference: Path, tmp_path: Path
) -> None:
    recipe = tiny_recipe(pictures)
    for caller, message in {
        PYTHON: r"add resume=True to continue it, or choose another out$",
        COMMAND_LINE: r"add --resume to continue it, or choose another --out$",
    }.items():
        with pytest.raises(UserError, match=message):
            fit(recipe, seed=3, out=reference, caller=caller)
    for caller, message in {
        PYTHON: r"these differ: seed \(4, not 3\); choose another out$",
        COMMAND_LINE: r"these differ: seed \(4, not 3\); choose another --out$",
    }.items():
        with pytest.raises(UserError, match=message):
            fit(recipe, seed=4, out=reference, resume=True, caller=caller)
    out = tmp_path / "run"
    for caller, way_out in {
        PYTHON: f"continue with tb.fit(..., out={str(out)!r}, resume=True)",
        COMMAND_LINE: f"continue with --resume --out {out}",
    }.items():
        with pytest.raises(Stopped) as stopped:
            fit(
                recipe,
                out=out,
                resume=True,
                log=SignalAt(2, signal.SIGTERM),
                caller=caller,
            )
        assert stopped.value.way_out == way_out
    (out / "last.ckpt").write_bytes(b"damaged")
    with pytest.raises(UserError, match=r"start again in another out$"):
        fit(recipe, out=out, resume=True)


def test_progress_is_shown_on_stderr_unless_a_log_is_given(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tiny_recipe(pictures, epochs=1)
    fit(recipe, out=tmp_path / "shown")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "epoch 1/1  loss" in captured.err
    assert "note: the stem is" in captured.err
    fit(recipe, out=tmp_path / "quiet", log=RunLog())
    assert capsys.readouterr() == ("", "")
