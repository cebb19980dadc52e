"""The pages of the documentation against the code: examples, links, options, figures."""

from __future__ import annotations

import inspect
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from trickbag import cli, recipes, tricks
from trickbag.recipe import Recipe, trick_from_text

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
_CHANGES_NO_PIXELS = {
    "asymmetric",
    "balanced_sampling",
    "bce",
    "compound_scaling",
    "distillation",
    "focal",
    "label_smoothing",
    "repeated_augmentation",
}
"""Tricks whose hook `batch`, `data` or `data_at` changes targets, loss, sampling or size alone."""


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(), flags=re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_the_example_of_a_trick_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    (tmp_path / "users_tricks.py").write_text(blocks("docs/tricks.md", "python")[0])
    monkeypatch.syspath_prepend(tmp_path)
    trick = trick_from_text("users_tricks:Posterize:levels=4")
    assert Recipe.from_dict(Recipe(tricks=(trick,)).to_dict()).tricks == (trick,)
    images = torch.arange(256.0).reshape(1, 1, 16, 16)
    from trickbag.tricks import Batch

    changed = trick.batch(Batch(images, torch.ones(1, 1), torch.zeros(1), {})).images
    assert changed.unique().tolist() == [0, 64, 128, 192]


def test_the_example_of_feature_maps_works() -> None:
    exec(blocks("docs/networks.md", "python")[0], {})


def test_the_example_of_segmenters_works() -> None:
    exec(blocks("docs/segmentation.md", "python")[1], {})


def test_the_example_of_official_networks_works() -> None:
    exec(blocks("docs/export.md", "python")[1], {})


def test_the_example_of_calibration_works() -> None:
    exec(blocks("docs/calibration.md", "python")[0], {})


def test_the_example_of_packs_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.builders.images import photo, photo_folder
    from trickbag.data.config import DataConfig
    from trickbag.data.packing.pack import write_pack
    from trickbag.data.packing.settings import PackSettings

    folder = photo_folder(tmp_path / "photos", {"cat": 5, "dog": 5})
    raw = PackSettings(encoding="raw")
    write_pack(DataConfig(source=str(folder)), tmp_path / "raw.arrow", raw)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(blocks("docs/packs.md", "python")[0], names)
    assert capsys.readouterr().out == "dog/002.png dog\n"
    assert (names["pixels"] == photo(22, 16, 1_000_002)).all()


def test_every_example_of_packs_parses() -> None:
    lines = blocks("docs/packs.md", "sh")[0].splitlines()
    for line in lines:
        arguments = shlex.split(line.partition("#")[0])[1:]
        assert cli._parser(cli.COMMANDS).parse_args(arguments).command in ("pack", "train")
    assert len(lines) == 4


def test_the_example_of_a_recipe_is_one() -> None:
    recipe = Recipe.from_dict(yaml.safe_load(blocks("docs/recipes.md", "yaml")[0]))
    assert recipe.name == "mine"
    assert recipe.trick_names == (
        "linear_scaling",
        "warmup",
        "resnet_d",
        "label_smoothing",
        "mixup",
    )


def test_every_command_of_the_readme_parses() -> None:
    commands = [
        line.partition("#")[0] for block in blocks("README.md", "sh") for line in block.splitlines()
    ]
    examples = [shlex.split(line)[1:] for line in commands if line.startswith("trickbag ")]
    assert len(examples) > 6
    for arguments in examples:
        assert cli._parser(cli.COMMANDS).parse_args(arguments).command == arguments[0]


def test_every_trick_on_images_is_drawn() -> None:
    drawn = {}
    commands = blocks("docs/tricks.md", "sh")[0].replace("\\\n", " ")
    for command in commands.splitlines():
        arguments = cli._parser(cli.COMMANDS).parse_args(shlex.split(command)[1:])
        tricks_drawn = {trick_from_text(text).name for text in arguments.with_}
        drawn[Path(arguments.picture).name] = tricks_drawn
        assert (ROOT / arguments.picture).stat().st_size < 200_000
    for name, trick in tricks.builtin().items():
        card = (ROOT / "docs" / "tricks" / f"{name}.md").read_text()
        pictures = re.findall(r"\(../images/([^)]+)\)", card)
        on_images = any(trick.overrides(hook) for hook in ("batch", "data", "data_at"))
        if on_images and name not in _CHANGES_NO_PIXELS:
            assert len(pictures) == 1, (
                f"add `--with {name}` to a command in docs/tricks.md, run that command, and link "
                f"its picture in docs/tricks/{name}.md"
            )
        for picture in pictures:
            assert name in drawn[picture], f"{picture}: no command in docs/tricks.md draws {name}"


def test_every_option_that_the_readme_names_exists() -> None:
    text = (ROOT / "README.md").read_text()
    helps = ""
    for command in cli.COMMANDS:
        call = [sys.executable, "-m", "trickbag", command, "--help"]
        helps += subprocess.run(call, capture_output=True, text=True, check=True).stdout
    for option in set(re.findall(r"--[a-z][a-z-]+", text)):
        assert option in helps, option


def test_what_a_recipe_promises_was_measured() -> None:
    measured = json.loads((ROOT / "benchmarks" / "results" / "digits.json").read_text())["arms"][0]
    text = inspect.getdoc(recipes.small) or ""
    assert f"Expect {measured['top1']['mean']:.2f} % top-1 on the built-in digits" in " ".join(
        text.split()
    )
    assert measured["top1"]["n"] == 5
    times = sorted(run["train_time_s"] for run in measured["runs"])
    assert f"{times[2]:.0f} s of training" in text
    assert measured["arguments"] == ["small"]


def test_tables_are_what_the_results_say() -> None:
    done = subprocess.run(
        [sys.executable, "benchmarks/tables.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def notebook_cells() -> list[str]:
    """Return the code of each cell of the notebook."""
    notebook = json.loads((ROOT / "docs" / "notebook.ipynb").read_text())
    assert notebook["nbformat"] == 4
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def test_the_notebook_names_no_place_of_a_machine() -> None:
    text = (ROOT / "docs" / "notebook.ipynb").read_text()
    assert not re.search(r"/(home|root|tmp|work|usr)/", text)
    for cell in notebook_cells():
        compile(cell, "notebook", "exec")


@pytest.mark.slow
def test_the_notebook_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import matplotlib.pyplot as plt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plt, "show", lambda: plt.close("all"))
    names: dict[str, Any] = {}
    for cell in notebook_cells():
        exec(cell, names)
    assert names["result"].metrics["top1"] > 90
    labels = [prediction.label for prediction in names["predictions"]]
    assert sum(a == b for a, b in zip(labels, 3 * names["CLASSES"], strict=True)) >= 8
    assert (tmp_path / "runs" / "shapes" / "report.html").stat().st_size > 10_000
    assert "circle/damaged.png: truncated PNG" in capsys.readouterr().out


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_the_changelog_names_every_command(command: str) -> None:
    assert f"`{command}`" in (ROOT / "CHANGELOG.md").read_text()
