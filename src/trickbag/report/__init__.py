"""Pages, pictures and tables of runs and studies: what they left in their folders, made readable."""

from __future__ import annotations

from trickbag.report.pages import compare_page, run_page
from trickbag.report.pictures import Panel, Picture, Pictures, draw_recipe
from trickbag.report.predictions import Prediction, most_confident_mistakes, read_predictions
from trickbag.report.price_chart import price_chart
from trickbag.report.records import Record, read_record, schedule_points
from trickbag.report.study_answer import answers
from trickbag.report.study_charts import forest_chart, interaction_chart
from trickbag.report.study_comparison import compare_studies
from trickbag.report.study_page import study_page
from trickbag.report.study_records import Study, is_study, read_study
from trickbag.report.study_tables import study_rows, study_table
from trickbag.report.tables import FORMATS, run_table

__all__ = [
    "FORMATS",
    "Panel",
    "Picture",
    "Pictures",
    "Prediction",
    "Record",
    "Study",
    "answers",
    "compare_page",
    "compare_studies",
    "draw_recipe",
    "forest_chart",
    "interaction_chart",
    "is_study",
    "most_confident_mistakes",
    "price_chart",
    "read_predictions",
    "read_record",
    "read_study",
    "run_page",
    "run_table",
    "schedule_points",
    "study_page",
    "study_rows",
    "study_table",
]
