"""Which arguments are trained networks, and which are images."""

from __future__ import annotations

from pathlib import Path

import pytest

from trickbag.errors import UserError
from trickbag.evaluate.loading import require_init
from trickbag.evaluate.runs import is_network, is_run, split_runs


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two runs, weights, images, and what can be taken for both."""
    monkeypatch.chdir(tmp_path)
    for folder in ("a", "b", "both", "photos", "kept", "x:last", "resnet50"):
        Path(folder).mkdir()
    for folder in ("a", "b", "both", "x:last"):
        Path(folder, "recipe.json").write_text("{}")
    Path("kept", "best.safetensors").write_bytes(b"")
    Path("w.safetensors").write_bytes(b"")
    for image in ("both/1.png", "photos/1.png", "1.png"):
        Path(image).write_bytes(b"")
    return tmp_path


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(
    ("arguments", "runs"),
    [
        ("a 1.png", 1),
        ("a b 1.png", 2),
        ("a b w.safetensors kept photos", 4),
        ("a a:last 1.png", 2),
        ("a absent:last 1.png", 1),
        ("a photos:last 1.png", 1),
        ("a x:last 1.png", 2),  # a folder of that name, which is a run
        ("a timm:resnet18 resnet18 1.png", 3),
        ("a resnet50 1.png", 1),  # a folder of that name comes first
        ("a 1.png b", 1),
        ("a both 1.png", 2),
        ("a both", 1),
        ("a b", 1),
        ("a both photos", 2),
        ("absent photos", 1),
        ("photos photos", 1),
        ("a *.png", 1),
        ("a timm:", 1),
    ],
)
def test_leading_runs(arguments: str, runs: int) -> None:
    words = arguments.split()
    assert split_runs(words) == (words[:runs], words[runs:])


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("last", ["w.safetensors", "b:last", "timm:resnet18"])
def test_runs_alone_are_no_images(last: str) -> None:
    with pytest.raises(UserError, match=rf"no images to predict: {last} is a trained network too"):
        split_runs(["a", last])
    with pytest.raises(UserError, match="no images to predict; give"):
        split_runs(["a"])


@pytest.mark.usefixtures("place")
def test_what_is_a_run() -> None:
    assert [is_run(text) for text in ("photos", "1.png", "", "absent")] == [False] * 4
    assert not is_network("resnet50")
    assert is_network("resnet50_d")


@pytest.mark.parametrize(
    ("runs", "init", "error"),
    [
        (["a"], [], None),
        (["timm:x", "a"], ["f"], None),
        (["timm:x", "timm:y"], ["f", "g"], None),
        (["a"], ["f"], "--init f is for a network by its name"),
        (["timm:x"], [], "timm:x has no weights; give them with --init FILE"),
        (["timm:x", "timm:y"], ["f"], r"2 networks by name \(timm:x, timm:y\), and 1 times --init"),
        (["timm:x"], ["f", "g"], r"1 networks by name \(timm:x\), and 2 times"),
    ],
)
def test_weights_of_networks_by_name(runs: list[str], init: list[str], error: str | None) -> None:
    if error is None:
        assert require_init(runs, init) == init
        return
    with pytest.raises(UserError, match=error):
        require_init(runs, init)
