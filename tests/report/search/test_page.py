"""The page of a search: what it says, at any time and of damaged files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.report.html_page import Page
from trickbag.data.policies.policy_file import PolicyFile
from trickbag.errors import UserError
from trickbag.files import write_json
from trickbag.recipes import small
from trickbag.report import is_search, search_page
from trickbag.report.format import TIMES
from trickbag.report.search.images import PolicyImages
from trickbag.search.folder import SearchFolder
from trickbag.search.record import Pilot, SearchRecord

TABLE = (
    (("rotate", 0.7, 4), ("invert", 0.2, 0)),
    (("color", 1.0, 9), ("cutout", 0.3, 5)),
)


def record(search: str, **changes: Any) -> SearchRecord:
    given: dict[str, Any] = {
        "version": "0.1.0",
        "command": "trickbag search",
        "search": search,
        "recipe": small().to_dict(),
        "settings": {"controller": "density"} if search == "autoaugment" else {"phi": 1},
        "seed": 0,
        "folds": 5,
        "epochs": 2,
        "data": "0123456789abcdef",
        "threads": 1,
        "device": "cpu",
        "budget_s": 3600.0,
        "pilot": Pilot(preparation_s=60.0, trial_s=2.0, workers=2),
        "planned": 100,
        "spent_s": 1800.0,
    }
    return SearchRecord(**(given | changes))


def write(folder: Path, search: str, rewards: list[float | None], **changes: Any) -> SearchFolder:
    files = SearchFolder(folder)
    files.write_search(record(search, **changes))
    facts: dict[str, Any] = {"policy": [[list(step) for step in row] for row in TABLE], "fold": 0}
    if search == "scaling":
        facts = {"alpha": 1.2, "beta": 1.1, "gamma": 1.15, "macs": 5e8, "params": 10**7}
    rows = [
        {"number": i, "label": f"try <{i}>", "trial": f"t{i}", "reward": reward, **facts}
        for i, reward in enumerate(rewards)
    ]
    write_json(files.candidates, {"reward": "top1", "candidates": rows})
    return files


def page_of(folder: Path, *pictures: Any) -> Page:
    page = Page(search_page(folder, None, *pictures))
    page.check()
    return page


def test_a_search_for_a_policy(tmp_path: Path) -> None:
    files = write(tmp_path, "autoaugment", [50.0, None, 75.5, 60.0], trials=4)
    PolicyFile(table=TABLE).write(files.policy)
    image = np.zeros((8, 8, 3), np.uint8)
    images = PolicyImages(plain=[image], rows=[[image, image], [image]])
    page = page_of(tmp_path, images)
    assert "The best of 4 policies are joined: 2 sub-policies." in page.text
    assert "try <2>" in page.words("rewards")
    assert "75.5" in page.words("rewards")
    assert "ended after 4 suggestions" in page.text
    assert "rotate 0.7/4 + invert 0.2/0" in page.words("policy")
    assert len(page.all("img")) == 4
    assert "--compare" in page.words("comparison")
    assert is_search(tmp_path)


def test_a_search_for_constants(tmp_path: Path) -> None:
    files = write(tmp_path, "scaling", [50.0, 75.5])
    family = [
        {"phi": 0, "depth": 1.0, "width": 1.0, "size": 1.0, "image_size": 64, "params": 703_010}
        | {"macs": 36_594_944, "throughput": 301.70286755283723},
        {"phi": 2, "depth": 1.6**2, "width": 1.1**2, "size": 1.0, "image_size": [48, 64]}
        | {"params": 3_318_190, "macs": 192_164_336, "throughput": None},
    ]
    write_json(files.scaling, {"schema": 1, "family": family})
    page = page_of(tmp_path)
    assert "2 of about 100 suggestions are tried" in page.text
    assert "The best of 2: try <1>, top-1 on the held-back fold 75.5." in page.text
    assert "millions of multiply-adds" in page.source
    words = page.words("family").replace("\u00a0", " ").replace(TIMES, "x")
    assert "phi depth width side of the images image size parameters multiply-adds" in words
    assert "0 x1 x1 x1 64 703 k 36.6 M 302 images/s" in words
    assert "2 x2.56 x1.21 x1 48x64 3.32 M 192 M \u2014" in words


@pytest.mark.parametrize("family", [None, 3, [], [3], [{}], [{"phi": {"a": 1}, "depth": "deep"}]])
def test_a_family_that_says_nothing_is_left_out_or_undefined(tmp_path: Path, family: Any) -> None:
    files = write(tmp_path, "scaling", [50.0, 75.5])
    write_json(files.scaling, {"schema": 1, "family": family})
    page_of(tmp_path)


def test_a_search_that_has_only_begun(tmp_path: Path) -> None:
    SearchFolder(tmp_path).write_search(record("autoaugment"))
    page = page_of(tmp_path)
    assert "Nothing is found yet." in page.text
    assert "Nothing has been judged yet." in page.words("rewards")


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ({"reward": "top1", "candidates": {"a": 1}}, "candidates"),
        ({"reward": 3, "candidates": []}, "reward"),
        ({"reward": "top1", "candidates": [3]}, "candidate 0"),
        ({"reward": "top1", "candidates": [{"label": "a", "reward": "much"}]}, "reward = 'much'"),
        ({"reward": "top1", "candidates": [{"reward": 1.0}]}, "label"),
        ({"reward": "top1", "candidates": [{"label": "a", "policy": 3}]}, "candidate 0: table"),
        ({"reward": "top1", "candidates": [{"label": "a", "macs": "many"}]}, "macs = 'many'"),
    ],
)
def test_damaged_candidates_are_named(tmp_path: Path, rows: object, says: str) -> None:
    files = write(tmp_path, "scaling", [])
    files.candidates.write_text(json.dumps(rows))
    with pytest.raises(UserError, match=r"cannot read .*candidates\.json") as raised:
        search_page(tmp_path)
    assert says in str(raised.value)


def test_a_folder_without_a_search_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no search"):
        search_page(tmp_path)
    assert not is_search(tmp_path)
