"""What is done with runs, weights and studies that are there."""

from __future__ import annotations

from tests.compare_commits.runs import STOPPED
from tests.compare_commits.scenario import CPU, SMALL, Scenario, Step, train
from tests.compare_commits.studies import FACTORIAL, LEAVE_ONE_OUT

__all__ = ["readers"]


def readers() -> tuple[Scenario, ...]:
    """Return what is done with runs, weights and studies that are there."""
    weights = "read_run/run/best.safetensors"
    again = f"train {SMALL} --seed 3 --out read_run/run --resume"
    return (
        Scenario(
            "read_run",
            "a finished run: resumed, evaluated, predicted with, reported, exported, trained from",
            (
                Step("shapes/run read_run/run", "copy"),
                Step(f"{again} --epochs 4"),
                Step(f"{again} --epochs 5", exit_code=2),
                Step("evaluate read_run/run --json", output="read_run/evaluate.json"),
                Step(f"evaluate {weights} --data data/parts --json", output="read_run/other.json"),
                Step("predict read_run/run data/parts/test --csv read_run/all.csv --probabilities"),
                Step("report read_run/run --out read_run/report.html"),
                Step("report read_run/run averaged/run --out read_run/compared.html"),
                Step(f"export {weights} --format safetensors --out read_run/out.safetensors"),
                train("read_run/again", f"read_run/run {CPU} --seed 3"),
                train("read_run/init", f"{SMALL} --epochs 1 --init {weights}"),
                train(
                    "read_run/taught",
                    f"{SMALL} --epochs 1 --with distillation:teacher={weights},view=centre",
                ),
            ),
            needs=("shapes", "averaged"),
            reads_before=True,
            alike=(("shapes/run", "read_run/run"), ("shapes/run", "read_run/again")),
        ),
        Scenario(
            "read_stopped",
            "a stopped run goes on, and is the run that was never stopped",
            (
                Step("stopped/run read_stopped/run", "copy"),
                Step(f"{STOPPED} --out read_stopped/run --resume"),
            ),
            needs=("whole", "stopped"),
            reads_before=True,
            alike=(("whole/run", "read_stopped/run"),),
        ),
        Scenario(
            "read_studies",
            "finished studies: the same commands run no trial; reports",
            (
                Step("study/out read_studies/one", "copy"),
                Step("study_factorial/out read_studies/factorial", "copy"),
                Step(f"{LEAVE_ONE_OUT} --out read_studies/one"),
                Step(f"{FACTORIAL} --out read_studies/factorial"),
                Step("report read_studies/factorial"),
                Step("report read_studies/one --format json", output="read_studies/table.json"),
            ),
            needs=("study", "study_factorial"),
            reads_before=True,
            alike=(
                ("study/out", "read_studies/one"),
                ("study_factorial/out", "read_studies/factorial"),
            ),
        ),
        Scenario(
            "read_stopped_study",
            "a stopped study goes on, and is the study that was never stopped",
            (
                Step("study_stopped/out read_stopped_study/out", "copy"),
                Step(f"{LEAVE_ONE_OUT} --out read_stopped_study/out", "process"),
            ),
            needs=("study", "study_stopped"),
            reads_before=True,
            alike=(("study/out", "read_stopped_study/out"),),
        ),
    )
