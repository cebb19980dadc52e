"""The classifier of weights that enter a network: its rows belong to classes, known by their names.

Only the last layers of a network depend on the number of classes. Weights that were trained for
other classes, or for the same in another order, have rows for their own classes there. What a run
keeps of them is decided here, by the names of the classes. Rows that start anew are zero: rows that
are drawn for features as large as those of a trained network give logits so large that the first
steps undo what it has learned (LOG.md, "new heads on loaded weights").

Shapes: K classes.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from trickbag.errors import Note, UserError
from trickbag.models.classifier import Classifier
from trickbag.models.mismatch import some
from trickbag.models.zoo import build_on_shapes
from trickbag.streams import seed_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trickbag.data.size import Size
    from trickbag.models.config import ModelConfig

__all__ = [
    "HeadRows",
    "InitHead",
    "SourceWeights",
    "classifier_names",
    "head_names",
    "init_seed",
    "match_head",
    "of_backbone",
    "with_zero_rows",
    "without_classifier",
]

_BACKBONE = "backbone.network."
"""Behind it are the names of the network on which a detector or a segmenter is built."""

InitHead = Literal["auto", "keep", "new"]
"""What a run takes of the classifier of weights that it starts from; see `match_head`."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SourceWeights:
    """Weights that are to enter a network.

    `tensors` are by name. `origin` names them in messages. `classes` are the names of their
    classes in the order of the logits; None if they are not known. `image_size` is that of the only
    images that their network takes; None for its published size, or if it takes any.
    """

    tensors: Mapping[str, Tensor]
    origin: str
    classes: tuple[str, ...] | None = None
    image_size: Size | None = None


@dataclass(frozen=True, eq=False)
class HeadRows:
    """What enters the classifier: its tensors by name, and the names of those that start anew."""

    tensors: Mapping[str, Tensor]
    fresh: frozenset[str]
    notes: list[Note]


def init_seed(seed: int, weights: str, data: str) -> int:
    """Return the seed of the initial values of a network into which weights are loaded.

    `weights` and `data` identify the weights and the data set by a hash or a name. Whatever the
    weights do not replace is then independent of what the same seed draws for another network,
    for other weights, and for other data. In particular, rows of a new classifier are not those
    with which the weights were themselves trained from the beginning.
    """
    return seed_of(seed, f"init from weights:{json.dumps([weights, data])}")


def head_names(network: nn.Module, config: ModelConfig | None = None) -> frozenset[str]:
    """Name the tensors of a network whose first dimension is the number of classes.

    With its config these are the tensors that have another shape for one class more: so classifiers
    of every form are known, such as two of them, a convolution, or one inside an attention pool.
    Without, they are those parameters of the network's `get_classifier` that have as many rows as
    the network has classes.
    """
    if config is None and isinstance(network, Classifier):
        config = network.config
    if config is None:
        classes = getattr(network, "num_classes", None)
        parameters = dict(network.named_parameters(remove_duplicate=False))
        return frozenset(
            name
            for name in classifier_names(network)
            if name in parameters and classes in (None, *parameters[name].shape[:1])
        )
    number = config.num_classes
    others = _shapes(dataclasses.replace(config, num_classes=number + 1))
    return frozenset(
        name
        for name, tensor in network.state_dict().items()
        # Exactly: other shapes can depend on what is no part of the config, as the image size.
        if tensor.shape[:1] == (number,) and others.get(name) == (number + 1, *tensor.shape[1:])
    )


@functools.lru_cache(maxsize=64)  # a study needs them once for each trial
def _shapes(config: ModelConfig) -> dict[str, torch.Size]:
    network = build_on_shapes(config)
    return {name: tensor.shape for name, tensor in network.state_dict().items()}


def classifier_names(network: nn.Module) -> frozenset[str]:
    """Name all that is in the network's classifier, normalisations within it included.

    Empty for a network that does not say which of its modules that is (`get_classifier`).
    """
    get_classifier = getattr(network, "get_classifier", None)
    classifier = get_classifier() if get_classifier else None
    # Some networks of timm have two classifiers.
    modules = list(classifier) if isinstance(classifier, list | tuple) else [classifier]
    prefixes = tuple(
        f"{name}."
        for name, module in network.named_modules(remove_duplicate=False)
        if name and any(module is other for other in modules)
    )
    return frozenset(name for name in network.state_dict() if name.startswith(prefixes))


