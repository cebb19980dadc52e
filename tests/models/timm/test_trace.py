"""The recorded calls of a network: their order, links and shapes; the network stays unchanged."""

from __future__ import annotations

from tests.models.timm.handmade import handmade
from trickbag.models.timm.trace import record


def test_calls_are_in_order_and_linked() -> None:
    network = handmade().train()
    calls = record(network)
    assert [call.place for call in calls] == list(range(len(calls)))
    assert all(
        source.place < call.place and call in source.users
        for call in calls
        for source in call.inputs
    )
    kinds = [type(call.module).__name__ for call in calls]
    assert kinds[:6] == ["NoneType", "Conv2d", "MaxPool2d", "Conv2d", "BatchNorm2d", "ReLU"]
    assert calls[0].shape == (1, 3, 224, 224)
    assert calls[-1].shape == (1, 3)
    assert network.training
    assert network.blocks[0].b.training
    assert not any(
        module._forward_hooks or module._forward_pre_hooks for module in network.modules()
    )
    assert network.first.weight.device.type == "cpu"
