from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import pytest

from mammofill.ground.errors import SettingsError
from mammofill.infilling import PRESETS, GanSettings, preset
from mammofill.infilling.gan.settings import (
    DiscriminatorSettings,
    GeneratorSettings,
    LossSettings,
    PerceptualSettings,
    ScheduleSettings,
)
from mammofill.pairing.hole import HoleSettings


def test_the_paper_is_the_default() -> None:
    assert preset("paper") == GanSettings()
    assert {name: settings.preset for name, settings in PRESETS.items()} == {name: name for name in PRESETS}


def test_the_paper_preset_says_what_the_paper_says() -> None:
    paper = preset("paper")
    assert paper.generator.widths == (128, 128, 64, 64, 32, 32, 32)
    assert (paper.perceptual.features, paper.perceptual.layers) == ("vgg19", ("input", "pool1", "pool2", "pool3"))
    assert (paper.losses.boundary, paper.losses.boundary_sigma_px, paper.losses.combine) == ("contour", 10, "stepped")
    assert (paper.schedule.pretrain_epochs, paper.schedule.adversarial_epochs) == (300, 2000)
    assert (paper.schedule.threshold, paper.schedule.batch, paper.schedule.learning_rate) == (0.3, 8, 1e-4)
    assert paper.discriminator.class_head


def test_the_authors_preset_says_what_their_code_says() -> None:
    authors = preset("authors")
    assert authors.generator == replace(preset("paper").generator, stack="accumulating", activation="relu", head="relu")
    assert authors.generator.widths == (128, 128, 64, 64, 32, 32, 32)
    assert authors.discriminator.widths == (32, 64, 128, 256, 512)
    assert (authors.discriminator.conditioning, authors.discriminator.class_head) == ("planes", False)
    assert (authors.perceptual.pooling, authors.losses.combine, authors.losses.boundary_weight) == (
        "average",
        "stepped",
        1000,
    )
    schedule = authors.schedule
    assert (schedule.learning_rate, schedule.batch, schedule.rate_at(500 * 8)) == (1e-4, 8, 0.99)
    # 1,000 steps on the perceptual loss and 250,000 after them, however many patches there are.
    assert schedule.images_for(10) == schedule.images_for(5000) == (1000 * 8, 250_000 * 8)
    assert (schedule.threshold, schedule.discriminator_burst, schedule.reconstruction_steps) == (0.3, 5, 10)
    assert schedule.most_steps_per_turn == 5000


def test_the_paper_counts_in_epochs() -> None:
    assert preset("paper").schedule.images_for(100) == (300 * 100, 2000 * 100)


def test_the_demo_preset_needs_no_weights() -> None:
    assert preset("demo").perceptual.features == "laplacian"


def test_unknown_preset() -> None:
    with pytest.raises(SettingsError, match=r"no infiller preset 'papre'. Use one of: paper, authors, modern"):
        preset("papre")


def test_settings_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        preset("demo").feather_px = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("size_px", "widths"),
    [(4, (128,)), (16, (128, 128, 64)), (64, (128, 128, 64, 64, 32)), (256, (128, 128, 64, 64, 32, 32, 32))],
)
def test_smaller_patches_leave_the_finest_scales_off(size_px: int, widths: tuple[int, ...]) -> None:
    assert GeneratorSettings().widths_for(size_px) == widths


def test_a_patch_beyond_the_finest_scale_names_both_sizes_and_a_way_out() -> None:
    with pytest.raises(SettingsError, match=r"which reach 8 px, but the patches are 32 px. Give 4 widths"):
        GeneratorSettings(widths=(8, 4)).widths_for(32)


@pytest.mark.parametrize("size_px", [2, 48, 100])
def test_a_patch_that_no_doubling_reaches(size_px: int) -> None:
    with pytest.raises(SettingsError, match=rf"must be 16, 32, 64, .* but these are {size_px} px"):
        GeneratorSettings().widths_for(size_px)


def test_the_discriminator_refuses_patches_that_it_cannot_halve() -> None:
    DiscriminatorSettings().check_size(48)
    with pytest.raises(SettingsError, match=r"halves the patch 4 times, but 24 px cannot .* Give at most 4 widths"):
        DiscriminatorSettings().check_size(24)


@pytest.mark.parametrize(
    ("settings", "changes", "words"),
    [
        (GeneratorSettings(), {"widths": ()}, r"GeneratorSettings.widths must be one or more"),
        (GeneratorSettings(), {"activation": "tanh"}, r"activation must be leaky_relu or relu, but is 'tanh'"),
        (PerceptualSettings(), {"features": "vgg16"}, r"features must be vgg19, squeezenet1_1, resnet50"),
        (PerceptualSettings(), {"layers": ("pool1", "pool9")}, r"layers must be some of input, pool1"),
        (PerceptualSettings(), {"features": "laplacian", "weights": "a.pth"}, r"weights must be unset, as laplacian"),
        (
            PerceptualSettings(),
            {"features": "resnet50"},
            r"layers must be some of input, stem, layer1, .* for resnet50",
        ),
        (PerceptualSettings(), {"features": "none", "pooling": "average"}, r"pooling must be max for none"),
        (PerceptualSettings(), {"pixels": "centred255", "normalise": True}, r"pixels must be unit where pixels are"),
        (LossSettings(), {"boundary_weight": float("nan")}, r"boundary_weight must be a number, at least 0"),
        (LossSettings(), {"boundary_sigma_px": 0.0}, r"boundary_sigma_px must be above 0"),
        (ScheduleSettings(), {"most_steps_per_turn": 0}, r"most_steps_per_turn must be at least 1"),
        (ScheduleSettings(), {"pretrain_epochs": 0, "adversarial_epochs": 0}, r"pretrain_epochs must be above 0"),
        (
            ScheduleSettings(),
            {"pretrain_images": 80},
            r"pretrain_images must be set where pretrain_epochs is unset, and",
        ),
        (
            ScheduleSettings(),
            {"adversarial_epochs": None},
            r"adversarial_images must be set where adversarial_epochs is",
        ),
        (ScheduleSettings(), {"learning_rate": 2.0}, r"learning_rate must be between 0 and 1"),
        (GanSettings(), {"feather_px": -1}, r"feather_px must be at least 0"),
        (GanSettings(), {"preview_every_images": 0}, r"preview_every_images must be at least 1"),
    ],
)
def test_nonsense_is_refused_by_name(settings: object, changes: dict[str, object], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        replace(settings, **changes)  # type: ignore[type-var]


def test_learning_rate_falls_by_one_per_cent_every_500_batches() -> None:
    assert ScheduleSettings().rate_at(0) == 1
    assert ScheduleSettings().rate_at(4000) == pytest.approx(0.99)
    assert ScheduleSettings().rate_at(8000) == pytest.approx(0.99**2)


def test_a_soft_edge_leaves_the_rim_of_the_hole() -> None:
    rimmed = HoleSettings("ellipse", 0.3, 2.0, 3)
    assert replace(PRESETS["copy-paste"], hole=rimmed, feather_px=2).feather_px == 2
    with pytest.raises(SettingsError, match="feather_px must be less than the rim of the hole, 3 px, which stays"):
        replace(PRESETS["copy-paste"], hole=rimmed, feather_px=3)
