"""What libraries warn about while they read a file names the file."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from trickbag.errors import UserError
from trickbag.files import named_warnings


@pytest.mark.filterwarnings("default")
def test_a_warning_names_the_file() -> None:
    with (
        pytest.warns(UserWarning, match=r"^runs/a/last\.ckpt: an odd protocol$") as caught,
        named_warnings(Path("runs/a/last.ckpt")),
    ):
        warnings.warn("an odd protocol", UserWarning, stacklevel=1)
    assert len(caught) == 1


@pytest.mark.filterwarnings("default")
def test_the_warnings_of_a_refused_file_are_left_out(
    recwarn: pytest.WarningsRecorder,
) -> None:
    def read() -> None:
        with named_warnings(Path("a")):
            warnings.warn("odd", UserWarning, stacklevel=1)
            raise UserError("a is damaged")

    with pytest.raises(UserError, match="a is damaged"):
        read()
    assert not recwarn.list