def of_backbone(source: SourceWeights) -> tuple[SourceWeights, list[Note]]:
    """Return the weights of the network within a detector or a segmenter, and a note on it.

    Other weights are returned as they are.
    """
    inner = {
        name.removeprefix(_BACKBONE): tensor
        for name, tensor in source.tensors.items()
        if name.startswith(_BACKBONE)
    }
    if not inner:
        return source, []
    note = _note(f"of {source.origin} the backbone is taken, and its heads are left out")
    # The classes are those of the heads.
    return dataclasses.replace(source, tensors=inner, classes=None), [note]


def without_classifier(
    source: SourceWeights, network: nn.Module, config: ModelConfig | None
) -> tuple[SourceWeights, list[Note]]:
    """Return weights without their classifier if the network has none, and a note on it.

    `config` is the network's, of whatever number of classes. A network has none that was made so by
    `reset_classifier(0)`, as by `models.features.Features`.
    """
    if getattr(network, "num_classes", None) != 0:
        return source, []
    if config is None and isinstance(network, Classifier):
        config = network.config
    if config is None:
        return source, []
    # A name is the classifier's if the network would have it with one.
    names = _shapes(dataclasses.replace(config, num_classes=config.num_classes or 1)).keys()
    classifier = names - network.state_dict().keys()
    kept = {name: tensor for name, tensor in source.tensors.items() if name not in classifier}
    if len(kept) == len(source.tensors):
        return source, []
    note = _note(f"the classifier of {source.origin} is left out: this network has none")
    return dataclasses.replace(source, tensors=kept), [note]


def with_zero_rows(network: nn.Module, head: frozenset[str]) -> dict[str, Tensor]:
    """Return the tensors of a network by name, those of the `head`'s last layers zero.

    A layer is a linear layer or a convolution; what else has a row for each class, such as a scale,
    keeps its values: with two factors of zero neither would have a gradient.
    """
    zero = {
        f"{prefix}.{name}".lstrip(".")
        for prefix, module in network.named_modules(remove_duplicate=False)
        if isinstance(module, nn.Linear | _ConvNd)
        for name, _ in module.named_parameters(recurse=False)
    } & head
    return {
        name: torch.zeros_like(tensor) if name in zero else tensor
        for name, tensor in network.state_dict().items()
    }


def match_head(
    present: Mapping[str, Tensor],
    source: SourceWeights,
    head: frozenset[str],
    classes: Sequence[str] | None,
    init_head: InitHead = "auto",
) -> HeadRows:
    """Return what enters the `head` of a network, whose tensors are `present`.

    With `auto` each row is that of the class of the same name; a class that the weights do not have
    keeps the row that is present. Where the weights do not name their classes, all rows stay as
    they are present. `new` keeps all rows as they are present, `keep` takes those of the weights in
    their order. `with_zero_rows` makes the rows that are present zero. `classes` are the K names of
    the network's; None where they are not known: then `auto` takes the rows if they are as many.

    Notes say what was done. Raises UserError where the weights have no head to keep or one of
    another size, or not as many names as rows. A head that does not fit in another way is returned
    as it is.
    """
    given = {name: source.tensors[name] for name in head if name in source.tensors}
    # Of two classifiers the weights can lack one.
    owners = {_owner(name) for name in given}
    absent = frozenset(name for name in head if _owner(name) not in owners)
    if not head or not _fits(present, given, head - absent):
        return HeadRows(given, frozenset(), [])
    now = next(present[name].shape[0] for name in sorted(head))
    rows = next((tensor.shape[0] for tensor in given.values()), 0)
    _require_consistent(source, rows, now, init_head)
    notes = []
    if given and absent:
        names = some(sorted({_owner(name) for name in absent}))
        notes = [_note(f"the classifier {names} starts anew: {source.origin} does not have it")]
    places = _places(source, rows, classes, now, init_head)
    notes.append(_rows_note(source, rows, classes, now, init_head, places))
    if classes is None and len(places) == now:
        notes.pop()  # nothing is known that could be wrong
    if not places:
        return HeadRows({}, head, notes)
    return HeadRows(
        {name: _with_rows(present[name], tensor, places) for name, tensor in given.items()},
        absent,
        notes,
    )


def _owner(name: str) -> str:
    """Return the module that a tensor belongs to."""
    return name.rpartition(".")[0]


