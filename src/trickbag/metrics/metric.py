"""The metrics of a run by name: title, unit, and in which direction each is better."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

__all__ = [
    "ALIASES",
    "EVALUATED",
    "MEASURED_APART",
    "METRICS",
    "PREFIXES",
    "PROBED",
    "TASKS",
    "Better",
    "Metric",
    "TaskKind",
    "default_score",
    "defined_metrics",
    "interval_decimals",
    "metric",
]

Better = Literal["higher", "lower"]

TaskKind = Literal["classification", "detection", "segmentation"]
"""What a network is trained for."""

TASKS: tuple[TaskKind, ...] = get_args(TaskKind)


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A metric of a run.

    `title` is in words, `symbol` in short. `unit` is empty for a count; text has `decimals`
    decimals. `better` is None for what is neither good nor bad, such as the number of an epoch. A
    metric of an evaluation is one of `tasks`. For classification it is defined with several labels
    an image or with one (`multi_label`; None: with both), and for `classes` (least, most) classes
    (None: for any number). One that
    `needs_logits` is computed where the logits of all images are kept, at the end of a run, and
    after each epoch only if it chooses the best epoch.
    """

    title: str
    symbol: str = ""
    unit: str = ""
    decimals: int = 2
    better: Better | None = None
    multi_label: bool | None = None
    classes: tuple[int, int | None] = (1, None)
    needs_logits: bool = False
    tasks: tuple[TaskKind, ...] = ("classification",)

    def is_defined(
        self,
        multi_label: bool | None,
        num_classes: int | None,
        task: TaskKind | None = "classification",
    ) -> bool:
        """Tell whether the metric has a value for such data; None stands for what is not known."""
        if task is not None and task not in self.tasks:
            return False
        if task not in (None, "classification"):
            return True
        if None not in (self.multi_label, multi_label) and self.multi_label != multi_label:
            return False
        least, most = self.classes
        return num_classes is None or (num_classes >= least and num_classes <= (most or math.inf))


def _percent(
    title: str,
    symbol: str = "",
    *,
    multi_label: bool | None = None,
    classes: tuple[int, int | None] = (1, None),
) -> Metric:
    return Metric(
        title=title,
        symbol=symbol,
        unit="%",
        better="higher",
        multi_label=multi_label,
        classes=classes,
    )


def _detection(title: str, symbol: str) -> Metric:
    return dataclasses.replace(_percent(title, symbol), tasks=("detection",))


def _segmentation(title: str, symbol: str = "") -> Metric:
    return dataclasses.replace(_percent(title, symbol), tasks=("segmentation",))


def _cost(title: str, unit: str = "", decimals: int = 0, better: Better = "lower") -> Metric:
    return Metric(title=title, unit=unit, decimals=decimals, better=better, tasks=TASKS)


def _calibration(title: str, unit: str = "%", better: Better | None = "lower") -> Metric:
    return Metric(
        title=title,
        unit=unit,
        decimals=2 if unit == "%" else 4,
        better=better,
        multi_label=False,
        needs_logits=True,
    )


_CALIBRATION: Mapping[str, Metric] = {
    # Of the confidences as they are: `trickbag.metrics.calibration_errors`.
    "adaptive_ece": _calibration("adaptive calibration error"),
    "classwise_ece": _calibration("classwise calibration error"),
    "brier": _calibration("Brier score", ""),
    # Divided by a temperature that was not fitted on the same images: `metrics.temperature`.
    "calibrated_ece": _calibration("calibrated ECE"),
    "calibrated_loss": _calibration("calibrated loss", "nats"),
    # By chance alone, with the calibrated confidences: `metrics.expected_ece`.
    "ece_of_calibrated": _calibration("ECE by chance alone", better=None),
}
"""The metrics of calibration, all for one label an image."""

