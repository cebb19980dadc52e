"""What the commands do when all is well, and with bad files among good ones."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from trickbag.cli import COMMANDS, main
from trickbag.models.config import MobileNetConfig, TimmConfig, model_config
from trickbag.recipes import RECIPES
from trickbag.tricks import builtin

if TYPE_CHECKING:
    from pathlib import Path


Call = Any


HEAVY = (
    "torch",
    "torchvision",
    "timm",
    "numpy",
    "scipy",
    "sklearn",
    "PIL",
    "matplotlib",
    "rich",
    "yaml",
    "jinja2",
)


@pytest.mark.parametrize(
    ("argv", "allowed"),
    [
        (["--help"], ()),
        (["--version"], ()),
        *[([command, "--help"], ()) for command in COMMANDS],
        (["list", "tricks"], ()),
        (["list", "recipes"], ()),
        (["list", "models"], ()),
        (["list", "datasets"], ("numpy", "PIL")),
    ],
    ids="-".join,
)
def test_what_answers_without_heavy_imports(argv: list[str], allowed: tuple[str, ...]) -> None:
    code = (
        "import sys\nfrom trickbag.cli import main\n"
        f"try:\n    code = main({argv!r})\nexcept SystemExit as stop:\n    code = stop.code\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules and name not in {allowed!r}], "
        f"file=sys.stderr)\n"
        "sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stderr == "[]\n"
    assert done.stdout


def test_the_program_itself(tmp_path: Path) -> None:
    for argv, code, says in (
        ([], 2, "usage: trickbag"),
        (["doctor", "nowhere"], 2, ""),
        (["list", "recipes"], 0, "small"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "trickbag", *argv],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
        )
        assert done.returncode == code
        assert says in done.stdout
        assert "Traceback" not in done.stderr


def test_a_reader_that_goes_is_no_error() -> None:
    command = f"{sys.executable} -m trickbag list models | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.returncode == 0


def test_every_command_is_listed_with_its_line(call: Call) -> None:
    code, out, _ = call("--help")
    assert code == 0
    for command in COMMANDS:
        assert f"    {command}" in out


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("tricks", list(builtin())),
        ("recipes", list(RECIPES)),
        ("models", ["resnet18", "resnet50_a", "resnet152_d"]),
        (
            "datasets",
            ["digits", "FOLDER", "FILE.csv", "torchvision:MNIST", "torchvision:Flowers102"],
        ),
    ],
)
def test_lists(call: Call, kind: str, names: list[str]) -> None:
    code, out, err = call("list", kind)
    assert (code, err) == (0, "")
    for name in names:
        assert any(line.startswith(f"{name} ") for line in out.splitlines()), name
    code, out, _ = call("list", kind, "--json")
    rows = json.loads(out)
    assert set(names) <= {row["name"] for row in rows}
    for row in rows:
        stated = row.pop("stated", [])
        assert all(result["metric"] == "top1" for result in stated)
        assert all(isinstance(value, str) for value in row.values())
        assert row["what"]


def test_a_trick_is_listed_with_slot_line_and_paper(call: Call) -> None:
    rows = {row["name"]: row for row in json.loads(call("list", "tricks", "--json")[1])}
    for name, trick in builtin().items():
        assert rows[name] == {
            "name": name,
            "slot": trick.slot,
            "what": (trick.__doc__ or "").partition("\n")[0],
            "paper": trick.paper,
        }


def test_every_model_listed_is_one(call: Call) -> None:
    for row in json.loads(call("list", "models", "--json")[1]):
        config = model_config(row["name"])
        if isinstance(config, TimmConfig):
            assert row["what"].startswith(f"timm's {config.name}")
        elif isinstance(config, MobileNetConfig):
            assert row["what"].startswith("MobileNet v1,")
        else:
            assert f"ResNet-{config.depth}," in row["what"]


SAMPLES = {
    "capitals": ("Id,Category\nseven0,?\nsix1.png,?\n", ("Id,Category", "seven0,six1.png")),
    "classes": ("id;six;seven\nsix1;0;0\nseven0;0;0\n", ("id;six;seven", "six1,seven0")),
}


def test_main_can_be_called_again_after_every_command(call: Call) -> None:
    # The command `list` is a module of the package that holds `main`.
    assert main(["list", "recipes"]) == 0
    assert main(["list", "recipes"]) == 0
