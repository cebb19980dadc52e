"""The features of a part's images, by a frozen network: read from the cache, or computed once.

Shapes: N images, D features, K classes.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from trickbag.data.dataset import fingerprint
from trickbag.data.decoding.cache import cache_folder
from trickbag.errors import Note, UserError
from trickbag.functional.device import copied
from trickbag.locks import locked
from trickbag.settings import plain_identity
from trickbag.train.loaders import evaluation_batch_size, evaluation_loader
from trickbag.train.machine.device import evaluation_autocast, in_layout
from trickbag.train.probe.stored import FeatureRows, FeatureStore

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from trickbag.data.loading.raw_batch import RawBatch
    from trickbag.data.source import Part
    from trickbag.models.linear_head import LinearHead
    from trickbag.train.run import Run

__all__ = ["FeatureReader", "PartFeatures"]

_ROWS = 2048
"""Images of a file of the cache, at least: work that is stopped loses no more."""


@dataclass(frozen=True, eq=False)
class PartFeatures:
    """The features (N, D) float32 of a part's images; `valid` (N,) tells which could be read.

    `errors` are the others, name to reason. `computed` is the number of images whose features were
    not in the cache, and `seconds` the time that the network took for them.
    """

    features: NDArray[np.float32]
    valid: NDArray[np.bool_]
    errors: dict[str, str]
    computed: int
    seconds: float

    @property
    def not_finite(self) -> int:
        """The number of images that could be read with a feature that is not finite."""
        return int((~np.isfinite(self.features).all(axis=1) & self.valid).sum())


@dataclass(kw_only=True)
class FeatureReader:
    """Reads the features of parts of a run's data, by its network, or computes them.

    `on_progress(done, total)` is called after each batch; what it raises ends the work, and what is
    done stays in the cache. `notes` are on files of the cache that were damaged or could not be
    written.
    """

    run: Run
    head: LinearHead
    on_progress: Callable[[int, int], None]
    cache_dir: Path = field(default_factory=cache_folder)
    notes: list[Note] = field(default_factory=list)
    _body: str = field(init=False, default="")

    def read(self, part: Part, classes: tuple[str, ...]) -> PartFeatures:
        """Return the features of a part.

        If several processes need the same at once, one computes them and the others wait.
        """
        store = FeatureStore(self.cache_dir, self._metadata(part, classes))
        with contextlib.ExitStack() as held:
            # In a cache that cannot be written each process computes them for itself.
            with contextlib.suppress(UserError):
                lock = store.folder.with_suffix(".lock")
                held.enter_context(
                    locked(lock, lambda _: self.on_progress(0, len(part)), required=False)
                )
            features = self._read(part, store)
        if store.damage is not None:
            reason = f"{store.damage}: the features were computed again"
            self.notes.append(Note("damage", None, reason))
        if store.problem is not None:
            reason = f"the features are not kept for another call: {store.problem}"
            self.notes.append(Note("folder", None, reason))
        return features

    def _metadata(self, part: Part, classes: tuple[str, ...]) -> dict[str, Any]:
        """Return what determines the features of a part, as plain data without paths."""
        plan = self.run.plan
        self._body = self._body or _digest(self.head)
        model = {
            name: value
            for name, value in plain_identity(plan.model).items()
            if name != "num_classes"
        }
        return {
            "weights": self._body,
            "model": model,
            "preprocessing": plain_identity(self.run.evaluation),
            "precision": plan.training.eval_precision,
            "device": plan.device,
            "data": fingerprint(classes, {"images": part}),
        }

    def _read(self, part: Part, store: FeatureStore) -> PartFeatures:
        # Whole batches: the last digits of a feature can depend on its place in the batch.
        batch_size = evaluation_batch_size(self.run.plan)
        size = -(-_ROWS // batch_size) * batch_size
        blocks = [range(start, min(start + size, len(part))) for start in range(0, len(part), size)]
        features = np.zeros((len(part), self.head.num_features), np.float32)
        errors: dict[int, str] = {}

        def enter(block: range, rows: FeatureRows) -> None:
            features[block.start : block.stop] = rows.features
            errors.update({block.start + row: reason for row, reason in rows.errors.items()})

        missing = []
        for place, block in enumerate(blocks):
            rows = store.read(place, len(block), self.head.num_features)
            if rows is None:
                missing.append(place)
            else:
                enter(block, rows)
        started = time.perf_counter()
        images = self._computed(part, [blocks[place] for place in missing])
        with contextlib.closing(images):
            for place, rows in zip(missing, images, strict=True):
                store.write(place, rows)
                enter(blocks[place], rows)
        valid = np.ones(len(part), np.bool_)
        valid[list(errors)] = False
        return PartFeatures(
            features=features,
            valid=valid,
            errors={part.names[row]: reason for row, reason in sorted(errors.items())},
            computed=sum(len(blocks[place]) for place in missing),
            seconds=time.perf_counter() - started,
        )

    def _computed(self, part: Part, blocks: list[range]) -> Generator[FeatureRows, None, None]:
        """Yield the features of the images of each block of a part."""
        if not blocks:
            return
        plan = self.run.plan
        images = part.subset(np.concatenate([np.arange(b.start, b.stop) for b in blocks]))
        done = len(part) - len(images)
        with evaluation_loader(
            images,
            plan.data,
            self.run.evaluation,
            batch_size=evaluation_batch_size(plan),
            workers=plan.workers,
            device=plan.device,
        ) as loader:
            batches = loader.epoch(0, waiting=lambda: self.on_progress(done, len(part)))
            for block in blocks:
                parts, errors, rows = [], {}, 0
                while rows < len(block):
                    self.on_progress(done, len(part))
                    raw = next(batches)
                    parts.append(_batch_features(self.run, self.head, raw))
                    for place in (~raw.valid).nonzero().flatten().tolist():
                        errors[rows + place] = loader.errors[images.names[int(raw.index[place])]]
                    rows, done = rows + len(raw.valid), done + len(raw.valid)
                yield FeatureRows(np.concatenate(parts), errors)
            self.on_progress(done, len(part))


# A function of its own: around the generator's `yield` the mode would be the caller's too.
@torch.inference_mode()
def _batch_features(run: Run, head: LinearHead, raw: RawBatch) -> NDArray[np.float32]:
    """Return the features (N, D) of a batch; 0 for an image that could not be read."""
    images = run.evaluation.normalise(copied(raw.images, run.device))
    with evaluation_autocast(run.device, run.eval_dtype):
        features_ND = head.forward(in_layout(images, run.plan.layout))[0]
    features = np.asarray(features_ND.float().cpu().numpy(), np.float32)
    features[~raw.valid.numpy()] = 0
    return features


def _digest(head: LinearHead) -> str:
    """Return the hash of a network's weights, without those of its linear layers."""
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in sorted(head.body_tensors()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\0".encode())
        # As bytes: numpy has no bfloat16.
        values = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        digest.update(values.numpy().data)
    return digest.hexdigest()
