"""Settings of train.transfer, those of the papers and small ones."""

from dataclasses import dataclass, field, replace

from engine.errors import OptionError


@dataclass(frozen=True)
class TransferConfig:
    """Settings of train.transfer; the defaults are those of AgileGAN."""

    data: str = field(
        default="", metadata={"holds": "exemplars", "help": "folder of aligned exemplars"}
    )
    about: str = field(default="", metadata={"help": "exemplars and licence, for the card"})
    pack: str = field(default="", metadata={"help": "style pack to write at the end"})
    base: str = field(default="engine/packs/base", metadata={"help": "base pack to start from"})
    start_from: str = field(default="", metadata={"help": "style pack to go on from, or nothing"})
    out: str = field(default="runs/transfer", metadata={"help": "run folder; rerun to resume"})
    title: str = field(default="", metadata={"help": "what people read in the gallery"})
    method: str = field(default="AgileGAN transfer", metadata={"help": "what the card calls it"})
    attributes: str = field(default="", metadata={"help": "paths, separated by commas"})
    path_from: int = field(default=8, metadata={"help": "lowest resolution of the paths"})
    path_until: int = field(default=64, metadata={"help": "highest resolution of the paths"})
    swap_resolution: int = field(
        default=0, metadata={"help": "the pack hands over the photo's features here; 0: it blends"}
    )
    code_space: str = field(default="z+", metadata={"help": "random codes: z per layer (z+) or z"})
    mixing: float = field(default=0.5, metadata={"help": "share of z codes crossed over"})
    photos: str = field(
        default="", metadata={"holds": "photos", "help": "folder of aligned photos, or nothing"}
    )
    photo_share: float = field(default=0.5, metadata={"help": "share of codes from photos"})
    detail_share: float = field(
        default=0.0,
        metadata={"help": "share of photo codes with all that only the photo shows; 0: papers"},
    )
    perceptual: str = field(
        default="", metadata={"help": "squeezenet_v1.0.npz; nothing: the base's discriminator"}
    )
    iterations: int = field(default=1200, metadata={"help": "900 to 2200 in the paper"})
    batch: int = field(default=8, metadata={"help": "exemplars per attribute and step"})
    accumulate: int = field(default=1, metadata={"help": "parts a batch is computed in"})
    lr: float = field(default=0.002, metadata={"help": "Adam, betas 0 and 0.99"})
    loss: str = field(default="hinge", metadata={"help": "hinge or logistic"})
    sim_weight: float = field(default=0.5, metadata={"help": "structure of the source picture"})
    sim_drop: int = field(default=2, metadata={"help": "perceptual layers left out"})
    r1_weight: float = field(default=5.0, metadata={"help": "of gamma / 2 |grad D|^2"})
    r1_gamma: float = field(default=10.0, metadata={"help": "gamma"})
    r1_interval: int = field(default=16, metadata={"help": "steps between R1 steps"})
    path_weight: float = field(default=2.0, metadata={"help": "path length; 0 turns it off"})
    path_interval: int = field(default=8, metadata={"help": "steps between path length steps"})
    freeze_mapping: bool = field(default=True, metadata={"help": "keep z -> w as the base's"})
    freeze_share: float = field(
        default=0.0, metadata={"help": "layers of G below this share of its size kept (FreezeG)"}
    )
    freeze_d: int = field(default=0, metadata={"help": "first blocks of D kept (FreezeD)"})
    ada_p: float = field(default=0.0, metadata={"help": "probability of augmentations at first"})
    ada_speed: float = field(default=0.0, metadata={"help": "images for p to go 0 -> 1; 0: fixed"})
    ema_images: float = field(default=1000, metadata={"help": "half-life of the average of G"})
    sample_every: int = field(default=100, metadata={"help": "iterations between sample grids"})
    choose_every: int = field(
        default=100, metadata={"help": "iterations between candidates for the pack; 0: the last"}
    )
    likeness_weight: float = field(default=1.0, metadata={"help": "in the choice of the pack"})
    holdout: int = field(default=0, metadata={"help": "exemplars D never sees, to watch it"})
    seed: int = field(default=0, metadata={"help": "of everything that is drawn"})

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        if not 0 <= self.photo_share <= 1:
            raise OptionError(f"--photo-share {self.photo_share} is not within 0 and 1: try 0.5")
        if not 0 <= self.freeze_share <= 1:
            raise OptionError(
                f"--freeze-share {self.freeze_share} is not within 0 and 1: 0.25 keeps shapes"
            )
        if self.iterations < 1 or self.batch < 1 or self.accumulate < 1:
            raise OptionError(
                f"--iterations {self.iterations}, --batch {self.batch} and --accumulate "
                f"{self.accumulate} must be at least 1"
            )
        for name, accepted in {"loss": ("hinge", "logistic"), "code_space": ("z+", "z")}.items():
            if getattr(self, name) not in accepted:
                flag, value = name.replace("_", "-"), getattr(self, name)
                raise OptionError(f"--{flag} {value!r} is none of {', '.join(accepted)}")
        if self.pack and not self.freeze_mapping:
            raise OptionError(
                "--pack needs --freeze-mapping yes: a style hangs on the mapping of its base; "
                "leave --pack out to compare (the weights are in state.pt of the run)"
            )

    @property
    def names(self) -> list[str]:
        """Names of the attribute paths; [""] for a single one."""
        return [name.strip() for name in self.attributes.split(",")]


# A young base cannot afford the published freedom: trained whole, faces became grimaces within
# 240 iterations. With photos' detail and all shapes kept, what is learned are lines, textures
# and colours, by discriminators that see no blur of ours to tell drawings apart by.
_KEEPS_SHAPES = TransferConfig(
    path_until=16,
    code_space="z",
    photo_share=1.0,
    detail_share=0.9,
    iterations=400,
    batch=4,
    sim_weight=1.0,
    sim_drop=1,
    freeze_share=0.25,
    r1_weight=0.1,
    path_weight=0.0,
    ada_p=0.2,
    ema_images=400,
)

PRESETS = {
    "agilegan": TransferConfig(),
    # Huang et al. 2021, Section IV-B: "the training strategy and loss functions the same as those
    # in the original StyleGAN2", 12 000 iterations at 256 px and 20 000 at 1024; the batch is not
    # told, 16 is that of the code it started from. R1 and path length as there (gamma 10, lazy).
    "ui2i": TransferConfig(
        method="UI2I-StyleGAN2",
        swap_resolution=32,
        code_space="z",
        mixing=0.9,
        iterations=12_000,
        batch=16,
        loss="logistic",
        sim_weight=0.0,
        r1_weight=1.0,
        path_interval=4,
        ema_images=10_000,
        sample_every=500,
        choose_every=0,
    ),
    # The same for one GPU and few exemplars: FreezeD and adaptive augmentation.
    "ui2i-small": TransferConfig(
        method="UI2I-StyleGAN2",
        swap_resolution=32,
        code_space="z",
        mixing=0.9,
        iterations=3000,
        loss="logistic",
        sim_weight=0.0,
        r1_weight=1.0,
        path_interval=4,
        freeze_d=3,
        ada_speed=50_000,
        ema_images=5000,
        sample_every=250,
        choose_every=250,
    ),
    "cpu": _KEEPS_SHAPES,
    # At 256 px, as the embedded styles were made.
    "gpu": replace(
        _KEEPS_SHAPES,
        path_from=128,
        path_until=256,
        iterations=1000,
        batch=8,
        ema_images=2000,
        sample_every=250,
        choose_every=0,
    ),
}
