"""Which runs are compiled: those on a GPU that are long enough, and those that are to be."""

from __future__ import annotations

from typing import Literal

import pytest

from trickbag.train.plan.compiling import COMPILED_STEPS, is_compiled


@pytest.mark.parametrize(
    ("setting", "device", "steps", "expected"),
    [
        ("auto", "cuda", COMPILED_STEPS, True),
        ("auto", "cuda", COMPILED_STEPS - 1, False),
        ("auto", "cpu", 10**6, False),
        ("auto", "mps", 10**6, False),
        ("on", "cuda", 1, True),
        ("on", "cpu", 1, True),
        ("off", "cuda", 10**6, False),
    ],
)
def test_what_is_compiled(
    setting: Literal["auto", "on", "off"], device: str, steps: int, expected: bool
) -> None:
    compiled, notes = is_compiled(setting, device, steps)
    assert compiled == expected
    # It is said where a GPU could, and the run is too short.
    is_short = (setting, device, compiled) == ("auto", "cuda", False)
    assert len(notes) == is_short
    assert all("999 steps are fewer than 1,000" in note.text for note in notes)
