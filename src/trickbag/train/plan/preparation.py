"""How a run prepares its images: as the recipe or the weights say, or by default.

Each of mean, std, interpolation and validation crop follows this order by itself: a value that the
recipe has; what the file of the weights says; what timm's config of the network says; the default.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trickbag.data.config import EVAL_CROP, INTERPOLATION, MEAN, STD, DataConfig
from trickbag.data.loading.preprocess import Preprocessing, resize_of
from trickbag.errors import Note
from trickbag.models.config import ModelConfig, TimmConfig

if TYPE_CHECKING:
    from trickbag.models.published import Published
    from trickbag.optim.config import TrainConfig

__all__ = ["settle_preparation"]

_SETTINGS = ("mean", "std", "interpolation", "eval_crop")


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

    def settings(self, size: int) -> dict[str, Any]:
        """Return the settings of the data that it gives for validation images of `size` pixels."""
        given = self.preprocessing
        return {
            "mean": given.mean,
            "std": given.std,
            "interpolation": given.interpolation,
            "eval_crop": self._eval_crop(size),
        }

    def _eval_crop(self, size: int) -> float:
        # A share that gives back the very pixels to which the shorter edge is scaled.
        if self.of_timm is not None:
            return size / self.of_timm.resize(size)
        given = self.preprocessing
        if resize_of(given.image_size, EVAL_CROP) == given.resize:
            return EVAL_CROP
        return min(1.0, given.image_size / given.resize)


def settle_preparation(
    data: DataConfig, model: ModelConfig, training: TrainConfig, default_crop: float
) -> tuple[DataConfig, list[Note]]:
    """Return the data with mean, std, interpolation and validation crop; and notes on them.

    The image size is settled before. `default_crop` is the crop where neither the recipe nor the
    weights say another. Without weights to start from there are no notes. Raises UserError for a
    file of weights that cannot be read, or whose metadata is damaged.
    """
    assert data.image_size is not None
    size = Preprocessing.for_evaluation(data, data.image_size).image_size
    defaults = {"mean": MEAN, "std": STD, "interpolation": INTERPOLATION, "eval_crop": default_crop}
    chosen = {name: value for name in _SETTINGS if (value := getattr(data, name)) is not None}
    if not (training.init or training.pretrained):
        return replace(data, **(defaults | chosen)), []
    source = _source(training, model)
    of_weights = {} if source is None else source.settings(size)
    settled = replace(data, **(defaults | of_weights | chosen))
    left_open = [name for name in _SETTINGS if name not in chosen]
    if source is None:
        if not left_open:
            return settled, []
        assumed = _words({name: getattr(settled, name) for name in left_open})
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
    if left_open:
        taken = _words({name: of_weights[name] for name in left_open})
        notes.append(_note(f"images are prepared as {source.origin} says: {taken}"))
    notes += _size_note(source, size)
    notes += _kept_note(source, chosen, of_weights, size)
    if source.of_timm is not None:
        notes += _notes_of_timm(source.of_timm, training, left_open)
    return settled, notes


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


def _size_note(source: _Source, size: int) -> list[Note]:
    """Return a note if validation images have another size than those of the weights."""
    of_weights = source.preprocessing.image_size
    if size == of_weights:
        return []
    reason = f"{source.origin} is for images of {of_weights} px; these have {size} px in validation"
    return [_note(reason)]


def _kept_note(
    source: _Source, chosen: dict[str, Any], of_weights: dict[str, Any], size: int
) -> list[Note]:
    """Return a note on what the recipe says otherwise than the weights."""
    other = {name: of_weights[name] for name, value in chosen.items() if value != of_weights[name]}
    if "eval_crop" in other and (
        resize_of(size, chosen["eval_crop"]) == resize_of(size, of_weights["eval_crop"])
    ):
        del other["eval_crop"]
    if not other:
        return []
    kept = _words({name: chosen[name] for name in other})
    reason = f"the recipe sets {kept}, where {source.origin} says {_words(other)}"
    return [_note(reason)]


def _notes_of_timm(of_timm: Published, training: TrainConfig, left_open: list[str]) -> list[Note]:
    """Return notes on tags that disagree, and on crops that are not of the centre."""
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
    if of_timm.crop_mode != "center":
        what = {"squash": "squashes images to squares", "border": "pads images to squares"}
        done = what.get(of_timm.crop_mode, f"crops images by {of_timm.crop_mode}")
        notes.append(_note(f"for {of_timm.name} timm {done}; here their centre is cut out"))
    return notes


def _words(settings: dict[str, Any]) -> str:
    """Write settings of the data for a note."""
    words = []
    for name, value in settings.items():
        if name == "eval_crop":
            words.append(f"{value:.4g} of the shorter edge in validation")
        elif name == "interpolation":
            words.append(f"interpolation {value}")
        else:
            words.append(f"{name} {', '.join(f'{channel:.2f}' for channel in value)}")
    return "; ".join(words)
