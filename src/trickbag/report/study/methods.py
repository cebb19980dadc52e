"""How a study was done, as a paragraph for a paper: in English, in LaTeX, with its BibTeX."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trickbag.files import write_text
from trickbag.report.citations import (
    HOLM,
    LAN_DEMETS,
    NADEAU_BENGIO,
    TWO_ONE_SIDED,
    Citation,
    bibtex,
    citations,
    of_trick,
)
from trickbag.report.format import short_title, unit
from trickbag.report.recipe_text import source_name
from trickbag.report.study.answer import trick_words
from trickbag.report.study.new_images import has_images
from trickbag.report.tables import latex_text
from trickbag.study.analysis.notes import named
from trickbag.study.designs.layout import ALL

if TYPE_CHECKING:
    from pathlib import Path

    from trickbag.report.study.records import ReportedStudy

__all__ = ["FILES", "Methods", "methods", "write_methods"]

FILES = ("methods.txt", "methods.tex", "references.bib")
"""The files that a report writes beside its page."""

_DESIGNS = {
    "leave-one-out": "the full recipe is compared with it without one of its tricks",
    "one-at-a-time": "the recipe without tricks is compared with it with one trick alone",
    "cumulative": "tricks are added one after the other, each step compared with the one before",
    "factorial": "tricks are combined, and main effects and two-way interactions are estimated by "
    "least squares",
    "recipes": "whole recipes are compared with the first",
    "backbones": "backbones are compared with the first",
}


@dataclass(frozen=True)
class Sentence:
    """A sentence without its full stop, and what it cites."""

    text: str
    cited: tuple[Citation, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Methods:
    """The paragraph in English and in LaTeX, and the bibliography of what it cites."""

    english: str
    latex: str
    bibtex: str


def methods(study: ReportedStudy) -> Methods:
    """Describe how a study was done, by its record."""
    sentences = [sentence for sentence in _sentences(study) if sentence.text]
    cited = [each for sentence in sentences for each in sentence.cited]
    return Methods(
        english=" ".join(map(_english, sentences)) + "\n",
        latex="\n".join(map(_latex, sentences)) + "\n",
        bibtex=bibtex(cited),
    )


def write_methods(study: ReportedStudy, folder: Path) -> None:
    """Write FILES into a folder."""
    paragraph = methods(study)
    for name, text in zip(
        FILES, (paragraph.english, paragraph.latex, paragraph.bibtex), strict=True
    ):
        write_text(folder / name, text)


def _english(sentence: Sentence) -> str:
    names = "; ".join(dict.fromkeys(each.text for each in sentence.cited))
    return f"{sentence.text} ({names})." if names else f"{sentence.text}."


def _latex(sentence: Sentence) -> str:
    keys = ",".join(dict.fromkeys(each.key for each in sentence.cited))
    text = latex_text(sentence.text)
    return f"{text}~\\cite{{{keys}}}." if keys else f"{text}."


def _sentences(study: ReportedStudy) -> list[Sentence]:
    return [
        _arms(study),
        _training(study),
        *_tricks(study),
        _tuning(study),
        _effects(study),
        _tests(study),
        _images(study),
        _margin(study),
        _looks(study),
        _registration(study),
        _software(study),
    ]


def _arms(study: ReportedStudy) -> Sentence:
    networks = named([layout.model for layout in study.layouts], most=6)
    arms = [variant.label for variant in study.variants if not variant.reason]
    what = _DESIGNS.get(study.design, "arms are compared")
    if study.has_settings:
        what += "; other values of settings are compared with those of the recipe"
    return Sentence(
        f"We compared {len(arms)} arms of the recipe {study.name} on {source_name(study.recipe)} "
        f"with {networks}: {what} ({named(list(dict.fromkeys(arms)), most=8)})"
    )


def _training(study: ReportedStudy) -> Sentence:
    training, record = study.recipe.get("training"), study.record
    values = training if isinstance(training, Mapping) else {}
    # Of arms with lengths of their own the recipe's is that of one.
    epochs = values.get("epochs") if study.design != "recipes" else None
    length = f"for {epochs} epoch{'s' * (epochs != 1)} " if epochs else ""
    seeds = f"{record.seeds} seed{'s' * (record.seeds != 1)}"
    if study.on_folds:
        times = f", {record.splits} times by {record.splits} split seeds" * (record.splits > 1)
        return Sentence(
            f"The training and validation images together were divided into {record.folds} folds, "
            f"stratified by class{_grouped(study)}{times}; each arm was trained {length}on all "
            f"folds but one, for each fold with {seeds} of its own, and judged on that fold; on "
            "the same fold with the same seed, all arms have the same images, the same order of "
            "the data and the same initial value of each parameter that they share"
        )
    return Sentence(
        f"Each arm was trained {length}with {seeds}; with the same seed, all arms have the same "
        "images to train and to validate on, the same order of the data and the same initial "
        "value of each parameter that they share"
    )


def _grouped(study: ReportedStudy) -> str:
    data = study.recipe.get("data")
    column = data.get("group_column") if isinstance(data, Mapping) else None
    return f", images of one {column} in one fold" if column else ""


def _tricks(study: ReportedStudy) -> list[Sentence]:
    names = dict.fromkeys(
        name
        for variant in study.variants
        for name in _names_of(study, variant.label, variant.reason)
    )
    cited = {name: tuple(of_trick(name)) for name in names}
    if not names:
        return []
    words = list(map(trick_words, names))
    papers = tuple(each for name in names for each in cited[name])
    return [Sentence(f"The tricks are {named(words, most=len(words))}", papers)]


def _names_of(study: ReportedStudy, label: str, reason: str) -> list[str]:
    """Return the tricks of a variant: of the recipe, and those that its label or effects name."""
    if reason:
        return []
    tricks = study.recipe.get("tricks")
    names = [*tricks] if isinstance(tricks, Mapping) else []
    for layout in study.record.layouts:
        names += [c.trick for c in layout.contrasts if c.trick and label in (c.plus, c.minus)]
        names += layout.factors
    others = study.record.design.get("others")
    for other in others if isinstance(others, list) else ():
        if isinstance(other, Mapping) and isinstance(other.get("tricks"), Mapping):
            names += list(other["tricks"])
    return names


def _tuning(study: ReportedStudy) -> Sentence:
    record = study.record.tuning
    if record is None:
        return Sentence("")
    tuning = record.tuning
    return Sentence(
        f"Before the comparison every arm was tuned on the same grid ({'; '.join(tuning.grid)}; x: "
        f"times the arm's own value) with {tuning.seeds} seeds that the comparison does not use, "
        f"on {tuning.folds - 1} of {tuning.folds} folds of the training images, and the value with "
        f"the best mean {short_title(record.metric)} on the fold left was kept"
    )


def _effects(study: ReportedStudy) -> Sentence:
    training = study.recipe.get("training")
    keep = training.get("keep") if isinstance(training, Mapping) else "last"
    of_unit = f" (in {unit(study.outcome)})" if unit(study.outcome) else ""
    measure = short_title(study.outcome) + of_unit
    part = "test" if study.outcome.startswith("test_") else "validation"
    if study.on_folds:
        return Sentence(
            f"The outcome is {measure} on the images of the fold, of the weights of the "
            f"{'best' if keep == 'best' else 'last'} epoch; paired differences are averaged over "
            "the seeds within each fold, and an effect is the mean over the "
            f"{study.record.splits * (study.record.folds or 0)} folds"
        )
    answer = study.record.answers.get("test" if part == "test" else "val")
    images = f" of {answer.images:,} images" if answer is not None else ""
    return Sentence(
        f"The outcome is {measure} on the {part} part{images}, of the weights of the "
        f"{'best' if keep == 'best' else 'last'} epoch, and an effect is its mean difference over "
        "paired seeds"
    )


def _tests(study: ReportedStudy) -> Sentence:
    known: Mapping[str, Any] = citations()
    tests = sum(effect.p_raw is not None for effect in study.effects or ())
    family = f" over {tests} effect{'s' * (tests != 1)}" if tests else ""
    has_all = any(effect.label == ALL for effect in study.effects or ())
    if study.on_folds:
        count, folds = study.record.splits * (study.record.folds or 0), study.record.folds or 2
        return Sentence(
            "Intervals are 95 % t intervals for new splits of the data, not adjusted, and p-values "
            f"are of the same two-sided t tests with {count - 1} degrees of freedom: as the "
            "training sets of the folds overlap, the variance of the mean is taken as "
            f"(1/{count} + 1/{folds - 1}) times that of the differences by fold; p-values are "
            f"adjusted by Holm{family}, and an effect is said to help or to hurt where its "
            "adjusted p is below the level of 0.05",
            (known[NADEAU_BENGIO], known[HOLM]),
        )
    return Sentence(
        "Intervals are 95 % t intervals of the paired differences, not adjusted; p-values are of "
        f"two-sided paired t tests, adjusted by Holm{family}"
        f"{', that of all tricks together included' if has_all else ''}, and an effect is said to "
        "help or to hurt where its adjusted p is below the level of 0.05",
        (known[HOLM],),
    )


def _images(study: ReportedStudy) -> Sentence:
    if not has_images(study.effects or ()):
        return Sentence("")
    return Sentence(
        "A second interval, for new images too, has seeds and images as crossed random effects"
    )


def _margin(study: ReportedStudy) -> Sentence:
    margin = study.record.margin
    if not margin:
        return Sentence("")
    return Sentence(
        "Effects are said to make no difference that matters where two one-sided tests show them "
        f"to be smaller than {margin:g}",
        (citations()[TWO_ONE_SIDED],),
    )


def _looks(study: ReportedStudy) -> Sentence:
    record = study.record
    looks = [look for look in record.looks if look.outcome == study.outcome]
    if record.max_seeds is None:
        if len(looks) < 2:
            return Sentence("")
        return Sentence(
            f"Verdicts are those of the first look, at {looks[0].seeds} seeds; seeds that were "
            "added later change intervals alone"
        )
    stops = ", and arms were stopped once they were settled" if record.until_settled else ""
    seeds = named([str(look.seeds) for look in looks], most=len(looks))
    at = f" (so far at {seeds})" if looks else ""
    return Sentence(
        f"The study was sequential with at most {record.max_seeds} seeds; its looks{at} share the "
        f"level of 0.05 by a spending function{stops}",
        (citations()[LAN_DEMETS],),
    )


def _registration(study: ReportedStudy) -> Sentence:
    registration = study.record.registration
    if registration is None:
        return Sentence("")
    changes = registration.changes(study.record.registered)
    since = f"; changed since: {'; '.join(changes)}" if changes else ", and has not changed since"
    return Sentence(
        "The design (arms, outcome, seeds, looks, margin and tuning) was fixed before the first "
        f"trial, with the hash {registration.hash}{since}"
    )


def _software(study: ReportedStudy) -> Sentence:
    environments = [trial.environment for trial in study.trials.values() if trial.environment]
    versions = environments[0].get("versions") if environments else None
    torch = versions.get("torch") if isinstance(versions, Mapping) else None
    record = study.record
    with_torch = f" and PyTorch {torch}" if torch else ""
    plural = "s" * (record.threads != 1)
    threads = f", {record.threads} thread{plural} a trial" if record.threads else ""
    device = f" on {record.device}" if record.device else ""
    return Sentence(f"Trials ran with trickbag {record.version}{with_torch}{device}{threads}")
