"""The table in docs/timm.md of the places that tricks have in networks of timm."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import timm
import torch

from trickbag.errors import DoesNotApply
from trickbag.models.parts import Blur, Mish, SqueezeExcitePart
from trickbag.models.timm.residual_branches import Unfit
from trickbag.models.timm.surgery import add_anti_alias, add_attention, swap_activations
from trickbag.tricks.zero_init_residual import zero_init_residual

PAGE = Path(__file__).parents[3] / "docs" / "timm.md"
NETWORKS = [
    "resnet50",
    "resnext50_32x4d",
    "seresnet50",
    "resnetv2_50",
    "regnetx_002",
    "regnety_002",
    "densenet201",
    "inception_v3",
    "vgg16_bn",
    "mobilenetv2_100",
    "mobilenetv3_small_100",
    "tf_efficientnet_b0",
    "convnext_atto",
    "vit_tiny_patch16_224",
    "swinv2_tiny_window8_256",
]
CHANGES: dict[str, Any] = {
    "zero_init_residual": zero_init_residual,
    "squeeze_excite": lambda network: add_attention(network, SqueezeExcitePart(), 0),
    "anti_alias, branch": lambda network: add_anti_alias(network, Blur()),
    "shortcut": lambda network: add_anti_alias(network, Blur(places=("shortcut",))),
    "stem": lambda network: add_anti_alias(network, Blur(places=("stem",))),
    "activation": lambda network: swap_activations(network, Mish()),
}


def table() -> str:
    """Return the number of places of each trick in each network, and why there are none."""
    lines = [
        "| network | " + " | ".join(CHANGES) + " |",
        "|---" * (len(CHANGES) + 1) + "|",
    ]
    reasons: dict[tuple[str, str], list[str]] = {}
    for name in NETWORKS:
        cells = []
        for change, apply in CHANGES.items():
            try:
                # On shapes alone a scale of zero cannot be told from another one.
                with torch.device("cpu" if change == "zero_init_residual" else "meta"):
                    options = (
                        {"zero_init_last": False}
                        if name in ("resnet50", "resnext50_32x4d", "seresnet50")
                        else {}
                    )
                    cells.append(str(apply(timm.create_model(name, **options))))
            except (Unfit, DoesNotApply) as error:
                cells.append("-")
                cause = re.sub(r".* has no place in this \w+: |\. Use a ResNet.*", "", str(error))
                if change not in ("shortcut", "stem"):
                    reasons.setdefault((change, cause), []).append(f"`{name}`")
        lines.append(f"| `{name}` | " + " | ".join(cells) + " |")
    lines.append("")
    lines += [
        f"- {change}, {', '.join(names)}: {cause}." for (change, cause), names in reasons.items()
    ]
    return "\n".join(lines)


@pytest.mark.slow
def test_the_page_has_the_present_table() -> None:
    match = re.search(r"<!-- places -->\n(.*?)<!-- end -->", PAGE.read_text(), flags=re.DOTALL)
    assert match
    assert match[1].strip() == table()
