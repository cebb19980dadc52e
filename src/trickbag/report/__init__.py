"""Pages, pictures and tables of runs: what a run left in its folder, made readable."""

from __future__ import annotations

from trickbag.report.pages import compare_page, run_page
from trickbag.report.pictures import Picture, Pictures, draw_recipe
from trickbag.report.predictions import Prediction, most_confident_mistakes, read_predictions
from trickbag.report.records import Record, read_record, schedule_points
from trickbag.report.tables import FORMATS, run_table

__all__ = [
    "FORMATS",
    "Picture",
    "Pictures",
    "Prediction",
    "Record",
    "compare_page",
    "draw_recipe",
    "most_confident_mistakes",
    "read_predictions",
    "read_record",
    "run_page",
    "run_table",
    "schedule_points",
]
