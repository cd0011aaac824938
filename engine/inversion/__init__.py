"""From pictures to codes by optimisation: W, W+, Z, Z+ and V, with the published recipes.

D = DiscriminatorDistance(discriminator)
found = invert(G, images, PRESETS["v"], distance=D)
found.ws  # [N, L, w_dim]
"""

from engine.inversion.cache import InversionCache
from engine.inversion.distances import DiscriminatorDistance, Distance, lpips_distance
from engine.inversion.optimize import invert
from engine.inversion.settings import PRESETS, SPACES, InversionSettings
from engine.inversion.spaces import Space, code_of, make_space
from engine.inversion.storage import Inversion, load_inversion, save_inversion

__all__ = [
    "PRESETS",
    "SPACES",
    "DiscriminatorDistance",
    "Distance",
    "Inversion",
    "InversionCache",
    "InversionSettings",
    "Space",
    "code_of",
    "invert",
    "load_inversion",
    "lpips_distance",
    "make_space",
    "save_inversion",
]
