from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from trickbag.errors import UserError
from trickbag.evaluate.robustness.folder import Cell, missing_cells, read_corrupted_folder
from trickbag.metrics.corruption import CORRUPTION_GROUPS

if TYPE_CHECKING:
    from pathlib import Path


def folders(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).mkdir(parents=True)
    return root


def test_corruptions_and_severities_are_listed(tmp_path: Path) -> None:
    folders(tmp_path, "fog/1/a", "fog/5/a", "snow/3/a", "extra_photos/1/a", ".git/1", "frost")
    (tmp_path / "ReadMe.txt").write_text("by hand")
    (tmp_path / "zoom_blur").write_text("no folder")
    folder = read_corrupted_folder(tmp_path)
    assert set(folder.cells) == {Cell("fog", 1), Cell("fog", 5), Cell("snow", 3)}
    assert folder.cells[Cell("fog", 5)] == tmp_path / "fog" / "5"
    assert folder.unknown == ("extra_photos", "frost")


@pytest.mark.parametrize("group", CORRUPTION_GROUPS)
def test_the_folders_of_the_archives_are_looked_into(tmp_path: Path, group: str) -> None:
    names = CORRUPTION_GROUPS[group]
    folders(tmp_path, *(f"{group}/{name}/2/a" for name in names))
    assert set(read_corrupted_folder(tmp_path).cells) == {Cell(name, 2) for name in names}


@pytest.mark.parametrize("kind", ["missing", "file", "empty", "severity 6", "blank", "classes"])
def test_a_folder_without_corruptions(tmp_path: Path, kind: str) -> None:
    place: Path | str = tmp_path / "given"
    if kind == "file":
        (tmp_path / "given").write_text("")
    elif kind == "empty":
        folders(tmp_path, "given")
    elif kind == "severity 6":
        folders(tmp_path, "given/fog/6/a", "given/Fog/1/a")
    elif kind == "classes":
        folders(tmp_path, "given/tench", "given/fog")
    elif kind == "blank":
        place = " "
    with pytest.raises(UserError, match=r"--corrupted .*(no folder|CORRUPTION/SEVERITY)"):
        read_corrupted_folder(place, "--corrupted")


def test_what_is_missing_is_named() -> None:
    cells = [Cell("fog", s) for s in (1, 2, 3)] + [Cell("snow", s) for s in (1, 2, 3, 4, 5)]
    assert missing_cells(cells, ["fog", "snow", "frost"]) == "fog (4, 5), frost"
    assert missing_cells(cells, ["snow"]) == ""
    assert missing_cells(cells, ["fog"], (1, 2)) == ""
