"""What a step of training depends on apart from its batch: the learning rate, the optimiser, which layers learn."""

from __future__ import annotations

import math

import torch
from torch import nn

from mammofill.classifier import timm_networks
from mammofill.classifier.settings import TIMM, TrainClassifierSettings

_GROUPS: dict[str, tuple[tuple[str, ...], ...]] = {
    "resnet50": (("fc",), ("layer4",), ("layer3",), ("layer2",), ("layer1",), ("bn1", "conv1")),
    # Cut where it halves the picture.
    "squeezenet1_1": (
        ("classifier",),
        ("features.12", "features.11", "features.10", "features.9"),
        ("features.7", "features.6"),
        ("features.4", "features.3"),
        ("features.0",),
    ),
    "convnext_tiny": (
        ("classifier",),
        ("features.7", "features.6"),
        ("features.5", "features.4"),
        ("features.3", "features.2"),
        ("features.1", "features.0"),
    ),
}
"""Modules of each network that are unfrozen together, from the last to the first."""


def learning_rate_at(images_seen: int, wanted: int, pass_length: int, settings: TrainClassifierSettings) -> float:
    """Return the learning rate of the step that begins after so many images.

    Args:
        images_seen: before the step.
        wanted: images in all.
        pass_length: training patches.
        settings: learning_rate, schedule, warm_up, decay.
    """
    rising = settings.warm_up * wanted
    if settings.schedule == "steps":
        share = settings.decay ** (images_seen // pass_length // settings.decay_every_epochs)
    else:
        done = max(0.0, images_seen - rising) / (wanted - rising)
        share = (1 + math.cos(math.pi * min(1.0, done))) / 2
    if images_seen < rising:
        share *= min(1.0, (images_seen + settings.batch) / rising)
    return settings.learning_rate * share


def build_optimiser(network: nn.Module, settings: TrainClassifierSettings) -> torch.optim.Adam:
    """Build the optimiser, with weight decay for what has two axes or more."""
    vectors = [one for one in network.parameters() if _axes(one) < 2]
    others = [one for one in network.parameters() if _axes(one) >= 2]
    kind: type[torch.optim.Adam] = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[settings.optimiser]
    return kind(
        [{"params": others, "weight_decay": settings.weight_decay}, {"params": vectors, "weight_decay": 0.0}],
        lr=settings.learning_rate,
        betas=settings.betas,
        eps=settings.eps,
    )


def _axes(tensor: torch.Tensor) -> int:
    # ConvNeXt writes the scale of each channel as (channels, 1, 1).
    return sum(length > 1 for length in tensor.shape)


def groups_of(network: nn.Module, name: str) -> list[list[nn.Module]]:
    """Return a network's groups of layers, from the last to the first; empty where it has no trained start."""
    if name == "discriminator":
        backbone = network.get_submodule("backbone")
        return [
            [network.get_submodule("head"), network.get_submodule("norm")],
            *([layer] for layer in reversed(list(backbone.children()))),
        ]
    if name.startswith(TIMM):
        return timm_networks.groups(network)
    return [[network.get_submodule(one) for one in names] for names in _GROUPS.get(name, ())]


def groups_that_learn(images_seen: int, wanted: int, count: int, settings: TrainClassifierSettings) -> int:
    """Return how many of `count` groups of layers learn in the step that begins after so many images, from the last."""
    shares = math.floor(images_seen / (settings.unfreeze_share * wanted))
    return {
        "at-once": count,
        "head-first": count if shares else 1,
        "layer-by-layer": min(count, 1 + shares),
        "never": 1,
    }[settings.unfreeze]


def set_learning(network: nn.Module, groups: list[list[nn.Module]], learning: int) -> None:
    """Bring a network into training, with only so many groups of its layers learning; the others stay as they are."""
    network.train()
    for number, group in enumerate(groups):
        for layer in group:
            layer.train(number < learning)
            layer.requires_grad_(number < learning)
