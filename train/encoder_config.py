"""Settings of train.encoder, those of the papers and small ones."""

from dataclasses import dataclass, field

from engine.card import ENCODER_SPACES
from engine.errors import OptionError


@dataclass(frozen=True)
class EncoderConfig:
    """Settings of train.encoder; the defaults are those of AgileGAN."""

    data: str = field(default="", metadata={"holds": "photos", "help": "folder of aligned photos"})
    about: str = field(default="", metadata={"help": "the photos and their licence, for the card"})
    base: str = field(default="engine/packs/base", metadata={"help": "pack to read and update"})
    out: str = field(default="runs/encoder", metadata={"help": "run folder; rerun to resume"})
    space: str = field(default="z+", metadata={"help": "what a photo becomes: z+, z, w+ or w"})
    variational: bool = field(default=True, metadata={"help": "a posterior; in z+ only"})
    perceptual: str = field(default="", metadata={"help": "squeezenet_v1.0.npz"})
    identity: str = field(default="", metadata={"help": "ArcFace state dict, or nothing"})
    epochs: float = field(default=20, metadata={"help": "passes over the mirrored photos"})
    batch: int = field(default=16, metadata={"help": "images per step"})
    accumulate: int = field(default=1, metadata={"help": "parts a batch is computed in"})
    optimizer: str = field(default="radam", metadata={"help": "radam or ranger"})
    lr: float = field(default=1e-3, metadata={"help": "of the optimizer"})
    l2_weight: float = field(default=1.0, metadata={"help": "mean squared error"})
    perceptual_weight: float = field(default=0.8, metadata={"help": "LPIPS-like distance"})
    identity_weight: float = field(default=0.8, metadata={"help": "1 - cosine of embeddings"})
    kl_weight: float = field(default=5e-4, metadata={"help": "KL summed per code of 512"})
    w_norm_weight: float = field(default=0.0, metadata={"help": "distance of w to the average"})
    face_weight: float = field(default=0.0, metadata={"help": "l2, LPIPS on eyes to mouth"})
    loss_size: int = field(default=256, metadata={"help": "side at which pictures are compared"})
    imitate: int = field(
        default=0,
        metadata={
            "help": "resolution at which half-drawn pictures are compared with those of the "
            "base's first encoder; 0: whole ones with the photos"
        },
    )
    init: str = field(
        default="pack", metadata={"help": "pack, narrow, full, or in w+ and w fitted to the first"}
    )
    input_size: int = field(default=64, metadata={"help": "side of a new encoder's input"})
    sample_every: int = field(default=10_000, metadata={"help": "images between sample grids"})
    ema_images: float = field(default=10_000, metadata={"help": "half-life of the average"})
    seed: int = field(default=0, metadata={"help": "of everything that is drawn"})

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        accepted = {
            "init": ("pack", "narrow", "full", "fitted"),
            "space": tuple(ENCODER_SPACES),
            "optimizer": ("radam", "ranger"),
        }
        for name, words in accepted.items():
            value = getattr(self, name)
            if value not in words:
                raise OptionError(f"--{name} {value!r} is none of {', '.join(words)}")
        if self.init == "fitted" and not self.space.startswith("w"):
            raise OptionError(f"--init fitted is for w+ and w, not for {self.space}: use narrow")
        if self.epochs < 0:
            raise OptionError(f"--epochs {self.epochs} is below 0: 0.3 tunes what was fitted")

    @property
    def has_posterior(self) -> bool:
        """Whether the encoder answers a distribution: variational ones into Z+ do."""
        return self.variational and self.space == "z+"


PRESETS = {
    "agilegan": EncoderConfig(init="full", input_size=256),
    # Richardson et al. 2021, Section 4 and Appendix A: 500 000 steps on the 70 000 faces of FFHQ.
    "psp": EncoderConfig(
        space="w+",
        init="full",
        input_size=256,
        epochs=28,
        batch=8,
        optimizer="ranger",
        lr=1e-4,
        identity_weight=0.1,
        w_norm_weight=0.005,
    ),
    "cpu": EncoderConfig(init="pack", epochs=2, lr=5e-4, kl_weight=5e-5),
}
