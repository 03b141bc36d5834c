"""The flow's presets: settings by name."""

from __future__ import annotations

from mammofill.ground.training.settings import EngineSettings
from mammofill.infilling.flow.settings import FlowScheduleSettings, FlowSettings, VelocityNetworkSettings

_FLOW = FlowSettings(
    network=VelocityNetworkSettings(
        widths=(32, 64, 96, 128, 192, 256), blocks=(1, 2, 2, 2, 2, 3), attention_px=16, embedding=256
    ),
    schedule=FlowScheduleSettings(images=2_000_000, batch=32, learning_rate=5e-4, ema_half_life_images=20_000),
    preview_every_images=50_000,
    checkpoint_every_images=20_000,
)

_FLOW_SMALL = FlowSettings(
    preset="flow-small",
    engine=EngineSettings(precision="auto"),
    preview_every_images=20_000,
    history_every_images=2000,
    checkpoint_every_images=4000,
)

PRESETS = {one.preset: one for one in (_FLOW, _FLOW_SMALL)}
"""``flow`` is for patches of 256 px and a GPU; ``flow-small`` for 64 to 128 px, which a CPU trains."""
