"""Names that are not UTF-8 or hold escape sequences, through all commands, on any stream."""

from __future__ import annotations

import io
import json
import shutil
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.builders.images import digits_of, encode
from tests.cli.test_damaged_files import rewrite
from trickbag.cli import COMMANDS, main
from trickbag.train.folder.predictions import PredictionRow, write_predictions

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
    limit = ["--set", "data.max_bad_fraction=0.5"]
    reports = {
        f"report {kind}": (["report", run, "--format", kind], 0)
        for kind in ("md", "latex", "csv", "json")
    }
    return {
        "doctor": (["doctor", images, *limit], 0),
        "doctor --json": (["doctor", images, "--json", *limit], 0),
        "doctor bad": (["doctor", bad], 2),
        "evaluate": (["evaluate", run, "--data", images, "--workers", "0"], 0),
        "evaluate --json": (
            ["evaluate", run, "--data", images, "--workers", "0", "--json"],
            0,
        ),
        "predict": (["predict", run, images, "--top", "3"], 0),
        "predict --csv": (["predict", run, images, "--csv", str(out / f"p{FILE}.csv")], 0),
        "report": (["report", run, "--out", str(out / f"page{FILE}.html")], 0),
        **reports,
        "show": (["show", run], 0),
        "show --json": (["show", run, "--json"], 0),
        "export": (["export", run, "--format", "safetensors", "--out", f"{out}/w{FILE}"], 0),
        "export bad": (["export", bad, "--format", "safetensors", "--out", f"{out}/x"], 2),
        "list": (["list", "tricks"], 0),
        "list bad": (["list", "\x1b[2J\u202e"], 2),
        "new bad": (["new", "trick", "x\udce9\x1b[2J"], 2),
        "train bad": (["train", bad], 2),
        "train bad trick": (["train", "--with", "\x1b[2J\u202e"], 2),
        "study bad": (["study", "--tricks", "\x1b[2J\u202e", "--data", images], 2),
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


@pytest.mark.slow
@pytest.mark.parametrize(("encoding", "tty"), [("utf-8", True), ("utf-8", False), ("ascii", False)])
def test_every_command_on_other_streams(
    hostile: Hostile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str, tty: bool
) -> None:
    for name, (argv, code) in commands(hostile, tmp_path).items():
        check(name, argv, code, call(argv, monkeypatch, encoding, tty=tty), tty=tty)