EVALUATED: Mapping[str, Metric] = MappingProxyType(
    {
        "top1": _percent("top-1", multi_label=False),
        "top5": _percent("top-5", multi_label=False, classes=(6, None)),
        "loss": Metric(title="loss", unit="nats", decimals=4, better="lower"),
        "ece": dataclasses.replace(
            _percent("expected calibration error", "ECE", multi_label=False), better="lower"
        ),
        **_CALIBRATION,
        "balanced_accuracy": _percent("balanced accuracy", multi_label=False),
        "macro_f1": _percent("macro F1", multi_label=False),
        "auc": _percent("area under the ROC curve", "AUC", multi_label=False, classes=(2, 2)),
        "auc_ovr": dataclasses.replace(
            _percent("area under the ROC curve, mean over classes", "mean AUC", classes=(2, None)),
            needs_logits=True,
        ),
        "quadratic_kappa": Metric(
            title="quadratic weighted kappa, for grades",
            symbol="kappa",
            decimals=4,
            better="higher",
            multi_label=False,
            classes=(2, None),
            needs_logits=True,
        ),
        "sensitivity_at_95": dataclasses.replace(
            _percent("sensitivity at 95 % specificity", multi_label=False, classes=(2, 2)),
            needs_logits=True,
        ),
        "aurc": dataclasses.replace(
            _percent("area under the risk-coverage curve", "AURC", multi_label=False),
            better="lower",
            needs_logits=True,
        ),
        # Of several labels an image, or of boxes as COCO has it: `metrics.coco`.
        "map": dataclasses.replace(
            _percent("mean average precision", "mAP", multi_label=True),
            tasks=("classification", "detection"),
        ),
        "map50": _detection("mean average precision at an IoU of 0.5", "mAP at 0.5"),
        "map50_voc07": _detection(
            "mean average precision at an IoU of 0.5, eleven points", "mAP at 0.5 (VOC 2007)"
        ),
        "map75": _detection("mean average precision at an IoU of 0.75", "mAP at 0.75"),
        "miou": _segmentation("mean IoU", "mIoU"),
        "pixel_accuracy": _segmentation("pixel accuracy"),
        "mean_class_accuracy": _segmentation("pixel accuracy, mean over classes"),
        "f1": _percent("F1, mean over classes", "F1", multi_label=True),
        "f1_micro": _percent("F1 of all labels", multi_label=True),
        "f1_at_half": _percent("F1 at thresholds of 0.5", "F1 at 0.5", multi_label=True),
    }
)
"""The metrics of a network on a part of the data, which an evaluation gives."""

ALIASES: Mapping[str, str] = MappingProxyType(
    {
        "accuracy": "top1",
        "acc": "top1",
        "acc1": "top1",
        "acc5": "top5",
        "top5_accuracy": "top5",
        "log_loss": "loss",
        "logloss": "loss",
        "cross_entropy": "loss",
        "nll": "loss",
        "roc_auc": "auc",
        "auroc": "auc",
        "qwk": "quadratic_kappa",
        "kappa": "quadratic_kappa",
        "cohen_kappa": "quadratic_kappa",
        "f1_macro": "macro_f1",
        "mean_average_precision": "map",
        "mean_auc": "auc_ovr",
    }
)
"""Names that a metric has elsewhere: they are not taken, but a message says what it is called here.
"""

_IMAGENET = (1000, 1000)
"""The classes for which AlexNet's error and flip rates are published."""

MEASURED_APART: Mapping[str, Metric] = MappingProxyType(
    {
        "mce": dataclasses.replace(
            _percent(
                "corruption error as a share of AlexNet's",
                "mCE",
                multi_label=False,
                classes=_IMAGENET,
            ),
            better="lower",
        ),
        "mean_corruption_error": dataclasses.replace(
            _percent("mean error on corrupted images", multi_label=False), better="lower"
        ),
        "relative_mce": dataclasses.replace(
            _percent(
                "rise of the error by corruption as a share of AlexNet's",
                "relative mCE",
                multi_label=False,
                classes=_IMAGENET,
            ),
            better="lower",
        ),
        "mfr": dataclasses.replace(
            _percent(
                "flip rate as a share of AlexNet's", "mFR", multi_label=False, classes=_IMAGENET
            ),
            better="lower",
        ),
        "mean_flip_probability": dataclasses.replace(
            _percent("mean flip probability", multi_label=False), better="lower"
        ),
        "mean_top5_distance": Metric(
            title="mean top-5 distance", better="lower", multi_label=False, classes=(6, None)
        ),
        "shift_consistency": _percent("shift consistency", multi_label=False),
        "diagonal_shift_consistency": _percent("diagonal shift consistency", multi_label=False),
        "max_box_acc": _percent("localization at the best threshold", "MaxBoxAcc"),
        "max_box_acc_v2": _percent(
            "localization at the best thresholds, mean over IoU", "MaxBoxAccV2"
        ),
        "gt_known_localization": _percent(
            "localization of the true class", "GT-known localization"
        ),
        "top1_localization": _percent(
            "localization of a class that is predicted", "top-1 localization", multi_label=False
        ),
    }
)
"""The metrics that an evaluation apart from the run gives: `trickbag.evaluate.extra`.

No run has them of itself, and no prefix stands before them.
"""

