"""Study the settings of the recipe finetune: itself, at its former rate, with one of them changed.

python benchmarks/finetune_settings.py FOLDER WEIGHTS [--candidates] [DATA ...]
    then python benchmarks/tables.py

FOLDER, WEIGHTS and DATA are those of `benchmarks/finetune.py`. Each data set is a study of its own,
3 epochs and one thread a trial, kept under docs/studies; one that was stopped goes on. Without
`--candidates` each setting is changed alone, with three seeds, by default on `cifar10` and
`imagenette20`. With it, those that looked better there are studied with six seeds on images that
were not looked at: another draw of these two, the cells and the digits.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from finetune import DATA, EPOCHS, MODEL, SEEDS, WORK, Data, make_data
from studies import keep, linked
from trials import ROOT
from trickbag import recipes
from trickbag.recipe import Recipe
from trickbag.report import study_page
from trickbag.study.designs.recipes import Recipes
from trickbag.study.executors.local import Local
from trickbag.study.log import choose_study_log
from trickbag.study.study import Study
from trickbag.tricks.ema import Ema
from trickbag.tricks.layer_decay import LayerDecay

SCRIPT = "benchmarks/finetune_settings.py"

RATE = "0.0005"
"""The recipe's rate before these studies, of which its present one is the result."""

CHANGED: dict[str, Mapping[str, str]] = {
    "rate_0.0002": {"training.lr": "0.0002"},
    "rate_0.001": {"training.lr": "0.001"},
    "statistics_updated": {"training.batch_norm": "update"},
    "head_from_zero": {"training.fit_head": "false"},
    "freeze_stem": {"training.freeze": "stem"},
    "freeze_3_stages": {"training.freeze": "3"},
    "epochs_1": {"training.epochs": "1"},
    "epochs_6": {"training.epochs": "6"},
}
"""Settings that differ from those of the base, by the name of the arm."""

CANDIDATES = ("rate_0.0002", "epochs_6", "layer_decay_0.9")
"""The arms that looked better than the recipe on both data sets of the first studies, or on one."""

CANDIDATE_SEEDS = 6
OTHER_DRAW = WORK / "data-1"


def base(data: Data, folder: Path, weights: str) -> Recipe:
    """Return the recipe at its former rate, else as `benchmarks/finetune.py` trains it."""
    source = data.source
    if data.name != "digits":
        name = f"{data.name}-1" if folder == OTHER_DRAW else data.name
        source = linked(folder / data.name, name)
    return recipes.finetune(data=source, model=MODEL).set_all(
        {
            "training.init": weights,
            "training.pretrained": "false",
            "training.epochs": str(EPOCHS),
            "training.lr": RATE,
            "data.image_size": str(data.size),
            "data.workers": "0",
            "training.device": "cpu",
            "training.threads": "1",
            "training.keep": "last",
        }
    )


def arms(recipe: Recipe) -> Iterator[Recipe]:
    """Yield the recipe with one setting or trick changed, each under a name of its own."""
    for name, settings in CHANGED.items():
        yield recipe.set_all(settings).replace(name=name)
    for name, changed in (
        ("without_smoothing", recipe.without("label_smoothing")),
        ("ema_0.99", recipe.plus(Ema(decay=0.99))),
        ("layer_decay_0.9", recipe.plus(LayerDecay(decay=0.9))),
    ):
        yield changed.replace(name=name)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("data", nargs="*")
    parser.add_argument("--candidates", action="store_true")
    parser.add_argument("--workers", type=int, default=2)
    chosen = parser.parse_intermixed_args()
    first = ["cifar10", "imagenette20"]
    names = chosen.data or (["cells", *first, "digits"] if chosen.candidates else first)
    folder = OTHER_DRAW if chosen.candidates else WORK / "data"
    make_data(chosen.folder.absolute(), folder, draw=int(chosen.candidates))
    weights = linked(chosen.weights, chosen.weights.name)
    os.chdir(ROOT)
    for data in (data for data in DATA if data.name in names):
        recipe = base(data, folder, weights)
        others = tuple(
            arm for arm in arms(recipe) if arm.name in CANDIDATES or not chosen.candidates
        )
        study = Study(
            recipe=recipe,
            design=Recipes(others=others),
            seeds=CANDIDATE_SEEDS if chosen.candidates else SEEDS,
        )
        name = f"finetune_candidates_{data.name}" if chosen.candidates else f"finetune_{data.name}"
        out = Path("runs", "studies", name)
        study.run(Local(workers=chosen.workers, threads=1), out, log=choose_study_log())
        study_page(out)
        keep(name, SCRIPT)


if __name__ == "__main__":
    main()
