"""The command line: one file a command, none of which imports torch before it runs."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any, NoReturn

from trickbag.errors import TrickbagError

__all__ = ["COMMANDS", "main"]

COMMANDS = (
    "train",
    "evaluate",
    "predict",
    "study",
    "report",
    "show",
    "list",
    "doctor",
    "export",
    "new",
)


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, and which does not guess at options that are
    cut short."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings | {"allow_abbrev": False})

    def error(self, message: str) -> NoReturn:
        first = "TORCHELASTIC_RUN_ID" not in os.environ or os.environ.get("RANK", "0") == "0"
        # Of the processes that torchrun starts one speaks: all have the same arguments.
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n" if first else None)


def _module(command: str) -> ModuleType:
    return importlib.import_module(f"trickbag.cli.{command}")


def _parser(commands: Sequence[str]) -> argparse.ArgumentParser:
    parser = _Parser(
        prog="trickbag",
        description="Train image classifiers with the published bag of tricks, and measure which "
        "trick helps.",
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    choose = parser.add_subparsers(
        title="commands", metavar="COMMAND", dest="command", parser_class=_Parser
    )
    for command in commands:
        module = _module(command)
        text = (module.__doc__ or "").strip()
        sub = choose.add_parser(
            command,
            help=text.partition("\n")[0],
            description=text,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(sub)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return its exit code: 0 success, 1 the run failed, 2 wrong input, 75 stopped
    and saved."""
    # Not list(...): once the command `list` is imported, that is this package's module.
    arguments = [*(sys.argv[1:] if argv is None else argv)]
    parser = _parser(arguments[:1] if arguments and arguments[0] in COMMANDS else COMMANDS)
    parsed = parser.parse_args(arguments)
    if parsed.version:
        from trickbag import __version__

        print(__version__)
        return 0
    if parsed.command is None:
        parser.print_help()
        return 2
    try:
        return int(_module(parsed.command).run(parsed))
    except TrickbagError as error:
        if not error.elsewhere:
            print(
                f"trickbag {parsed.command}: {' '.join(str(error).splitlines())}", file=sys.stderr
            )
        return error.exit_code
    except KeyboardInterrupt:
        print(f"trickbag {parsed.command}: stopped", file=sys.stderr)
        return 75
    except BrokenPipeError:
        # Whoever read the output has gone (`| head`); leave quietly, without a second error at
        # exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
