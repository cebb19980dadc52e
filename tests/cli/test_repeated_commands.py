"""A command repeated: the same command with --resume goes on, whatever its options."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders.recipes import train_arguments
from tests.builders.runs import assert_same_run
from trickbag import recipes
from trickbag.cli import _parser
from trickbag.cli.train import trial_from
from trickbag.errors import UserError
from trickbag.recipe import Recipe
from trickbag.train.folder.run_folder import RunFolder
from trickbag.train.folder.run_recipe import RunRecipe

OPTIONS: list[list[str]] = [
    ["--without", "mixup"],
    ["--without", "label_smoothing"],
    ["--without", "cosine_decay", "--with", "step_decay:at=0.5"],
    ["--without", "mixup", "--with", "mixup:alpha=0.4", "--with", "cutout"],
    ["--with", "label_smoothing:smoothing=0.2"],
    ["--with", "class_weights:by=given", "--set", "tricks.class_weights.weights=1,2,3"],
    ["--with", "trickbag.tricks.dropout:Dropout"],
    ["--with", "random_erasing:area=0.02,0.1,ratio=0.5,2"],
    ["--set", "training.lr=0.2"],
    ["--set", "tricks.cosine_decay.epochs=none"],
    ["--set", "training.optimizer=adamw:beta1=0.8", "--set", "training.optimizer.beta2=0.9"],
    ["--set", "training.optimizer.kind=rmsprop"],
    ["--set", "schedule.decay=constant"],
    ["--set", "data.policy=random", "--set", "data.policy.bins=5"],
    ["--set", "data.views=2", "--set", "data.policy=random"],
    ["--set", "data.workers=0"],
    ["--set", "training.init=w.safetensors", "--set", "training.pretrained=false"],
    ["--set", "model.kind=mobilenet_v1", "--set", "model.width_factor=0.5"],
    ["--set", "model.width_factor=0.5"],
    ["--set", "model=resnet34", "--set", "model.small_stem=never"],
    ["--data", "photos"],
    ["--image-root", "photos/images"],
    ["--model", "resnet50_d"],
    ["--model", "timm:resnet10t", "--set", "model.dropout=0.1"],
    ["--epochs", "5"],
    ["--image-size", "32"],
    ["--batch-size", "16"],
    ["--seed", "7"],
    ["--init", "w.safetensors"],
    ["--pretrained"],
    ["--device", "cpu"],
]
NAMES = ["", "small", "finetune", "baseline", "{tmp}/mine.yaml", "{tmp}/mine.py:mine"]


@cache
def parser() -> Any:
    return _parser(["train"])


def described(*words: str) -> tuple[Recipe, int]:
    return trial_from(parser().parse_args(["train", *words]))


def write_recipes(folder: Path) -> None:
    data = recipes.small(data="elsewhere").without("warmup").set("training.lr", "0.3").to_dict()
    (folder / "mine.yaml").write_text(json.dumps(data))  # JSON is YAML
    (folder / "mine.py").write_text(
        "from trickbag import recipes\n"
        "def mine():\n"
        "    return recipes.small(data='elsewhere').without('resnet_d')\n"
    )


def begin(folder: Path, recipe: Recipe, seed: int) -> None:
    folder.mkdir()
    RunRecipe.without_plan(recipe, seed).write(RunFolder(folder).recipe)


COMMANDS = given(
    st.sampled_from(NAMES), st.lists(st.sampled_from(OPTIONS), max_size=5, unique_by=tuple)
)


@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@COMMANDS
def test_a_command_repeated_gives_the_same_trial(name: str, drawn: list[list[str]]) -> None:
    check_repeated(name, drawn)


@pytest.mark.slow
@settings(max_examples=250, deadline=None, derandomize=True, database=None)
@COMMANDS
def test_many_commands_repeated_give_the_same_trial(name: str, drawn: list[list[str]]) -> None:
    check_repeated(name, drawn)


def check_repeated(name: str, drawn: list[list[str]]) -> None:
    with tempfile.TemporaryDirectory() as tmp:
        write_recipes(Path(tmp))
        out = Path(tmp) / "run"
        options = [word for option in drawn for word in option]
        words = [*filter(None, [name.format(tmp=tmp)]), *options, "--out", str(out)]
        try:
            recipe, seed = described(*words)
        except (UserError, SystemExit):
            return  # such as a trick that the recipe lacks
        # The same command with --resume starts the run, too.
        assert described(*words, "--resume") == (recipe, seed)
        begin(out, recipe, seed)
        # With its RECIPE and without, with the folder as RECIPE, and with nothing but the folder.
        to_folder = ["--out", str(out)]
        begun = ([str(out)], [f"{out}/recipe.json"])
        alternatives = (to_folder, *([*start, *options, *to_folder] for start in ([], *begun)))
        for repeated in (words, *alternatives):
            again, its_seed = described(*repeated, "--resume")
            assert its_seed == seed
            assert again == recipe


def test_what_makes_it_another_trial_is_not_taken_for_the_same(tmp_path: Path) -> None:
    write_recipes(tmp_path)
    out = tmp_path / "run"
    recipe, seed = described("--without", "mixup", "--epochs", "5", "--seed", "3")
    begin(out, recipe, seed)
    resume = ["--out", str(out), "--resume"]
    for words in (["--epochs", "6"], ["--with", "mixup"], ["finetune"], ["--set", "training.lr=9"]):
        again, _ = described(*words, *resume)
        assert again.identity() != recipe.identity(), words
    assert described("--seed", "4", *resume)[1] == 4
    with pytest.raises(UserError, match="no trick 'mixpu'; did you mean mixup"):
        described("--without", "mixpu", *resume)
    with pytest.raises(UserError, match=r"exclude each other .* --without cosine_decay"):
        described("--with", "step_decay", *resume)


def test_a_recipe_file_that_has_changed_or_gone(tmp_path: Path) -> None:
    write_recipes(tmp_path)
    file, out = tmp_path / "mine.yaml", tmp_path / "run"
    words = [str(file), "--without", "mixup", "--out", str(out)]
    recipe, seed = described(*words)
    begin(out, recipe, seed)
    file.write_text(file.read_text().replace("0.3", "0.35"))
    assert described(*words, "--resume")[0].training.lr == 0.35  # which `fit` refuses, naming it
    for text in (None, "training: {lr: fast}"):
        if text is None:
            file.unlink()
        else:
            file.write_text(text)
        with pytest.raises(UserError, match=r"mine\.yaml.*; leave RECIPE out to go on with the"):
            described(*words, "--resume")
    assert described(*words[1:], "--resume") == (recipe, seed)


def test_a_trick_that_is_defined_in_the_recipe_file(tmp_path: Path) -> None:
    # Its module cannot be imported by name, so that the folder alone is not enough.
    file, out = tmp_path / "with_trick.py", tmp_path / "run"
    file.write_text(
        "from dataclasses import dataclass\n"
        "from trickbag import recipes\n"
        "from trickbag.tricks import Trick\n"
        "@dataclass(frozen=True, kw_only=True)\n"
        "class Calm(Trick):\n"
        "    name, paper = 'calm', 'nobody 2020'\n"
        "def recipe():\n"
        "    return recipes.small().plus(Calm())\n"
    )
    words = [f"{file}:recipe", "--without", "mixup", "--out", str(out)]
    recipe, seed = described(*words)
    begin(out, recipe, seed)
    again, _ = described(*words, "--resume")
    assert (again.to_dict(), again.identity()) == (recipe.to_dict(), recipe.identity())
    with pytest.raises(UserError, match=r"cannot import 'with_trick' .*; give the RECIPE that the"):
        described(*words[1:], "--resume")


def test_a_folder_with_the_name_of_a_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    recipe, seed = described("finetune", "--data", "photos", "--seed", "2")
    begin(Path("small"), recipe, seed)
    assert described("--out", "small", "--resume") == (recipe, seed)


def command(source: Path, out: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "trickbag", *train_arguments(source, out, 3), *more]


@pytest.mark.slow
def test_commands_that_are_killed_and_repeated_end_as_if_they_were_not(
    pictures: Path, tmp_path: Path
) -> None:
    write_recipes(tmp_path)
    rng = random.Random(0)
    drawn = [
        [str(tmp_path / "mine.yaml"), "--without", "mixup", "--seed", "5"],
        ["--without", "mixup", "--with", "cutout", "--with", "label_smoothing:smoothing=0.2"],
        [f"{tmp_path}/mine.py:mine", *OPTIONS[5]],
    ]
    for number, options in enumerate(drawn):
        reference, out = tmp_path / f"reference{number}", tmp_path / f"run{number}"
        start = time.monotonic()
        subprocess.run(command(pictures, reference, *options), check=True, capture_output=True)
        duration = time.monotonic() - start
        # As soon as the folder is there, before the first step; then at any moment.
        for ends in (None, duration * rng.uniform(0.4, 1)):
            more = ["--resume"] if out.exists() else []
            process = subprocess.Popen(
                command(pictures, out, *options, *more),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
            start = time.monotonic()
            while process.poll() is None and (
                not (out / "recipe.json").exists()
                if ends is None
                else time.monotonic() - start < ends
            ):
                time.sleep(0.002)
            process.send_signal(rng.choice([signal.SIGTERM, signal.SIGKILL]))
            _, err = process.communicate()
            assert process.returncode in (0, 75, -signal.SIGTERM, -signal.SIGKILL), err.decode()
            assert out.exists()
        # Recipe and options are in the folder.
        last = [sys.executable, "-m", "trickbag", "train", "--resume", "--out", str(out)]
        subprocess.run(last, check=True, capture_output=True)
        assert_same_run(out, reference)