PROBED: Mapping[str, Metric] = MappingProxyType(
    {
        "knn_top1": _percent("top-1 of the nearest neighbours", "kNN top-1", multi_label=False),
        "knn_map": _percent(
            "mean average precision of the nearest neighbours", "kNN mAP", multi_label=True
        ),
        "recall_at_1": _percent("retrieval recall at 1", "recall@1"),
        "recall_at_5": _percent("retrieval recall at 5", "recall@5"),
        "recall_at_10": _percent("retrieval recall at 10", "recall@10"),
        "r_precision": _percent("retrieval R-precision", "R-precision"),
    }
)
"""The metrics that a probe has beside those of its classifier."""

METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        **EVALUATED,
        **MEASURED_APART,
        **PROBED,
        "mce_19": dataclasses.replace(
            MEASURED_APART["mce"], title="mCE over 19 corruptions", symbol="mCE of 19"
        ),
        "mean_corruption_error_19": dataclasses.replace(
            MEASURED_APART["mean_corruption_error"], title="mean error on 19 corruptions"
        ),
        "clean_error": dataclasses.replace(
            MEASURED_APART["mean_corruption_error"], title="error on the same images, uncorrupted"
        ),
        "best_epoch": Metric(title="epoch of the best", decimals=0, tasks=TASKS),
        "train_loss": dataclasses.replace(EVALUATED["loss"], title="training loss", tasks=TASKS),
        "train_top1": _percent("training top-1", multi_label=False),
        "train_throughput": _cost("training throughput", "images/s", better="higher"),
        "infer_throughput": _cost("inference throughput", "images/s", better="higher"),
        "train_time_s": _cost("training time", "s", 1),
        "params": _cost("parameters"),
        "macs": _cost("multiply-adds of an image"),
        "peak_memory": _cost("peak memory", "bytes"),
        "lr": Metric(title="learning rate", decimals=6, tasks=TASKS),
        "epoch": Metric(title="epoch", decimals=0, tasks=TASKS),
        "step": Metric(title="step", decimals=0, tasks=TASKS),
        "time_s": Metric(title="time", unit="s", decimals=1, tasks=TASKS),
    }
)
"""The metrics of a run, without those that a prefix stands before."""

PREFIXES: Mapping[str, str] = MappingProxyType(
    {
        "best_": "{extreme} {title} of all epochs",
        "last_": "last epoch, {title}",
        "raw_": "not averaged, {title}",
        "test_": "test {title}",
    }
)
"""What can stand before the name of a metric of an evaluation, and the title that it then has.

best: the best value of all epochs. last: of the last epoch. raw: of the trained network, in a run
that evaluates its average. test: of the test part.
"""


def default_score(multi_label: bool, task: TaskKind = "classification") -> str:
    """Return the metric that chooses a run's best epoch, and is a study's outcome, by default."""
    if task == "classification":
        return "map" if multi_label else "top1"
    return {"detection": "map50", "segmentation": "miou"}[task]


def interval_decimals(interval: tuple[float, float], decimals: int) -> int:
    """Return with how many decimals an interval is written, of a number with `decimals`.

    One less, as the last decimal of the number lies far within it; more for a narrow interval,
    whose ends would else be equal.
    """
    low, high = interval
    if high <= low:
        return decimals
    return max(0, decimals - 1, min(decimals + 1, 1 + math.ceil(-math.log10(high - low))))


def metric(name: str) -> Metric | None:
    """Return the metric of a name, with or without a prefix; None for an unknown name."""
    if name in METRICS:
        return METRICS[name]
    for prefix, text in PREFIXES.items():
        bare = name.removeprefix(prefix)
        base = EVALUATED.get(bare) or (PROBED.get(bare) if prefix == "test_" else None)
        if name.startswith(prefix) and base is not None:
            extreme = "lowest" if base.better == "lower" else "highest"
            words, symbol = (
                text.format(extreme=extreme, title=each) for each in (base.title, base.symbol)
            )
            return dataclasses.replace(base, title=words, symbol=symbol if base.symbol else "")
    return None


def defined_metrics(
    multi_label: bool | None,
    num_classes: int | None = None,
    task: TaskKind | None = "classification",
) -> list[str]:
    """Return the metrics that an evaluation has a value for; None stands for what is not known.

    One of them can still be undefined for a part, such as AUC where all images show one class.
    """
    return [
        name
        for name, entry in EVALUATED.items()
        if entry.is_defined(multi_label, num_classes, task)
    ]
