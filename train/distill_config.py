"""Settings of train.distill."""

from dataclasses import dataclass, field

from engine.errors import OptionError
from engine.library import StyleLibrary

WIDENING = (1, 2, 4, 6, 8)  # of the levels, times `width`


@dataclass(frozen=True)
class DistillConfig:
    """Settings of train.distill."""

    style: str = field(default="pencil", metadata={"help": "pack of the teacher, which is updated"})
    data: str = field(default="", metadata={"holds": "photos", "help": "folder of aligned photos"})
    test: str = field(default="", metadata={"help": "photos to measure on; else a tenth of data"})
    about: str = field(default="", metadata={"help": "the photos and their licence, for the card"})
    out: str = field(default="runs/distill", metadata={"help": "run folder; rerun to resume"})
    perceptual: str = field(default="", metadata={"help": "squeezenet_v1.0.npz, or nothing"})
    start_from: str = field(
        default="", metadata={"help": "style pack whose student learns on, or nothing"}
    )
    width: int = field(default=32, metadata={"help": "channels of the student's finest level"})
    images: int = field(default=400_000, metadata={"help": "pictures seen in training"})
    batch: int = field(default=16, metadata={"help": "images per step"})
    accumulate: int = field(default=1, metadata={"help": "parts a batch is computed in"})
    lr: float = field(default=2e-3, metadata={"help": "of Adam"})
    l1_weight: float = field(default=1.0, metadata={"help": "mean absolute error"})
    perceptual_weight: float = field(default=0.5, metadata={"help": "LPIPS-like distance"})
    part: float = field(
        default=1.0, metadata={"help": "of a picture's side: a random square to learn from"}
    )
    jitter: float = field(default=0.04, metadata={"help": "shift, zoom, turn of crops; a share"})
    noise: float = field(default=0.02, metadata={"help": "deviation of noise on photos"})
    ema_images: float = field(default=5000.0, metadata={"help": "half-life of the average"})
    sample_every: int = field(default=10_000, metadata={"help": "images between sample grids"})
    seed: int = field(default=0, metadata={"help": "of everything that is drawn"})

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        if self.width < 1:
            raise OptionError(f"--width {self.width} is no number of channels; 1 or more is one")
        if not 0 < self.part <= 1:
            raise OptionError(
                f"--part {self.part} is outside of 0 .. 1: 0.5 takes a quarter of the time"
            )
        if not 0 <= self.jitter <= 0.5:
            raise OptionError(f"--jitter {self.jitter} is outside of 0 .. 0.5, a share of the crop")

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of the student's levels."""
        return tuple(times * self.width for times in WIDENING)

    @property
    def resolution(self) -> int:
        """Side of the teacher's pictures. Raises PackError."""
        return StyleLibrary().card(self.style).resolution


PRESETS = {
    "gpu": DistillConfig(),
    "cpu": DistillConfig(images=40_000, batch=8, part=0.5, ema_images=2000, sample_every=2000),
}
