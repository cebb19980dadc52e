"""What `show` says of the images of each task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.builders.images import photo_folder
from tests.builders.tasks import TASKS

if TYPE_CHECKING:
    from pathlib import Path

Call = Any
SHOWN = {
    "detection": "shorter edge scaled to 600 px, or the longer one to 1000 if that is less",
    "segmentation": "scaled to fit into 480 px, masks as they are",
}


@pytest.mark.parametrize("name", TASKS)
def test_show_says_what_validation_does(call: Call, tmp_path: Path, name: str) -> None:
    source = TASKS[name].data(tmp_path / "data")
    code, out, err = call("show", name, "--data", source, "--model", "resnet18_d")
    assert (code, err) == (0, "")
    assert f"#   validation: {SHOWN[name]}\n" in out
    assert "centre" not in out


def test_show_speaks_of_the_centre_where_it_is_cut_out(call: Call, tmp_path: Path) -> None:
    source = photo_folder(tmp_path / "data", {"a": 4, "b": 4})
    command = ("show", "small", "--data", source, "--image-size", "32", "--set")
    for settings, text in {
        "data.eval_crop=0.875": "shorter edge scaled to 37 px, of which the centre of 32",
        "data.eval_crop=1": "shorter edge scaled to 32 px, of which the centre of 32",
        "data.resize=squash": "both edges scaled to 32 px",
        "data.resize=letterbox": "scaled to fit into 32 px",
    }.items():
        _, out, _ = call(*command, settings)
        assert f"#   validation: {text}\n" in out
