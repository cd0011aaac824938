"""Settings of train.pretrain, and combinations of them that were tried."""

from dataclasses import dataclass, field, replace

from engine.errors import OptionError


@dataclass(frozen=True)
class PretrainConfig:
    """Settings of train.pretrain; see PRESETS for tried combinations."""

    data: str = field(
        default="", metadata={"holds": "photos", "help": "folder of aligned pictures"}
    )
    about: str = field(
        default="", metadata={"help": "the pictures and their licence, for the card"}
    )
    out: str = field(default="runs/base", metadata={"help": "run folder; rerun to resume"})
    pack: str = field(default="", metadata={"help": "base pack to write at the end"})
    grow_from: str = field(default="", metadata={"help": "state.pt of a run, or a base pack"})
    resolution: int = field(default=64, metadata={"help": "side of the pictures, a power of two"})
    channel_base: int = field(default=3072, metadata={"help": "channels(r) = base / r ..."})
    channel_max: int = field(default=256, metadata={"help": "... but at most this many"})
    discriminator_base: int = field(default=2048, metadata={"help": "channel_base of D"})
    mapping_layers: int = field(default=4, metadata={"help": "depth of z -> w"})
    images: int = field(default=500_000, metadata={"help": "real images to show D"})
    batch: int = field(default=16, metadata={"help": "images per step"})
    accumulate: int = field(default=1, metadata={"help": "parts a batch is computed in"})
    lr: float = field(default=0.0025, metadata={"help": "Adam, betas 0 and 0.99"})
    anneal: int = field(default=0, metadata={"help": "last images, with falling rates"})
    r1_gamma: float = field(default=1.0, metadata={"help": "R1 is weighted gamma / 2"})
    r1_interval: int = field(default=16, metadata={"help": "steps between R1 steps"})
    path_weight: float = field(default=2.0, metadata={"help": "path length; 0 turns it off"})
    path_interval: int = field(default=8, metadata={"help": "steps between path length steps"})
    mixing: float = field(default=0.9, metadata={"help": "probability of style mixing"})
    ema_images: float = field(default=10_000, metadata={"help": "half-life of the average of G"})
    ada_speed: float = field(default=200_000, metadata={"help": "images for p to go 0 -> 1"})
    reconstruct: float = field(default=0.0, metadata={"help": "weight of the encoder's losses"})
    warmup: int = field(default=0, metadata={"help": "images before D joins; needs an encoder"})
    adversarial: float = field(default=1.0, metadata={"help": "weight of G's logistic loss"})
    encoder_lr: float = field(default=0.001, metadata={"help": "Adam, betas 0.9 and 0.99"})
    encoder_size: int = field(default=64, metadata={"help": "side of the encoder's input"})
    perceptual: str = field(default="", metadata={"help": "squeezenet_v1.0.npz"})
    perceptual_weight: float = field(default=0.8, metadata={"help": "AgileGAN: 0.8"})
    face_weight: float = field(default=0.0, metadata={"help": "the same losses on eyes to mouth"})
    kl_weight: float = field(default=5e-4, metadata={"help": "AgileGAN: 5e-4"})
    sample_every: int = field(default=10_000, metadata={"help": "images between sample grids"})
    seed: int = field(default=0, metadata={"help": "of everything that is drawn"})

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        if self.resolution < 8 or self.resolution & (self.resolution - 1):
            raise OptionError(
                f"--resolution {self.resolution} is not a power of two of at least 8: try 64"
            )
        if self.batch < 2 or self.batch % 2:
            raise OptionError(f"--batch {self.batch} must be even and at least 2: try 16")
        if self.warmup > 0 >= self.reconstruct:
            raise OptionError(f"--warmup {self.warmup} needs an encoder: try --reconstruct 4")

    def channels(self, base: int) -> dict[int, int]:
        """Channels per resolution, from 4 px up: base / r between 16 and channel_max."""
        sizes = [2**i for i in range(2, self.resolution.bit_length())]
        return {r: min(max(base // r, 16), self.channel_max) for r in sizes}


_WITH_ENCODER = PretrainConfig(
    path_weight=0.0, reconstruct=4.0, encoder_lr=0.0015, face_weight=0.5, kl_weight=5e-5
)

PRESETS = {
    "cpu": replace(_WITH_ENCODER, batch=8, lr=0.003, r1_gamma=0.3, warmup=24_000),
    # The last of three rungs of the embedded base (docs/training.md): four minutes on an H200.
    "gpu": replace(
        _WITH_ENCODER,
        resolution=256,
        channel_base=6144,
        discriminator_base=8192,
        images=150_000,
        batch=64,
        anneal=60_000,
        r1_gamma=0.5,
    ),
    "stylegan2": PretrainConfig(
        resolution=256,
        channel_base=32768,
        discriminator_base=32768,
        channel_max=512,
        mapping_layers=8,
        images=25_000_000,
        batch=32,
        lr=0.002,
        ada_speed=500_000,
    ),
}
