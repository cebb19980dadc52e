"""What the lines of all tables name, and how each is checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.wrong_input.files import make_files

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.wrong_input.lines import Check

Call = Any


@pytest.fixture(scope="session")
def places(
    tmp_path_factory: pytest.TempPathFactory, run: Path, kaggle: Path, photos: Path, table: Path
) -> dict[str, Path]:
    """The folders and files that lines name; nobody writes into them."""
    tmp = tmp_path_factory.mktemp("wrong")
    make_files(tmp, run)
    return {"tmp": tmp, "run": run, "kaggle": kaggle, "photos": photos, "table": table}


@pytest.fixture
def check(
    places: dict[str, Path], call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Check:
    """Run a wrong line in an empty folder; it must end with exit code 2 and say so in one line."""

    def check_line(line: str, says: list[str]) -> None:
        monkeypatch.chdir(tmp_path)
        code, out, err = call(*[word.format(**places) for word in line.split(" ")])
        assert code == 2, err
        assert err.count("\n") == 1, err
        assert err.endswith("\n")
        assert err.startswith("trickbag")
        assert "Traceback" not in err
        assert "note:" not in err
        for text in says:
            assert text.format(**places) in err, err
        # Training notes what it found before it sees that it cannot go on.
        assert out == "" or line.startswith(("train", "study"))
        assert not list(tmp_path.glob("runs/*/*.json*"))

    return check_line
