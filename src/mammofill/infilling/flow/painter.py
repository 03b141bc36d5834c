"""Painting with a flow."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mammofill.ground.imaging import Image, to_unit
from mammofill.ground.seeding import stream
from mammofill.ground.training.cpu_threads import each_on_one_thread
from mammofill.infilling.conditions import encode
from mammofill.infilling.flow.context import context_of, residual_of, shape_of
from mammofill.infilling.flow.network import VelocityNetwork
from mammofill.infilling.flow.sampler import begin, follow, guided
from mammofill.infilling.flow.settings import SHAPES, SamplingSettings, TargetSettings
from mammofill.infilling.methods import FillCases, Fills

_AT_ONCE = 8
"""Pictures that are painted together, always the same number: with a fixed batch size a picture has the same bits
whatever else is in its batch; with another size the last bits of a convolution may differ."""


class FlowPainter:
    """Paints with a flow, on the device where its network is.

    Args:
        network: predicts velocities.
        target: how patches are prepared.
        sampling: how the flow is followed.
        bf16: whether the network computes in mixed precision.
    """

    at_once = _AT_ONCE

    def __init__(
        self, network: VelocityNetwork, target: TargetSettings, sampling: SamplingSettings, *, bf16: bool
    ) -> None:
        self.network, self.target, self.sampling, self.bf16 = network, target, sampling, bf16

    def fills(self, cases: FillCases) -> Fills:
        """Paint; see `Painter`."""
        device = next(self.network.parameters()).device
        conditions = encode(self.network.facts, cases.requested, len(cases))

        def paint(start: int) -> list[Image]:
            numbers = list(range(start, min(start + _AT_ONCE, len(cases))))
            padded = [*numbers, *[numbers[-1]] * (_AT_ONCE - len(numbers))]
            with torch.inference_mode():
                return self._paint(cases, padded, torch.from_numpy(conditions[padded]).to(device))[: len(numbers)]

        for some in each_on_one_thread(paint, range(0, len(cases), _AT_ONCE), device):
            yield from some

    def _paint(self, cases: FillCases, numbers: list[int], conditions: Tensor) -> list[Image]:
        device, kind = conditions.device, self.sampling.shape
        images = [to_unit(cases.images[number]) for number in numbers]
        contexts = [
            context_of(image, cases.holes[number], self.target) for image, number in zip(images, numbers, strict=True)
        ]
        noises = [
            stream(cases.seeds[number], "flow").standard_normal(context.hole.shape, np.float32) * context.hole
            for number, context in zip(numbers, contexts, strict=True)
        ]
        shapes = [shape_of(cases.masks[number], kind) for number in numbers]
        there = [
            residual_of(image, context, self.target.scale) for image, context in zip(images, contexts, strict=True)
        ]
        planes = [there, noises, *zip(*(context.planes() for context in contexts), strict=True), shapes]
        own, noise, around, base, depth, shape = (torch.from_numpy(np.stack(one))[:, None].to(device) for one in planes)
        kinds = torch.tensor([[float(one == kind) for one in SHAPES]], device=device).expand(len(numbers), -1)

        def look(noisy: Tensor, time: float, *planes: Tensor) -> Tensor:
            """Return the velocities for several conditions, concatenated along the first axis."""
            seen = [one.repeat(len(planes), 1, 1, 1) for one in (noisy, around, base, depth, shape)]
            times = torch.full((len(seen[0]),), time, device=device)
            with torch.autocast(device.type, torch.bfloat16, enabled=self.bf16):
                found: Tensor = self.network(*seen, times, torch.cat(planes), kinds.repeat(len(planes), 1))
            return found * (seen[3] > 0)

        def velocity(noisy: Tensor, time: float) -> Tensor:
            least, most = self.sampling.guidance_times
            if self.sampling.guidance == 1 or not least <= time <= most:
                return look(noisy, time, conditions)
            conditional, unconditional = look(noisy, time, conditions, torch.zeros_like(conditions)).chunk(2)
            return guided(conditional, unconditional, noisy, time, (depth > 0).float(), self.sampling)

        residuals = follow(velocity, begin(own, noise, self.sampling), self.sampling)[:, 0].cpu().numpy()
        return [
            np.where(context.hole > 0, context.base + np.float32(self.target.scale) * residual, image)
            .clip(0, 1)
            .astype(np.float32)
            for image, context, residual in zip(images, contexts, residuals, strict=True)
        ]
