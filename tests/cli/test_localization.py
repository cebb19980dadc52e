"""`evaluate --localization`."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.builders.annotations import annotated_folder
from tests.builders.images import photo
from trickbag.evaluate.record import read_records

if TYPE_CHECKING:
    from pathlib import Path

Call = Any


def boxes(root: Path, names: tuple[str, ...]) -> Path:
    images = {
        f"{i}_{name}": (photo(40, 40, i), [(name, (4.0, 6.0, 30.0, 36.0))])
        for i, name in enumerate(names)
    }
    return annotated_folder(root / "boxes", images)


def test_localization_is_printed_and_kept_with_its_pictures(
    call: Call, run: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    classes = json.loads((copy / "result.json").read_text())["classes"]
    folder = boxes(tmp_path, tuple(classes))
    options = ("--workers", "0", "--localization", folder)
    code, out, _ = call("evaluate", copy, *options, "--cam", "grad-cam", "--json")
    assert code == 0
    data = json.loads(out)
    record = read_records(copy)["localization"]
    # What was asked of the command beside it is added to the settings that are kept.
    settings = {**record.settings, **data["localization"]["settings"]}
    assert {**data["localization"], "settings": settings} == record.to_dict()
    assert data["metrics"]["max_box_acc"] == data["max_box_acc"] == record.metrics["max_box_acc"]
    assert record.images == len(classes)
    assert record.settings["method"] == "grad-cam"
    for picture in record.details["pictures"]:
        assert (copy / "evaluations" / picture["file"]).is_file()
    code, out, err = call("evaluate", copy, *options, "--limit", "1")
    assert code == 0
    assert f"localization by cam: {folder}, all" in out
    assert "1 images, 1 maps, threshold 0.2" in out
    assert (
        f"{'MaxBoxAcc':<22} {read_records(copy)['localization'].metrics['max_box_acc']:.2f}" in out
    )
    assert "they are maxima" in err
    pictures = [path.name for path in (copy / "evaluations").glob("*.png")]
    assert pictures == ["localization-worst-1.png"]


@pytest.mark.parametrize(
    ("options", "texts"),
    [
        (["--cam", "cam"], ["--cam is an option of --localization", "add --localization DIR"]),
        (["--localization", "{tmp}/absent"], ["there is no folder {tmp}/absent", "XML files"]),
        (["--localization", ""], ["--localization is empty"]),
        (["--localization", "{tmp}", "--cam", "gradcam"], ["--cam = 'gradcam'", "cam, grad-cam"]),
        (["--localization", "{tmp}"], ["{tmp} has no annotations (.xml)", "Pascal VOC"]),
        (["--localization", "{tmp}/boxes"], ["its objects are cat", "the network knows"]),
    ],
)
def test_wrong_options_are_one_line(
    call: Call, run: Path, tmp_path: Path, options: list[str], texts: list[str]
) -> None:
    if "{tmp}/boxes" in options:
        boxes(tmp_path, ("cat",))
    given = [option.replace("{tmp}", str(tmp_path)) for option in options]
    code, out, err = call("evaluate", run, "--workers", "0", *given)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert all(text.replace("{tmp}", str(tmp_path)) in err for text in texts)
