"""Recipes by name: each is a function of the data and the network, and its docstring says what to
expect."""

from __future__ import annotations

import importlib.util
import inspect
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from trickbag.data.config import DataConfig
from trickbag.errors import UserError, choices
from trickbag.models.config import ModelConfig, ResNetConfig, model_config
from trickbag.optim.config import TrainConfig
from trickbag.optim.optimizers import AdamW
from trickbag.optim.schedule import Schedule
from trickbag.recipe import Recipe
from trickbag.recipes.lee2020 import (
    LADDER,
    assemble_e0,
    assemble_e1,
    assemble_e2,
    assemble_e3,
    assemble_e4,
    assemble_e5,
    assemble_e6,
    assemble_e7,
    assemble_e8,
    assemble_e9,
    assemble_e10,
    assemble_e11,
    assemble_e12,
    assemble_resnet50,
    assemble_resnet152,
)
from trickbag.tricks.color_jitter import ColorJitter
from trickbag.tricks.cosine_decay import CosineDecay
from trickbag.tricks.distillation import Distillation
from trickbag.tricks.label_smoothing import LabelSmoothing
from trickbag.tricks.layer_decay import LayerDecay
from trickbag.tricks.linear_scaling import LinearScaling
from trickbag.tricks.mixed_precision import MixedPrecision
from trickbag.tricks.mixup import Mixup
from trickbag.tricks.no_bias_decay import NoBiasDecay
from trickbag.tricks.pca_noise import PCANoise
from trickbag.tricks.resnet_tweaks import ResNetD
from trickbag.tricks.warmup import Warmup
from trickbag.tricks.zero_init_residual import ZeroInitResidual

__all__ = [
    "RECIPES",
    "assemble_e0",
    "assemble_e1",
    "assemble_e2",
    "assemble_e3",
    "assemble_e4",
    "assemble_e5",
    "assemble_e6",
    "assemble_e7",
    "assemble_e8",
    "assemble_e9",
    "assemble_e10",
    "assemble_e11",
    "assemble_e12",
    "assemble_resnet50",
    "assemble_resnet152",
    "bag_of_tricks",
    "baseline",
    "efficient",
    "finetune",
    "load",
    "small",
]

Data = str | DataConfig
Model = str | ModelConfig


def _data(data: Data, **defaults: Any) -> DataConfig:
    return data if isinstance(data, DataConfig) else DataConfig(source=data, **defaults)


def _model(model: Model) -> ModelConfig:
    return model_config(model) if isinstance(model, str) else model


def baseline(*, data: Data = "digits", model: Model = "resnet50_a") -> Recipe:
    """Train as the paper's baseline: ResNet-50, batch 256, steps at 30, 60 and 90 of 120 epochs.

    Expect 75.87 % top-1 on ImageNet (He et al. 2018, table 2, on 8 V100): a published figure, not
    measured here.
    """
    return Recipe(
        name="baseline",
        data=_data(data),
        model=_model(model),
        training=TrainConfig(epochs=120, batch_size=256, lr=0.1, weight_decay=1e-4),
        tricks=(ColorJitter(), PCANoise()),
    )


def efficient(*, data: Data = "digits", model: Model = "resnet50_a") -> Recipe:
    """Train as the paper's efficient baseline: batch 1,024, reduced precision and the large-batch heuristics.

    Expect 76.21 % top-1 on ImageNet at a third of the baseline's time (He et al. 2018, table 3, on
    8 V100): published figures, not measured here.
    """
    return (
        baseline(data=data, model=model)
        .replace(
            name="efficient",
            training=TrainConfig(epochs=120, batch_size=1024, lr=0.1, weight_decay=1e-4),
        )
        .plus(
            LinearScaling(), Warmup(epochs=5.0), ZeroInitResidual(), NoBiasDecay(), MixedPrecision()
        )
    )


def bag_of_tricks(
    *, data: Data = "digits", model: Model = "resnet50_a", teacher: str | None = None
) -> Recipe:
    """Train with the paper's whole bag: ResNet-50-D, batch 1,024, 200 epochs, mixup to the end, distillation.

    Distillation needs a `teacher`: a run's folder, a weights file or `timm:NAME`. The paper's is a
    ResNet-152-D, which this recipe trains too:
    `bag_of_tricks(model="resnet152_d").without("resnet_d")`. Expect 79.29 % top-1 on ImageNet with
    it, 79.15 % without (He et al. 2018, table 6, on 8 V100): published figures, not measured here.
    """
    recipe = efficient(data=data, model=model)
    whole = recipe.replace(
        name="bag_of_tricks",
        training=TrainConfig(epochs=200, batch_size=1024, lr=0.1, weight_decay=1e-4),
    ).plus(ResNetD(), CosineDecay(), LabelSmoothing(), Mixup())
    return whole if teacher is None else whole.plus(Distillation(teacher=(teacher,)))


