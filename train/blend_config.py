"""Settings of train.blend, those of the paper and small ones."""

from dataclasses import dataclass, field

from engine.errors import OptionError


@dataclass(frozen=True)
class BlendConfig:
    """Settings of train.blend; the defaults are those of the paper."""

    data: str = field(
        default="",
        metadata={"holds": "exemplars", "help": "folder of aligned exemplars, many styles"},
    )
    photos: str = field(
        default="", metadata={"holds": "photos", "help": "folder of aligned photos"}
    )
    style: str = field(default="", metadata={"help": "style pack with a style encoder"})
    about: str = field(default="", metadata={"help": "exemplars and licence, for the card"})
    pack: str = field(default="", metadata={"help": "style pack to write at the end"})
    base: str = field(default="engine/packs/base", metadata={"help": "base of the style pack"})
    out: str = field(default="runs/blend", metadata={"help": "run folder; rerun to resume"})
    title: str = field(default="", metadata={"help": "what people read in the gallery"})
    continue_run: str = field(default="", metadata={"help": "run whose discriminators to take"})
    iterations: int = field(default=200_000, metadata={"help": "steps"})
    batch: int = field(default=8, metadata={"help": "pictures of each kind per step"})
    accumulate: int = field(default=1, metadata={"help": "parts of a batch, one after the other"})
    lr: float = field(default=0.002, metadata={"help": "Adam, betas 0 and 0.99"})
    face_share: float = field(default=1.0, metadata={"help": "a of all layers at the start"})
    photo_share: float = field(default=0.0, metadata={"help": "of face codes, from the encoder"})
    detail_share: float = field(
        default=0.0, metadata={"help": "share of photo codes with all that only the photo shows"}
    )
    code_space: str = field(default="z", metadata={"help": "z, or z+: one z for every layer"})
    mixing: float = field(default=0.0, metadata={"help": "share of random codes crossed over"})
    r1_gamma: float = field(default=10.0, metadata={"help": "of gamma / 2 |grad D|^2"})
    r1_interval: int = field(default=16, metadata={"help": "steps between R1 steps"})
    path_weight: float = field(default=2.0, metadata={"help": "path length; 0 turns it off"})
    path_interval: int = field(default=4, metadata={"help": "steps between path length steps"})
    ema_images: float = field(default=10_000, metadata={"help": "half-life of the average"})
    mix_layer: int = field(default=6, metadata={"help": "indicator of the pack"})
    sample_every: int = field(default=1000, metadata={"help": "iterations between grids"})
    watch_every: int = field(default=1000, metadata={"help": "iterations between looks; 0: none"})
    seed: int = field(default=0, metadata={"help": "of everything that is drawn"})

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        if not 0 <= self.face_share <= 1:
            raise OptionError(f"--face-share {self.face_share} is not within 0 and 1: try 1")
        if self.iterations < 1 or self.batch < 1:
            raise OptionError(
                f"--iterations {self.iterations} and --batch {self.batch} must be at least 1"
            )


PRESETS = {
    "paper": BlendConfig(),
    # A share of 0.5 shows the style at once, 1 would take hundreds of steps to let it in
    "cpu": BlendConfig(
        iterations=600,
        batch=4,
        lr=0.001,
        face_share=0.5,
        photo_share=1.0,
        detail_share=0.9,
        r1_gamma=1.0,
        path_weight=0.0,
        ema_images=1000,
        sample_every=100,
        watch_every=200,
    ),
}
