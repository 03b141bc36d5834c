"""The classifier's training step on a device that is not the CPU, and traced for torch.compile: see
`test_infiller_devices`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mammofill.classifier.networks import build_network, colours_of
from mammofill.classifier.scoring import network_input

META = torch.device("meta")
NETWORKS = ("shallow-cnn", "squeezenet1_1", "resnet50")


def inputs_of(name: Any) -> torch.Tensor:
    pixels = np.linspace(0, 65535, 2 * 64 * 64).astype(np.uint16).reshape(2, 64, 64)
    return network_input(pixels, colours_of(name), torch.device("cpu"))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_step_leaves_nothing_on_the_cpu(name: Any) -> None:
    network = build_network(name, 64, seed=1).to(META).train()
    outputs = network(inputs_of(name).to(META)).flatten(1)
    F.cross_entropy(outputs, torch.zeros(2, dtype=torch.long, device=META)).backward()
    assert {one.grad.device for one in network.parameters() if one.grad is not None} == {META}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_is_traced_without_a_break(name: Any) -> None:
    torch._dynamo.reset()
    told = torch._dynamo.explain(build_network(name, 64, seed=1).train())(inputs_of(name))
    assert (told.graph_count, told.graph_break_count) == (1, 0), told.break_reasons
