"""What a person sees of a search: lines in a pipe, a table in a terminal."""

from __future__ import annotations

import io

from rich.console import Console

from trickbag.recipes import small
from trickbag.search.log import LiveSearchLog, PlainSearchLog, SearchLog
from trickbag.search.objective import SearchCandidate
from trickbag.study.trial import Trial


def candidates() -> list[SearchCandidate[int]]:
    rewards = (60.0, None, 75.5)
    return [
        SearchCandidate(
            number=i,
            suggestion=i,
            trial=Trial(id=str(i), label=f"policy {i}", model="", recipe=small(), seed=0),
            reward=reward,
        )
        for i, reward in enumerate(rewards)
    ]


def show(log: SearchLog) -> None:
    rows = candidates()
    log.start("top1", 10)
    log.prepared(rows[0].trial, 1, 2)
    log.tried(rows[:1], 1, 90.0)
    log.tried(rows, 2, 60.0)


def test_lines_say_what_was_tried_and_the_best_so_far() -> None:
    file = io.StringIO()
    log = PlainSearchLog(file)
    show(log)
    log.stop()
    assert file.getvalue().splitlines() == [
        "[1/2] policy 0 is trained",
        "[1/10] policy 0: top1 60; best 60",
        "[2/10] policy 1: no top1; best 75.5",
        "[3/10] policy 2: top1 75.5; best 75.5",
    ]


def test_a_terminal_has_a_table_of_the_best() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    log = LiveSearchLog(console)
    show(log)
    table = log._table()
    assert table.title == "3 of 10 tried, 1 min left"
    assert [list(column.cells) for column in table.columns] == [
        ["policy 2", "policy 0"],
        ["75.5", "60"],
    ]
    log.stop()
