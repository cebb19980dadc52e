"""Recipes: everything that determines a training run except the seed, as a value."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

from trickbag import tricks as trick_table
from trickbag.assignment import assign_all, by_head, parse_changes
from trickbag.data.config import MEAN, STD, DataConfig
from trickbag.errors import UserError, choices, shown
from trickbag.models.config import (
    ModelConfig,
    ResNetConfig,
    TimmConfig,
    model_config,
    model_names,
    read_model,
)
from trickbag.models.parts import BatchNorm
from trickbag.models.task_config import ClassificationConfig, TaskConfig, read_task
from trickbag.optim.config import TrainConfig
from trickbag.optim.schedule import Schedule
from trickbag.parsing import parse_fields
from trickbag.settings import Settings, plain, plain_identity, read
from trickbag.tricks.trick import Trick

__all__ = [
    "CHANGED",
    "NUMBERS",
    "RUN_PARTS",
    "SCHEMA",
    "Recipe",
    "differences",
    "digest",
    "trick_from_text",
    "trick_name",
]

SCHEMA = 1
"""Version of a recipe's plain data."""

NUMBERS = 1
"""Version of what recipes compute, as part of every recipe's identity.

Raise it by one in the commit after which the same recipe and seed give other weights or metrics, as
after a corrected formula or another random stream. All ids then change, so that no study mixes
results from before and after. While it is 1 it is left out of the hash: ids that were written
before it existed stay.
"""

CHANGED = ", changed"
"""The end of a network's name if the network is a changed form of the one with that name."""

_PARTS: Mapping[str, type[Settings]] = {
    "data": DataConfig,
    "training": TrainConfig,
    "schedule": Schedule,
}

# Paths, names of columns, and how images are read and held do not change a run. The
# images and their labels enter a trial's id as the fingerprint of the data, the initial weights as
# their digest.
_PLACES = {
    "data": (
        *("source", "image_root", "val_source", "workers", "worker_kind", "hold_images"),
        *("image_column", "label_column", "label_separator"),
    ),
    "training": ("init",),
}

_STOOD_FOR = {"mean": MEAN, "std": STD}
"""Defaults of `data` before these settings could be left open: what ids are hashes of."""

RUN_PARTS = ("resolved", "notes", "trial", "note_values", "stated")
"""What the `recipe.json` of a run's folder and the output of `show` have besides a recipe.

See `train.folder.run_recipe`.
"""


