"""The files that a run names in `data_errors.csv`: those left out, and those that are no images."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from trickbag.data.dataset import read_errors
from trickbag.data.source import DataError, PassedOver
from trickbag.train.folder.record import RunRecord, begin
from trickbag.train.folder.run_folder import RunFolder


def test_files_that_are_passed_over_are_named_behind_those_left_out(tmp_path: Path) -> None:
    passed_over = (
        PassedOver(".npy", "convert it first", ("c.npy",)),
        PassedOver("hidden", "its name", (".d",), ignored=True),
    )
    first, second = DataError("a.png", "empty file"), DataError("b.png", "truncated PNG")
    dataset = SimpleNamespace(
        errors=(first,), passed_over=passed_over, train=range(99), val=(), test=None
    )
    folder = RunFolder(tmp_path)
    written: list[Path] = []
    recipe = SimpleNamespace(write=written.append, trial={})
    begin(folder, cast("Any", recipe), cast("Any", dataset))
    assert written == [folder.recipe]
    other = DataError("c.npy", "convert it first")
    assert read_errors(folder.data_errors) == [first, other]
    plan = SimpleNamespace(data=SimpleNamespace(max_bad_fraction=0.1, source="S"))
    record = RunRecord(
        folder=folder,
        run_recipe=cast("Any", recipe),
        dataset=cast("Any", dataset),
        plan=cast("Any", plan),
        notes=(),
        started=0.0,
    )
    record.keep_errors({second.file: second.reason})
    assert read_errors(folder.data_errors) == [first, second, other]
    assert record.errors == [first, second]