def _fits(
    present: Mapping[str, Tensor], given: Mapping[str, Tensor], expected: frozenset[str]
) -> bool:
    """Tell whether classifier tensors differ from those present only in the number of classes."""
    return (
        given.keys() == expected
        and all(tensor.shape[1:] == present[name].shape[1:] for name, tensor in given.items())
        and all(tensor.ndim for tensor in given.values())
        and len({tensor.shape[0] for tensor in given.values()}) <= 1
    )


def _require_consistent(source: SourceWeights, rows: int, now: int, init_head: InitHead) -> None:
    if source.classes is not None and rows and len(source.classes) != rows:
        raise UserError(
            f"{source.origin} names {len(source.classes)} classes, and its classifier has {rows}",
            "use another copy of it",
        )
    if init_head == "keep" and rows != now:
        raise UserError(
            f"training.init_head = 'keep': {source.origin} has {_classes_text(rows)}, this network "
            f"{now}",
            "take the rows of the classes with the same names (auto), or start the classifier anew "
            "(new)",
        )


def _places(
    source: SourceWeights,
    rows: int,
    classes: Sequence[str] | None,
    now: int,
    init_head: InitHead,
) -> dict[int, int]:
    """Return which rows of the network's classifier take which rows of the weights'."""
    if init_head == "new" or not rows:
        return {}
    if init_head == "keep" or classes is None:
        return {i: i for i in range(now)} if rows == now else {}
    index = {name: i for i, name in enumerate(source.classes or ())}
    return {i: index[name] for i, name in enumerate(classes) if name in index}


def _with_rows(present: Tensor, given: Tensor, places: Mapping[int, int]) -> Tensor:
    if len(places) == len(present) == len(given) and all(i == j for i, j in places.items()):
        return given
    tensor = present.clone()
    tensor[list(places)] = given[list(places.values())].to(tensor)
    return tensor


def _note(reason: str) -> Note:
    return Note("weights", None, reason)


def _classes_text(rows: int) -> str:
    return f"{rows} classes" if rows else "no classifier"


def _rows_note(
    source: SourceWeights,
    rows: int,
    classes: Sequence[str] | None,
    now: int,
    init_head: InitHead,
    places: Mapping[int, int],
) -> Note:
    """Return the note on what becomes of the classifier."""
    anew, origin, names = "the classifier starts anew", source.origin, source.classes
    if not rows:
        return _note(f"{anew}: {origin} has no classifier, this network {now}")
    if init_head == "new":
        return _note(f"{anew} (training.init_head=new), not with that of {origin}")
    if init_head == "keep":
        return _note(_kept_text(origin, names, classes, now))
    if names is None or classes is None:
        if rows != now or classes is None:
            return _note(f"{anew}: {origin} has {rows} classes, this network {now}")
        return _note(
            f"{anew}: {origin} does not name its {rows} classes, so that they can be others; "
            "--set training.init_head=keep takes it as it is"
        )
    if not places:
        return _note(
            f"{anew}: none of the {now} classes ({some(classes)}) is among the {rows} of {origin} "
            f"({some(names)})"
        )
    if len(places) == now == rows:
        order = "the same" if tuple(names) == tuple(classes) else "another"
        verb = "is that" if order == "the same" else "takes the rows by name"
        return _note(
            f"the classifier {verb} of {origin}, which has the same {now} classes in {order} order "
            f"({some(names)})"
        )
    return _note(_overlap_text(origin, names, classes, places))


def _overlap_text(
    origin: str, names: Sequence[str], classes: Sequence[str], places: Mapping[int, int]
) -> str:
    common = [classes[i] for i in places]
    parts = [
        f"the classifier takes the rows of {len(common)} of its {len(classes)} classes from "
        f"{origin} ({some(common)})"
    ]
    if added := [name for i, name in enumerate(classes) if i not in places]:
        parts.append(f"{len(added)} start anew ({some(added)})")
    known = set(common)
    if dropped := [name for name in names if name not in known]:
        parts.append(f"{len(dropped)} of the weights' {len(names)} are left out ({some(dropped)})")
    return "; ".join(parts)


def _kept_text(
    origin: str, names: Sequence[str] | None, classes: Sequence[str] | None, now: int
) -> str:
    text = f"the classifier of {origin} is taken as it is (training.init_head=keep)"
    if classes is None or names == tuple(classes):
        return text
    if names is None:
        return f"{text}, with its {now} rows for {some(classes)} in this order"
    renamed = [
        f"{old} becomes {new}" for old, new in zip(names, classes, strict=True) if old != new
    ]
    return f"{text}: {some(renamed)}"
