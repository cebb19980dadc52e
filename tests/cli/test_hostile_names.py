"""Names that are not UTF-8 or hold escape sequences, through all commands, on any stream."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.builders.images import digits_of, encode
from tests.builders.recipes import study_arguments, train_arguments
from tests.cli.test_damaged_files import rewrite
from trickbag.cli import COMMANDS, main
from trickbag.data.dataset import read_errors
from trickbag.report.run.images import pictures_of
from trickbag.train.folder.predictions import (
    PredictionRow,
    read_predictions,
    write_predictions,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="other systems take no file name that is not UTF-8"
)

CLASSES = ("a\udce9\x1b[2J", "b\u202e\x9b31m", "c\r\n")
FILE = "\udcff\x1b]0;title\x07.png"
SEQUENCES = ("\x1b[2J", "\x1b]0", "\x9b", "\u202e", "\x07", "\udce9", "\udcff")
"""What must not reach a terminal; its own bars have other escape sequences."""


LIMIT = ("--set", "data.max_bad_fraction=0.5")
SLOW = ("export", "report")


class Terminal(io.TextIOWrapper):
    """A stream that fails for what its encoding lacks; `tty` says whether it is a terminal."""

    def __init__(self, encoding: str, *, tty: bool) -> None:
        self.data = io.BytesIO()
        self.tty = tty
        super().__init__(self.data, encoding=encoding, errors="strict", write_through=True)

    def isatty(self) -> bool:
        return self.tty

    def text(self) -> str:
        return self.data.getvalue().decode(self.encoding)


@dataclass(frozen=True)
class Hostile:
    """Paths with hostile names: images, and a run that was trained on them."""

    root: Path
    images: Path
    run: Path


@pytest.fixture(scope="session")
def hostile(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Hostile:
    root = tmp_path_factory.mktemp("hostile")
    images, copy = root / "images\udce9", root / "run\udce9\x1b[2J"
    for label, name in enumerate(CLASSES):
        (images / name).mkdir(parents=True)
        for i, image in enumerate(digits_of(label, 6)):
            (images / name / f"{i}{FILE}").write_bytes(encode(image, "PNG"))
    (images / CLASSES[0] / f"bad{FILE}").write_bytes(b"")
    shutil.copytree(run, root / "run")
    rewrite(root / "run", classes=list(CLASSES))
    (root / "run").rename(copy)
    recipe = json.loads((copy / "recipe.json").read_text())
    recipe["name"] = "small \x1b[2J\u202e"
    recipe["data"] |= {"source": str(images), "max_bad_fraction": 0.5}
    (copy / "recipe.json").write_text(json.dumps(recipe))
    result = json.loads((copy / "result.json").read_text())
    result["classes"] = dict(zip(CLASSES, result["classes"].values(), strict=True))
    (copy / "result.json").write_text(json.dumps(result))
    write_predictions(
        copy / "predictions.csv",
        [PredictionRow(f"{CLASSES[0]}/0{FILE}", CLASSES[0], CLASSES[1], 0.9)],
    )
    return Hostile(root, images, copy)


def commands(hostile: Hostile, out: Path) -> dict[str, tuple[list[str], int]]:
    """Return commands and their exit codes, by a name that begins with the command's."""
    run, images = str(hostile.run), str(hostile.images)
    bad = str(out / "no\udce9\x1b[2J")
    reports = {
        f"report {kind}": (["report", run, "--format", kind], 0)
        for kind in ("md", "latex", "csv", "json")
    }
    return {
        "doctor": (["doctor", images, *LIMIT], 0),
        "doctor --json": (["doctor", images, "--json", *LIMIT], 0),
        "doctor bad": (["doctor", bad], 2),
        "pack": (["pack", images, "--out", f"{out}/p{FILE}.arrow", *LIMIT], 0),
        "pack --json": (["pack", images, "--out", f"{out}/q.arrow", "--json", *LIMIT], 0),
        "pack bad": (["pack", bad, "--out", f"{out}/r.arrow"], 2),
        "pack bad place": (["pack", images, "--out", bad], 2),
        "bench": (["bench", "data", images, "--seconds", "0.01", "--image-size", "8"], 0),
        "bench bad data": (["bench", "data", bad], 2),
        "evaluate": (["evaluate", run, "--data", images, "--workers", "0"], 0),
        "evaluate --json": (
            ["evaluate", run, "--data", images, "--workers", "0", "--json"],
            0,
        ),
        "predict": (["predict", run, images, "--top", "3"], 0),
        "predict --csv": (["predict", run, images, "--csv", str(out / f"p{FILE}.csv")], 0),
        "report": (["report", run, "--out", str(out / f"page{FILE}.html")], 0),
        **reports,
        "blend bad": (["blend", bad, run, "--out", f"{out}/b.json"], 2),
        "soup": (["soup", run, run, "--out", f"{out}/s{FILE}.safetensors"], 0),
        "soup bad": (["soup", bad, run, "--out", f"{out}/s.safetensors"], 2),
        "show": (["show", run], 0),
        "show --json": (["show", run, "--json"], 0),
        "export": (["export", run, "--format", "safetensors", "--out", f"{out}/w{FILE}"], 0),
        "export bad": (["export", bad, "--format", "safetensors", "--out", f"{out}/x"], 2),
        "bench bad": (["bench", "\x1b[2J\u202e"], 2),
        "bench bad recipe": (["bench", "train", bad], 2),
        "bench bad run": (["bench", "infer", bad], 2),
        "list": (["list", "tricks"], 0),
        "list bad": (["list", "\x1b[2J\u202e"], 2),
        "new bad": (["new", "trick", "x\udce9\x1b[2J"], 2),
        "probe bad": (["probe", "--model", "\x1b[2J\u202e"], 2),
        "probe bad data": (["probe", "--model", "resnet18", "--data", bad], 2),
        "probe bad weights": (["probe", "--model", "resnet18", "--init", bad], 2),
        "transfer bad": (["transfer", "\x1b[2J\u202e"], 2),
        "transfer bad data": (["transfer", "detection", "--data", bad], 2),
        "transfer bad run": (["transfer", "detection", "--data", images, "--backbone", bad], 2),
        "train bad": (["train", bad], 2),
        "train bad trick": (["train", "--with", "\x1b[2J\u202e"], 2),
        "study bad": (["study", "--tricks", "\x1b[2J\u202e", "--data", images], 2),
        "search bad": (["search", "\x1b[2J\u202e"], 2),
        "search bad data": (
            ["search", "autoaugment", "--data", bad, "--trials", "8", "--controller", "random"],
            2,
        ),
        "verify bad": (["verify", "\x1b[2J\u202e"], 2),
        "verify bad data": (["verify", "small", "--data", bad], 2),
        "unknown option \x1b[2J": (["train", "--\x1b[2J\u202e"], 2),
        "\x1b[2J": (["\x1b[2J\u202e"], 2),
    }


