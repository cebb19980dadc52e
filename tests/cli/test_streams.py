"""Commands whose output fails: they do their work, and only what was delivered is success."""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
from pathlib import Path

import pytest

from tests.test_output import Failing
from trickbag import cli
from trickbag.cli import main, streams

LOST = {"pipe": errno.EPIPE, "terminal": errno.EIO, "full": errno.ENOSPC, "closed": None}
"""The ways in which a stdout can fail."""

QUICK = ["list tricks", "list recipes --json", "show small", "--version", "--help", "new --help"]
OF_A_RUN = ["evaluate {run} --workers 0", "predict {run} {image}", "report {run} --format md"]


def expected(how: str, words: str) -> int:
    if how in ("pipe", "terminal"):
        return 0
    return 0 if how == "closed" and words.startswith("train ") else 1


def code_of(words: str, how: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """Run a command whose stdout fails."""
    code = LOST[how]
    failing = None if code is None else Failing(code, terminal=how == "terminal")
    monkeypatch.setattr(sys, "stdout", failing)
    try:
        return main(words.split())
    except SystemExit as stop:
        return int(stop.code or 0)
    finally:
        assert sys.stdout is failing


@pytest.mark.parametrize("how", LOST)
@pytest.mark.parametrize("words", QUICK)
def test_what_is_only_printed(
    words: str, how: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert code_of(words, how, monkeypatch) == expected(how, words)
    err = capsys.readouterr().err
    assert ("cannot write to stdout" in err) == (how in ("full", "closed"))
    assert err.count("\n") == (how in ("full", "closed"))


@pytest.mark.parametrize("how", LOST)
@pytest.mark.parametrize("words", [*OF_A_RUN, "train --resume --out {run}"])
def test_what_is_done_with_a_run(
    words: str, how: str, run: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = words.format(run=run, image=photos / "one" / "000.png")
    assert code_of(words, how, monkeypatch) == expected(how, words)


@pytest.mark.parametrize("how", LOST)
def test_an_error_keeps_its_code_though_no_stream_takes_it(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = LOST[how]
    monkeypatch.setattr(sys, "stderr", None if code is None else Failing(code))
    assert code_of("train --data /nowhere", how, monkeypatch) == 2
    assert code_of("evaluate /nowhere", how, monkeypatch) == 2
    assert code_of("bogus", how, monkeypatch) == 2


def test_nobody_is_predicted_for(run: Path, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    printed: list[str] = []

    class Head(io.StringIO):
        def write(self, text: str) -> int:
            printed.append(text)
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

    monkeypatch.setattr(sys, "stdout", Head())
    assert main(["predict", str(run), str(photos)]) == 0
    assert len(printed) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_before_anything_has_begun(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip("this process was started with the signal ignored")
    monkeypatch.setattr(cli, "_module", lambda _: signal.raise_signal(number))
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGHUP)
    for command in ("train", "study", "evaluate"):
        assert main([command]) == 75
        assert capsys.readouterr().err == f"trickbag {command}: stopped by {number.name}\n"
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGHUP)) == before


def test_a_signal_while_the_report_is_written(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import trickbag.report

    monkeypatch.setattr(
        trickbag.report, "run_page", lambda *_, **__: signal.raise_signal(signal.SIGTERM)
    )
    page = run / "report.html"
    page.rename(run / "kept.html")
    try:
        assert main(["train", "--resume", "--out", str(run)]) == 75
    finally:
        (run / "kept.html").rename(page)
    err = capsys.readouterr().err
    assert f"stopped while the report was written; the run in {run} is finished" in err
    assert f"`trickbag report {run}` writes it" in err
    assert err.count("\n") == 1


def test_descriptors_that_are_closed_are_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[object] = []
    inherited: list[object] = []

    class FakeOs:
        devnull, O_RDWR = os.devnull, os.O_RDWR

        def fstat(self, descriptor: int) -> None:
            if descriptor == 1:
                raise OSError(errno.EBADF, "Bad file descriptor")

        def open(self, *call: object) -> int:
            opened.append(call)
            return 1

        def set_inheritable(self, *call: object) -> None:
            inherited.append(call)

    monkeypatch.setattr(streams, "os", FakeOs())
    streams._open_descriptors()
    assert opened == [(os.devnull, os.O_RDWR)]
    assert inherited == [(1, True)]
