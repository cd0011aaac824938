"""Settings of an inversion, and the published recipes as a table."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from engine.errors import OptionError

SpaceName = Literal["w", "w+", "z", "z+", "v"]
SPACES: tuple[SpaceName, ...] = ("w", "w+", "z", "z+", "v")


@dataclass(frozen=True)
class InversionSettings:
    """How a picture is turned into codes.

    Attributes:
        space: what is optimised; see engine.inversion.spaces.
        steps: of Adam.
        lr: its learning rate at the plateau between the two ramps.
        ramp_up, ramp_down: shares of the steps in which the rate rises (linearly) and falls
            (cosine); 0 for none.
        code_noise: Gaussian noise added to the code, in units of the spread of the space; it falls
            quadratically and is gone after 3/4 of the steps (Karras et al. 2020, Appendix D).
        optimize_noise: optimise the noise maps too, one set per picture.
        distance_weight, l1_weight, l2_weight: of the perceptual distance and of the pixels.
        noise_weight: of the regularisation that keeps noise maps from carrying the picture.
        prior_weight: of the prior of the space: N(0, I) in Z, Z+ and V, closeness to w_avg in W.
        identity_weight: of the identity term, where the caller passes one.
        patience: stop a picture after that many steps without an improvement of 0.1 %; 0: never.
        from_average: V only: start from the average face, not from the mean of N(0, I) samples.
        path: attribute path of the generator.
    """

    space: SpaceName = "w"
    steps: int = 1000
    lr: float = 0.1
    ramp_up: float = 0.05
    ramp_down: float = 0.25
    code_noise: float = 0.0
    optimize_noise: bool = False
    distance_weight: float = 1.0
    l1_weight: float = 0.0
    l2_weight: float = 0.0
    noise_weight: float = 1e5
    prior_weight: float = 0.0
    identity_weight: float = 0.0
    patience: int = 0
    from_average: bool = False
    path: int = 0

    def __post_init__(self) -> None:
        if self.space not in SPACES:
            raise OptionError(f"space is {self.space!r}; accepted are {', '.join(SPACES)}")
        for name, lowest in (("steps", 1), ("patience", 0), ("path", 0)):
            value = getattr(self, name)
            if type(value) is not int or value < lowest:
                raise OptionError(f"{name} is {value!r}; accepted are whole numbers from {lowest}")
        weights = [f.name for f in fields(self) if f.name.endswith("_weight")]
        for name in ("lr", "code_noise", "ramp_up", "ramp_down", *weights):
            value, most = getattr(self, name), 1 if name.startswith("ramp") else math.inf
            if not (math.isfinite(value) and 0 <= value <= most):
                raise OptionError(f"{name} is {value!r}; accepted are 0 .. {most}")
        if self.lr == 0 or not any((self.distance_weight, self.l1_weight, self.l2_weight)):
            raise OptionError(
                f"lr is {self.lr} and the weights of distance, L1 and L2 are "
                f"{self.distance_weight}, {self.l1_weight} and {self.l2_weight}; nothing would be "
                "optimised: lr and one of the weights must be above 0"
            )

    def rate_at(self, step: int) -> float:
        """Learning rate of a step (0 .. steps - 1)."""
        t = step / self.steps
        falling = min(1.0, (1 - t) / self.ramp_down) if self.ramp_down else 1.0
        rising = min(1.0, (step + 1) / (self.steps * self.ramp_up)) if self.ramp_up else 1.0
        return self.lr * (0.5 - 0.5 * math.cos(math.pi * falling)) * rising

    def code_noise_at(self, step: int) -> float:
        """Strength of the noise on the code at a step, in units of the spread of the space."""
        return self.code_noise * max(0.0, 1 - step / (0.75 * self.steps)) ** 2

    def to_json(self) -> str:
        """Return the settings as JSON, with sorted names."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> InversionSettings:
        """Build settings from `to_json`'s values; raises OptionError for anything else."""
        try:
            return cls(**values)
        except TypeError as error:
            raise OptionError(f"no inversion settings: {error}") from error


_V = InversionSettings(space="v", l1_weight=1.0, optimize_noise=True)
PRESETS: Mapping[str, InversionSettings] = {
    # StyleGAN2's projector (Karras et al. 2020, Appendix D)
    "projector": InversionSettings(space="w", code_noise=0.05, optimize_noise=True),
    # Abdal et al. 2019, Section 5: W+ from w_avg, perceptual distance and MSE, no noise
    "image2stylegan": InversionSettings(
        space="w+", steps=5000, lr=0.01, ramp_up=0.0, ramp_down=0.0, l2_weight=1.0
    ),
    # UI2I (Huang et al. 2021, Equation 9, and its public script). Where w_avg is far from zero, as
    # in our base, 100 steps from the published start find no face (SSIM of 16 test photos 0.447);
    # from the average face they do (0.498)
    "v": _V,
    "v-average": replace(_V, from_average=True),
    # Z+ as in Lu & Zhou 2025, Equation 5; the prior keeps the codes on the shell of the samples
    "z+": InversionSettings(space="z+", steps=500, lr=0.05, l2_weight=1.0, prior_weight=0.01),
    # Zhu et al. 2020: an encoder's codes, refined without leaving the domain; here "the domain" is
    # measured by the distance to w_avg, so that no second encoder has to run in every step
    "indomain": InversionSettings(
        space="w+", steps=100, lr=0.01, ramp_up=0.0, l2_weight=1.0, prior_weight=0.01
    ),
}
