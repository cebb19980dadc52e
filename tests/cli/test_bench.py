"""`trickbag bench`: what it prints."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

Call = Any


def test_bench_data_prints_each_path_and_the_bottleneck(call: Call, photos: Path) -> None:
    code, out, err = call("bench", "data", photos, "--seconds", "0.01", "--image-size", "8")
    assert (code, err) == (0, "")
    for text in (
        "36 images, crops of 8 px",
        "torchvision, Pillow",
        "as they are",
        "pack of JPEGs",
        "pack of pixels",
        "bottleneck: ",
        "left out: none",
    ):
        assert text in out
    arguments = ("--seconds", "0.01", "--image-size", "8x16", "--json")
    read = json.loads(call("bench", "data", photos, *arguments)[1])
    assert read["image_size"] == [8, 16]
    assert [path["name"] for path in read["paths"]] == ["original", "packed_jpeg", "packed_raw"]
    assert read["bottleneck"] in read["paths"][0]["steps_ms"]
