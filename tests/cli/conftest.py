from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.builders.images import digit_csv, digit_folder
from tests.builders.runs import train
from trickbag.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return digit_folder(
        tmp_path_factory.mktemp("photos") / "photos", {"one": 1, "three": 3, "zero": 0}, 12
    )


@pytest.fixture(scope="session")
def run(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a folder; nobody writes into it."""
    return train(photos, tmp_path_factory.mktemp("runs") / "folder", "--epochs", "2")


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return digit_csv(tmp_path_factory.mktemp("kaggle"), {"seven": 7, "six": 6}, 14)


@pytest.fixture(scope="session")
def kaggle(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a CSV of Kaggle's form; nobody writes into it."""
    return train(table, tmp_path_factory.mktemp("runs") / "csv", "--epochs", "1")


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a command; return its exit code, stdout and stderr."""

    def run_command(*argv: object) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            code = main([str(item) for item in argv])
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run_command
