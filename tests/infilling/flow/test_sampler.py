"""The sampler on a flow whose velocity is known: independent normal pixels."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from mammofill.infilling.flow.sampler import follow, guided, times_of
from mammofill.infilling.flow.settings import SamplingSettings

MEAN, SPREAD = 0.7, 0.3


def velocity(noisy: Tensor, time: float) -> Tensor:
    """The velocity where residuals are independent, normal with MEAN and SPREAD: known in closed form."""
    variance = (1 - time) ** 2 * SPREAD**2 + time**2
    slope = (time - (1 - time) * SPREAD**2) / variance
    return slope * (noisy - (1 - time) * MEAN) - MEAN


def arrival(noise: Tensor) -> Tensor:
    """Where the exact flow takes noise: quantile to quantile."""
    return MEAN + SPREAD * noise


@pytest.mark.parametrize(("solver", "steps", "error"), [("multistep", 13, 0.03), ("heun", 13, 0.02)])
def test_noise_arrives_where_the_exact_flow_takes_it(solver: str, steps: int, error: float) -> None:
    noise = torch.linspace(-2, 2, 9, dtype=torch.float64)[None, None, None]
    found = follow(velocity, noise, SamplingSettings(solver=solver, steps=steps))  # type: ignore[arg-type]
    assert torch.allclose(found, arrival(noise), atol=error)


@pytest.mark.parametrize("solver", ["multistep", "heun"])
def test_more_steps_come_nearer(solver: str) -> None:
    noise = torch.linspace(-2, 2, 9, dtype=torch.float64)[None, None, None]

    def error(steps: int) -> float:
        settings = SamplingSettings(solver=solver, steps=steps, first_log_odds=6.0, last_log_odds=-6.0)  # type: ignore[arg-type]
        return float((follow(velocity, noise, settings) - arrival(noise)).abs().max())

    assert error(48) < error(12) / 4


@pytest.mark.parametrize(("solver", "looks"), [("multistep", 13), ("heun", 25)])
def test_the_number_of_looks(solver: str, looks: int) -> None:
    times: list[float] = []

    def count(noisy: Tensor, time: float) -> Tensor:
        times.append(time)
        return velocity(noisy, time)

    follow(count, torch.zeros(1, 1, 2, 2), SamplingSettings(solver=solver))  # type: ignore[arg-type]
    assert len(times) == looks
    assert times[0] == 1


def test_times_run_from_noise_to_picture_with_even_log_odds() -> None:
    times = times_of(SamplingSettings(steps=6, first_log_odds=2.0, last_log_odds=-2.0))
    assert (times[0], times[-1], len(times)) == (1.0, 0.0, 7)
    assert [math.log(time / (1 - time)) for time in times[1:-1]] == pytest.approx([2, 1, 0, -1, -2])


def ones(value: float) -> Tensor:
    return torch.full((1, 1, 24, 24), value)


def test_guidance_exaggerates_the_class_and_1_does_not() -> None:
    told, untold, hole = ones(3.0), ones(1.0), ones(1.0)
    all_of_it = SamplingSettings(guidance=1.5, coarse_guidance=1.0, parallel_guidance=1.0)
    assert torch.equal(guided(told, untold, ones(2.0), 0.5, hole, SamplingSettings(guidance=1.0)), told)
    assert torch.allclose(guided(told, untold, ones(2.0), 0.5, hole, all_of_it), ones(4.0))


def test_coarse_guidance_of_nothing_leaves_the_level_alone_and_exaggerates_what_is_fine() -> None:
    hole = torch.zeros(1, 1, 24, 24)
    hole[..., 4:20, 4:20] = 1
    checks = torch.ones(24, 24)
    checks[::2, ::2], checks[1::2, 1::2] = -1, -1
    settings = SamplingSettings(guidance=2.0, coarse_guidance=0.0, parallel_guidance=1.0)
    level = guided(hole * 0.5, hole * 0.0, hole, 0.5, hole, settings)
    fine = guided(checks * hole, hole * 0.0, hole, 0.5, hole, settings)
    assert torch.allclose(level, hole * 0.5, atol=1e-5)
    inside = fine[0, 0, 10:14, 10:14]
    assert torch.allclose(inside, 2 * checks[10:14, 10:14], atol=0.05)


def test_parallel_guidance_of_nothing_turns_the_picture_and_does_not_strengthen_it() -> None:
    generator = torch.Generator().manual_seed(0)
    told, untold, noisy = torch.randn(3, 4, 1, 8, 8, generator=generator)
    time, hole = 0.4, torch.ones(4, 1, 8, 8)

    def change(share: float) -> tuple[Tensor, Tensor]:
        settings = SamplingSettings(guidance=3.0, coarse_guidance=1.0, parallel_guidance=share)
        picture = noisy - time * told
        after = noisy - time * guided(told, untold, noisy, time, hole, settings)
        along = (picture * (after - picture)).sum((1, 2, 3)) / picture.square().sum((1, 2, 3))
        across = after - picture - along[:, None, None, None] * picture
        return along, across

    (all_along, all_across), (none_along, none_across), (half_along, _) = map(change, (1.0, 0.0, 0.5))
    assert all_along.abs().min() > 0.05
    assert torch.allclose(none_along, torch.zeros(4), atol=1e-5)
    assert torch.allclose(half_along, all_along / 2, atol=1e-5)
    assert torch.allclose(none_across, all_across, atol=1e-4)


@pytest.mark.parametrize("find", [SamplingSettings])
def test_settings_refuse_nonsense(find: Callable[..., SamplingSettings]) -> None:
    from mammofill.ground.errors import SettingsError

    with pytest.raises(SettingsError, match="first_log_odds must be above last_log_odds"):
        find(first_log_odds=-4.0)
    with pytest.raises(SettingsError, match="guidance_times must be two times, 0 <= least <= most <= 1"):
        find(guidance_times=(0.5, 0.2))
    with pytest.raises(SettingsError, match=r"parallel_guidance must be in \[0, 1\], but is -1"):
        find(parallel_guidance=-1.0)
