"""The file that TensorBoard reads, in a run's folder."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from trickbag.files import utf8_path

__all__ = ["Board"]


class Board:
    """Writes the metrics of each epoch, from epoch `epoch` on, from 0; later ones are dropped."""

    def __init__(self, folder: Path, epoch: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._stack = contextlib.ExitStack()
        path = self._stack.enter_context(utf8_path(folder))
        # Scalars count epochs from 1, and TensorBoard drops those from `purge_step` on.
        self._writer = SummaryWriter(path, purge_step=epoch + 1)

    def add(self, row: dict[str, Any], epoch: int) -> None:
        """Write the line of an epoch, counted from 1."""
        for key, value in row.items():
            if key not in ("epoch", "step") and value is not None:
                self._writer.add_scalar(key, value, epoch)
        self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        self._writer.close()
        self._stack.close()
