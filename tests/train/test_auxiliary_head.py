"""Training with an auxiliary head: its loss counts 0.4, and it has no part in evaluation."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from tests.builders.images import photo_folder
from tests.builders.recipes import bare_recipe
from tests.train.test_step import K, N, S, make_run, one_step, raw_batch
from trickbag.evaluate import Trained
from trickbag.models import build_network, load
from trickbag.models.config import TimmConfig
from trickbag.models.timm.auxiliary import AuxiliaryInception
from trickbag.train.fit import fit
from trickbag.train.run import Run
from trickbag.tricks.ema import Ema
from trickbag.tricks.label_smoothing import LabelSmoothing
from trickbag.tricks.mixup import Mixup
from trickbag.tricks.sam import Sam
from trickbag.tricks.trick import Trick


class TwoHeads(nn.Module):
    """A network that returns in training what AuxiliaryInception returns."""

    def __init__(self) -> None:
        super().__init__()
        self.main, self.auxiliary = nn.Linear(3, K), nn.Linear(3, K)

    def forward(self, images: Tensor) -> Any:
        pooled = images.mean((2, 3))
        if not self.training:
            return self.main(pooled)
        return self.main(pooled), self.auxiliary(pooled)


def two_headed(pictures: Path, *tricks: Trick, weight: float = 0.4) -> Run:
    run = make_run(pictures, *tricks, model="timm:test_resnet")
    torch.manual_seed(0)
    run.network = TwoHeads()
    run.optimizer = torch.optim.SGD([{"params": run.network.parameters(), "lr_scale": 1.0}], lr=0.1)
    model = TimmConfig(name="inception_v3", num_classes=K, auxiliary_weight=weight)
    run.plan = dataclasses.replace(run.plan, model=model)
    return run


@pytest.mark.parametrize("tricks", [(), (Mixup(), LabelSmoothing())], ids=["bare", "mixed"])
def test_the_loss_is_that_of_both_heads(pictures: Path, tricks: tuple[Trick, ...]) -> None:
    run = two_headed(pictures, *tricks)
    raw = raw_batch()
    draws = run.pipeline.draw(N, 0, run.plan.timestamp(0), run.device)
    batch = run.prepare(raw, draws)
    assert batch.images.shape == (N, 3, S, S)
    loss, logits, targets = run.forward(batch)
    main, auxiliary = run.network(batch.images)
    assert torch.equal(logits, main.detach())
    assert torch.equal(targets, batch.targets)
    expected = run.loss(main, batch) + 0.4 * run.loss(auxiliary, batch)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    gradients = [p.grad.clone() for p in run.network.parameters() if p.grad is not None]
    run.network.zero_grad()
    expected.backward()
    for given, parameter in zip(gradients, run.network.parameters(), strict=True):
        assert parameter.grad is not None
        torch.testing.assert_close(given, parameter.grad)
    # In evaluation there is one output, and no auxiliary head.
    run.network.eval()
    torch.testing.assert_close(run.forward(batch)[0], run.loss(main, batch))


def test_further_views_have_the_logits_of_their_head(pictures: Path) -> None:
    run = two_headed(pictures)
    raw = raw_batch()
    batch = run.prepare(raw, run.pipeline.draw(N, 0, run.plan.timestamp(0), run.device))
    batch = batch._replace(views=torch.stack([batch.images.flip(3), batch.images + 1], dim=1))
    seen: list[Tensor | None] = []

    def loss(logits: Tensor, batch: Any) -> Tensor:
        seen.extend([logits, batch.view_logits])
        return logits.sum()

    run.loss = loss
    run.forward(batch)
    assert batch.views is not None
    heads = [run.network(images) for images in (batch.images, *batch.views.unbind(1))]
    for head, (logits, view_logits) in enumerate([seen[:2], seen[2:]]):
        torch.testing.assert_close(logits, heads[0][head])
        torch.testing.assert_close(view_logits, torch.stack([h[head] for h in heads[1:]], dim=1))


def test_a_step_in_two_passes_trains_both_heads(pictures: Path) -> None:
    run = two_headed(pictures, Sam(rho=0.05))
    before = {name: p.detach().clone() for name, p in run.network.named_parameters()}
    after, progress = one_step(run, raw_batch())
    assert all(not torch.equal(before[name], value) for name, value in after.items())
    assert float(progress.count) == N


@pytest.mark.slow
def test_a_run_of_inception(tmp_path: Path) -> None:
    data = photo_folder(tmp_path / "data", {"a": 6, "b": 6})
    settings = {"data__image_size": "299", "training__batch_size": "4", "training__epochs": "1"}
    recipe = bare_recipe(data, Ema(), Sam(), model="inception_v3", **settings)
    out = tmp_path / "run"
    fit(recipe, seed=0, out=out)
    resolved = json.loads((out / "recipe.json").read_text())["resolved"]["model"]
    assert resolved["auxiliary_weight"] == 0.4
    result = json.loads((out / "result.json").read_text())
    assert "the auxiliary head of timm:inception_v3 trains with weight 0.4" in result["warnings"]
    tensors = load_file(out / "best.safetensors")
    assert tensors["AuxLogits.fc.weight"].shape == (2, 768)
    network = load(out)
    assert isinstance(network, AuxiliaryInception)
    assert torch.equal(network.state_dict()["AuxLogits.fc.weight"], tensors["AuxLogits.fc.weight"])
    assert Trained.load(out, "cpu").network(torch.zeros(1, 3, 299, 299)).shape == (1, 2)
    assert round(result["metrics"]["params"] / 1e6, 1) == 21.8


@pytest.mark.slow
def test_a_compiled_step_has_both_heads(pictures: Path) -> None:
    run = two_headed(pictures)
    draws = run.pipeline.draw(N, 0, run.plan.timestamp(0), run.device)
    expected = run.forward_raw(raw_batch(), draws)[0]
    torch.compiler.reset()
    compiled = torch.compile(run.forward_raw, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(raw_batch(), draws)[0], expected)
    network = build_network(run.plan.model, seed=0)
    images = torch.randn(2, 3, 299, 299)
    logits, auxiliary = torch.compile(network, fullgraph=True, backend="eager")(images)
    assert logits.shape == auxiliary.shape == (2, K)
