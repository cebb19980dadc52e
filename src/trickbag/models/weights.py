"""Weights on disk: safetensors files that hold no code, written whole or not at all.

A file that `save_weights` wrote also says which network its weights are of, under the metadata key
`trickbag`, as JSON. The variables of the original networks of Lee et al. 2020 can be given in the
place of a file where weights are loaded into a network that is there.
"""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from trickbag.data.loading.preprocess import Preprocessing
from trickbag.errors import UserError
from trickbag.files import replacing
from trickbag.models.classifier import Classifier
from trickbag.models.config import read_model
from trickbag.models.official.networks import OFFICIAL_MEAN, OFFICIAL_STD
from trickbag.models.official.variables import is_variables, variable_files
from trickbag.models.official.weights import weights_for
from trickbag.models.zoo import build_network
from trickbag.settings import read

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from trickbag.data.config import Colour, Scale
    from trickbag.models.config import ModelConfig

__all__ = [
    "BEST_WEIGHTS",
    "fit_weights",
    "load",
    "load_weights",
    "load_with_metadata",
    "normalisation_of",
    "read_metadata",
    "save_weights",
    "weights_bytes",
    "weights_digest",
]

BEST_WEIGHTS = "best.safetensors"
"""The name of the best weights in a run's folder."""

_METADATA_KEY = "trickbag"
_NAMED = 3


def save_weights(network: nn.Module, path: Path, metadata: Mapping[str, Any]) -> None:
    """Write a network's weights and running statistics to a safetensors file; the same values give the same bytes.

    `metadata` is plain data without times and paths; `load` asks for its `model`, the network's
    config. The file appears whole or not at all. Raises RunFailed where it cannot be written; a
    file that was there before is then as it was.
    """
    data = weights_bytes(network, metadata)
    with replacing(path) as file:
        file.write(data)


def weights_bytes(network: nn.Module, metadata: Mapping[str, Any]) -> bytes:
    """Return what `save_weights` writes."""
    tensors = {
        name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()
    }
    header = {_METADATA_KEY: json.dumps(metadata, sort_keys=True, allow_nan=False)}
    return save(_without_sharing(tensors), metadata=header)


def weights_digest(path: Path) -> str:
    """Return the hash of the bytes of a weights file, of a run folder's best weights, or of files
    of variables."""
    digests = []
    for file in variable_files(path) if is_variables(path) else [_weights_file(path)]:
        try:
            found = file.stat()
            digests.append(_digest(file, found.st_size, found.st_mtime_ns, found.st_ino))
        except OSError as error:
            raise UserError(
                f"cannot read the weights {file}: {_reason(error)}; give another copy"
            ) from error
    return (
        digests[0] if len(digests) == 1 else hashlib.sha256(" ".join(digests).encode()).hexdigest()
    )


def normalisation_of(path: Path) -> tuple[Colour, Scale] | None:
    """Return mean and standard deviation, on the 0-255 scale, that weights were trained with; None where unsaid.

    Raises UserError for a file that cannot be read, or whose metadata are damaged.
    """
    if is_variables(path):
        return OFFICIAL_MEAN, OFFICIAL_STD
    metadata = read_metadata(path)
    if "preprocessing" not in metadata:
        return None
    try:
        found = read(Preprocessing, metadata["preprocessing"], "preprocessing")
    except UserError as error:
        raise UserError(
            f"{path}: its trickbag metadata is damaged ({error}); use another copy of it"
        ) from error
    return found.mean, found.std


@functools.lru_cache(maxsize=64)  # a study asks for it once for each trial
def _digest(file: Path, size: int, mtime_ns: int, inode: int) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def read_metadata(path: Path) -> dict[str, Any]:
    """Read what `save_weights` said about a weights file, or a run folder's; an empty dict for a file of other origin.

    Raises UserError for a file that is missing, damaged, or no safetensors file.
    """
    file = _weights_file(path)
    try:
        with safe_open(file, framework="pt") as opened:
            text = (opened.metadata() or {}).get(_METADATA_KEY, "{}")
    except (OSError, SafetensorError) as error:
        raise _unreadable(file, error) from error
    try:
        metadata = json.loads(text)
    except ValueError as error:
        raise UserError(
            f"{file}: its trickbag metadata is damaged ({error}); use another copy of it"
        ) from error
    if not isinstance(metadata, dict):
        raise UserError(f"{file}: its trickbag metadata is no mapping; use another copy of it")
    return metadata


def load_weights(network: nn.Module, path: Path) -> list[str]:
    """Load weights from a file or a run folder's best ones into a network; return notes on the result.

    The file is safetensors, or holds the variables of an original network of Lee et al. 2020 (see
    `models.variables`), if the network is one of those. Every name and shape must fit, except that
    a classifier of another number of classes is left as it is, which a note says. Raises UserError
    for a file that does not fit, naming a few of its weights, or cannot be read; the network is
    then unchanged.
    """
    if is_variables(path):
        tensors, notes = weights_for(_config_of(network, path), path)
        return notes + fit_weights(network, tensors, str(path), new_head=True)
    file = _weights_file(path)
    return fit_weights(network, _read_tensors(file), str(file), new_head=True)


def load(path: Path | str) -> nn.Module:
    """Rebuild the network of a run folder or of a file that `save_weights` wrote, in evaluation mode.

    Raises UserError for a folder that is no run, and for a file that is damaged or does not say
    which network it is of.
    """
    return load_with_metadata(path)[0]


