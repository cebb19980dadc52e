"""Trained networks by what a person calls them: runs, weights, networks; and their average."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from trickbag.errors import UserError
from trickbag.evaluate.blend_file import is_blend, read_blend
from trickbag.evaluate.runs import is_network
from trickbag.evaluate.views import require_tta
from trickbag.train.folder.fold_runs import fold_runs

if TYPE_CHECKING:
    from trickbag.evaluate.trained import Trained
    from trickbag.models.config import Precision
    from trickbag.optim.config import Device

__all__ = ["load_trained", "require_init"]


def load_trained(
    runs: Path | str | Sequence[Path | str],
    *,
    init: Path | str | Sequence[Path | str] = (),
    device: Device = "auto",
    precision: Precision | None = None,
    tta: str | None = None,
    folded: bool = False,
) -> Trained:
    """Load a trained network; of more than one, and with `tta`, the mean of their probabilities.

    Each is a run's folder, `RUN:last`, a weights file of a run, the folder of a cross-validation,
    which stands for the runs of its folds, the file of a blend (`evaluate.blend_file`), whose
    weights then count, or the name of a network, such as `timm:resnet50`, whose weights are in the
    file that `init` gives in its turn. `tta` is a name of `evaluate.views.TTA`. `folded`: with
    batch normalisations as part of the convolutions, see `Trained.with_folded_norms`. Raises
    UserError where one of them cannot be used, where they do not go together
    (`evaluate.average.averaged`) or are no classifiers, and for a name that is not known.
    """
    if tta is not None:
        require_tta(tta)
    weighted = [run for name in _listed(runs) for run in _runs_of(name)]
    names = [name for name, _ in weighted]
    if not names:
        raise UserError("there is no run to load", "give one, or a list of them")
    files = list(require_init(names, _listed(init)))
    from trickbag.evaluate.average import averaged
    from trickbag.evaluate.network import load_network
    from trickbag.evaluate.of_task import require_task
    from trickbag.evaluate.trained import Trained

    trained = [
        load_network(str(name), files.pop(0), device, precision)
        if is_network(name)
        else Trained.load(name, device, precision)
        for name in names
    ]
    if folded:
        trained = [each.with_folded_norms() for each in trained]
    for each in trained:
        if len(trained) > 1:
            require_task(each, "an average of RUNs", "give one RUN")
        if tta is not None:
            require_task(each, f"--tta {tta}")
    has_blend = any(not is_network(name) and is_blend(Path(name)) for name in _listed(runs))
    # Else all views count the same, as they do in the average of networks by name.
    return averaged(trained, tta, [weight for _, weight in weighted] if has_blend else None)


def _runs_of(name: Path | str) -> list[tuple[Path | str, float]]:
    """Return the runs that a name stands for, with weights of sum 1.

    They are those of all folds of a cross-validation, and all members of a blend.
    """
    if is_network(name):
        return [(name, 1.0)]
    path = Path(name)
    if is_blend(path):
        members = read_blend(path)
        return [(run, weight * w) for member, weight in members for run, w in _runs_of(member)]
    runs = fold_runs(path)
    return [(name, 1.0)] if runs is None else [(run, 1 / len(runs)) for run in runs]


def require_init(runs: Sequence[Path | str], init: Sequence[Path | str]) -> Sequence[Path | str]:
    """Return the files of `init`. Raises UserError unless there is one for each network."""
    networks = [str(name) for name in runs if is_network(name)]
    if len(networks) == len(init):
        return init
    if not networks:
        raise UserError(
            f"--init {init[0]} is for a network by its name, such as timm:resnet50; "
            f"{runs[0]} has weights of its own",
            "leave --init out",
        )
    if not init:
        raise UserError(f"{networks[0]} has no weights", "give them with --init FILE")
    raise UserError(
        f"{len(networks)} networks by name ({', '.join(networks)}), and {len(init)} times --init",
        "give one --init FILE for each, in their order",
    )


def _listed(given: Path | str | Sequence[Path | str]) -> list[Path | str]:
    return [given] if isinstance(given, Path | str) else list(given)
