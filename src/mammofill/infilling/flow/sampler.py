"""Following the flow from noise to a picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from mammofill.infilling.flow.network import blur_in_hole
from mammofill.infilling.flow.settings import SamplingSettings

Velocity = Callable[[Tensor, float], Tensor]
"""From a noisy residual (N, 1, H, W) at a time to its velocity there, outside the hole 0."""

_LEAST = 1e-6
"""Smallest sum of squares of a picture, against division by zero."""


def times_of(settings: SamplingSettings) -> list[float]:
    """Return the times from 1, noise, to 0, the picture: `steps` + 1 of them, log-odds even between the two ends.

    Where painting begins later than with noise, there are fewer, from that time on: log-odds even again, and steps as
    long as they would have been, or a little shorter.
    """
    first, last, count = settings.first_log_odds, settings.last_log_odds, settings.steps - 1
    if settings.begin_time == 1:
        return [1.0, *_even(first, last, count), 0.0]
    begin = _log_odds(settings.begin_time)
    steps = max(0, math.ceil((begin - last) / (first - last) * (count - 1)))
    return [settings.begin_time, *(_even(begin, last, steps + 1)[1:] if steps else []), 0.0]


def _even(first: float, last: float, count: int) -> list[float]:
    """Return times whose log-odds are even from the first to the last."""
    times: list[float] = torch.linspace(first, last, count, dtype=torch.float64).sigmoid().tolist()
    return times


def begin(residual: Tensor, noise: Tensor, settings: SamplingSettings) -> Tensor:
    """Return where sampling begins: pure noise, or the residual mixed with the noise of the time to begin.

    Args:
        residual: (N, 1, H, W) of what is in the hole, 0 outside; ignored where sampling begins with pure noise.
        noise: (N, 1, H, W) standard normal in the hole, 0 outside.
        settings: the time to begin.
    """
    time = settings.begin_time
    return noise if time == 1 else (1 - time) * residual + time * noise


def follow(velocity: Velocity, start: Tensor, settings: SamplingSettings) -> Tensor:
    """Follow the flow from its beginning to the picture.

    Args:
        velocity: noise less residual, at a residual and a time.
        start: (N, 1, H, W), see `begin`.
        settings: the times and the solver.

    Returns:
        (N, 1, H, W) residuals.
    """
    solve = follow_multistep if settings.solver == "multistep" else follow_heun
    return solve(velocity, start, times_of(settings))


def follow_heun(velocity: Velocity, start: Tensor, times: Sequence[float]) -> Tensor:
    """Heun's method: two network evaluations per step. Source: Karras et al., NeurIPS 2022, algorithm 1.

    The last step, to time 0, takes one evaluation.
    """
    state = start
    for now, later in pairwise(times):
        slope = velocity(state, now)
        ahead = state + (later - now) * slope
        if later > 0:
            ahead = state + (later - now) * 0.5 * (slope + velocity(ahead, later))
        state = ahead
    return state


def follow_multistep(velocity: Velocity, start: Tensor, times: Sequence[float]) -> Tensor:
    """DPM-Solver++(2M): one evaluation per step, also used in the next. Source: Lu et al., 2022, algorithm 2.

    In its notation alpha = 1 - t, sigma = t, and lambda, the logarithm of their ratio, is the negative log-odds of t.
    The first step, after which pure noise is no guide, and the last one, to the picture, are of first order.
    """
    state, before, step_before = start, None, math.inf
    for now, later in pairwise(times):
        picture = state - now * velocity(state, now)
        step = _log_odds(now) - _log_odds(later)
        guess = picture
        if before is not None and math.isfinite(step) and math.isfinite(step_before):
            guess = picture + 0.5 * step / step_before * (picture - before)
        state = (later / now) * state - (1 - later) * math.expm1(-step) * guess
        before, step_before = picture, step
    return state


def _log_odds(time: float) -> float:
    if time in (0, 1):
        return -math.inf if time == 0 else math.inf
    return math.log(time / (1 - time))


def guided(
    conditional: Tensor, unconditional: Tensor, noisy: Tensor, time: float, hole: Tensor, settings: SamplingSettings
) -> Tensor:
    """Exaggerate what the class changes (Ho and Salimans, "Classifier-free diffusion guidance", 2022, equation 6).

    Args:
        conditional: (N, 1, H, W) the velocity with the class.
        unconditional: the same without.
        noisy: (N, 1, H, W) the noisy residual.
        time: its time.
        hole: (N, 1, H, W), 0 or 1.
        settings: strength of guidance, and the shares kept of its coarse part and of its component along the picture.

    Returns:
        (N, 1, H, W).
    """
    difference = (conditional - unconditional) * hole
    if settings.coarse_guidance < 1:
        coarse = blur_in_hole(difference, hole, settings.coarse_sigma_px)
        difference = difference - (1 - settings.coarse_guidance) * coarse
    if settings.parallel_guidance < 1:
        picture = (noisy - time * conditional) * hole
        difference = difference - (1 - settings.parallel_guidance) * _along(picture, difference)
    return conditional + (settings.guidance - 1) * difference


def _along(picture: Tensor, difference: Tensor) -> Tensor:
    """Return the component of a difference parallel to the picture, for each (1, H, W) separately."""
    square = picture.square().sum((1, 2, 3), keepdim=True).clamp(min=_LEAST)
    return torch.as_tensor((picture * difference).sum((1, 2, 3), keepdim=True) / square * picture)
