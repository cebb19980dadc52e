"""The digits as scikit-learn gives them, and as they are read without it."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

from trickbag.data.source import ArrayPart
from trickbag.data.sources import digits


@pytest.mark.parametrize("file", [digits._FILE, "no/such/file.csv.gz"])
def test_the_digits_are_scikit_learns(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digits, "_FILE", file)
    expected = load_digits()
    values_N8x8, labels_N = digits._digits()
    np.testing.assert_array_equal(values_N8x8, expected.images)
    np.testing.assert_array_equal(labels_N, expected.target)
    assert (values_N8x8.dtype, labels_N.dtype) == (expected.images.dtype, expected.target.dtype)
    source = digits.open_digits()
    assert source.classes == tuple(map(str, expected.target_names))
    part = source.parts["train"]
    assert isinstance(part, ArrayPart)
    assert len(part) == 1797
    assert part.labels.dtype == np.int64
