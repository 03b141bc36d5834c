from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import toy_infilling as toy
from process_group import wait_until_all_are_gone
from toy_flow import tiny_flow
from toy_infilling import SIZE_PX, World, tiny, tiny_schedule

from mammofill.ground.artifact import check_content
from mammofill.ground.errors import (
    ArtifactError,
    DamagedError,
    PlanChangedError,
    SettingsError,
    TooFewError,
    TrainingError,
    WeightsError,
)
from mammofill.ground.progress import Progress, Task
from mammofill.ground.stopping import StoppedError
from mammofill.ground.training.checkpoint import load_checkpoint
from mammofill.infilling import GanSettings, preset, train_infiller
from mammofill.infilling.gan.features import PixelFeatures
from mammofill.infilling.gan.networks import Networks
from mammofill.infilling.gan.settings import PerceptualSettings
from mammofill.infilling.gan.training_loop import _turns
from mammofill.infilling.settings import InfillerSettings
from mammofill.pairing import Pairs
from mammofill.patches import PatchSet


class Listening(Progress):
    """Keeps what is said, and stops the run after some steps as Ctrl-C would."""

    def __init__(self, stop_after: float = float("inf")) -> None:
        self.said: list[str] = []
        self.steps, self.stop_after = 0.0, stop_after

    def say(self, text: str) -> None:
        self.said.append(text)

    @contextmanager
    def task(self, name: str, total: float) -> Iterator[Task]:
        yield self  # type: ignore[misc]

    def advance(self, steps: float = 1, note: str = "") -> None:
        self.steps += steps
        if self.steps >= self.stop_after:
            raise KeyboardInterrupt


STEPPED = replace(
    tiny(),
    losses=replace(tiny().losses, combine="stepped"),
    schedule=tiny_schedule(most_steps_per_turn=2, reconstruction_steps=1),
)


def test_what_an_infiller_holds(world: World) -> None:
    infiller = world.infiller
    assert infiller.manifest.counts == {
        "lesion_patches": 16,
        "benign": 10,
        "malignant": 6,
        "patients": 16,
        "images_seen": 48,
    }
    check_content(infiller)
    names = {path.name for path in infiller.folder.iterdir()}
    assert {"weights.safetensors", "network.json", "history.csv", "previews"} <= names
    assert not {"checkpoint.pt", "plan.json"} & names
    assert [path.name for path in infiller.previews] == ["00000016.png", "00000032.png", "00000048.png"]
    picture = cv2.imread(str(infiller.previews[-1]), cv2.IMREAD_UNCHANGED)
    assert picture.shape == (4 * (SIZE_PX + 2), 5 * (SIZE_PX + 2))
    assert infiller.network["perceptual"] == {"features": "laplacian", "weights": "none", "sha256": ""}
    assert infiller.network["generator"]["widths"] == [8, 8, 8, 8]


def test_it_learned_from_the_lesion_patients_of_the_train_split(world: World) -> None:
    (record,) = world.infiller.manifest.patients_learned_from
    assert record.through == "train-infiller"
    table = world.patches.table
    wanted = table[(table["split"] == "train") & (table["pathology"] != "normal")]["patient_id"]
    assert set(record.patients) == set(wanted)


def test_history_says_each_loss_by_turn_and_place(world: World) -> None:
    history = world.infiller.history
    assert history["images_seen"].tolist() == [8, 16, 24, 32, 40, 48]
    assert np.isfinite(history["pretraining.perceptual"].iloc[:2]).all()
    later = ["discriminator.adversarial", "discriminator.class", "generator.adversarial", "generator.perceptual"]
    assert np.isfinite(history[later].iloc[2:]).all(axis=None)
    assert history[later].iloc[:2].isna().all(axis=None)


def test_the_same_command_makes_the_same_infiller(world: World, tmp_path: Path) -> None:
    again = train_infiller(world.patches, world.pairs, tmp_path / "again", tiny(), seed=1)
    other = train_infiller(world.patches, world.pairs, tmp_path / "other", tiny(), seed=2)
    assert again.fingerprint == world.infiller.fingerprint
    assert other.fingerprint != world.infiller.fingerprint


