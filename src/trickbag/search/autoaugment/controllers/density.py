"""The controller of Fast AutoAugment: a tree-structured Parzen estimator, by Optuna.

Source: Lim et al. 2019, arXiv 1905.00397, section 3, which has it choose policies by density
matching; Bergstra et al. 2011, Algorithms for Hyper-Parameter Optimization.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from trickbag.errors import UserError
from trickbag.search.autoaugment.space import OPERATIONS, SIZES, decode
from trickbag.streams import seed_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trickbag.search.autoaugment.space import Policy

__all__ = ["DensityController"]

_STARTUP = 10
"""Policies that are drawn uniformly first, as Optuna has it: a search of one fold can be short."""


class DensityController:
    """Suggests policies that are likely among the good ones, and unlikely among the others.

    A batch is drawn before its rewards are known, and told in its order, in memory alone: the same
    rewards give the same suggestions. Raises UserError without the extra `search`.
    """

    def __init__(self, seed: int, batch: int) -> None:
        self.seed, self.batch = seed, batch
        self._optuna = _import_optuna()
        with warnings.catch_warnings():
            # Before release 5 it warns that multivariate estimation may change.
            warnings.simplefilter("ignore", self._optuna.exceptions.ExperimentalWarning)
            sampler = self._optuna.samplers.TPESampler(
                seed=seed_of(seed, "search density") % 2**32,
                n_startup_trials=_STARTUP,
                # The decisions of a policy belong together: an operation and its magnitude.
                multivariate=True,
                # It would count the policies of a batch that have no reward yet as bad ones.
                constant_liar=False,
            )
        self._study = self._optuna.create_study(sampler=sampler, direction="maximize")
        self._trials: list[Any] = []

    def suggest(self) -> list[Policy]:
        """Return the next policies."""
        self._trials = [self._study.ask() for _ in range(self.batch)]
        return [_suggested(trial) for trial in self._trials]

    def tell(self, rewards: Sequence[float | None]) -> None:
        """Take in the rewards of the last policies; failed trials are left out."""
        failed = self._optuna.trial.TrialState.FAIL
        for trial, reward in zip(self._trials, rewards, strict=False):
            if reward is None:
                self._study.tell(trial, state=failed)
            else:
                self._study.tell(trial, reward)


def _suggested(trial: Any) -> Policy:
    decisions = []
    for i, size in enumerate(SIZES):
        if i % 3 == 0:
            decisions.append(OPERATIONS.index(trial.suggest_categorical(str(i), OPERATIONS)))
        else:
            decisions.append(trial.suggest_int(str(i), 0, size - 1))
    return decode(decisions)


def _import_optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise UserError(
            "the controller density needs optuna: pip install trickbag[search]",
            "or --controller random or ppo, which need nothing more",
        ) from error
    # It writes a line for each trial.
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
