"""The other ways of `benchmarks/finetune.py`, in plain torch, timm and scikit-learn.

python benchmarks/finetune_arms.py ARM DATA SIZE EPOCHS SEED WEIGHTS PROBE

ARM is `plain`, a loop as in most tutorials; `probe`, logistic regression on frozen features; or
`lp_ft`, a loop from the probe's solution (Kumar et al. 2022). Prints the top-1 of the validation
part in percent. Images, their split and their mirroring are those of the recipe's run. `probe`
writes its solution into the file PROBE, from which `lp_ft` starts.

Shapes: N images, D features.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from PIL import Image
from safetensors.torch import load_file
from sklearn.linear_model import LogisticRegressionCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn
from torchvision import transforms

from trickbag.data.config import DataConfig
from trickbag.data.dataset import prepare

NAME, BATCH = "tf_efficientnet_lite0", 64
RATES = {"plain": 1e-3, "lp_ft": 1e-4}
BICUBIC = transforms.InterpolationMode.BICUBIC
NORMALISE = [transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.5] * 3)]


def pictures(part: Any) -> tuple[list[Image.Image], Tensor]:
    images = [Image.fromarray(part.read(i)) for i in range(len(part))]
    return images, torch.from_numpy(part.labels)


def features(network: Any, images_NCHW: Tensor) -> Any:
    network.eval()
    with torch.inference_mode():
        maps = (network.forward_features(batch) for batch in images_NCHW.split(128))
        return torch.cat([network.forward_head(x, pre_logits=True) for x in maps]).numpy()


def probe(features_ND: Any, labels: Tensor) -> Any:
    """Fit logistic regression, its regularisation chosen by cross-validation in three parts."""
    regression = LogisticRegressionCV(
        Cs=[1e-4, 1e-3, 1e-2, 0.1],
        cv=3,
        max_iter=100,
        scoring="accuracy",
        l1_ratios=(0,),
        use_legacy_attributes=False,
    )
    return make_pipeline(StandardScaler(), regression).fit(features_ND, labels.numpy())


def solution(fitted: Any) -> dict[str, Any]:
    """Return the probe's weights for features that are not standardised."""
    scaler, regression = fitted[0], fitted[1]
    weight = regression.coef_ / scaler.scale_
    return {"weight": weight, "bias": regression.intercept_ - weight @ scaler.mean_}


def train(network: Any, arm: str, data: Any, augment: Any, epochs: int) -> None:
    images, labels = data
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATES[arm], weight_decay=0.05)
    steps = len(images) // BATCH
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * steps)
    for _ in range(epochs):
        network.train()
        if arm == "lp_ft":  # the probe is of features with these statistics
            for module in network.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        for rows in torch.randperm(len(images))[: steps * BATCH].split(BATCH):
            batch = torch.stack([augment(images[i]) for i in rows])
            loss = nn.functional.cross_entropy(network(batch), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()


def main() -> None:
    arm, source, *numbers, weights, file = sys.argv[1:]
    size, epochs, seed = map(int, numbers)
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", "lbfgs failed to converge")  # of weak penalties
    torch.manual_seed(seed)
    dataset = prepare(DataConfig(source=source))
    evaluated = transforms.Compose(
        [transforms.Resize(round(size / 0.88), BICUBIC), transforms.CenterCrop(size), *NORMALISE]
    )
    crop = transforms.RandomResizedCrop(size, (0.35, 1.0), interpolation=BICUBIC)
    mirror = [transforms.RandomHorizontalFlip()] if dataset.mirror else []
    augment = transforms.Compose([crop, *mirror, *NORMALISE])
    train_data, (val_images, val_labels) = pictures(dataset.train), pictures(dataset.val)
    val = torch.stack([evaluated(image) for image in val_images])

    network: Any = timm.create_model(NAME)
    network.load_state_dict(load_file(weights))
    network.reset_classifier(len(dataset.classes))  # torch's initial values
    if arm == "probe":
        of_train = features(network, torch.stack([evaluated(image) for image in train_data[0]]))
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        np.savez(file, **solution(probe(of_train, train_data[1])))
    if arm != "plain":
        with torch.no_grad():
            for name, tensor in network.classifier.named_parameters():
                tensor.copy_(torch.from_numpy(np.load(file)[name]))
    if arm != "probe":
        train(network, arm, train_data, augment, epochs)
    network.eval()
    with torch.inference_mode():
        predicted = torch.cat([network(batch).argmax(1) for batch in val.split(128)])
    print(json.dumps({"top1": 100 * float((predicted == val_labels).double().mean())}))


if __name__ == "__main__":
    main()
