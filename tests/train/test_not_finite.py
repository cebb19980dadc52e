"""Validation images whose logits are not finite, in a run that goes on."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.builders.recipes import tiny_recipe
from trickbag.train.fit import fit
from trickbag.train.folder.log import RunLog


def test_the_result_says_how_many_images_have_no_finite_logits(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def first_row_is_not(logits_NK: torch.Tensor) -> torch.Tensor:
        logits = logits_NK.clone()
        logits[0] = torch.nan
        return logits

    monkeypatch.setattr("trickbag.tasks.classification.only_finite", first_row_is_not)
    result = fit(tiny_recipe(pictures, epochs=1), 0, tmp_path / "run", log=RunLog())
    (note,) = (note for note in result.notes if note["kind"] == "weights")
    assert note["reason"] == (
        "the kept weights give logits that are not finite for 1 of 12 images of the validation "
        "part: none of these is right"
    )
    assert result.metrics["loss"] is None
    assert result.metrics["top1"] is not None
