"""Use of a trained network: evaluation on labelled images, prediction for others.

Importing this package does not import torch; its names are imported when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trickbag.evaluate.by_task.predictor import PredictedImage, TaskPredictor
    from trickbag.evaluate.evaluation import Evaluation, evaluate
    from trickbag.evaluate.prediction import Prediction, Predictor
    from trickbag.evaluate.robustness.evaluation import evaluate_robustness
    from trickbag.evaluate.robustness.perturbations.evaluation import evaluate_perturbations
    from trickbag.evaluate.robustness.perturbations.shifts import evaluate_shifts
    from trickbag.evaluate.trained import Trained

__all__ = [
    "Evaluation",
    "PredictedImage",
    "Prediction",
    "Predictor",
    "TaskPredictor",
    "Trained",
    "evaluate",
    "evaluate_perturbations",
    "evaluate_robustness",
    "evaluate_shifts",
]

_HOMES = {
    "Evaluation": "evaluation",
    "PredictedImage": "by_task.predictor",
    "Prediction": "prediction",
    "Predictor": "prediction",
    "TaskPredictor": "by_task.predictor",
    "Trained": "trained",
    "evaluate": "evaluation",
    "evaluate_perturbations": "robustness.perturbations.evaluation",
    "evaluate_robustness": "robustness.evaluation",
    "evaluate_shifts": "robustness.perturbations.shifts",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
