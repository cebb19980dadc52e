"""Errors that a user can meet; each message names the thing, the value and the way out."""

from __future__ import annotations

from collections.abc import Iterable


class TrickbagError(Exception):
    """Base of every error that is reported in one line, without a traceback.

    `exit_code` is what the command line returns: 2 for wrong input, 1 for a run that failed. `elsewhere` is set where
    another process of the same run reports it.
    """

    exit_code = 1
    elsewhere = False


class UserError(TrickbagError):
    """Report wrong input: a name, a value, a path, a combination."""

    exit_code = 2


class DoesNotApply(UserError):
    """Report a trick that cannot work on this network or this recipe: exit 2 in `train`, a row in a study."""


class RunFailed(TrickbagError):
    """Report a run that could not go on: a loss that is not finite, too many bad files, a full disk."""

    exit_code = 1


class Stopped(TrickbagError):
    """Report a run stopped by SIGTERM or SIGINT, its checkpoint saved."""

    exit_code = 75


def choices(known: Iterable[object]) -> str:
    """Write the allowed names for an error message: `a, b, c`."""
    return ", ".join(sorted(str(name) for name in known))
