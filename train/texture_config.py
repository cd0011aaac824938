"""Settings of train.texture."""

from dataclasses import dataclass, field, replace

from engine.errors import OptionError

KEEPS_SHAPES = 0.25  # of the size: layers below draw shapes
FREEZE_SHARES = (KEEPS_SHAPES, 0.125, 0.0625, 0.03125)


@dataclass(frozen=True)
class TextureConfig:
    """Settings of train.texture."""

    data: str = field(
        default="", metadata={"holds": "exemplars", "help": "folder of aligned exemplars"}
    )
    photos: str = field(
        default="", metadata={"holds": "photos", "help": "folder of aligned photos"}
    )
    about: str = field(default="", metadata={"help": "exemplars and licence, for the card"})
    pack: str = field(default="", metadata={"help": "style pack to write at the end"})
    base: str = field(default="engine/packs/base", metadata={"help": "base pack to start from"})
    start_from: str = field(default="", metadata={"help": "style pack to go on from, or nothing"})
    out: str = field(default="runs/texture", metadata={"help": "run folder; rerun to resume"})
    title: str = field(default="", metadata={"help": "what people read in the gallery"})
    attributes: str = field(default="", metadata={"help": "paths, separated by commas"})
    perceptual: str = field(default="", metadata={"help": "squeezenet_v1.0.npz"})
    most_photos: int = field(
        default=1000, metadata={"help": "photos taken, at random; 1.6 MB of memory each at 256 px"}
    )
    iterations: int = field(default=600, metadata={"help": "steps"})
    batch: int = field(default=8, metadata={"help": "exemplars per attribute and step"})
    part: float = field(
        default=0.5625, metadata={"help": "of a picture's side: a random square to learn from"}
    )
    freeze_share: float = field(
        default=0.25,
        metadata={"help": "layers below this share of the size stay; 0.0625 learns shapes, too"},
    )
    path_from: int = field(
        default=0, metadata={"help": "lowest resolution of the paths; 0: half of the size"}
    )
    likeness: float = field(
        default=1.0, metadata={"help": "share of what only photos show, and that of the style"}
    )
    lr: float = field(default=0.002, metadata={"help": "of the generator; Adam, betas 0 and 0.99"})
    scales: int = field(
        default=4, metadata={"help": "of what critics see, finest first; 2: texture only"}
    )
    critic_lr: float = field(default=0.001, metadata={"help": "of the discriminators"})
    ada_speed: float = field(
        default=0.0, metadata={"help": "images for augmentation to go 0 -> 1; 0: none"}
    )
    sim_weight: float = field(default=0.3, metadata={"help": "structure of the source picture"})
    sim_drop: int = field(default=2, metadata={"help": "perceptual layers of five left out"})
    color_weight: float = field(
        default=0.0, metadata={"help": "colours of the source picture, in cells of 16 px"}
    )
    feature_weight: float = field(
        default=0.0, metadata={"help": "contrasts of its eyes and mouth, in cells of 4 px"}
    )
    ema_images: float = field(default=1500, metadata={"help": "half-life of the average of G"})
    sample_every: int = field(default=100, metadata={"help": "iterations between sample grids"})
    choose_every: int = field(
        default=100, metadata={"help": "iterations between candidates for the pack; 0: the last"}
    )
    likeness_weight: float = field(default=1.0, metadata={"help": "in the choice of the pack"})
    seed: int = field(default=0, metadata={"help": "of everything that is drawn"})

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        if self.iterations < 1 or self.batch < 1 or self.most_photos < 1:
            raise OptionError(
                f"--iterations {self.iterations}, --batch {self.batch} and --most-photos "
                f"{self.most_photos} must be at least 1"
            )
        if not 0 < self.part <= 1:
            raise OptionError(f"--part {self.part} is outside of 0 .. 1: try 0.5625")
        if self.freeze_share not in FREEZE_SHARES:
            accepted = ", ".join(map(str, FREEZE_SHARES))
            raise OptionError(f"--freeze-share {self.freeze_share} is none of {accepted}")
        if self.freeze_share < KEEPS_SHAPES and self.part < 1:
            raise OptionError(
                f"--freeze-share {self.freeze_share} trains layers that see all of a picture, "
                f"--part {self.part} shows a square of it: use --part 1"
            )
        if not 0 <= self.likeness <= 1:
            raise OptionError(f"--likeness {self.likeness} is outside of 0 .. 1: 1 takes all of it")
        if not 1 <= self.scales <= 4:
            raise OptionError(f"--scales {self.scales} is none of 1 .. 4: 4 takes all there are")
        if not 0 <= self.sim_drop <= 4:
            raise OptionError(f"--sim-drop {self.sim_drop} is none of 0 .. 4: 2 frees colours")

    @property
    def names(self) -> list[str]:
        """Names of the attribute paths; [""] for a single one."""
        return [name.strip() for name in self.attributes.split(",")]


PRESETS = {
    "cpu": TextureConfig(),
    "gpu": replace(TextureConfig(), iterations=4000, batch=16, most_photos=10_000, part=1.0),
}
