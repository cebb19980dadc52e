"""Labels of images, one or several each: counts, strata, text."""

from __future__ import annotations

import numpy as np

from trickbag.data.labels import (
    label_counts,
    label_text,
    multi_hot,
    separator_of_labels,
    strata,
)

MULTI_LABEL = multi_hot([[0], [0, 1], [0, 2], [1, 2], [0, 1]], 3)


def test_multi_label_images() -> None:
    assert MULTI_LABEL.tolist() == [[1, 0, 0], [1, 1, 0], [1, 0, 1], [0, 1, 1], [1, 1, 0]]
    assert label_counts(MULTI_LABEL, 3) == (4, 3, 2)
    assert [label_text(row, "abc") for row in MULTI_LABEL] == ["a", "a b", "a c", "b c", "a b"]


def test_single_label_images() -> None:
    labels = np.array([2, 0, -1, 2])
    assert label_counts(labels, 4) == (1, 0, 2, 0)
    assert label_text(labels[0], "abcd") == "c"


def test_what_divides_several_labels() -> None:
    assert separator_of_labels(("cat", "dog")) == " "
    assert separator_of_labels(("cat", "hot dog")) == "|"
    assert separator_of_labels(("cat", "hot dog"), ", ") == ", "
    assert label_text(MULTI_LABEL[1], ("cat", "hot dog", "x"), "|") == "cat|hot dog"


def test_strata_are_the_rarest_labels() -> None:
    assert strata(MULTI_LABEL).tolist() == [0, 1, 2, 2, 1]
    assert strata(np.array([2, 0])).tolist() == [2, 0]


def test_of_equally_rare_labels_the_first_is_the_stratum() -> None:
    assert strata(multi_hot([[0, 1], [1, 0]], 2)).tolist() == [0, 0]
