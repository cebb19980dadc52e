"""What a person sees of a study: lines in a pipe, a table in a terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from trickbag import recipes
from trickbag.durations import about, parse_time
from trickbag.errors import UserError
from trickbag.study.designs.leave_one_out import LeaveOneOut
from trickbag.study.log import LiveStudyLog, PlainStudyLog, StudyLog, choose_study_log
from trickbag.study.progress import StudyProgress
from trickbag.study.records.result import StoredResult
from trickbag.study.trial import Trial
from trickbag.study.trial_plan import TrialPlan, seeds_text


@pytest.fixture
def progress() -> StudyProgress:
    recipe = recipes.small().only("mixup", "resnet_d")
    layouts = [
        LeaveOneOut().layout(recipe.on(name), name) for name in ("resnet18", "timm:resnet10t")
    ]
    return StudyProgress(TrialPlan.of(layouts, 2, "fingerprint"), [])


def ended(
    trial: Trial, top1: float | None, error: str | None = None, status: str = ""
) -> StoredResult:
    return StoredResult(
        trial=trial.id,
        label=trial.label,
        model=trial.model,
        seed=trial.seed,
        metrics={"top1": top1},
        error=error,
        status=status,
    )


def run(log: StudyLog, progress: StudyProgress) -> None:
    trials = list(progress.trial_plan.trials.values())
    log.start(progress, "top1", len(trials))
    for place, trial in enumerate(trials):
        result = (
            ended(trial, None, "the loss is not finite")
            if place == 3
            else ended(trial, 90.0 + place)
        )
        progress.add(result)
        log.result(result)
    log.stop()


def test_trials_of_two_networks(progress: StudyProgress) -> None:
    assert [(t.model, t.label, t.seed) for t in progress.trial_plan.trials.values()] == [
        (model, label, seed)
        for seed in (0, 1)
        for model, labels in (
            ("resnet18", ("full", "-resnet_d", "-mixup")),
            ("timm:resnet10t", ("full", "-mixup")),
        )
        for label in labels
    ]


def test_plain_lines(progress: StudyProgress, capsys: pytest.CaptureFixture[str]) -> None:
    run(PlainStudyLog(), progress)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "10 trials to run, 0 finished"
    assert lines[1].startswith("[1/10] resnet18, full, seed 0: top1 90")
    # Two networks have a variant of each name.
    assert lines[4].startswith("[4/10] timm:resnet10t, full, seed 0: the loss is not finite")
    assert lines[10] == "[10/10] timm:resnet10t, -mixup, seed 1: top1 99"
    assert len(lines) == 11


def test_a_log_for_a_stream_that_is_no_terminal(
    progress: StudyProgress, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = io.StringIO()
    run(choose_study_log(stream), progress)
    assert stream.getvalue().startswith(
        "10 trials to run, 0 finished\n[1/10] resnet18, full, seed 0: "
    )
    assert capsys.readouterr() == ("", "")
    choose_study_log().note("to stderr")
    assert capsys.readouterr() == ("", "to stderr\n")


def test_the_live_table(progress: StudyProgress) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=100, height=40)
    log = LiveStudyLog(console)
    run(log, progress)
    text = io.StringIO()
    Console(file=text, width=100).print(log._table())
    rows = [line.split() for line in text.getvalue().splitlines()]
    assert ["network", "variant", "seeds", "top1", "effect", "95", "%", "interval"] in rows
    # On the first network full has 90 and 95, -resnet_d 91 and 96, -mixup 92 and 97: no spread, no
    # interval.
    assert ["resnet18", "full", "2/2", "92.5", "-", "-"] in rows
    assert ["resnet18", "-mixup", "2/2", "94.5", "-2", "-"] in rows
    assert ["timm:resnet10t", "full", "1/2", "98", "-", "-"] in rows
    assert ["timm:resnet10t", "-resnet_d", "-", "-", "does", "not", "apply"] in rows
    output = console.file.getvalue()  # type: ignore[attr-defined]
    assert "timm:resnet10t, full, seed 0 failed: the loss is not finite" in output
    assert output.rindex("\x1b[?25h") > output.rindex("\x1b[?25l"), "the cursor is back"


def test_a_failed_trial_is_retried_so_often_and_an_inapplicable_one_never(
    progress: StudyProgress,
) -> None:
    first, second, *_ = progress.trial_plan.trials.values()
    progress.add(ended(first, None, "the loss is not finite"))
    assert first in progress.pending(retries=1)
    assert first not in progress.pending(retries=0)
    assert [result.trial for result in progress.given_up()] == [first.id]
    progress.add(ended(second, None, "no residual blocks", "does_not_apply"))
    assert not [
        trial
        for trial in progress.pending(retries=9)
        if (trial.model, trial.label) == ("resnet18", "-resnet_d")
    ]
    variants = {(v.model, v.label): v for layout in progress.layouts() for v in layout.variants}
    assert variants["resnet18", "-resnet_d"].reason == "no residual blocks"
    assert variants["timm:resnet10t", "-mixup"].recipe is not None
    progress.add(ended(first, 91.0))
    progress.add(ended(first, 17.0))  # a second result of a finished trial counts nothing
    assert progress.cells()["resnet18", "full"][0]["top1"] == 91.0
    assert progress.given_up() == []


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2h", 7200), ("90min", 5400), ("1h30m", 5400), ("45s", 45), ("1.5 h", 5400), ("1h 5s", 3605)],
)
def test_times_are_read(text: str, seconds: float) -> None:
    assert parse_time(text, "--budget") == seconds


@pytest.mark.parametrize("text", ["", "2", "h", "-1h", "0s", "2 days", "1h,5m", "h2"])
def test_times_that_are_none(text: str) -> None:
    with pytest.raises(UserError, match=r"--budget = .*must be a time such as 2h"):
        parse_time(text, "--budget")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "0 s"),
        (59.4, "59 s"),
        (61, "1 min 1 s"),
        (660, "11 min"),
        (3600, "1 h"),
        (7500, "2 h 5 min"),
        (3599, "1 h"),
    ],
)
def test_times_are_written(seconds: float, text: str) -> None:
    assert about(seconds) == text


@pytest.mark.parametrize(
    ("seeds", "text"),
    [([], ""), ([3], "3"), ([0, 1], "0-1"), ([4, 0, 2, 3], "0, 2-4"), ([0, 2, 4], "0, 2, 4")],
)
def test_seeds_are_written(seeds: list[int], text: str) -> None:
    assert seeds_text(seeds) == text
