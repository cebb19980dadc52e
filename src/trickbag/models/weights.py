"""Weights on disk: safetensors files, which hold no code and are written whole or not at all.

A file also says which network its weights are of (`models.weights_metadata`). Where weights are
loaded into a network that already exists, the path can also be that of the variables of an original
network of Lee et al. 2020 (`models.official.variables`).
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from trickbag.errors import Note, UserError, first_line
from trickbag.files import named_warnings, replacing, utf8_path
from trickbag.models.classifier import Classifier
from trickbag.models.config import TimmConfig
from trickbag.models.counting import count_params
from trickbag.models.image_size import made_for_size
from trickbag.models.input_channels import with_input_channels
from trickbag.models.mismatch import listed, shape_text, some
from trickbag.models.official.networks import (
    OFFICIAL_CLASSES,
    official_classes,
    official_name,
    official_preprocessing,
)
from trickbag.models.official.variables import is_variables, variable_files
from trickbag.models.official.weights import weights_for
from trickbag.models.task_network import build_task_network
from trickbag.models.timm.loading import fit_tensors
from trickbag.models.transfer import (
    InitHead,
    SourceWeights,
    classifier_names,
    head_names,
    match_head,
    of_backbone,
    with_zero_rows,
    without_classifier,
)
from trickbag.models.weights_checksum import record_text, require_intact
from trickbag.models.weights_metadata import (
    METADATA_KEY,
    TEMPERATURE_KEY,
    WeightsMetadata,
    header_texts,
    read_classes,
    read_image_size,
    read_preprocessing,
    read_record,
    require_weights,
    unreadable,
    weights_file,
)
from trickbag.models.zoo import build_on_shapes, is_huge
from trickbag.paths import WEIGHTS, open_regular

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trickbag.data.loading.preprocess import Preprocessing
    from trickbag.models.config import ModelConfig

__all__ = [
    "enter_weights",
    "fit_weights",
    "load",
    "load_all_weights",
    "load_weights",
    "load_with_metadata",
    "preprocessing_of",
    "read_tensors",
    "save_weights",
    "store_temperature",
    "weights_bytes",
    "weights_digest",
]


def save_weights(network: nn.Module, path: Path, metadata: WeightsMetadata) -> None:
    """Write a network's weights and running statistics to a safetensors file, with a checksum.

    The same values give the same bytes. Raises RunFailed if the file cannot be written; a file that
    was there before is then unchanged.
    """
    data = weights_bytes(network, metadata)
    with replacing(path) as file:
        file.write(data)


def weights_bytes(network: nn.Module, metadata: WeightsMetadata) -> bytes:
    """Return the file that `save_weights` writes."""
    tensors = {
        name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()
    }
    return _file_bytes(metadata.to_dict(), _without_sharing(tensors))


def _file_bytes(record: Mapping[str, Any], tensors: dict[str, Tensor]) -> bytes:
    # One key alone: safetensors writes several keys in random order, and the same values would
    # not give the same bytes.
    return save(tensors, metadata={METADATA_KEY: record_text(record, tensors)})


def store_temperature(path: Path, temperature: float | None) -> None:
    """Write a temperature into a weights file, or a run's kept weights; None removes it.

    All else in the file stays as it is, and the checksum is that of the new record. The file is
    replaced whole or not at all. Raises UserError for a file that cannot be read, is damaged or of
    other origin, and RunFailed if it cannot be written.
    """
    file = weights_file(path)
    tensors = read_tensors(file)
    # It is checked as a whole: nothing is added to a record that cannot be read.
    WeightsMetadata.read(file)
    data = _file_bytes(_record_with(file, temperature), tensors)
    with replacing(file) as opened:
        opened.write(data)


def _record_with(file: Path, temperature: float | None) -> dict[str, Any]:
    """Return the record of a file as plain data, with this temperature."""
    record = read_record(header_texts(file).get(METADATA_KEY, "{}"), str(file))
    record.pop(TEMPERATURE_KEY, None)
    return record if temperature is None else {**record, TEMPERATURE_KEY: temperature}


def weights_digest(path: Path) -> str:
    """Return the hash of the bytes of weights: of a file, a run's best weights, or variables.

    A temperature is left out: teachers and initial weights are used without it, and a run that is
    calibrated after it was written has the digest that it had before. Raises UserError for weights
    that cannot be read.
    """
    digests = []
    # With size, time and inode in the cache's key, a changed file is read again.
    for file in variable_files(path) if is_variables(path) else [weights_file(path)]:
        try:
            status = file.stat()
            digests.append(_digest(file, status.st_size, status.st_mtime_ns, status.st_ino))
        except OSError as error:
            raise UserError(
                f"cannot read the weights {file}: {error.strerror or first_line(error)}",
                "give another copy",
            ) from error
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256(" ".join(digests).encode()).hexdigest()


@functools.lru_cache(maxsize=64)  # a study needs the digest once for each trial
def _digest(file: Path, size: int, mtime_ns: int, inode: int) -> str:
    if _has_temperature(file):
        data = _file_bytes(_record_with(file, None), read_tensors(file))
        return hashlib.sha256(data).hexdigest()
    with open_regular(file, WEIGHTS) as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _has_temperature(file: Path) -> bool:
    """Tell whether weights have a temperature; whoever loads other files reports what is wrong."""
    try:
        text = header_texts(file).get(METADATA_KEY, "{}")
        return TEMPERATURE_KEY in read_record(text, str(file))
    except UserError:
        return False


def preprocessing_of(path: Path, config: ModelConfig) -> Preprocessing | None:
    """Return the preprocessing with which weights are evaluated; None if nothing says it.

    A safetensors file says it in its metadata. For variables of an official network it is that of
    the network that `config` builds. Raises UserError for a file that cannot be read, or whose
    metadata is damaged.
    """
    if not is_variables(path):
        return read_preprocessing(path)
    name = official_name(config)
    return None if name is None else official_preprocessing(name)


def load_weights(
    network: nn.Module,
    path: Path,
    *,
    config: ModelConfig | None = None,
    classes: Sequence[str] | None = None,
    init_head: InitHead = "auto",
) -> list[Note]:
    """Load weights from a file, or the kept ones of a run's folder, into a network.

    The file is safetensors. For an original network of Lee et al. 2020 it can also hold its
    variables (`models.official.variables`). Every name and shape must fit, except those of a
    classifier for other classes; what it takes by `init_head` and the names of the network's
    `classes` is said at `models.transfer.match_head`. Its other rows become zero, and what it has
    before its last layer keeps its values. A network without classifier, such as that of
    `Features`, takes all else; of a detector or a segmenter the backbone is taken. `config` is the
    network's: of a network that is not ours it tells where the classifier is.

    Returns notes on what was taken. Raises UserError for a file that cannot be read, does not fit
    or holds NaN; it names a few of the weights, and the network is then unchanged.
    """
    if is_variables(path):
        tensors, notes = weights_for(_config_of(network, path), path)
        # Variables do not name their classes: those of ImageNet are known by their number.
        known = len(tensors["fc.bias"]) == OFFICIAL_CLASSES
        names = official_classes() if known else None
        source = SourceWeights(tensors=tensors, origin=str(path), classes=names)
    else:
        file, notes = weights_file(path), []
        tensors = read_tensors(file)
        source = SourceWeights(
            tensors=tensors,
            origin=str(file),
            classes=read_classes(file),
            image_size=read_image_size(file),
        )
    return notes + enter_weights(
        network, source, config=config, classes=classes, init_head=init_head
    )


def enter_weights(
    network: nn.Module,
    source: SourceWeights,
    *,
    config: ModelConfig | None = None,
    classes: Sequence[str] | None = None,
    init_head: InitHead = "auto",
) -> list[Note]:
    """Load weights into a network as `load_weights` does; return notes on what was taken."""
    _require_numbers(source)
    source, notes_on_parts = of_backbone(source)
    source, left_out = without_classifier(source, network, config)
    tensors, notes = with_input_channels(network, source.tensors, source.origin, config)
    size = source.image_size
    if size is None and isinstance(config, TimmConfig):
        size = made_for_size(config)
    fitting = fit_tensors(network, tensors, source.origin, size)
    source = dataclasses.replace(source, tensors=fitting.tensors)
    heads = head_names(network, config)
    present = with_zero_rows(network, heads)
    # An auxiliary head that the weights lack is no matter of classes.
    head = heads - fitting.fresh
    rows = match_head(present, source, head, classes, init_head)
    body = {name: tensor for name, tensor in source.tensors.items() if name not in head}
    fresh = rows.fresh | fitting.fresh
    if head and head == rows.fresh and not any(name in source.tensors for name in head):
        # Normalisations and hidden layers within the classifier are then missing too.
        fresh |= classifier_names(network)
    anew = {name: present[name] for name in heads & (rows.fresh | fitting.fresh)}
    fit_weights(network, {**anew, **body, **rows.tensors}, source.origin, fresh=fresh)
    return [*notes_on_parts, *notes, *fitting.notes, *rows.notes, *left_out]


def load_all_weights(network: nn.Module, path: Path) -> None:
    """Load a weights file, or a run's kept weights, of which every name and shape must fit.

    Raises UserError for a file that cannot be read, or does not fit; the network is then unchanged.
    """
    file = weights_file(path)
    fit_weights(network, read_tensors(file), str(file))


def load(path: Path | str) -> nn.Module:
    """Rebuild the network of a run's folder, or of a file that a run wrote, in evaluation mode.

    Raises UserError for a folder that is no run, and for a file that is damaged or does not say
    which network it is of.
    """
    return load_with_metadata(path)[0]


def load_with_metadata(path: Path | str) -> tuple[nn.Module, WeightsMetadata]:
    """Rebuild a network as `load` does; return it with what its file says about it."""
    file = weights_file(Path(path))
    # First of all: no network is built of a damaged record.
    tensors = read_tensors(file)
    metadata = WeightsMetadata.read(file)
    _require_weights(metadata.model, tensors, file)
    try:
        network = build_task_network(metadata.task, metadata.model, seed=0)
    except UserError as error:
        raise UserError(f"{file}: {error.reason}", error.way_out) from error
    fit_weights(network, tensors, str(file))
    return network.eval(), metadata


def _require_weights(config: ModelConfig, tensors: Mapping[str, Tensor], file: Path) -> None:
    """Raise UserError where a file lacks weights of a huge network, before it is built."""
    if not is_huge(config):
        return
    count, stored = count_params(build_on_shapes(config)), sum(t.numel() for t in tensors.values())
    if count > stored:
        raise UserError(
            f"{file} does not fit its network, which has {count:,} parameters: it holds {stored:,}",
            "give another copy",
        )


def fit_weights(
    network: nn.Module,
    tensors: Mapping[str, Tensor],
    origin: str,
    *,
    fresh: frozenset[str] = frozenset(),
) -> None:
    """Copy tensors by name into a network's weights.

    Those named in `fresh` may be missing; the network then keeps its own. Raises UserError for
    anything else that does not fit, before any weight is changed; it names `origin`.
    """
    present = network.state_dict()
    # Weights published before torch counted batches lack the counters, which only cumulative
    # averages use.
    optional = fresh | _counters(network)
    shapes = (
        f"{name} {shape_text(tensors[name].shape)} for {shape_text(tensor.shape)}"
        for name, tensor in present.items()
        if name in tensors and tensor.shape != tensors[name].shape
    )
    missing = (name for name in present if name not in tensors and name not in optional)
    problems = [
        *listed("missing", missing),
        *listed("unknown", (name for name in tensors if name not in present)),
        *listed("of another shape", shapes),
    ]
    if problems:
        raise UserError(
            f"{origin} does not fit this network: {'; '.join(problems)}",
            "give weights of the same network",
        )
    # Not strict: what may be missing keeps its values. All else was checked above.
    network.load_state_dict(dict(tensors), strict=False)


def _require_numbers(source: SourceWeights) -> None:
    """Raise UserError for weights with NaN, from which nothing can be trained.

    Infinite values pass: a network can hold them on purpose, such as in a mask.
    """
    names = [
        name
        for name, tensor in source.tensors.items()
        if tensor.is_floating_point() and tensor.isnan().any()
    ]
    if names:
        raise UserError(
            f"{source.origin} holds values that are no numbers (NaN), in {some(names)}",
            "give the weights of another run or epoch",
        )


def _config_of(network: nn.Module, path: Path) -> ModelConfig:
    if not isinstance(network, Classifier):
        raise UserError(
            f"{path} holds the variables of an official network, and this {type(network).__name__} "
            "is none of ours",
            "give a .safetensors file of its weights",
        )
    return network.config


def _without_sharing(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copy tensors that share memory with an earlier one (tied weights)."""
    # safetensors refuses them.
    seen: set[int] = set()
    result = {}
    for name, tensor in tensors.items():
        pointer = tensor.untyped_storage().data_ptr()
        result[name] = tensor.clone() if pointer in seen else tensor
        seen.add(pointer)
    return result


def read_tensors(file: Path) -> dict[str, Tensor]:
    """Read the tensors of a safetensors file; UserError if it cannot be read or is damaged."""
    require_weights(file)
    try:
        with named_warnings(file), utf8_path(file) as path:
            tensors: dict[str, Tensor] = load_file(path)
    except (OSError, SafetensorError) as error:
        raise unreadable(file, error) from error
    require_intact(file, header_texts(file), tensors)
    return tensors


def _counters(network: nn.Module) -> set[str]:
    """Name the counters of batches of all normalisations."""
    norms = [name for name, module in network.named_modules() if isinstance(module, _NormBase)]
    return {f"{name}.num_batches_tracked".lstrip(".") for name in norms}