@pytest.mark.parametrize("settings", [tiny(), STEPPED], ids=["summed", "stepped"])
@pytest.mark.parametrize("stop_after", [4, 20, 44])
def test_stopped_and_continued_equals_uninterrupted(
    world: World, tmp_path: Path, settings: GanSettings, stop_after: int
) -> None:
    whole = train_infiller(world.patches, world.pairs, tmp_path / "whole", settings, seed=1)
    with pytest.raises(KeyboardInterrupt):
        train_infiller(
            world.patches, world.pairs, tmp_path / "stopped", settings, seed=1, progress=Listening(stop_after)
        )
    assert not (tmp_path / "stopped").exists()
    continued = Listening()
    # How often a checkpoint is kept changes nothing, so it may change on the way.
    settings = replace(settings, checkpoint_every_images=100)
    stopped = train_infiller(world.patches, world.pairs, tmp_path / "stopped", settings, seed=1, progress=continued)
    assert stopped.fingerprint == whole.fingerprint
    assert continued.steps == 48


class Signalled(Listening):
    """Somebody sends a signal in the midst of a training."""

    def __init__(self, after: int, number: signal.Signals) -> None:
        super().__init__()
        self.after, self.number = after, number

    def advance(self, steps: float = 1, note: str = "") -> None:
        super().advance(steps, note)
        if self.steps == self.after:
            signal.raise_signal(self.number)


@pytest.mark.parametrize("settings", [tiny(checkpoint_every_images=1000), tiny_flow(checkpoint_every_images=1000)])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_keeps_a_checkpoint_of_the_next_step(
    world: World, tmp_path: Path, settings: InfillerSettings, number: signal.Signals, code: int
) -> None:
    out = tmp_path / "stopped"
    with pytest.raises(StoppedError) as caught:
        train_infiller(world.patches, world.pairs, out, settings, seed=1, progress=Signalled(20, number))
    assert caught.value.exit_code == code
    kept = load_checkpoint(tmp_path / "stopped.partial")
    assert kept is not None
    assert kept["images_seen"] == 24
    stopped = train_infiller(world.patches, world.pairs, out, settings, seed=1)
    whole = train_infiller(world.patches, world.pairs, tmp_path / "whole", settings, seed=1)
    assert stopped.fingerprint == whole.fingerprint


class Counting(Listening):
    """Counts how often a step is told of, the images of an earlier run among them as one."""

    told = 0

    def advance(self, steps: float = 1, note: str = "") -> None:
        self.told += steps > 0


@pytest.mark.parametrize("settings", [tiny(), tiny_flow()], ids=["gan", "flow"])
def test_killed_while_finishing_nothing_is_learned_again(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: InfillerSettings
) -> None:
    def kill(*_: object) -> None:
        raise KeyboardInterrupt

    def train(progress: Counting) -> None:
        train_infiller(world.patches, world.pairs, tmp_path / "killed", settings, seed=1, progress=progress)

    with monkeypatch.context() as patched:
        patched.setattr("mammofill.ground.artifact.work.fingerprint_folder", kill)
        first = Counting()
        with pytest.raises(KeyboardInterrupt):
            train(first)
    again = Counting()
    train(again)
    assert (first.told, again.told) == (12, 1)


@pytest.mark.parametrize(
    ("number", "code", "processes"), [(signal.SIGINT, 130, 1), (signal.SIGTERM, 143, 2), (signal.SIGINT, 130, 2)]
)
def test_a_command_that_is_stopped_keeps_a_checkpoint_and_says_how_to_go_on(
    world: World, tmp_path: Path, number: signal.Signals, code: int, processes: int
) -> None:
    config, partial = tmp_path / "tiny.toml", tmp_path / "out.partial"
    config.write_text(
        """
        preset = "demo"
        hole = { share = 0.1, plus_px = 1.0 }
        generator.widths = [8, 8, 8, 8]
        discriminator.widths = [4, 8, 8]
        schedule.batch = 4
        schedule.pretrain_epochs = 100000
        history_every_images = 8
        checkpoint_every_images = 1000000
        """
    )
    command = [sys.executable, "-m", "mammofill", "train-infiller", world.patches.folder, world.pairs.folder]
    command += ["--out", tmp_path / "out", "--config", config, "--engine.processes", str(processes), "--plain"]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE, text=True)
    try:
        while not (partial / "history.csv").is_file():
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        os.killpg(process.pid, number)
        said = process.communicate()[1]
    finally:
        process.kill()
    assert process.returncode == code, said
    assert "stopped; run the same command again to go on" in said
    assert "Traceback" not in said
    kept = load_checkpoint(partial)
    assert kept is not None
    assert kept["images_seen"] >= 8
    wait_until_all_are_gone(process.pid)


