"""Training steps of the infillers on a device that is not the CPU, and traced for torch.compile: as far as can be shown
without a GPU. On the device ``meta``, torch refuses to compute with a tensor that somebody left on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
import torch
from toy_flow import tiny_flow
from toy_infilling import World, tiny

from mammofill.infilling import GanSettings, preset
from mammofill.infilling.flow.batches import Windows
from mammofill.infilling.flow.network import Attention, VelocityNetwork
from mammofill.infilling.flow.settings import FlowSettings
from mammofill.infilling.flow.training_loop import flow_loss
from mammofill.infilling.gan.batches import Batch, batch_at
from mammofill.infilling.gan.features import LaplacianFeatures
from mammofill.infilling.gan.networks import Networks
from mammofill.infilling.gan.training_loop import _turns
from mammofill.infilling.lesions import Lesions, read_lesions
from mammofill.infilling.settings import CLASSES

META = torch.device("meta")


def lesions_of(world: World, conditions: Sequence[str]) -> Lesions:
    return read_lesions(world.patches, world.patches.rows(split="train", pathology=CLASSES), conditions)


def gan_of(world: World, settings: GanSettings) -> tuple[Networks, Batch]:
    lesions = lesions_of(world, settings.conditions)
    networks = Networks(lesions.images.shape[1], LaplacianFeatures(3), settings, seed=1)
    return networks, batch_at(lesions, 0, settings, 1)


def flow_of(world: World, settings: FlowSettings) -> tuple[VelocityNetwork, Any]:
    lesions = lesions_of(world, settings.conditions)
    network = VelocityNetwork(lesions.images.shape[1], settings.network, settings.conditions, settings.target)
    return network, Windows(lesions, settings, 1).batch_at(0)


MODERN = preset("modern")
assert isinstance(MODERN, GanSettings)
EVERYTHING = tiny(
    losses=MODERN.losses,
    discriminator=replace(MODERN.discriminator, widths=(4, 8, 8)),
    generator=replace(MODERN.generator, widths=(8, 8, 8, 8)),
)
each_gan = pytest.mark.parametrize("settings", [tiny(), EVERYTHING], ids=["demo", "modern"])


@each_gan
def test_steps_of_the_gan_leave_nothing_on_the_cpu(world: World, settings: GanSettings) -> None:
    networks, batch = gan_of(world, settings)
    networks.to(META)
    first, later = _turns(networks, settings)
    for turn in [*first, *later]:
        terms = turn.terms(batch.to(META), 0)
        parameters = [one for one in turn.network.parameters() if one.requires_grad]
        torch.stack(list(terms.values())).sum().backward(inputs=parameters)
        assert {one.grad.device for one in parameters if one.grad is not None} == {META}
        turn.optimiser.step()


def test_steps_of_the_flow_leave_nothing_on_the_cpu(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # which meta alone does not know
    network, batch = flow_of(world, tiny_flow())
    network.to(META)
    moved = batch.to(META, torch.contiguous_format)
    flow_loss(network, moved, moved.weight.sum()).backward()
    assert {one.grad.device for one in network.parameters() if one.grad is not None} == {META}


def breaks_of(function: Any, *given: Any) -> list[str]:
    """Return where torch.compile would leave the compiled part of a step; nothing is compiled."""
    torch._dynamo.reset()
    told = torch._dynamo.explain(function)(*given)
    assert told.graph_count == 1 + told.graph_break_count
    return [str(one.reason) for one in told.break_reasons]


@each_gan
def test_networks_of_the_gan_are_traced_without_a_break(world: World, settings: GanSettings) -> None:
    networks, batch = gan_of(world, settings)
    assert breaks_of(networks.generator, batch.context, batch.mask, batch.conditions, batch.latent) == []
    assert breaks_of(networks.discriminator, batch.real, batch.mask, batch.conditions) == []


def test_the_network_of_the_flow_is_traced_without_a_break_beyond_the_cpu(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a CPU its attention, and nothing else, is left out of what is compiled."""
    monkeypatch.setattr(Attention, "_look_uncompiled", Attention._look)
    network, batch = flow_of(world, tiny_flow())
    pictures = (batch.residual, batch.around, batch.base, batch.depth, batch.shape)
    assert breaks_of(network, *pictures, batch.times, batch.conditions, batch.kinds) == []