def finetune(*, data: Data = "digits", model: Model = "resnet50_d") -> Recipe:
    """Adapt a pretrained network to data of your own: AdamW, layer-wise learning rates, 20 epochs.

    Starts from the weights that timm publishes for the network, or from `training.init` (`--init
    FILE`). What to expect depends on the data; no figure has been measured for this recipe.
    """
    return Recipe(
        name="finetune",
        data=_data(data, crop_area=(0.35, 1.0)),
        model=_model(model),
        training=TrainConfig(
            epochs=20,
            batch_size=64,
            optimizer=AdamW(),
            lr=1e-3,
            weight_decay=0.05,
            clip_norm=1.0,
            pretrained=True,
        ),
        schedule=Schedule(warmup_epochs=1.0),
        tricks=(LayerDecay(), NoBiasDecay(), MixedPrecision(), CosineDecay(), LabelSmoothing()),
    )


def small(*, data: Data = "digits", model: Model | None = None) -> Recipe:
    """Train a ResNet-18-D for small images and small data on a CPU; the stem follows the image size.

    Images are 64 px where the source has no size of its own. Expect 99.61 % top-1 on the built-in
    digits (mean of 5 seeds), 61 s of training on 2 cores of a Xeon: see
    benchmarks/results/digits.json.
    """
    return Recipe(
        name="small",
        data=_data(data, default_size=64, crop_area=(0.6, 1.0), eval_crop=1.0),
        model=ResNetConfig(depth=18, small_stem="auto") if model is None else _model(model),
        training=TrainConfig(epochs=8, batch_size=32, lr=0.4, weight_decay=5e-4),
        tricks=(
            LinearScaling(),
            Warmup(epochs=1.0),
            ZeroInitResidual(),
            NoBiasDecay(),
            MixedPrecision(),
            ResNetD(),
            CosineDecay(),
            LabelSmoothing(),
            Mixup(),
        ),
    )


RECIPES: Mapping[str, Callable[..., Recipe]] = MappingProxyType(
    {
        function.__name__: function
        for function in (small, baseline, efficient, bag_of_tricks, finetune)
    }
    | dict(LADDER)
)
"""The recipes that the command line knows by name."""


def load(spec: str) -> Recipe:
    """Read a recipe: a name of `list recipes`, a .json or .yaml file, a run's folder, or `file.py:function`.

    Raises UserError where there is no such recipe or it cannot be read, naming the line where a
    file is damaged.
    """
    if spec in RECIPES:
        return RECIPES[spec]()
    path = Path(spec)
    file, _, function = spec.rpartition(":")
    if file.endswith(".py"):
        return _from_function(Path(file), function)
    if path.is_dir():
        path = path / "recipe.json"
        if not path.is_file():
            raise UserError(f"{spec} is no run's folder: it holds no recipe.json")
    if path.suffix not in (".json", ".yaml", ".yml"):
        raise UserError(
            f"no recipe {spec!r}; there are {choices(RECIPES)}, "
            "or give a .json or .yaml file, a run's folder, or FILE.py:FUNCTION"
        )
    data = _parse_file(path)
    try:
        return Recipe.from_dict(data, name=path.stem)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def _parse_file(path: Path) -> object:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"cannot read the recipe {path}: {getattr(error, 'strerror', None) or error}"
        ) from error
    if path.suffix == ".json":
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            raise UserError(f"{path} is not JSON: line {error.lineno}: {error.msg}") from error
        except (
            ValueError,
            RecursionError,
        ) as error:  # a number of too many digits, lists nested too deeply
            raise UserError(f"{path} cannot be read as JSON: {error}") from error
    import yaml

    class Loader(yaml.SafeLoader):
        """YAML whose numbers may lack a point, as in YAML 1.2 and in everybody's `lr: 1e-3`."""

    Loader.add_implicit_resolver(
        "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+"), list("-+0123456789")
    )
    try:
        return yaml.load(text, Loader)  # a SafeLoader: plain data alone
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        raise UserError(
            f"{path} is not YAML: {line}{getattr(error, 'problem', None) or 'unreadable'}"
        ) from error
    except (ValueError, RecursionError) as error:  # an impossible date, lists nested too deeply
        raise UserError(f"{path} cannot be read as YAML: {error}") from error


def _from_function(file: Path, name: str) -> Recipe:
    if not file.is_file():
        raise UserError(f"no file {file} to take the recipe {name!r} from")
    module_spec = importlib.util.spec_from_file_location(file.stem, file)
    if module_spec is None or module_spec.loader is None:
        raise UserError(f"{file} is no Python file")
    module = importlib.util.module_from_spec(module_spec)
    try:
        module_spec.loader.exec_module(module)
        function = getattr(module, name, None)
        if not callable(function):
            functions = [key for key, value in vars(module).items() if inspect.isfunction(value)]
            raise UserError(
                f"{file} has no function {name!r}; it has: {choices(functions) or 'none'}"
            )
        recipe = function()
    except UserError:
        raise
    except (
        Exception
    ) as error:  # any error of the user's own code is reported in one line, with its place
        raise UserError(f"{file}:{name} failed: {type(error).__name__}: {error}") from error
    if not isinstance(recipe, Recipe):
        raise UserError(f"{file}:{name} returned {type(recipe).__name__}, not a Recipe")
    return recipe
