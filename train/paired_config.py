"""Settings of train.paired, those of the paper and small ones."""

from dataclasses import dataclass, field

from engine.card import ENCODER_SPACES
from engine.errors import OptionError
from train.pairs import LEVELS
from train.semantic import check_size


@dataclass(frozen=True)
class PairedConfig:
    """Settings of train.paired; the defaults are those of the paper."""

    data: str = field(
        default="", metadata={"holds": "exemplars", "help": "folder of aligned exemplars"}
    )
    pairs: str = field(default="", metadata={"help": "folder of train.pairs, or nothing"})
    level: int = field(default=2, metadata={"help": "1, 2 or 3: choose on the sheet"})
    about: str = field(default="", metadata={"help": "exemplars and licence, for the card"})
    pack: str = field(default="", metadata={"help": "style pack to write at the end"})
    base: str = field(default="engine/packs/base", metadata={"help": "base pack to start from"})
    out: str = field(default="runs/paired", metadata={"help": "run folder; rerun to resume"})
    title: str = field(default="", metadata={"help": "what people read in the gallery"})
    photos: str = field(
        default="", metadata={"holds": "photos", "help": "folder of aligned photos, or nothing"}
    )
    photo_share: float = field(default=0.5, metadata={"help": "share of codes from photos"})
    code_space: str = field(default="z", metadata={"help": "z, or z+: one z for every layer"})
    mixing: float = field(default=0.0, metadata={"help": "share of random codes crossed over"})
    perceptual: str = field(
        default="",
        metadata={"help": "squeezenet_v1.0.npz, lpips, or nothing: the base's discriminator"},
    )
    identity: str = field(default="", metadata={"help": "ArcFace file, or nothing"})
    iterations: int = field(default=1000, metadata={"help": "3000 for anime"})
    batch: int = field(default=4, metadata={"help": "pictures of each kind per step"})
    accumulate: int = field(default=1, metadata={"help": "parts of a batch, one after the other"})
    lr: float = field(default=0.02, metadata={"help": "Adam, betas 0 and 0.99"})
    semantic_weight: float = field(default=1.0, metadata={"help": "G'(z) against G(z)"})
    paired_weight: float = field(default=1.0, metadata={"help": "G'(w_pair) against exemplars"})
    identity_weight: float = field(default=0.1, metadata={"help": "beside LPIPS at 1"})
    size: int = field(default=256, metadata={"help": "side at which pictures are compared"})
    r1_gamma: float = field(default=10.0, metadata={"help": "of gamma / 2 |grad D|^2"})
    r1_interval: int = field(default=16, metadata={"help": "steps between R1 steps"})
    ada_p: float = field(default=0.0, metadata={"help": "probability of augmentations"})
    ema_images: float = field(default=1000, metadata={"help": "half-life of the average of G"})
    encoder_space: str = field(default="w", metadata={"help": "of photos, if the base has it"})
    truncation: float = field(default=0.9, metadata={"help": "0.7 cartoon, 0.6 anime"})
    mix_layer: int = field(default=6, metadata={"help": "first layer of variations: 3 to 12"})
    sample_every: int = field(default=100, metadata={"help": "iterations between sample grids"})
    choose_every: int = field(
        default=100, metadata={"help": "iterations between candidates for the pack; 0: the last"}
    )
    likeness_weight: float = field(default=1.0, metadata={"help": "in the choice of the pack"})
    seed: int = field(default=0, metadata={"help": "of everything that is drawn"})

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        if self.level not in range(1, len(LEVELS) + 1):
            raise OptionError(f"--level {self.level} is none of 1, 2, 3: look at the pairs' sheet")
        if self.encoder_space not in ENCODER_SPACES:
            accepted = ", ".join(ENCODER_SPACES)
            raise OptionError(f"--encoder-space {self.encoder_space!r} is none of {accepted}")
        if self.iterations < 1 or self.batch < 1:
            raise OptionError(
                f"--iterations {self.iterations} and --batch {self.batch} must be at least 1"
            )
        check_size(self.size)


PRESETS = {
    "paper": PairedConfig(),
    # At 0.02 a small base is torn apart within 50 steps; its random faces are poor, photos' are not
    "cpu": PairedConfig(
        iterations=300,
        lr=0.001,
        size=128,
        r1_gamma=1.0,
        ada_p=0.2,
        photo_share=1.0,
        choose_every=0,
    ),
}