@dataclass(frozen=True, kw_only=True)
class Recipe(Settings):
    """A training run without its seed: data, network, optimisation, learning-rate schedule, tricks.

    `task` is what the network is trained for; of a detector or a segmenter `model` is the backbone.
    It is a value: every method returns another recipe. `tricks` are in the order in which their
    hooks are called and in which a cumulative study adds them. Raises UserError if two tricks have
    the same name or exclude each other.
    """

    introduced_later: ClassVar[tuple[str, ...]] = ("task",)

    name: str = "custom"
    task: TaskConfig = ClassificationConfig()
    data: DataConfig = DataConfig()
    model: ModelConfig = ResNetConfig()
    training: TrainConfig = TrainConfig()
    schedule: Schedule = Schedule()
    tricks: tuple[Trick, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        slots: dict[str, Trick] = {}
        for trick in self.tricks:
            if sum(other.name == trick.name for other in self.tricks) > 1:
                raise UserError(
                    f"{trick.name} is in the recipe twice", "a trick can be in a recipe once"
                )
            other = slots.setdefault(trick.slot, trick) if trick.slot else trick
            if other is not trick:
                raise UserError(
                    f"{trick.name} and {other.name} exclude each other "
                    f"(both have the slot {trick.slot!r})",
                    f"take one out: --without {other.name}",
                )

    @property
    def trick_names(self) -> tuple[str, ...]:
        """Names of the tricks, in order."""
        return tuple(trick.name for trick in self.tricks)

    def without(self, *names: str) -> Recipe:
        """Return the recipe without some of its tricks. Raises UserError for an unknown name."""
        self._require(names)
        return dataclasses.replace(
            self, tricks=tuple(t for t in self.tricks if t.name not in names)
        )

    def only(self, *names: str) -> Recipe:
        """Return the recipe with these of its tricks alone, in the recipe's order.

        Without names it is the bare recipe. Raises UserError for an unknown name.
        """
        self._require(names)
        return dataclasses.replace(self, tricks=tuple(t for t in self.tricks if t.name in names))

    def plus(self, *tricks: Trick) -> Recipe:
        """Return the recipe with tricks added; one of the same name is replaced, in its place."""
        added = {trick.name: trick for trick in tricks}
        replaced = tuple(added.pop(trick.name, trick) for trick in self.tricks)
        return dataclasses.replace(self, tricks=replaced + tuple(added.values()))

    def in_order_of(self, keys: Iterable[str]) -> Recipe:
        """Return the recipe with its tricks in the order of their keys; others come last."""
        places = {key: place for place, key in enumerate(keys)}

        def place(trick: Trick) -> int:
            return places.get(trick_table.key(type(trick)), len(places))

        return dataclasses.replace(self, tricks=tuple(sorted(self.tricks, key=place)))

    def replace(self, **changes: Any) -> Recipe:
        """Return the recipe with fields changed, as `dataclasses.replace`."""
        return dataclasses.replace(self, **changes)

    @property
    def network(self) -> str:
        """The network's name for `create_model`; without one, that of a near one and CHANGED."""
        # Settings that recipes choose for networks, and that are no part of their names.
        unnamed: dict[str, Any] = {
            "num_classes": 0,
            "in_channels": 3,
            "small_stem": "never",
            "init": "xavier",
        }
        if not isinstance(self.model, TimmConfig):
            unnamed["norm"] = BatchNorm()
        settings = {name: value for name, value in unnamed.items() if hasattr(self.model, name)}
        bare = dataclasses.replace(self.model, **settings)
        named = next((name for name in model_names() if model_config(name) == bare), None)
        if named is not None:
            return named
        if isinstance(self.model, TimmConfig):
            return f"timm:{self.model.name}" + (
                CHANGED if bare != model_config(f"timm:{self.model.name}") else ""
            )
        return f"{self.model.kind}{getattr(self.model, 'depth', '')}{CHANGED}"

    def on(self, network: str) -> Recipe:
        """Return the recipe with another network, by name.

        The recipe's choice of stem, initialisation and normalisation stays, unless one of the
        networks is timm's. Raises UserError for an unknown name.
        """
        return self._with_model(model_config(network))

    def _with_model(self, model: ModelConfig) -> Recipe:
        if isinstance(model, TimmConfig) or isinstance(self.model, TimmConfig):
            return dataclasses.replace(self, model=model)
        chosen = {name: getattr(self.model, name) for name in ("small_stem", "init", "norm")}
        return dataclasses.replace(self, model=dataclasses.replace(model, **chosen))

    def set(self, path: str, text: str) -> Recipe:
        """Return the recipe with one setting read from text: `set("tricks.mixup.alpha", "1")`.

        Raises UserError for a path that does not exist, a wrong type or a value out of range.
        """
        return self.set_all({path: text})

    def set_all(self, texts: Mapping[str, str]) -> Recipe:
        """Return the recipe with settings read from texts by their paths.

        Their order changes nothing: settings that need each other are checked together. `model` is
        the name of a network, `model.kind` starts from a network of another kind; the settings
        `model.` go to that one. Raises UserError as `set`, and for values that exclude each other.
        """
        recipe = self
        changes: dict[str, Any] = {}
        # Sorted: of two wrong texts the same one is reported, in whatever order they came.
        for head, parts in sorted(by_head(texts).items()):
            if head == "tricks":
                recipe = recipe._set_tricks(parts)
                continue
            if head == "model":
                recipe = recipe._on(parts.pop("", None), parts.pop("kind", None))
            elif head not in {*_PARTS, "task"} or "" in parts:
                path = next(path for path in sorted(texts) if path.partition(".")[0] == head)
                raise UserError(
                    f"no setting {path!r}",
                    "a path starts with model., data., training., schedule., task. or tricks.NAME. "
                    "and names a field, such as training.lr",
                )
            changes[head] = assign_all(getattr(recipe, head), parts, head)
        return dataclasses.replace(recipe, **changes)

    def _on(self, network: str | None, kind: str | None) -> Recipe:
        """Return the recipe on a network by name or of a kind; unchanged if it is of this kind."""
        recipe = self if network is None else self.on(network)
        if kind in (None, recipe.model.kind):
            return recipe
        if network is not None:
            raise UserError(f"model = {network!r} and model.kind = {kind!r} name two kinds")
        return recipe._with_model(read_model({"kind": kind}))

    def _set_tricks(self, texts: Mapping[str, str]) -> Recipe:
        """Return the recipe with settings of its tricks read from texts: `mixup.alpha`."""
        recipe = self
        for name, parts in sorted(by_head(texts).items()):
            self._require((name,))
            trick = next(trick for trick in self.tricks if trick.name == name)
            recipe = recipe.plus(assign_all(trick, parts, f"tricks.{name}"))
        return recipe

    def to_dict(self) -> dict[str, Any]:
        """Return the recipe as plain data, ready for JSON or YAML."""
        return {
            "schema": SCHEMA,
            "name": self.name,
            # Only where it is not classification: files that others read stay as they were.
            **({} if self.task == ClassificationConfig() else {"task": plain(self.task)}),
            "data": plain(self.data),
            "model": plain(self.model),
            "training": plain(self.training),
            "schedule": plain(self.schedule),
            # The order of the keys, which JSON and YAML files keep, is the order of the tricks.
            "tricks": {trick_table.key(type(trick)): plain(trick) for trick in self.tricks},
        }

    @classmethod
    def from_dict(cls, data: object, *, name: str = "custom") -> Recipe:
        """Build a recipe from plain data.

        Parts and settings that are left out have their defaults, and `model` may be a name. The
        parts that a run's `recipe.json` has besides (RUN_PARTS) are not read. Raises UserError for
        another schema version, an unknown part, setting or trick, a wrong type or a value out of
        range.
        """
        if not isinstance(data, Mapping):
            raise UserError(
                "a recipe is a mapping with schema, data, model, training, schedule and tricks, "
                f"not {shown(data)}"
            )
        names = {"schema", "name", "task", "model", "tricks", *_PARTS}
        for key in data:
            if key not in names and key not in RUN_PARTS:
                raise UserError(f"a recipe has no part {shown(key)}; it has: {choices(names)}")
        if data.get("schema", SCHEMA) != SCHEMA:
            raise UserError(
                f"schema = {shown(data['schema'])}: this version of trickbag reads recipes of "
                f"schema {SCHEMA}"
            )
        parts: dict[str, Any] = {
            key: read(part, _as_written_now(key, data[key]), key)
            for key, part in _PARTS.items()
            if key in data
        }
        if "model" in data:
            parts["model"] = read_model(data["model"])
        if "task" in data:
            parts["task"] = read_task(data["task"])
        tricks = data.get("tricks") or {}
        if not isinstance(tricks, Mapping):
            raise UserError(
                f"tricks = {shown(tricks)}: must be a mapping of names to settings, such as mixup: "
                "{alpha: 0.2}"
            )
        parts["tricks"] = tuple(
            read(trick_table.find(str(key)), settings or {}, f"tricks.{key}")
            for key, settings in tricks.items()
        )
        return cls(name=data.get("name", name), **parts)

    @property
    def id(self) -> str:
        """Hash of the recipe's identity."""
        return digest(self.identity())

    def identity(self) -> dict[str, Any]:
        """Return the plain data that determine the run, of which an id is the hash.

        The recipe's name and the places of files are left out, and settings that were introduced
        later while they have their default.
        """
        data = {"schema": SCHEMA, **plain_identity(self)}
        del data["name"]
        data["data"] |= _normalisation_identity(self)
        for part, fields in _PLACES.items():
            data[part] = {key: value for key, value in data[part].items() if key not in fields}
        tricks = {trick_table.key(type(trick)): plain_identity(trick) for trick in self.tricks}
        for trick, settings in zip(self.tricks, tricks.values(), strict=True):
            for field in trick.paths:
                settings.pop(field, None)
        data["tricks"] = tricks
        return data if NUMBERS == 1 else data | {"numbers": NUMBERS}

    def _require(self, names: tuple[str, ...]) -> None:
        for name in names:
            if name not in self.trick_names:
                raise UserError(
                    f"no trick {name!r} in the recipe {self.name}; it has: "
                    f"{choices(self.trick_names) or 'none'}"
                )


def _normalisation_identity(recipe: Recipe) -> dict[str, Any]:
    """Return what stands for mean and std in a recipe's identity."""
    identity: dict[str, Any] = {}
    for name, value in _STOOD_FOR.items():
        given = getattr(recipe.data, name)
        if given is None:
            identity[name] = list(value)
        # A default that is left open can follow weights, one that is chosen does not.
        elif given == value and (recipe.training.init or recipe.training.pretrained):
            identity[f"{name}_chosen"] = True
    return identity


def _as_written_now(part: str, data: object) -> object:
    """Return the plain data of a part of a recipe, with mean and std as they are written now.

    Files that were written before these could be left open have a value even where nobody chose
    one. Such a file has all settings of its time; one that a person wrote has those that differ.
    """
    if part != "data" or not isinstance(data, Mapping):
        return data
    if "interpolation" in data or not {"crop_area", "flip_prob", "split_seed"} <= data.keys():
        return data
    unchosen = [
        name for name, value in _STOOD_FOR.items() if data.get(name) in (value, list(value))
    ]
    return {**data, **dict.fromkeys(unchosen)}


def trick_from_text(text: str, settings: Mapping[str, str] = MappingProxyType({})) -> Trick:
    """Read a trick and its settings: `mixup`, `mixup:alpha=0.4`, `package.module:Class:key=value`.

    `settings` are further ones by path, which come from `tricks.NAME.PATH`. All are checked
    together. Raises UserError for an unknown trick or setting.
    """
    head, fields = _split_trick(text)
    trick = trick_table.find(head)
    given = parse_fields(trick, fields, head)
    return trick(**given | parse_changes(trick, given, settings, f"tricks.{trick.name}"))


def trick_name(text: str) -> str:
    """Return the name of the trick that `trick_from_text` would read."""
    return trick_table.find(_split_trick(text)[0]).name


def _split_trick(text: str) -> tuple[str, str]:
    head, *rest = text.split(":")
    if rest and rest[0] and "=" not in rest[0] and head not in trick_table.builtin():
        head, rest = f"{head}:{rest[0]}", rest[1:]
    return head, ":".join(rest)


def digest(data: object) -> str:
    """Hash plain data: 16 hexadecimal digits."""
    # Sorted: the order of keys in a file must not make another id of the same settings.
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def differences(first: object, second: object, path: str = "") -> list[str]:
    """Name the places in which two plain data differ: `training.lr (0.1, not 0.2)`."""
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        keys = [*first, *(key for key in second if key not in first)]
        absent = "absent"
        return [
            text
            for key in keys
            for text in differences(
                first.get(key, absent), second.get(key, absent), f"{path}.{key}".lstrip(".")
            )
        ]
    if first == second:
        return []
    return [f"{path} ({json.dumps(first)}, not {json.dumps(second)})"]
