from __future__ import annotations

import functools

import pytest
import torch

from trickbag.errors import UserError
from trickbag.functional.device import copied
from trickbag.metrics.precision import exact_dtype
from trickbag.optim.config import Device
from trickbag.train.machine.device import (
    choose_device,
    choose_layout,
    choose_precision,
    evaluation_autocast,
)
from trickbag.train.machine.memory import PeakMemory


def test_evaluation_in_float32_uses_no_shorter_numbers() -> None:
    convolutions = torch.backends.cudnn.conv  # type: ignore[attr-defined]
    before = convolutions.fp32_precision
    with evaluation_autocast(torch.device("cpu"), None):
        assert convolutions.fp32_precision == "ieee"
    assert convolutions.fp32_precision == before


@pytest.mark.parametrize(
    ("wanted", "cuda", "mps", "chosen"),
    [
        ("auto", True, False, "cuda"),
        ("auto", False, False, "cpu"),
        # Not tested on a Mac: it has to be asked for.
        ("auto", False, True, "cpu"),
        ("cpu", True, True, "cpu"),
        ("cuda", True, False, "cuda"),
        ("mps", False, True, "mps"),
        ("cuda", False, True, None),
        ("mps", True, False, None),
    ],
)
def test_the_device_that_is_chosen(
    monkeypatch: pytest.MonkeyPatch, wanted: Device, cuda: bool, mps: bool, chosen: str | None
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", functools.cache(lambda: mps))
    if chosen is not None:
        assert choose_device(wanted) == chosen
        return
    with pytest.raises(UserError, match=f"training.device = '{wanted}': .*; use --device cpu"):
        choose_device(wanted)


def test_what_follows_from_mps() -> None:
    device = torch.device("mps")
    assert choose_precision("auto", "mps") == "float32"
    assert choose_precision("fp16", "mps") == "fp16"
    assert choose_layout("bf16", "mps") == "contiguous"
    assert (exact_dtype(device), exact_dtype(torch.device("cpu"))) == (torch.float32, torch.float64)
    assert PeakMemory("mps").bytes is None


def test_a_copy_to_the_cpu_keeps_its_type() -> None:
    numbers = torch.ones(3, dtype=torch.float64)
    assert copied(numbers, torch.device("cpu")) is numbers
    assert copied(torch.ones(3, dtype=torch.uint8), torch.device("cpu")).dtype == torch.uint8
