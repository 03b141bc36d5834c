"""Painting with a flow."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mammofill.ground.imaging import Image, to_unit
from mammofill.ground.seeding import stream
from mammofill.ground.training.cpu_threads import each_on_one_thread
from mammofill.infilling.conditions import encode
from mammofill.infilling.flow.context import context_of, shape_of
from mammofill.infilling.flow.network import VelocityNetwork
from mammofill.infilling.flow.sampler import follow, guided
from mammofill.infilling.flow.settings import SHAPES, SamplingSettings, TargetSettings
from mammofill.infilling.methods import FillCases, Fills


class FlowPainter:
    """Paints with a flow, on the device where its network is.

    Args:
        network: foretells velocities.
        target: how patches are prepared.
        sampling: how the flow is followed.
        bf16: whether the network computes in mixed precision.
    """

    def __init__(
        self, network: VelocityNetwork, target: TargetSettings, sampling: SamplingSettings, *, bf16: bool
    ) -> None:
        self.network, self.target, self.sampling, self.bf16 = network, target, sampling, bf16

    def fills(self, cases: FillCases) -> Fills:
        """Paint; see `Painter`."""
        device = next(self.network.parameters()).device
        conditions = torch.from_numpy(encode(self.network.facts, cases.asked, len(cases))).to(device)

        # One picture at a time: in a batch the last bits of a convolution depend on the batch's size, and the same
        # seed must give the same picture in any company.
        def paint(number: int) -> Image:
            with torch.inference_mode():
                return self._paint(cases, number, conditions[number : number + 1])

        yield from each_on_one_thread(paint, range(len(cases)), device)

    def _paint(self, cases: FillCases, number: int, conditions: Tensor) -> Image:
        device, kind = conditions.device, self.sampling.shape
        image, mask, hole = to_unit(cases.images[number]), cases.masks[number], cases.holes[number]
        context = context_of(image, hole, self.target)
        noise = stream(cases.seeds[number], "flow").standard_normal(image.shape, np.float32) * context.hole
        pictures = [noise, *context.planes(), shape_of(mask, kind)]
        start, around, base, opening, shape = (torch.from_numpy(one)[None, None].to(device) for one in pictures)
        kinds = torch.tensor([[float(one == kind) for one in SHAPES]], device=device)

        def look(noisy: Tensor, time: float, asked: Tensor) -> Tensor:
            seen = [one.expand(len(asked), -1, -1, -1) for one in (noisy, around, base, opening, shape)]
            with torch.autocast(device.type, torch.bfloat16, enabled=self.bf16):
                found: Tensor = self.network(
                    *seen, torch.full((len(asked),), time, device=device), asked, kinds.expand(len(asked), -1)
                )
            return found * opening

        def velocity(noisy: Tensor, time: float) -> Tensor:
            least, most = self.sampling.guidance_times
            if self.sampling.guidance == 1 or not least <= time <= most:
                return look(noisy, time, conditions)
            told, untold = look(noisy, time, torch.cat([conditions, torch.zeros_like(conditions)])).chunk(2)
            return guided(told, untold, opening, self.sampling)

        residual = follow(velocity, start, self.sampling)[0, 0].cpu().numpy()
        whole = np.where(hole, context.base + np.float32(self.target.scale) * residual, image)
        return np.asarray(whole.clip(0, 1), np.float32)
