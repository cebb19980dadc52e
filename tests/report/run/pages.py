"""The page of a run, read back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.report.html_page import Page
from trickbag.report import Pictures, run_page

if TYPE_CHECKING:
    from pathlib import Path


SECTIONS = {
    "curves",
    "confusion",
    "calibration",
    "selective",
    "classes",
    "mistakes",
    "augmented",
    "recipe",
    "environment",
    "data-errors",
}


def page_of(folder: Path, pictures: Pictures | None = None) -> Page:
    page = Page(run_page(folder, pictures=pictures))
    page.check()
    assert {values["id"] for values in page.all("section")} == SECTIONS
    return page