def test_killed_and_continued_equals_uninterrupted(world: World, tmp_path: Path) -> None:
    script = f"""
        import os, signal, sys
        sys.path[:0] = [{str(Path(__file__).parent)!r}, {str(Path(__file__).parent.parent)!r}]
        import torch
        torch.set_num_threads(1)
        from test_train import Listening
        from toy_infilling import tiny
        from mammofill.infilling import train_infiller
        from mammofill.pairing import Pairs
        from mammofill.patches import PatchSet

        class Killing(Listening):
            def advance(self, steps=1, note=""):
                self.steps += steps
                if self.steps == 28:
                    os.kill(os.getpid(), signal.SIGKILL)

        train_infiller(
            PatchSet.open({str(world.patches.folder)!r}),
            Pairs.open({str(world.pairs.folder)!r}),
            {str(tmp_path / "killed")!r},
            tiny(),
            seed=1,
            progress=Killing(),
        )
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], env=os.environ, check=False)
    assert done.returncode == -signal.SIGKILL
    assert (tmp_path / "killed.partial" / "checkpoint.pt").is_file()
    killed = train_infiller(world.patches, world.pairs, tmp_path / "killed", tiny(), seed=1)
    assert killed.fingerprint == world.infiller.fingerprint


def test_a_finished_infiller_is_returned_and_changed_settings_are_refused(world: World) -> None:
    folder = world.infiller.folder
    again = train_infiller(world.patches, world.pairs, folder, tiny(), seed=1)
    assert again.fingerprint == world.infiller.fingerprint
    changed = tiny(schedule=tiny_schedule(learning_rate=0.01))
    with pytest.raises(PlanChangedError, match=r"settings.schedule.learning_rate: was 0.001, now 0.01"):
        train_infiller(world.patches, world.pairs, folder, changed, seed=1)


def begun(world: World, out: Path) -> Path:
    with pytest.raises(KeyboardInterrupt):
        train_infiller(world.patches, world.pairs, out, tiny(), seed=1, progress=Listening(20))
    return out.with_name(f"{out.name}.partial") / "checkpoint.pt"


def test_a_checkpoint_of_other_settings(world: World, tmp_path: Path) -> None:
    begun(world, tmp_path / "begun")
    changed = tiny(schedule=tiny_schedule(learning_rate=0.01))
    words = r"was begun with another plan:\n  settings.schedule.learning_rate: was 0.001, now 0.01\nUse the old values"
    with pytest.raises(PlanChangedError, match=words):
        train_infiller(world.patches, world.pairs, tmp_path / "begun", changed, seed=1)


def test_a_checkpoint_of_other_networks(world: World, tmp_path: Path) -> None:
    import torch

    checkpoint = begun(world, tmp_path / "begun")
    state = torch.load(checkpoint, weights_only=True)
    state["networks"]["generator"]["to_image.weight"] = torch.zeros(1, 3, 1, 1)
    torch.save(state, checkpoint)
    with pytest.raises(
        DamagedError, match=r"(?s)is of another network or of another version .*to_image.* Delete the folder"
    ):
        train_infiller(world.patches, world.pairs, tmp_path / "begun", tiny(), seed=1)


def test_weights_that_are_no_numbers_are_not_kept(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from mammofill.infilling.gan.training_loop import Turn

    step, steps = Turn.step, 0

    def breaking(turn: Turn, fabric: object, parts: object, taken: int, rate: float) -> dict[str, float]:
        nonlocal steps
        losses, steps = step(turn, fabric, parts, taken, rate), steps + 1  # type: ignore[arg-type]
        if steps == 12:  # the last one, whose losses nobody takes any more
            torch.nn.init.constant_(turn.network.to_image.bias, float("nan"))  # type: ignore[arg-type, union-attr]
        return losses

    monkeypatch.setattr(Turn, "step", breaking)
    with pytest.raises(TrainingError, match=r"'to_image.bias' of the generator became NaN .* after 48 images.*kept"):
        train_infiller(world.patches, world.pairs, tmp_path / "broken", tiny(), seed=1)
    assert not (tmp_path / "broken").exists()


def test_turns_follow_each_other_by_threshold_and_cap() -> None:
    networks = Networks(SIZE_PX, PixelFeatures(), STEPPED, seed=0)
    first, later = _turns(networks, STEPPED)
    assert [turn.name for turn in first] == ["pretraining"]
    assert [turn.name for turn in later] == ["discriminator", "generator", "perceptual", "boundary"]
    # The losses are stepped with an Adam of their own; pre-training goes on as the perceptual turns.
    assert len({id(turn.optimiser) for turn in later}) == 4
    assert first[0].optimiser is later[2].optimiser
    judge = later[0]
    assert not judge.is_over(1, [{"discriminator.adversarial": 0.31}])
    assert judge.is_over(1, [{"discriminator.adversarial": 0.29}])
    assert judge.is_over(2, [{"discriminator.adversarial": 5.0}])
    assert not first[0].is_over(10**9, [{"pretraining.perceptual": 0.0}])


def test_a_burst_is_looked_at_when_it_is_over_and_as_a_whole() -> None:
    settings = replace(STEPPED, schedule=replace(STEPPED.schedule, discriminator_burst=3, most_steps_per_turn=2))
    judge = _turns(Networks(SIZE_PX, PixelFeatures(), settings, seed=0), settings)[1][0]
    losses = [{"discriminator.adversarial": value} for value in (0.5, 0.3, 0.04)]
    assert not judge.is_over(2, losses[1:])
    assert judge.is_over(3, losses)
    assert not judge.is_over(3, [losses[0], losses[0], losses[2]])
    assert judge.is_over(6, losses[:1] * 3)


def test_a_turn_moves_its_own_network_only(world: World) -> None:
    import torch
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.environments import LightningEnvironment

    from mammofill.infilling.gan.batches import Lesions, batch_at

    rows = world.patches.rows(split="train", pathology=("benign", "malignant"))
    lesions = Lesions(*world.patches.pixels(rows), tuple(world.patches.table["pathology"].iloc[rows]))
    networks = Networks(SIZE_PX, PixelFeatures(), STEPPED, seed=0)
    _, later = _turns(networks, STEPPED)
    batch = batch_at(lesions, 0, STEPPED, 0)
    # Said and not looked for, as in training: else Fabric has a word to say where Slurm is installed.
    fabric = Fabric(accelerator="cpu", plugins=[LightningEnvironment()])

    def state(network: torch.nn.Module) -> torch.Tensor:
        return torch.cat([parameter.detach().flatten().clone() for parameter in network.parameters()])

    for turn in later:
        other = networks.generator if turn.network is networks.discriminator else networks.discriminator
        own_before, other_before = state(turn.network), state(other)
        turn.step(fabric, [batch], taken=0, rate=1.0)
        assert not torch.equal(state(turn.network), own_before)
        assert torch.equal(state(other), other_before)


def test_training_paints_better_than_it_began(world: World, tmp_path: Path) -> None:
    settings = tiny(schedule=tiny_schedule(pretrain_epochs=30, adversarial_epochs=1))
    history = train_infiller(world.patches, world.pairs, tmp_path / "longer", settings).history
    losses = history["pretraining.perceptual"].dropna()
    assert losses.iloc[-5:].mean() < 0.6 * losses.iloc[0]


@pytest.mark.parametrize(
    "perceptual",
    [PerceptualSettings(features="none"), PerceptualSettings(features="laplacian", region="whole")],
    ids=["none", "whole"],
)
def test_other_perceptual_losses(world: World, tmp_path: Path, perceptual: PerceptualSettings) -> None:
    settings = tiny(perceptual=perceptual, schedule=tiny_schedule(adversarial_epochs=0))
    assert (
        train_infiller(world.patches, world.pairs, tmp_path / "x", settings).network["perceptual"]["weights"] == "none"
    )


def refused(tmp_path: Path, rows: list[dict[str, object]], **settings: object) -> None:
    patches = toy.make_patches(tmp_path / "patches", rows)
    pairs = toy.make_pairs(tmp_path / "pairs", patches)
    train_infiller(patches, pairs, tmp_path / "infiller", tiny(**settings))


def test_no_lesion_patch(tmp_path: Path) -> None:
    patches = toy.make_patches(tmp_path / "patches", [toy.patch_row(0, "normal"), toy.patch_row(0, "benign", "test")])
    with pytest.raises(TooFewError, match="has no real lesion patch"):
        train_infiller(patches, fake_pairs(tmp_path, patches), tmp_path / "infiller", tiny())


def fake_pairs(tmp_path: Path, patches: PatchSet) -> Pairs:
    import pandas as pd

    from mammofill.ground.artifact import begin
    from mammofill.pairing.pairs import PAIR_COLUMNS

    with begin(
        tmp_path / "pairs", kind="pairs", stage="toy", settings=tiny(), seed=0, inputs={"patches": patches}
    ) as w:
        assert w is not None
        pd.DataFrame({name: [] for name in PAIR_COLUMNS}).to_parquet(w.folder / "pairs.parquet")
        w.finish({})
    return Pairs.open(tmp_path / "pairs")


def test_one_class_only(tmp_path: Path) -> None:
    rows = toy.rows_of(benign=0, malignant=8)
    with pytest.raises(
        TooFewError, match=r"has 8 lesion patches in the train split, none of them benign.*allow_one_class"
    ):
        refused(tmp_path, rows)


def test_one_class_on_purpose_is_said_loudly(tmp_path: Path) -> None:
    patches = toy.make_patches(tmp_path / "patches", toy.rows_of(benign=0, malignant=8))
    pairs = toy.make_pairs(tmp_path / "pairs", patches)
    progress = Listening()
    infiller = train_infiller(patches, pairs, tmp_path / "out", tiny(allow_one_class=True), progress=progress)
    assert infiller.manifest.counts["benign"] == 0
    assert any("WARNING: no benign lesion among 8" in line for line in progress.said)


def test_fewer_patches_than_a_batch(tmp_path: Path) -> None:
    with pytest.raises(TooFewError, match=r"has 3 lesion patches in the train split, fewer than a batch of 4"):
        refused(tmp_path, toy.rows_of(benign=2, malignant=1))


def test_an_empty_mask_is_named(tmp_path: Path) -> None:
    empty = {"train-malignant-2": np.zeros((SIZE_PX, SIZE_PX), bool)}
    patches = toy.make_patches(tmp_path / "patches", toy.rows_of(), masks=empty)
    pairs = toy.make_pairs(tmp_path / "pairs", patches)
    with pytest.raises(ArtifactError, match=r"1 lesion patch has an empty mask, first 'train-malignant-2'"):
        train_infiller(patches, pairs, tmp_path / "infiller", tiny())


def test_patches_larger_than_the_networks(tmp_path: Path) -> None:
    patches = toy.make_patches(tmp_path / "patches", toy.rows_of(), size_px=64)
    pairs = toy.make_pairs(tmp_path / "pairs", patches)
    with pytest.raises(SettingsError, match=r"has 4 scales, which reach 32 px, but the patches are 64 px"):
        train_infiller(patches, pairs, tmp_path / "infiller", tiny())
    assert not (tmp_path / "infiller.partial").exists()


def test_pairs_of_other_patches(world: World, tmp_path: Path) -> None:
    patches = toy.make_patches(tmp_path / "patches", toy.rows_of(benign=9))
    with pytest.raises(ArtifactError, match=r"were not made from the patches in"):
        train_infiller(patches, world.pairs, tmp_path / "infiller", tiny())


def test_missing_weights_are_found_out_before_anything_is_begun(world: World, tmp_path: Path) -> None:
    settings = replace(preset("paper"), perceptual=PerceptualSettings(weights=str(tmp_path / "vgg19.pth")))
    with pytest.raises(WeightsError, match=r"vgg19.pth does not exist"):
        train_infiller(world.patches, world.pairs, tmp_path / "infiller", settings)
    assert not (tmp_path / "infiller.partial").exists()


def test_the_resolved_settings_are_in_the_manifest(world: World) -> None:
    content = json.loads((world.infiller.folder / "artifact.json").read_text())
    assert content["settings"]["schedule"]["learning_rate"] == tiny().schedule.learning_rate
    assert content["settings"]["generator"]["widths"] == [8, 8, 8, 8]
    execution = {"checkpoint_every_images": 8, "engine.processes": 1, "engine.at_once": None, "tensorboard": None}
    assert execution.items() <= content["execution"].items()
    assert "processes" not in content["settings"]["engine"]
