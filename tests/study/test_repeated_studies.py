"""The same study command goes on whatever its options: it plans the same trials again."""

from __future__ import annotations

from pathlib import Path

import pytest

from trickbag.cli import _parser, main
from trickbag.cli.executor_options import executor_from
from trickbag.cli.study_options import study_from
from trickbag.study.folder import StudyFolder
from trickbag.study.log import StudyLog
from trickbag.study.prepare import PreparedStudy
from trickbag.train.folder.caller import COMMAND_LINE

COMMANDS = [
    [
        "--without",
        "mixup",
        "--tricks",
        "warmup,cutout",
        "--with",
        "cutout:side=0.4",
        "--seeds",
        "2",
    ],
    ["finetune", "--set", "training.pretrained=false", "--set", "training.init=none"],
    ["--design", "cumulative", "--tricks", "mixup,warmup", "--outcome", "loss", "--retries", "0"],
    ["--design", "one-at-a-time", "--tricks", "mixup", "--levels", "mixup.alpha=0.1,0.4"],
    ["--design", "factorial", "--tricks", "mixup,warmup,resnet_d", "--resolution", "3"],
    ["--models", "resnet18,resnet34", "--tricks", "mixup", "--shard", "1/2"],
    ["--model", "resnet18", "--batch-size", "8", "--image-size", "16", "--device", "cpu"],
    [
        "--set",
        "model.kind=mobilenet_v1",
        "--set",
        "model.width_factor=0.5",
        "--without",
        "resnet_d",
    ],
    ["--set", "training.threads=1", "--epochs", "2", "--workers", "1"],
]


def prepared(words: list[str], folder: StudyFolder) -> PreparedStudy:
    args = _parser(["study"]).parse_args(["study", *words])
    return study_from(args).prepare(
        folder, executor_from(args), log=StudyLog(), caller=COMMAND_LINE
    )


@pytest.mark.parametrize(
    "words",
    [COMMANDS[0], *(pytest.param(words, marks=pytest.mark.slow) for words in COMMANDS[1:])],
    ids=" ".join,
)
def test_a_study_command_repeated_plans_the_same_trials(
    pictures: Path, tmp_path: Path, words: list[str]
) -> None:
    folder = StudyFolder(tmp_path / "study")
    words = [*words, "--data", str(pictures), "--out", str(folder.path)]
    # Killed before study.json was written: the lock and half a file are left.
    folder.path.mkdir()
    (folder.path / ".lock").touch()
    (folder.path / ".study.json.abc.tmp").write_text("{")
    first = prepared(words, folder)
    folder.write_study(first.record())
    again = prepared(words, folder)
    assert again.progress.trial_plan.trials.keys() == first.progress.trial_plan.trials.keys()
    assert again.record() == first.record()


def test_seeds_and_a_budget_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", "--seeds", "3", "--budget", "1h"]) == 2
    assert "--seeds and --budget both choose the number of seeds" in capsys.readouterr().err
