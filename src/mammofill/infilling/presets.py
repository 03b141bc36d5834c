"""Settings by name, of all methods."""

from __future__ import annotations

from mammofill.ground.errors import SettingsError
from mammofill.infilling.methods import methods
from mammofill.infilling.settings import InfillerSettings

PRESETS: dict[str, InfillerSettings] = {
    name: settings for row in methods().values() for name, settings in row.presets().items()
}
"""Of each method, in the order of the table of methods. ``paper`` follows the paper, ``authors`` the code of the
method's authors, ``modern`` uses later findings about GANs, ``demo`` is a small GAN; ``copy-paste`` and ``texture``
train nothing."""


def preset(name: str) -> InfillerSettings:
    """Return the settings of a preset.

    Raises:
        SettingsError: there is no preset of that name.
    """
    if name not in PRESETS:
        raise SettingsError(f"There is no infiller preset {name!r}. Use one of: {', '.join(PRESETS)}.")
    return PRESETS[name]
