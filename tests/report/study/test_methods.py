"""The paragraph of methods: what it says of a study, and that its LaTeX and BibTeX fit it."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from tests.report.html_page import Page
from tests.report.study_folder import write_study
from trickbag.report import read_study, study_page
from trickbag.report.study.methods import FILES, Methods, methods
from trickbag.report.study.records import ReportedStudy
from trickbag.report.study.trials import facts
from trickbag.study.analysis.looks import Look
from trickbag.study.registration import Registration
from trickbag.study.tuning.record import TuningRecord
from trickbag.study.tuning.tuning import Tuning

TRICKS = ("mixup", "label_smoothing")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> ReportedStudy:
    folder = tmp_path_factory.mktemp("methods") / "small_1%"
    return read_study(write_study(folder, tricks=TRICKS, seeds=5))


def of(study: ReportedStudy, **changes: object) -> Methods:
    record = dataclasses.replace(study.record, **changes)  # type: ignore[arg-type]
    return methods(dataclasses.replace(study, record=record))


def test_what_every_study_says(study: ReportedStudy) -> None:
    text = methods(study).english
    for words in (
        "We compared 3 arms of the recipe small on digits with resnet18_d",
        "(full, -mixup and -label_smoothing)",
        "Each arm was trained for 8 epochs with 5 seeds",
        "label smoothing",
        "Zhang et al. 2017",
        "The outcome is top-1 (in %) on the validation part",
        "adjusted by Holm over 2 effects",
        "(Holm 1979)",
        "and PyTorch 2.11.0",
    ):
        assert words in text, words
    for words in ("tuned", "sequential", "hash", "one-sided", "first look"):
        assert words not in text, words


def test_what_a_study_adds(study: ReportedStudy) -> None:
    tuning = TuningRecord(tuning=Tuning(grid=("training.lr=0.3x,1x",), seeds=3), metric="loss")
    assert "(training.lr=0.3x,1x; x: times the arm's own value) with 3 seeds that the comp" in (
        of(study, tuning=tuning).english
    )
    margin = of(study, margin=0.5)
    assert "smaller than 0.5 (Schuirmann 1987)." in margin.english
    assert "schuirmann1987comparison" in margin.bibtex
    looks = tuple(Look(outcome="top1", seeds=seeds, level=0.01) for seeds in (3, 5))
    sequential = of(study, max_seeds=9, until_settled=True, looks=looks).english
    assert "with at most 9 seeds; its looks (so far at 3 and 5) share the level" in sequential
    assert "arms were stopped once they were settled (Lan & DeMets 1983)." in sequential
    assert "Verdicts are those of the first look, at 3 seeds" in of(study, looks=looks).english
    registration = Registration.of(study.record.registered)
    registered = of(study, registration=registration).english
    assert f"with the hash {registration.hash}, and has not changed since." in registered
    changed = of(study, registration=registration, seeds=9).english
    assert f"{registration.hash}; changed since: seeds (9, not 5)." in changed


def test_a_study_on_folds(study: ReportedStudy) -> None:
    recipe = {**study.recipe, "data": {**study.recipe["data"], "group_column": "patient"}}
    paragraph = of(study, folds=5, splits=3, seeds=2, recipe=recipe)
    for words in (
        "divided into 5 folds, stratified by class, images of one patient in one fold, 3 times by",
        "for each fold with 2 seeds of its own, and judged on that fold",
        "averaged over the seeds within each fold, and an effect is the mean over the 15 folds",
        "for new splits of the data",
        "with 14 degrees of freedom",
        "(1/15 + 1/4) times that of the differences by fold",
        "(Nadeau & Bengio 2003; Holm 1979)",
    ):
        assert words in paragraph.english, words
    assert "nadeau2003inference" in paragraph.bibtex
    assert "over paired seeds" not in paragraph.english


def test_latex_and_bibliography_fit_each_other(study: ReportedStudy) -> None:
    paragraph = of(study, margin=0.5, max_seeds=9)
    keys = {
        key
        for group in re.findall(r"\\cite\{([^}]*)\}", paragraph.latex)
        for key in group.split(",")
    }
    assert keys == set(re.findall(r"(?m)^@\w+\{([^,]+),", paragraph.bibtex))
    assert len(keys) > 5
    # What means something in LaTeX is escaped, wherever it stands.
    assert not re.search(r"(?<!\\)[%_&#$]", re.sub(r"\\cite\{[^}]*\}", "", paragraph.latex))
    words = [re.sub(r"~\\cite\{[^}]*\}", "", line) for line in paragraph.latex.splitlines()]
    assert len(words) == paragraph.english.count(". ") - paragraph.english.count("al. ") + 1


def test_the_files_stand_beside_the_page(study: ReportedStudy, tmp_path: Path) -> None:
    page = Page(study_page(study.folder))
    page.check()
    paragraph = methods(study)
    for name, text in zip(
        FILES, (paragraph.english, paragraph.latex, paragraph.bibtex), strict=True
    ):
        assert (study.folder / name).read_text() == text
    assert "We compared 3 arms" in page.words("methods")
    assert "was not registered before its first trial" in page.words("methods")
    study_page(study.folder, tmp_path / "elsewhere.html")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere.html"]


def test_how_often_was_looked(study: ReportedStudy) -> None:
    def looks(*seeds: int, most: int | None = None) -> str:
        written = tuple(Look(outcome="top1", seeds=number, level=0.01) for number in seeds)
        record = dataclasses.replace(study.record, looks=written, max_seeds=most)
        return dict(facts(dataclasses.replace(study, record=record)))["looks"]

    assert looks(1) == "1, at 1 seed"
    assert looks(3, 5) == "2, at 3 and 5 seeds"
    assert looks(1, most=9) == "1, at 1 of at most 9 seeds; the last at p < 0.01"
