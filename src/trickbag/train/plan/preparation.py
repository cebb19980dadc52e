"""How a run prepares its images: as the recipe or the weights say, or by default.

Each of mean, std, interpolation, way of resizing and validation crop follows this order by itself:
a value that the recipe has; what the file of the weights says; what timm's config of the network
says; the default. The validation crop of weights counts only for images that are resized as theirs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trickbag.data.config import (
    EVAL_CROP,
    INTERPOLATION,
    MEAN,
    RESIZE,
    STD,
    DataConfig,
    Resize,
    by_channel,
    default_eval_crop,
)
from trickbag.data.loading.preprocess import Preprocessing
from trickbag.data.size import Size, resize_of, shorter_side, size_text
from trickbag.errors import Note
from trickbag.models.config import ModelConfig, TimmConfig

if TYPE_CHECKING:
    from trickbag.models.published import Published
    from trickbag.optim.config import TrainConfig

__all__ = ["settle_preparation"]

_SETTINGS = ("mean", "std", "interpolation", "resize", "eval_crop")


@dataclass(frozen=True, kw_only=True)
class _Source:
    """What says how images were prepared for the weights that a run starts from.

    `origin` names it in notes. `of_timm` is timm's config, if it is that; `silent` is then the file
    of the weights that says nothing itself, if they come from one.
    """

    origin: str
    preprocessing: Preprocessing
    of_timm: Published | None = None
    silent: str = ""

    def settings(self, size: Size, resize: Resize | None, channels: int) -> dict[str, Any]:
        """Return the settings of the data that it gives for validation images of `size`.

        `resize` is the recipe's, `channels` the number of those of the images.
        """
        given = self.preprocessing
        settings: dict[str, Any] = {
            "mean": by_channel(given.mean, channels),
            "std": by_channel(given.std, channels),
            "interpolation": given.interpolation,
            "resize": given.resize_policy,
        }
        if resize in (None, given.resize_policy):
            settings["eval_crop"] = self._eval_crop(size)
        return settings

    def _eval_crop(self, size: Size) -> float:
        # A share that gives back the very pixels to which an image is scaled.
        if self.of_timm is not None:
            return shorter_side(size) / shorter_side(self.of_timm.resize(size))
        given = self.preprocessing
        if resize_of(given.image_size, EVAL_CROP) == given.resize:
            return EVAL_CROP
        return min(1.0, shorter_side(given.image_size) / shorter_side(given.resize))


def settle_preparation(
    data: DataConfig, model: ModelConfig, training: TrainConfig, default_crop: float
) -> tuple[DataConfig, list[Note]]:
    """Return the data with mean, std, interpolation, resize and validation crop; and notes on them.

    The image size is settled before. `default_crop` is that of `crop` where neither the recipe nor
    the weights say another. Without weights to start from there are no notes. Raises UserError for
    a file of weights that cannot be read, or whose metadata is damaged.
    """
    assert data.image_size is not None
    size = Preprocessing.for_evaluation(data, data.image_size).image_size
    chosen = {name: value for name in _SETTINGS if (value := getattr(data, name)) is not None}
    starts_anew = not (training.init or training.pretrained)
    source = None if starts_anew else _source(training, model)
    of_weights = {} if source is None else source.settings(size, data.resize, data.pixels.count)
    defaults = _defaults(default_crop, of_weights | chosen, data.pixels.count)
    settled = replace(data, **(defaults | of_weights | chosen))
    if starts_anew:
        return settled, []
    left_open = [name for name in _SETTINGS if name not in chosen]
    if source is None:
        if not left_open:
            return settled, []
        assumed = _words({name: getattr(settled, name) for name in left_open}, settled)
        options = ", ".join(f"data.{name}" for name in left_open)
        reason = (
            f"nothing says how images were prepared for {_weights_name(training)}; assumed: "
            f"{assumed}. {options} can say it"
        )
        return settled, [_note(reason)]
    notes = []
    if left_open and source.silent:
        reason = f"{source.silent} does not say how its images were prepared: {source.origin} does"
        notes.append(_note(reason))
    if taken := {name: of_weights[name] for name in left_open if name in of_weights}:
        words = _words(taken, settled)
        notes.append(_note(f"images are prepared as {source.origin} says: {words}"))
    notes += _size_note(source, size)
    notes += _kept_note(source, settled, of_weights, chosen)
    if source.of_timm is not None:
        notes += _notes_of_timm(source.of_timm, training, left_open)
    return settled, notes


def _defaults(default_crop: float, settings: dict[str, Any], channels: int) -> dict[str, Any]:
    """Return the values where neither the recipe nor the weights, with `settings`, say another."""
    resize = settings.get("resize", RESIZE)
    crop = default_crop if resize == RESIZE else default_eval_crop(resize)
    return {
        "mean": by_channel(MEAN, channels),
        "std": by_channel(STD, channels),
        "interpolation": INTERPOLATION,
        "resize": RESIZE,
        "eval_crop": crop,
    }


def _note(reason: str) -> Note:
    return Note("weights", None, reason)


def _source(training: TrainConfig, model: ModelConfig) -> _Source | None:
    """Return what says how images were prepared for the weights; None if nothing does."""
    from trickbag.models.pretrained import timm_name
    from trickbag.models.published import published
    from trickbag.models.weights import preprocessing_of

    if training.init:
        given = preprocessing_of(Path(training.init), model)
        if given is not None:
            return _Source(origin=f"the file {training.init}", preprocessing=given)
    # Parts that a trick puts into a network of timm do not change for what images its weights are.
    name = model.name if isinstance(model, TimmConfig) else timm_name(model)
    of_timm = None if name is None else published(name)
    if of_timm is None:
        return None
    return _Source(
        origin=f"timm's config of {of_timm.name}",
        preprocessing=of_timm.preprocessing,
        of_timm=of_timm,
        silent=training.init or "",
    )


def _weights_name(training: TrainConfig) -> str:
    return training.init or "the pretrained weights"


def _size_note(source: _Source, size: Size) -> list[Note]:
    """Return a note if validation images have another size than those of the weights."""
    of_weights = source.preprocessing.image_size
    if size == of_weights:
        return []
    reason = (
        f"{source.origin} is for images of {size_text(of_weights)} px; these have "
        f"{size_text(size)} px in validation"
    )
    return [_note(reason)]


def _kept_note(
    source: _Source, settled: DataConfig, of_weights: dict[str, Any], chosen: dict[str, Any]
) -> list[Note]:
    """Return a note on what the recipe says otherwise than the weights."""
    other = {
        name: of_weights[name]
        for name, value in chosen.items()
        if name in of_weights and value != of_weights[name]
    }
    if "eval_crop" in other:
        assert settled.image_size is not None
        size = Preprocessing.for_evaluation(settled, settled.image_size).image_size
        if resize_of(size, chosen["eval_crop"]) == resize_of(size, of_weights["eval_crop"]):
            del other["eval_crop"]
    if not other:
        return []
    kept = _words({name: chosen[name] for name in other}, settled)
    reason = f"the recipe sets {kept}, where {source.origin} says {_words(other, settled)}"
    return [_note(reason)]


def _notes_of_timm(of_timm: Published, training: TrainConfig, left_open: list[str]) -> list[Note]:
    """Return notes on tags that disagree."""
    notes = []
    disagreed = [name for name in left_open if name in of_timm.other_tags]
    if disagreed:
        architecture, _, tag = of_timm.name.partition(".")
        tags = dict.fromkeys(other for name in disagreed for other in of_timm.other_tags[name])
        options = ", ".join(f"data.{name}" for name in disagreed)
        certain = "are taken, of which the weights are" if training.pretrained else "are assumed"
        reason = (
            f"{architecture} names no tag, and timm's tags of it disagree in {options}: those of "
            f"{tag} {certain}, not those of {', '.join(tags)}; --model timm:{architecture}.TAG "
            "names one"
        )
        notes.append(_note(reason))
    return notes


def _edge(data: DataConfig) -> str:
    """Name that of which the validation crop is a share."""
    return "the shorter edge" if data.resize == "crop" else "both edges"


def _words(settings: dict[str, Any], settled: DataConfig) -> str:
    """Write settings of the data for a note on a run with `settled` data."""
    words = []
    for name, value in settings.items():
        if name == "eval_crop":
            words.append(f"{value:.4g} of {_edge(settled)} in validation")
        elif name in ("interpolation", "resize"):
            words.append(f"{name} {value}")
        else:
            words.append(f"{name} {', '.join(f'{channel:.2f}' for channel in value)}")
    return "; ".join(words)