def load_with_metadata(path: Path | str) -> tuple[nn.Module, dict[str, Any]]:
    """Rebuild a network as `load` does, and return it with what its file says about it."""
    file = _weights_file(Path(path))
    metadata = read_metadata(file)
    if "model" not in metadata:
        raise UserError(
            f"{file} does not say which network its weights are of; build the network and use "
            f"load_weights (--init)"
        )
    try:
        network = build_network(read_model(metadata["model"]), seed=0)
    except UserError as error:
        raise UserError(f"{file}: {error}") from error
    fit_weights(network, _read_tensors(file), str(file), new_head=False)
    return network.eval(), metadata


def fit_weights(
    network: nn.Module, tensors: Mapping[str, Tensor], origin: str, *, new_head: bool
) -> list[str]:
    """Copy tensors by name into a network's weights; return notes on what was left out.

    With `new_head` a classifier of another number of classes, or none, is no error: the network's
    own stays. Raises UserError where anything else does not fit, naming `origin`, before any weight
    is changed.
    """
    own = network.state_dict()
    head = _head_names(network) if new_head else frozenset()
    missing = [name for name in own if name not in tensors]
    unexpected = [name for name in tensors if name not in own]
    reshaped = [name for name in own if name in tensors and own[name].shape != tensors[name].shape]
    notes = []
    skipped = {
        name for name in head if name in reshaped and _other_classes(own[name], tensors[name])
    }
    if head and head.issubset(missing):
        skipped = set(head)
    if skipped:
        here, there = _classes(own, skipped), _classes(tensors, skipped)
        notes.append(
            f"the classifier starts anew: {origin} has "
            f"{f'{there} classes' if there else 'no classifier'}, "
            f"this network {here}"
        )
    # Weights published before torch counted batches lack the counters, which only cumulative
    # averages use.
    forgiven = skipped | _counters(network)
    problems = [
        *_named("missing", (name for name in missing if name not in forgiven)),
        *_named("unknown", unexpected),
        *_named(
            "of another shape",
            (
                f"{name} {_shape(tensors[name])} for {_shape(own[name])}"
                for name in reshaped
                if name not in skipped
            ),
        ),
    ]
    if problems:
        raise UserError(
            f"{origin} does not fit this network: {'; '.join(problems)}; give weights of the same "
            f"network"
        )
    fitting = {name: tensors[name] for name in own if name in tensors and name not in skipped}
    network.load_state_dict(fitting, strict=False)
    return notes


def _config_of(network: nn.Module, path: Path) -> ModelConfig:
    if not isinstance(network, Classifier):
        raise UserError(
            f"{path} holds the variables of an official network, and this {type(network).__name__} "
            f"is none of ours; "
            "give a .safetensors file of its weights"
        )
    return network.config


def _without_sharing(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copy tensors that share memory with an earlier one (tied weights), which safetensors
    refuses."""
    seen: set[int] = set()
    result = {}
    for name, tensor in tensors.items():
        place = tensor.untyped_storage().data_ptr()
        result[name] = tensor.clone() if place in seen else tensor
        seen.add(place)
    return result


def _weights_file(path: Path) -> Path:
    if path.is_dir():
        file = path / BEST_WEIGHTS
        if not file.is_file():
            checkpoints = sorted(path.glob("*.index"))
            way_out = "give the folder of a run, or a .safetensors file"
            if checkpoints:
                way_out = (
                    f"of the TensorFlow checkpoint in it give the prefix, "
                    f"{checkpoints[-1].with_suffix('')}"
                )
            raise UserError(f"{path} is no run: it has no {BEST_WEIGHTS}; {way_out}")
        return file
    if not path.exists():
        raise UserError(
            f"no file or folder {path}; give the folder of a run, or a .safetensors file"
        )
    return path


def _read_tensors(file: Path) -> dict[str, Tensor]:
    try:
        tensors: dict[str, Tensor] = load_file(file)
    except (OSError, SafetensorError) as error:
        raise _unreadable(file, error) from error
    return tensors


def _unreadable(file: Path, error: Exception) -> UserError:
    return UserError(
        f"{file} cannot be read as safetensors ({_reason(error)}); give another copy, or a file of "
        f"that format"
    )


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return (str(error).splitlines() or [type(error).__name__])[0]


def _head_names(network: nn.Module) -> frozenset[str]:
    """Name the parameters of the classifier, wherever the network keeps it."""
    get_classifier = getattr(network, "get_classifier", None)
    classifier = get_classifier() if get_classifier else None
    modules = classifier if isinstance(classifier, list | tuple) else [classifier]
    parameters = {
        id(p) for module in modules if isinstance(module, nn.Module) for p in module.parameters()
    }
    return frozenset(
        name for name, p in network.named_parameters(remove_duplicate=False) if id(p) in parameters
    )


def _other_classes(own: Tensor, given: Tensor) -> bool:
    """Tell whether two classifier tensors differ in the number of classes alone."""
    return own.shape[0] != given.shape[0] and own.shape[1:] == given.shape[1:]


def _classes(tensors: Mapping[str, Tensor], head: Iterable[str]) -> int:
    return next((tensors[name].shape[0] for name in sorted(head) if name in tensors), 0)


def _counters(network: nn.Module) -> set[str]:
    norms = [name for name, module in network.named_modules() if isinstance(module, _NormBase)]
    return {f"{name}.num_batches_tracked".lstrip(".") for name in norms}


def _named(what: str, names: Iterable[str]) -> list[str]:
    """Write a problem with its first few names, or nothing where there are none."""
    every = list(names)
    more = f" and {len(every) - _NAMED} more" if len(every) > _NAMED else ""
    return [f"{what} {', '.join(every[:_NAMED])}{more}"] if every else []


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "scalar"