def call(
    argv: list[str], monkeypatch: pytest.MonkeyPatch, encoding: str, *, tty: bool
) -> tuple[int, str, str]:
    out, err = Terminal(encoding, tty=tty), Terminal(encoding, tty=tty)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        try:
            code = main(argv)
        except SystemExit as stop:
            code = int(stop.code or 0)
    return code, out.text(), err.text()


def texts(data: Any) -> Iterator[str]:
    """Yield all texts of plain data."""
    if isinstance(data, dict):
        yield from data
        data = list(data.values())
    if isinstance(data, list):
        for value in data:
            yield from texts(value)
    elif isinstance(data, str):
        yield data


def check(
    name: str, argv: list[str], expected: int, outcome: tuple[int, str, str], *, tty: bool
) -> None:
    code, out, err = outcome
    assert code == expected, (name, err)
    exact = name in ("report md", "report latex", "report csv") and not tty
    for sequence in SEQUENCES:
        assert exact or sequence not in out, name
        assert sequence not in err, name
    if expected and not tty:  # a terminal has bars too
        assert err.count("\n") == 1, err
    if name.endswith("json"):
        values = list(texts(json.loads(out)))
        if name != "show --json":
            assert set(CLASSES) <= set(values), "the values of JSON are exact"


def test_every_command_is_among_them(hostile: Hostile, tmp_path: Path) -> None:
    assert {argv[0] for argv, _ in commands(hostile, tmp_path).values()} >= set(COMMANDS)


