"""The networks of Lee et al. 2020, compared with the outputs of the authors' code."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.models.official.originals import VECTOR_NAMES, generator, tensor, vector
from tests.models.random_weights import images
from trickbag.errors import UserError
from trickbag.models.big_little import BigLittle
from trickbag.models.classifier import Classifier
from trickbag.models.config import BigLittleConfig, model_config, model_names
from trickbag.models.counting import count_macs, count_params
from trickbag.models.official.convert import from_tensorflow, tensorflow_variables
from trickbag.models.official.networks import create_official, official_config, official_names
from trickbag.models.parts import BatchNorm
from trickbag.models.zoo import raw_network

# Name, pixels, parameters with 1001 classes, 10^9 multiply-adds, trainable variables, all
# variables; mean and standard deviation of the logits that the original code computes with the
# reference weights.
TABLE = [
    ("resnet50", 224, 25_559_081, 4.0892, 161, 267, 0.10773, 8.13146),
    ("resnet50_d", 224, 25_578_313, 4.3288, 167, 277, 0.09754, 4.85877),
    ("resnet50_se", 224, 28_074_025, 4.0917, 193, 299, -0.01439, 3.20526),
    ("resnet50_sk", 224, 38_773_865, 5.9408, 225, 363, 0.04717, 9.95943),
    ("resnet50_aa", 224, 25_559_081, 5.1312, 161, 267, 0.11761, 8.02314),
    ("resnet50_aa_proj", 224, 25_559_081, 5.1344, 161, 267, 0.10417, 7.85348),
    ("resnet50_bl", 224, 28_405_673, 3.2671, 230, 382, -0.03604, 2.34192),
    ("resnet50_d_se", 224, 28_093_257, 4.3313, 199, 309, 0.05882, 1.48373),
    ("resnet50_d_sk", 224, 38_793_097, 6.1804, 231, 373, 0.15484, 4.31050),
    ("resnet50_d_sk_aa", 224, 38_793_097, 8.2629, 231, 373, 0.15663, 4.31158),
    ("resnet50_bl_sk", 224, 41_848_489, 4.1650, 306, 496, -0.01216, 1.98566),
    ("assemble50", 224, 41_848_489, 5.7273, 306, 496, -0.01018, 1.97439),
    ("assemble50", 256, 41_848_489, 7.4794, 306, 496, -0.01297, 2.06542),
    ("assemble50_d", 224, 41_867_721, 5.9670, 312, 506, 0.00374, 1.24015),
    ("resnet101_d", 224, 44_570_441, 8.0410, 320, 532, 0.89636, 34.08293),
    ("resnet152_d", 224, 60_214_089, 11.7533, 473, 787, 7.24512, 228.35353),
    ("resnet101_bl", 224, 43_562_665, 4.3043, 401, 667, -0.05669, 12.31075),
    ("assemble101", 224, 66_349_929, 7.3150, 553, 895, -0.16353, 8.36410),
    ("assemble152", 256, 117_006_249, 20.4732, 969, 1567, -1.14188, 64.84215),
]


def shapes_only(name: str) -> Classifier:
    with torch.device("meta"):
        return raw_network(official_config(name))


def reference(name: str) -> Classifier:
    """Return a network with the reference weights, in evaluation mode."""
    weight = generator().weight
    variables = {
        key: weight(key, variable.shape) for key, variable in tensorflow_variables(name).items()
    }
    network = raw_network(official_config(name))
    network.load_state_dict(from_tensorflow(variables, name), strict=True)
    return network.eval()


def trace(network: Classifier, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """Run a network; return the results of its stages under the names of the original code."""
    with torch.no_grad():
        seen = {"initial_conv": network.conv1(x)}
        x = network.act1(network.bn1(seen["initial_conv"]))
        if not isinstance(network, BigLittle):
            x = seen["initial_max_pool"] = network.maxpool(x)
            for i, stage in enumerate(
                (network.layer1, network.layer2, network.layer3, network.layer4), 1
            ):
                x = seen[f"block_layer{i}"] = stage(x)
        else:
            x = network.stem_fusion(x)
            for i, stage in enumerate((network.layer1, network.layer2, network.layer3), 1):
                seen[f"stage{i}/big{i}/big{i}"] = stage.big(x)
                seen[f"stage{i}/little{i}/little{i}"] = stage.little(x)
                x = seen[f"stage{i}/merge{i}/merge{i}"] = stage(x)
            x = seen["stage4/block_layer4"] = network.layer4(x)
        seen["final_reduce_mean"] = x.mean((2, 3), keepdim=True)
    return seen


def test_official_names_and_an_unknown_one():
    assert official_names() == list(dict.fromkeys(row[0] for row in sorted(TABLE, key=_place)))
    with pytest.raises(
        UserError, match=r"no official network 'resnet50_e'; there are resnet50, .*assemble152"
    ):
        create_official("resnet50_e")


def _place(row: tuple[object, ...]) -> int:
    return official_names().index(str(row[0]))


@pytest.mark.parametrize(
    ("name", "size", "params", "macs", "trainable", "variables"),
    [pytest.param(*row[:6], id=f"{row[0]}-{row[1]}") for row in TABLE],
)
def test_sizes_equal_those_of_the_original_code(name, size, params, macs, trainable, variables):
    network = shapes_only(name)
    assert count_params(network) == params
    assert round(count_macs(network, size) / 1e9, 4) == macs
    names = list(tensorflow_variables(name))
    assert len(names) == variables
    assert len([n for n in names if "moving" not in n]) == trainable


def test_norms_classes_and_pools_equal_those_of_the_original_code():
    for name in official_names():
        config = official_config(name)
        assert config.norm == BatchNorm(eps=1e-5, momentum=0.003)
        assert config.num_classes == 1001
        assert config.init == "lecun"
        tensorflow = getattr(config, "pooling", None) == "tensorflow"
        assert tensorflow == (not isinstance(config, BigLittleConfig))


def test_only_official_networks_have_tensorflows_pools():
    assert all(getattr(model_config(name), "pooling", "torch") == "torch" for name in model_names())


def test_create_official_gives_an_initialised_network():
    network = create_official("resnet50_d_se", num_classes=4, seed=3)
    assert network.config == official_config("resnet50_d_se", 4)
    assert network.fc.out_features == 4
    weight = network.layer1[0].conv2.weight.detach()
    # A normal that is cut at two standard deviations, and has variance 1 / fan_in after that.
    assert abs(float(weight.std()) * (64 * 9) ** 0.5 - 1) < 0.02
    assert weight.abs().max() <= 2 / 0.8796 / (64 * 9) ** 0.5
    assert torch.equal(
        weight, create_official("resnet50_d_se", num_classes=4, seed=3).layer1[0].conv2.weight
    )


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize("name", VECTOR_NAMES)
def test_logits_and_stages_equal_those_of_the_original_code(name):
    facts, arrays = vector(name)
    network = reference(name.removesuffix("_256"))
    size = facts["input"][-1]
    batch = tensor(generator().image_batch(size))
    seen = trace(network, batch)
    for stage, expected in facts["trace_nchw"].items():
        x = seen[stage.removeprefix("resnet_model/")].double()
        assert list(x.shape) == expected["shape"], stage
        # Within 5e-5 of the spread: a mean over many values agrees better than each of them.
        assert abs(float(x.mean()) - expected["mean"]) < 5e-5 * expected["std"], stage
        assert abs(float(x.std(correction=0)) / expected["std"] - 1) < 5e-5, stage
    with torch.no_grad():
        logits = network(batch).numpy()
    assert np.abs(logits - arrays["logits"]).max() < 2e-5 * arrays["logits"].std()
    pooled = seen["final_reduce_mean"].flatten(1).numpy()
    assert np.abs(pooled - arrays["global_pool"]).max() < 2e-5 * arrays["global_pool"].std()
    assert count_macs(network, size) == sum(facts["macs"].values())


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "size", "mean", "std"),
    [pytest.param(row[0], row[1], *row[6:], id=f"{row[0]}-{row[1]}") for row in TABLE],
)
def test_logits_have_the_mean_and_spread_of_the_original_code(name, size, mean, std):
    network = reference(name)
    with torch.no_grad():
        logits = network(tensor(generator().image_batch(size))).double()
    assert abs(float(logits.mean()) - mean) < 2e-5 * max(1.0, std)
    assert abs(float(logits.std(correction=0)) / std - 1) < 1e-5


@pytest.mark.slow
@pytest.mark.data
def test_a_training_step_equals_that_of_the_original_code():
    facts, arrays = vector("train_resnet50")
    # In float64: a batch of four amplifies rounding, so that in float32 two memory layouts differ
    # by 1 %.
    network = reference("resnet50").train().double()
    logits = network(tensor(generator().image_batch(128, n=4)).double())
    assert np.abs(logits.detach().numpy() - arrays["logits"]).max() < 2e-4 * arrays["logits"].std()
    targets = sum(
        share * functional.one_hot(tensor(arrays[key]), 1001)
        for share, key in (
            (float(arrays["lam"]), "labels_a"),
            (1 - float(arrays["lam"]), "labels_b"),
        )
    )
    cross_entropy = functional.cross_entropy(logits, targets * 0.9 + 0.1 / 1001)
    teacher = 2 * generator().rng_for("train/teacher").standard_normal((4, 1001))
    distilled = functional.cross_entropy(
        logits, torch.from_numpy(teacher).softmax(1).to(logits.dtype)
    )
    norms = {
        id(p) for m in network.modules() if isinstance(m, nn.BatchNorm2d) for p in m.parameters()
    }
    decayed = [p for p in network.parameters() if id(p) not in norms]
    decay = 1e-4 / 2 * torch.stack([p.square().sum() for p in decayed]).sum()
    assert len(decayed) == facts["n_weight_decayed"]
    for value, key in ((cross_entropy, "ce"), (distilled, "kd"), (decay, "l2")):
        assert abs(value.item() / facts[key] - 1) < 1e-4, key
    (cross_entropy + distilled + decay).backward()
    variables = tensorflow_variables("resnet50")
    parameters, buffers = dict(network.named_parameters()), dict(network.named_buffers())
    for key, norm in facts["grad_norm"].items():
        assert abs(float(parameters[variables[key].weight].grad.norm()) / norm - 1) < 5e-3, key
    # Of each running statistic the first four channels, then the mean of all.
    for key, expected in facts["moving_after_one_step"].items():
        statistic = buffers[variables[key].weight]
        got = [*statistic[:4].tolist(), statistic.mean().item()]
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5, err_msg=key)


def test_a_batch_of_one_and_odd_sizes_pass():
    network = create_official("resnet50_d_sk_aa", num_classes=3).eval()
    for size in (32, 45):
        with torch.no_grad():
            assert network(images(1, 3, size)).isfinite().all()
