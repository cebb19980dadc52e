"""Run the command line: `python -m trickbag`."""

from trickbag.cli import program

program()
