"""Every file that a command reads back, altered: one line of error or an answer, and never a wait.

Each command runs in this process. A traceback would leave `main` as an exception.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from tests.builders.plain_data import OTHER_VALUES, places, variations, with_value
from tests.builders.recipes import study_recipe, tiny_recipe
from trickbag.errors import Stopped
from trickbag.study.designs.leave_one_out import LeaveOneOut
from trickbag.study.executors.inline import Inline
from trickbag.study.log import StudyLog
from trickbag.study.study import Study
from trickbag.train.fit import fit
from trickbag.train.folder.log import RunLog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Call = Any

pytestmark = pytest.mark.slow

LIMIT_S = 30.0


class StopAfterAnEpoch(RunLog):
    def epoch(self, row: dict[str, Any]) -> None:
        signal.raise_signal(signal.SIGTERM)


@pytest.fixture(scope="module")
def stopped(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two epochs that was stopped in the second one."""
    out = tmp_path_factory.mktemp("stopped") / "run"
    with pytest.raises(Stopped):
        fit(tiny_recipe(photos, epochs=2), 0, out, log=StopAfterAnEpoch())
    return out


@pytest.fixture(scope="module")
def study(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study of two variants and one seed."""
    out = tmp_path_factory.mktemp("studies") / "study"
    design = LeaveOneOut(tricks=("mixup",))
    recipe = study_recipe(photos)
    Study(recipe=recipe, design=design, seeds=1).run(Inline(), out, log=StudyLog())
    return out


@dataclass(frozen=True, kw_only=True)
class ReadBack:
    """A file within a folder, and the commands that read it.

    `folder` names the fixture; in the words of a command DIR is its copy, DATA the images, OUT a
    path that is free.
    """

    folder: str
    file: str
    commands: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.folder}/{self.file}"


REPORT = "report DIR --out OUT.html"
RESUME = "train --resume --out DIR"
USE = ("evaluate DIR --data DATA", "predict DIR DATA", "export DIR --out OUT.pt --format torch")
INIT = "train --data DATA --init DIR/{} --out OUT --image-size 16 --epochs 1"
MERGE = "study DIR DIR --out OUT"
TABLE = [
    ReadBack(folder="run", file="recipe.json", commands=(REPORT, "show DIR", RESUME, *USE)),
    ReadBack(folder="run", file="result.json", commands=(REPORT, RESUME)),
    ReadBack(folder="run", file="metrics.jsonl", commands=(REPORT,)),
    ReadBack(folder="run", file="environment.json", commands=(REPORT,)),
    ReadBack(folder="run", file="predictions.csv", commands=(REPORT,)),
    ReadBack(folder="run", file="data_errors.csv", commands=(REPORT,)),
    ReadBack(
        folder="run",
        file="best.safetensors",
        commands=(*USE, INIT.format("best.safetensors")),
    ),
    ReadBack(folder="stopped", file="recipe.json", commands=(RESUME,)),
    ReadBack(folder="stopped", file="metrics.jsonl", commands=(RESUME,)),
    ReadBack(folder="stopped", file="last.ckpt", commands=(RESUME,)),
    ReadBack(folder="study", file="study.json", commands=(REPORT, MERGE)),
    ReadBack(folder="study", file="results.jsonl", commands=(REPORT, MERGE)),
    ReadBack(folder="study", file="effects.json", commands=(REPORT,)),
    ReadBack(folder="study", file="recipe.yaml", commands=("show DIR/recipe.yaml",)),
    ReadBack(folder="inputs", file="recipe.json", commands=("show DIR/recipe.json",)),
    ReadBack(folder="inputs", file="recipe.py", commands=("show DIR/recipe.py:small",)),
    ReadBack(
        folder="inputs",
        file="images.csv",
        commands=("doctor DIR/images.csv", "predict RUN DIR/images.csv --image-root DATA"),
    ),
    ReadBack(folder="inputs", file="variables.npz", commands=(INIT.format("variables.npz"),)),
]
BY_NAME = {entry.name: entry for entry in TABLE}


@pytest.fixture(scope="module")
def folders(
    run: Path,
    stopped: Path,
    study: Path,
    photos: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Path]:
    import yaml

    inputs = tmp_path_factory.mktemp("inputs")
    shutil.copy(run / "recipe.json", inputs)
    (inputs / "recipe.py").write_text("from trickbag.recipes import small\n")
    names = [path.relative_to(photos) for path in sorted(photos.rglob("*.png"))]
    rows = [f"{name},{name.parts[-2]}\n" for name in names]
    (inputs / "images.csv").write_text("image,label\n" + "".join(rows))
    for name in names:
        (inputs / name.parent).mkdir(parents=True, exist_ok=True)
        shutil.copy(photos / name, inputs / name)
    np.savez(inputs / "variables.npz", weight=np.zeros(3))
    recipe = study_recipe(photos).to_dict()
    (study / "recipe.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    return {"run": run, "stopped": stopped, "study": study, "inputs": inputs}


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Runs the commands of an entry on a copy of its folder, with the file altered."""

    folders: dict[str, Path]
    photos: Path
    place: Path
    call: Call

    def copy(self, entry: ReadBack) -> Path:
        shutil.rmtree(self.place, ignore_errors=True)
        self.place.mkdir()
        folder = self.place / "copy"
        shutil.copytree(self.folders[entry.folder], folder)
        return folder / entry.file

    def run(self, command: str) -> tuple[int, str]:
        """Run a command; return its exit code and stderr. Fails if it takes too long."""
        words = {
            "DIR": str(self.place / "copy"),
            "DATA": str(self.photos),
            "OUT": str(self.place / "out"),
            "RUN": str(self.folders["run"]),
        }
        argv = []
        for word in command.split():
            for name, text in words.items():
                word = word.replace(name, text)
            argv.append(word)
        shutil.rmtree(self.place / "out", ignore_errors=True)
        with within(LIMIT_S):
            code, _, err = self.call(*argv)
        return code, err

    def check(self, entry: ReadBack, alter: Callable[[Path], object], what: object) -> list[str]:
        """Return what is wrong with the answers of the commands to an altered file."""
        problems = []
        for command in entry.commands:
            file = self.copy(entry)
            try:
                alter(file)
                code, err = self.run(command)
            except (Exception, Late) as error:  # the traceback that must not be
                problems.append(f"{entry.name} {what}: {command}: {type(error).__name__}: {error}")
                continue
            lines = err.count("\n")
            if code not in (0, 1, 2) or (code and lines != 1):
                problems.append(f"{entry.name} {what}: {command}: exit {code}: {err}")
        return problems


class Late(BaseException):
    """No OSError, as TimeoutError is: the code under test must not catch it."""


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    def late(number: int, frame: object) -> None:
        raise Late(f"more than {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture
def bench(folders: dict[str, Path], photos: Path, tmp_path: Path, call: Call) -> Bench:
    return Bench(folders=folders, photos=photos, place=tmp_path / "bench", call=call)


def make_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def make_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def link(file: Path, target: str) -> None:
    file.unlink()
    file.symlink_to(target)


def link_to_pipe(file: Path) -> None:
    link(file, "pipe")
    os.mkfifo(file.with_name("pipe"))


def grow(file: Path) -> None:
    os.truncate(file, 2**41)


PLACES: dict[str, Callable[[Path], object]] = {
    "named pipe": make_pipe,
    "link to /dev/zero": lambda file: link(file, "/dev/zero"),
    "link to a pipe": link_to_pipe,
    "link to nothing": lambda file: link(file, "nowhere"),
    "link to itself": lambda file: link(file, file.name),
    "folder": make_folder,
    "empty": lambda file: file.write_bytes(b""),
    "not UTF-8": lambda file: file.write_bytes(b'\xff\xfe{"\xe9": 1}\n'),
    "zeros": lambda file: file.write_bytes(bytes(1000)),
    "huge": grow,
    "cut": lambda file: os.truncate(file, file.stat().st_size // 2),
}


@pytest.mark.parametrize("entry", TABLE, ids=lambda entry: entry.name)
def test_any_file_in_any_form(bench: Bench, entry: ReadBack) -> None:
    problems = [
        problem for place, alter in PLACES.items() for problem in bench.check(entry, alter, place)
    ]
    assert not problems, "\n".join(problems)


DEEP = "[" * 1500 + "]" * 1500


def read_lines(file: Path) -> list[Any]:
    text = file.read_text()
    return [json.loads(line) for line in text.splitlines()] if file.suffix == ".jsonl" else []


JSON = [entry for entry in TABLE if entry.file.endswith((".json", ".jsonl"))]


def shapes(file: Path) -> list[tuple[str, str]]:
    """Every change of a value in a JSON file, with the text of the file that has it."""
    lines = read_lines(file)
    data = lines[0] if lines else json.loads(file.read_text())
    rest = "".join("\n" + json.dumps(line) for line in lines[1:])
    changed = [(what, json.dumps(other) + rest) for what, other in variations(data)]
    deep = json.dumps(with_value(data, path, "DEEP")) if (path := places(data)[0]) else ""
    return [*changed, ("deep", deep.replace('"DEEP"', DEEP) + rest), ("a list", "[1]" + rest)]


@pytest.mark.parametrize("entry", JSON, ids=lambda entry: entry.name)
def test_any_value_of_a_record(bench: Bench, entry: ReadBack) -> None:
    altered = shapes(bench.folders[entry.folder] / entry.file)
    problems = []
    # A sample, always the same: the commands take some tenths of a second each.
    for what, text in random.Random(0).sample(altered, min(len(altered), SAMPLE)):
        problems += bench.check(entry, lambda file, text=text: file.write_text(text), what)
    assert not problems, "\n".join(problems)


SAMPLE = int(os.environ.get("TRICKBAG_READ_BACK", "6"))
"""How many changes of each file the slow test tries."""


def checkpoint_places(state: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [
        *((key,) for key in state if key != "has_checksum"),
        *(("network", name) for name in [*state["network"]][:3]),
        *(("progress", name) for name in state["progress"]),
        *(("optimizer", name) for name in state["optimizer"]),
        ("optimizer", "param_groups", 0),
        *(("optimizer", "param_groups", 0, name) for name in state["optimizer"]["param_groups"][0]),
        ("optimizer", "state", 0),
        *(("optimizer", "state", 0, name) for name in state["optimizer"]["state"][0]),
    ]


def alter_checkpoint(file: Path, path: tuple[Any, ...], value: Any) -> None:
    state = torch.load(file, weights_only=True)
    # As if it had been written before checkpoints had a checksum, which would hide the parts.
    state.pop("has_checksum")
    torch.save(with_value(state, path, value), file)


CHECKPOINT_VALUES = {
    **OTHER_VALUES,
    "tensor": torch.zeros(2),
    "list of tensors": [torch.zeros(1)],
}


def test_any_part_of_a_checkpoint(bench: Bench) -> None:
    entry = BY_NAME["stopped/last.ckpt"]
    state = torch.load(bench.folders["stopped"] / "last.ckpt", weights_only=True)
    altered = [
        (path, name, value)
        for path in checkpoint_places(state)
        for name, value in CHECKPOINT_VALUES.items()
    ]
    problems = []
    for path, name, value in random.Random(0).sample(altered, min(len(altered), 2 * SAMPLE)):
        problems += bench.check(
            entry,
            lambda file, path=path, value=value: alter_checkpoint(file, path, value),
            (path, name),
        )
    assert not problems, "\n".join(problems)


def rewrite_metadata(file: Path, text: str) -> None:
    save_file(load_file(file), file, {"trickbag": text})


def test_any_value_of_the_metadata_of_weights(bench: Bench) -> None:
    entry = BY_NAME["run/best.safetensors"]
    with safe_open(bench.folders["run"] / "best.safetensors", framework="pt") as file:
        data = json.loads(file.metadata()["trickbag"])
    # Half of them as if the file had no checksum, which would hide the fields.
    without = {key: value for key, value in data.items() if key != "checksum"}
    altered = [
        (what, json.dumps(other))
        for record in (data, without)
        for what, other in variations(record)
    ]
    sample = random.Random(0).sample(altered, min(len(altered), SAMPLE))
    problems = []
    for what, text in [("deep", DEEP), ("object deep", f'{{"model": {DEEP}}}'), *sample]:
        problems += bench.check(entry, lambda file, text=text: rewrite_metadata(file, text), what)
    assert not problems, "\n".join(problems)
