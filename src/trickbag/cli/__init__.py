"""The command line: one file for each command, which imports torch only when the command runs."""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any, NoReturn

from trickbag.cli.streams import standard_streams
from trickbag.errors import Stopped, TrickbagError, UserError, memory_failure
from trickbag.memory import keep_freed_memory
from trickbag.text import printable
from trickbag.train.machine.signals import Termination

__all__ = ["COMMANDS", "main", "program"]

COMMANDS = (
    "train",
    "probe",
    "transfer",
    "evaluate",
    "predict",
    "blend",
    "soup",
    "study",
    "search",
    "verify",
    "report",
    "show",
    "bench",
    "list",
    "doctor",
    "pack",
    "export",
    "new",
)


_OF_THE_PATH = (
    *(errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ELOOP),
    *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST),
)
"""Errors of a path that a person gave; others, such as a full disk, are of the run."""


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, and which accepts no abbreviated options."""

    def __init__(self, **settings: Any) -> None:
        # A script with an abbreviation would break when a new option begins with the same letters.
        super().__init__(**settings | {"allow_abbrev": False})

    def error(self, message: str) -> NoReturn:
        # All processes that torchrun starts have the same arguments: the first one reports for all.
        first = "TORCHELASTIC_RUN_ID" not in os.environ or os.environ.get("RANK", "0") == "0"
        line = f"{self.prog}: error: {printable(message)} (see {self.prog} --help)\n"
        self.exit(2, line if first else None)


def _module(command: str) -> ModuleType:
    return importlib.import_module(f"trickbag.cli.{command}")


def _parser(commands: Sequence[str]) -> argparse.ArgumentParser:
    parser = _Parser(
        prog="trickbag",
        description="Train image classifiers with the published bag of tricks, and measure which "
        "trick helps.",
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    subparsers = parser.add_subparsers(
        title="commands", metavar="COMMAND", dest="command", parser_class=_Parser
    )
    for command in commands:
        module = _module(command)
        # A command's help is the docstring of its module.
        text = (module.__doc__ or "").strip()
        subparser = subparsers.add_parser(
            command,
            help=text.partition("\n")[0],
            description=text,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(subparser)
    return parser


_PATHS = ("--out", "--init", "--csv", "--image-root", "--picture", "--localization")
"""Options whose empty value would be the current folder, or as if it had not been given."""


def _empty_argument(arguments: Sequence[str]) -> str | None:
    """Name the first path that is empty, as a variable of a shell may be; None without one."""
    for before, argument in zip(["", *arguments], arguments, strict=False):
        option, equals, value = argument.partition("=")
        if option in _PATHS and equals and not value:
            return f"argument {option}"
        if not argument and before in _PATHS:
            return f"argument {before}"
        # Other options say themselves what they may be.
        if not argument and not before.startswith("--"):
            return "an argument"
    return None


def _parsed(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> argparse.Namespace:
    """Parse arguments; a command's list of images or runs may have options in its midst.

    argparse ends such a list at the first option. A command names its list as `LIST`.
    """
    parsed, rest = parser.parse_known_args(arguments)
    name = getattr(_module(parsed.command), "LIST", None) if parsed.command else None
    unknown = [text for text in rest if name is None or text.startswith("-")]
    if unknown:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    if rest:
        setattr(parsed, str(name), [*getattr(parsed, str(name)), *rest])
    return parsed


def _run_module(parsed: argparse.Namespace) -> int:
    try:
        return int(_module(parsed.command).run(parsed))
    except (MemoryError, OSError, RuntimeError) as error:
        if failure := memory_failure(error):
            raise failure from error
        raise


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    0: success. 1: the run failed, or its output. 2: wrong input. 75: stopped, with a checkpoint
    saved, or before there was anything to save.
    """
    with Termination(ignore_hangup=_is_long(argv)) as termination:
        return _guarded(argv, termination)


def program() -> NoReturn:
    """Run the command of this process, and end the process with the command's exit code."""
    termination = Termination(ignore_hangup=_is_long(None), until_exit=True)
    if _is_long(None):
        keep_freed_memory()
    try:
        with termination:
            termination.exit_code = _guarded(None, termination)
    except SystemExit as stop:  # of the parser
        termination.exit_code = int(stop.code or 0)
    except KeyboardInterrupt:
        # A signal while the message about another one was written: the exit code stays that of it.
        pass
    # A KeyboardInterrupt that left an `exec`, as of a dataclass while it is imported, is remembered
    # by CPython, which then ends `python -m` by SIGINT whatever the exit code; the next one clears.
    exec("")
    sys.exit(termination.exit_code)


def _is_long(argv: Sequence[str] | None) -> bool:
    arguments = sys.argv[1:] if argv is None else argv
    return bool(arguments) and arguments[0] in ("train", "probe", "study", "verify", "pack")


def _guarded(argv: Sequence[str] | None, termination: Termination) -> int:
    """Run a command whatever becomes of its output; return its exit code."""
    # Not list(...): once the command `list` is imported, that name is its module.
    arguments = [*(sys.argv[1:] if argv is None else argv)]
    command = arguments[0] if arguments and arguments[0] in COMMANDS else ""
    with standard_streams(command) as streams:
        try:
            return streams.exit_code(_run(arguments, command))
        except SystemExit as stop:  # of the parser
            raise SystemExit(streams.exit_code(int(stop.code or 0))) from None
        except KeyboardInterrupt:
            name = termination.name or "SIGINT"
            print(f"{streams.name}: stopped by {name}", file=sys.stderr)
            return Stopped.exit_code


def _run(arguments: Sequence[str], command: str) -> int:
    # Only the command's own module is imported, so that it starts fast.
    parser = _parser([command] if command else COMMANDS)
    if (empty := _empty_argument(arguments)) is not None:
        parser.error(f"{empty} is empty")
    parsed = _parsed(parser, arguments)
    if parsed.version:
        from trickbag import __version__

        print(__version__)
        return 0
    if parsed.command is None:
        parser.print_help()
        return 2
    try:
        return _run_module(parsed)
    except TrickbagError as error:
        if not error.elsewhere:
            _report(parsed.command, " ".join(str(error).splitlines()))
        return error.exit_code
    except UnicodeEncodeError as error:
        # Under some locales the system's calls take ASCII alone, and a path may have more.
        _report(
            parsed.command,
            f"{error.object!r} has characters that {error.encoding}, the encoding of file names "
            "here, cannot hold; set LC_ALL=C.UTF-8 or PYTHONUTF8=1",
        )
        return UserError.exit_code
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        # A file that no reader or writer of the package has caught: no error of the program.
        place = f"{error.filename}: " if error.filename is not None else ""
        _report(parsed.command, f"{place}{error.strerror or error}")
        return 2 if error.errno in _OF_THE_PATH else 1


def _report(command: str, text: str) -> None:
    print(f"trickbag {command}: {printable(text)}", file=sys.stderr)
