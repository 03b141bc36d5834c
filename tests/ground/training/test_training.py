"""The parts of the training loops: order of data, checkpoints, weights, history."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from mammofill.ground.errors import DamagedError, DeviceError, TrainingError, WeightsError
from mammofill.ground.seeding import stream
from mammofill.ground.training.checkpoint import load_checkpoint, load_weights, save_checkpoint, save_weights
from mammofill.ground.training.data_order import positions_at, seeded_layers
from mammofill.ground.training.device import chosen_device, find_device
from mammofill.ground.training.distributed import has_bf16, training_processes
from mammofill.ground.training.history import LOOK_EVERY_STEPS, History, UnseenLosses, check_finite


@given(st.integers(1, 40), st.integers(1, 9), st.integers(0, 100))
def test_a_pass_sees_every_item_once_and_a_later_start_changes_nothing(count: int, batch: int, seed: int) -> None:
    whole = positions_at(0, 3 * count, count, seed, "order")
    for number in range(3):
        assert sorted(whole[number * count : (number + 1) * count]) == list(range(count))
    pieces = [positions_at(seen, batch, count, seed, "order") for seen in range(0, 2 * count, batch)]
    joined = np.concatenate(pieces)[: 2 * count]
    assert np.array_equal(joined, whole[: len(joined)])


def test_passes_differ() -> None:
    first, second = np.split(positions_at(0, 100, 50, 0), 2)
    assert not np.array_equal(first, second)


def test_layers_start_as_the_seed_says_and_the_global_generator_is_left_alone() -> None:
    before = torch.random.get_rng_state()
    with seeded_layers(1, "generator"):
        first = nn.Linear(3, 3)
    with seeded_layers(1, "generator"):
        same = nn.Linear(3, 3)
    with seeded_layers(2, "generator"):
        other = nn.Linear(3, 3)
    assert torch.equal(first.weight, same.weight)
    assert not torch.equal(first.weight, other.weight)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_checkpoint_comes_back(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path) is None
    network = nn.Linear(2, 2)
    optimiser = torch.optim.Adam(network.parameters())
    network(torch.ones(1, 2)).sum().backward()
    optimiser.step()
    save_checkpoint(tmp_path, {"network": network.state_dict(), "optimiser": optimiser.state_dict(), "images_seen": 8})
    state = load_checkpoint(tmp_path)
    assert state is not None
    assert state["images_seen"] == 8
    assert torch.equal(state["network"]["weight"], network.weight)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_a_broken_checkpoint_is_named(tmp_path: Path) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(b"broken")
    with pytest.raises(DamagedError, match=r"checkpoint\.pt cannot be read.*to start anew"):
        load_checkpoint(tmp_path)


def test_weights_come_back_and_those_of_another_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    network = nn.Linear(2, 3)
    save_weights(path, network)
    same = nn.Linear(2, 3)
    load_weights(path, same)
    assert torch.equal(same.weight, network.weight)
    with pytest.raises(
        WeightsError, match=r"belongs to another network than Linear.*'bias' .needed \(4,\), found \(3,\)"
    ):
        load_weights(path, nn.Linear(2, 4))
    with pytest.raises(WeightsError, match="does not exist"):
        load_weights(tmp_path / "nowhere.safetensors", network)
    path.write_bytes(b"not weights")
    with pytest.raises(WeightsError, match="is not a safetensors file"):
        load_weights(path, network)


def test_devices_are_never_replaced() -> None:
    assert find_device("cpu").type == "cpu"
    with pytest.raises(DeviceError, match=r"'cuda:63' was requested, but \d+ CUDA devices were found"):
        find_device("cuda:63")
    with pytest.raises(DeviceError, match="no device called 'toaster'. Use auto, cpu, cuda"):
        find_device("toaster")


def test_auto_is_a_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert (chosen_device("auto"), chosen_device("cuda:1")) == ("cuda", "cuda:1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert chosen_device("auto") == "cpu"


@pytest.mark.skipif(not has_bf16(torch.device("cpu")), reason="this processor has no instructions for bf16")
def test_the_library_below_says_nothing_of_the_precision(caplog: pytest.LogCaptureFixture) -> None:
    below = logging.getLogger("lightning_fabric")
    below.addHandler(caplog.handler)
    try:
        with training_processes("cpu", 1, "bf16", lambda fabric: None):
            pass
    finally:
        below.removeHandler(caplog.handler)
    assert caplog.records == []


def test_losses_that_are_no_numbers_stop_the_run() -> None:
    check_finite({"perceptual": 0.5}, 8)
    with pytest.raises(TrainingError, match="The loss 'boundary' became nan after 16 images"):
        check_finite({"perceptual": 0.5, "boundary": float("nan")}, 16)


def test_losses_are_looked_at_together_and_in_order_and_each_by_its_own_step() -> None:
    losses = UnseenLosses()
    assert losses.look() == []
    losses.add(0, ["a", "b"], torch.tensor([1.0, 2.0]))
    losses.add(8, ["c"], torch.tensor([3.0]))
    assert losses.look() == [{"a": 1.0, "b": 2.0}, {"c": 3.0}]
    assert losses.look() == []
    for step in range(LOOK_EVERY_STEPS):
        assert not losses.due
        losses.add(8 * step, ["a"], torch.tensor([float("inf") if step == 5 else 0.0]))
    assert losses.due
    with pytest.raises(TrainingError, match="The loss 'a' became inf after 40 images"):
        losses.look()


def test_the_order_of_a_pass_is_drawn_once_for_all_of_its_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[object, ...]] = []

    def counted(seed: int, *names: str | int) -> np.random.Generator:
        drawn.append(names)
        return stream(seed, *names)

    monkeypatch.setattr("mammofill.ground.training.data_order.stream", counted)
    for seen in range(0, 4000, 8):
        positions_at(seen, 8, 2000, 17, "an order of its own")
    assert len(drawn) == 2, "two passes over 2,000 items, 500 batches"


def test_a_history_is_written_as_it_was_kept(tmp_path: Path) -> None:
    history = History()
    history.add(8, phase="pretrain", loss=0.5)
    again = History.from_state(history.state())
    again.add(16, loss=0.25, distance=0.1)
    again.write(tmp_path)
    assert (tmp_path / "history.csv").read_text().splitlines() == [
        "images_seen,phase,loss,distance",
        "8,pretrain,0.5,",
        "16,,0.25,0.1",
    ]


def test_what_was_not_trained_has_columns_and_no_rows(tmp_path: Path) -> None:
    """An empty file is no table: a report of an infiller that paints with another one's weights failed."""
    History().write(tmp_path)
    table = pd.read_csv(tmp_path / "history.csv")
    assert list(table.columns) == ["images_seen"]
    assert not len(table)
