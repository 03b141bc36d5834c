"""A flow as small as it can be, for a handful of steps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mammofill.infilling import preset
from mammofill.infilling.flow.settings import (
    FlowScheduleSettings,
    FlowSettings,
    FlowValidationSettings,
    VelocityNetworkSettings,
)


def tiny_flow(**changes: Any) -> FlowSettings:
    small = preset("flow-small")
    assert isinstance(small, FlowSettings)
    settings = replace(
        small,
        preset="tiny-flow",
        network=VelocityNetworkSettings(widths=(8, 8, 16), blocks=(1, 1, 1), heads=2, embedding=16),
        schedule=FlowScheduleSettings(images=48, batch=4, warmup_images=8, ema_half_life_images=8),
        sampling=replace(small.sampling, steps=4),
        validation=FlowValidationSettings(every_images=16),
        engine=replace(small.engine, precision="float32"),
        previews=2,
        preview_every_images=24,
        history_every_images=8,
        checkpoint_every_images=8,
    )
    return replace(settings, **changes)