def test_every_command_on_a_terminal_of_ascii(
    hostile: Hostile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, (argv, code) in commands(hostile, tmp_path).items():
        if name not in SLOW:
            check(name, argv, code, call(argv, monkeypatch, "ascii", tty=True), tty=True)


def test_predict_s_help_says_what_a_cell_may_begin_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    code, out, _ = call(["predict", "--help"], monkeypatch, "ascii", tty=False)
    assert code == 0
    assert "begin with =, +, - or @" in " ".join(out.split())


@pytest.mark.slow
@pytest.mark.parametrize(("encoding", "tty"), [("utf-8", True), ("utf-8", False), ("ascii", False)])
def test_every_command_on_other_streams(
    hostile: Hostile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str, tty: bool
) -> None:
    for name, (argv, code) in commands(hostile, tmp_path).items():
        check(name, argv, code, call(argv, monkeypatch, encoding, tty=tty), tty=tty)


@pytest.mark.slow
def test_a_training_reaches_its_end_and_is_resumed(
    hostile: Hostile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / f"out{FILE}"
    argv = [*train_arguments(hostile.images, out, 2), *LIMIT]
    check("train", argv, 0, call(argv, monkeypatch, "ascii", tty=True), tty=True)
    predictions = (out / "predictions.csv").read_bytes()
    names = [row.image for row in read_predictions(out / "predictions.csv") or []]
    assert names
    assert all("\\udcff" in name for name in names)
    errors = read_errors(out / "data_errors.csv") or []
    assert [error.file for error in errors] == [f"a\\udce9\x1b[2J/bad\\udcff{FILE[1:]}"]
    pictures = pictures_of(out)
    assert pictures is not None
    assert pictures.mistakes, "the images of a file's escaped names are those of the data"
    # As if it had been stopped before its end: names, fingerprint and trial are the same again.
    (out / "result.json").unlink()
    resume = ["train", "--resume", "--out", str(out)]
    check("train", resume, 0, call(resume, monkeypatch, "ascii", tty=False), tty=False)
    assert (out / "predictions.csv").read_bytes() == predictions
    assert json.loads((out / "result.json").read_text())["status"] == "finished"


@pytest.mark.slow
def test_a_study_gives_its_effects(
    hostile: Hostile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / f"out{FILE}"
    argv = study_arguments(hostile.images, out, "--seeds", "1", "--tricks", "mixup", *LIMIT)
    check("study", argv, 0, call(argv, monkeypatch, "ascii", tty=False), tty=False)
    (effect,) = json.loads((out / "effects.json").read_text())
    assert effect["delta"] is not None
    report = ["report", str(out), "--format", "md"]
    check("report", report, 0, call(report, monkeypatch, "ascii", tty=True), tty=True)


ENVIRONMENTS = {
    "ascii streams": {"PYTHONIOENCODING": "ascii"},
    "the C locale": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}


@pytest.mark.slow
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_commands_in_environments_without_utf8(
    hostile: Hostile, tmp_path: Path, environment: str
) -> None:
    out = tmp_path / f"café{FILE}"
    images = str(hostile.images)
    for argv in (
        ["doctor", images, "--json", *LIMIT],
        [*train_arguments(hostile.images, out, 1), *LIMIT],
        ["predict", str(out), images, "--csv", str(tmp_path / "ü.csv")],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "trickbag", *argv],
            env=os.environ | ENVIRONMENTS[environment],
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        text = done.stdout.decode("ascii")
        assert "\x1b" not in text
        if "--json" in argv:
            json.loads(text)
    assert (out / "report.html").exists()
