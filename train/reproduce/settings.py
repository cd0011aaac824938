"""What all tables share: data, base, budgets. Presets for two processors and for one GPU."""

from dataclasses import dataclass, field
from pathlib import Path

from engine.errors import OptionError


@dataclass(frozen=True)
class Settings:
    """Settings of train.reproduce; the defaults finish in about an hour on two processors."""

    data: str = field(default="../shared/data", metadata={"help": "has photos and styles"})
    style: str = field(default="pencil", metadata={"help": "exemplars: a folder of DATA/styles"})
    base: str = field(default="engine/packs/base", metadata={"help": "base pack with an encoder"})
    perceptual: str = field(
        default="../shared/weights/squeezenet_v1.0.npz", metadata={"help": "squeezenet_v1.0.npz"}
    )
    out: str = field(default="runs/reproduce", metadata={"help": "run folders; rerun to resume"})
    docs: str = field(default="docs/results", metadata={"help": "where the tables are written"})
    budget: int = field(default=300, metadata={"help": "images each fine-tuning sees"})
    photos: int = field(default=64, metadata={"help": "test photos, spread over all"})
    inverted: int = field(default=16, metadata={"help": "test photos that are optimised"})
    steps: int = field(default=50, metadata={"help": "of every optimisation"})
    exemplars: int = field(default=8, metadata={"help": "with pseudo-pairs; 0: all"})
    codes: int = field(default=100, metadata={"help": "both generators draw for a distance"})
    looks: int = field(default=30, metadata={"help": "pictures per style for the style encoder"})
    size: int = field(default=64, metadata={"help": "side at which losses compare pictures"})
    seed: int = field(default=0, metadata={"help": "of everything that is drawn"})

    def __post_init__(self) -> None:
        """Refuse what cannot be measured."""
        least = {"budget": 8, "photos": 8, "inverted": 8, "steps": 1, "codes": 2, "looks": 16}
        for name, lowest in least.items():
            if getattr(self, name) < lowest:
                raise OptionError(
                    f"--{name} {getattr(self, name)} is too small; accepted are numbers from "
                    f"{lowest}: leave it out for {getattr(Settings, name)}"
                )
        if self.inverted > self.photos:
            raise OptionError(
                f"--inverted {self.inverted} is more than --photos {self.photos}, of which they "
                "are: lower it"
            )

    @property
    def drawings(self) -> Path:
        """Folder of the exemplars."""
        return Path(self.data) / "styles" / self.style


PRESETS = {
    "cpu": Settings(),
    "gpu": Settings(
        budget=12_000,
        photos=175,
        inverted=64,
        steps=1000,
        exemplars=0,
        codes=2000,
        looks=49,
        size=128,
    ),
}
