"""Pages, pictures and tables of runs and studies, from the files in their folders."""

from __future__ import annotations

from trickbag.report.cross_validation import cross_validation_page, is_cross_validation
from trickbag.report.pictures import Picture, Pictures
from trickbag.report.recipe_picture import PicturePanel, draw_recipe, schedule_points
from trickbag.report.run.comparison import compare_page
from trickbag.report.run.page import run_page
from trickbag.report.run.predictions import most_confident_mistakes
from trickbag.report.run.records import ReportedRun, read_record
from trickbag.report.run.tables import FORMATS, run_table
from trickbag.report.search.page import search_page
from trickbag.report.search.records import is_search
from trickbag.report.study.answer import answers
from trickbag.report.study.charts import forest_chart, interaction_chart
from trickbag.report.study.comparison import compare_studies
from trickbag.report.study.page import study_page
from trickbag.report.study.price_chart import price_chart
from trickbag.report.study.records import ReportedStudy, is_study, read_study
from trickbag.report.study.tables import study_rows, study_table

__all__ = [
    "FORMATS",
    "Picture",
    "PicturePanel",
    "Pictures",
    "ReportedRun",
    "ReportedStudy",
    "answers",
    "compare_page",
    "compare_studies",
    "cross_validation_page",
    "draw_recipe",
    "forest_chart",
    "interaction_chart",
    "is_cross_validation",
    "is_search",
    "is_study",
    "most_confident_mistakes",
    "price_chart",
    "read_record",
    "read_study",
    "run_page",
    "run_table",
    "schedule_points",
    "search_page",
    "study_page",
    "study_rows",
    "study_table",
]
