from __future__ import annotations

import torch

from trickbag.train.machine.device import evaluation_autocast


def test_evaluation_in_float32_uses_no_shorter_numbers() -> None:
    convolutions = torch.backends.cudnn.conv  # type: ignore[attr-defined]
    before = convolutions.fp32_precision
    with evaluation_autocast(torch.device("cpu"), None):
        assert convolutions.fp32_precision == "ieee"
    assert convolutions.fp32_precision == before
