"""The ideal observer of phantoms: how well an observer who knows how each mass was drawn could separate the classes.

Whatever a picture of one mass shows of its class comes from its `MassShape`, so no classifier of pictures does better
on average (the likelihood ratio of what a picture was made from bounds that of the picture: Barrett and Myers,
*Foundations of Image Science*, 2004, section 13.2).
"""

from __future__ import annotations

import numpy as np
from scipy.stats import norm

from mammofill.ground.seeding import stream
from mammofill.phantom.lesion import FEATURES, MassShape, draw_shape, feature_law


def likelihood_ratio(shape: MassShape, difference: float) -> float:
    """Return the logarithm of how much likelier a shape is among malignant masses than among benign ones.

    Args:
        shape: as `draw_shape` draws it. Size and place are drawn alike for both classes and carry no information.
        difference: the one that it was drawn with.
    """
    return sum(
        _log_likelihood(name, getattr(shape, name), True, difference)
        - _log_likelihood(name, getattr(shape, name), False, difference)
        for name in FEATURES
    )


def ideal_auc(difference: float, masses: int = 5_000, seed: int = 0) -> float:
    """Return the AUC of the ideal observer, by drawing masses; its standard error is below 0.005 with the default.

    Args:
        difference: how far apart the classes are, in [0, 1]; see `PhantomSettings`.
        masses: how many are drawn of each class.
        seed: decides which.

    Returns:
        In [0, 1]; exactly 0.5 where both classes are one distribution.
    """
    from sklearn.metrics import roc_auc_score

    random = stream(seed, "ideal observer")
    classes = np.repeat([False, True], masses)
    ratios = [likelihood_ratio(draw_shape(bool(malignant), difference, random), difference) for malignant in classes]
    return float(roc_auc_score(classes, ratios))


def _log_likelihood(name: str, value: float, malignant: bool, difference: float) -> float:
    """Return the logarithm of the density, or of the probability where a value has one, of what was drawn."""
    mean, spread, least = feature_law(name, malignant, difference)
    if name == "spicules":  # counted: whatever rounds to the number
        low = -np.inf if value == 0 else value - 0.5
        low, high = (low - mean) / spread, (value + 0.5 - mean) / spread
        # In the upper tail both cumulative probabilities are 1 to all digits; mirrored, they are not.
        low, high = (-high, -low) if low > 0 else (low, high)
        return float(norm.logcdf(high) + np.log1p(-np.exp(norm.logcdf(low) - norm.logcdf(high))))
    if value <= least:  # cut off there, with all that lies below
        return float(norm.logcdf((least - mean) / spread))
    return float(norm.logpdf(value, mean, spread))
