"""Settings of train.motion: the published ones for 256 px, and small ones."""

from dataclasses import dataclass, field

from engine.errors import OptionError


@dataclass(frozen=True)
class MotionConfig:
    """Settings of train.motion; the defaults are those published for VoxCeleb (vox-256)."""

    data: str = field(default="", metadata={"help": "folder of folders of frames (cut_clips)"})
    photos: str = field(default="", metadata={"help": "folder of square pictures, or nothing"})
    photo_share: float = field(
        default=0.0, metadata={"help": "share of pairs that are one picture, deformed twice"}
    )
    photo_affine: float = field(default=0.1, metadata={"help": "sigma of those deformations"})
    photo_bend: float = field(default=0.02, metadata={"help": "of their thin plate splines"})
    about: str = field(default="", metadata={"help": "clips and licence, for the card"})
    pack: str = field(default="", metadata={"help": "motion pack to write at the end"})
    title: str = field(default="", metadata={"help": "what people read"})
    licence: str = field(default="Apache-2.0", metadata={"help": "of the weights"})
    out: str = field(default="runs/motion", metadata={"help": "run folder; rerun to resume"})
    perceptual: str = field(default="", metadata={"help": "squeezenet_v1.0.npz"})
    size: int = field(default=256, metadata={"help": "side in pixels"})
    num_keypoints: int = field(default=10, metadata={"help": "K"})
    step: int = field(default=4, metadata={"help": "motion is computed at 1 / step of the size"})
    detector_widths: str = field(default="32,64,128,256,512,1024", metadata={"help": "channels"})
    motion_widths: str = field(default="64,128,256,512,1024,1024", metadata={"help": "channels"})
    generator_widths: str = field(default="64,128,256", metadata={"help": "channels"})
    num_residuals: int = field(default=6, metadata={"help": "of the generator"})
    images: int = field(default=92_482_500, metadata={"help": "pairs in all"})
    batch: int = field(default=40, metadata={"help": "pairs per step"})
    accumulate: int = field(default=1, metadata={"help": "parts a batch is computed in"})
    lr: float = field(default=2e-4, metadata={"help": "Adam, betas 0.5 and 0.999"})
    lr_drops: str = field(
        default="0.6,0.9", metadata={"help": "parts of it where lr falls to 1/10"}
    )
    scales: str = field(default="1,2,4", metadata={"help": "the perceptual loss sees 1 / these"})
    perceptual_weight: float = field(default=10.0, metadata={"help": "per layer and scale"})
    value_weight: float = field(default=10.0, metadata={"help": "equivariance of keypoints"})
    jacobian_weight: float = field(default=10.0, metadata={"help": "equivariance of jacobians"})
    gan_weight: float = field(default=0.0, metadata={"help": "adversarial; 0: no discriminator"})
    matching_weight: float = field(default=10.0, metadata={"help": "of D's features, with GAN"})
    sigma_affine: float = field(default=0.05, metadata={"help": "of random deformations"})
    sigma_bend: float = field(default=0.005, metadata={"help": "of their thin plate splines"})
    bend_side: int = field(default=5, metadata={"help": "control points per side"})
    zoom: float = field(
        default=1.0, metadata={"help": "pairs are enlarged by up to this, for tighter framing"}
    )
    jitter: float = field(default=0.1, metadata={"help": "of brightness, contrast, colours, hue"})
    holdout: int = field(default=0, metadata={"help": "clips never trained on, to measure on"})
    sample_every: int = field(default=1000, metadata={"help": "steps between sample grids"})
    seed: int = field(default=0, metadata={"help": "of everything that is drawn"})

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        for name in ("detector_widths", "motion_widths", "generator_widths", "scales"):
            if min(self.numbers(name)) < 1:
                raise OptionError(f"--{name} is {getattr(self, name)}; whole numbers from 1 on")
        if self.images < self.batch or self.batch < 2:
            raise OptionError(
                f"--images {self.images} must be at least --batch {self.batch}, that at least 2: "
                "batch norm compares the pictures of a batch"
            )
        halvings = max(len(self.numbers(n)) for n in ("detector_widths", "motion_widths")) - 1
        if self.size % (self.step * 2**halvings) or self.size // self.step < 8:
            raise OptionError(
                f"--size {self.size} must be a multiple of --step {self.step} times "
                f"{2**halvings} (the hourglasses halve {halvings} times) and of 8 --step at least"
            )
        smallest = self.size // max(self.numbers("scales"))
        if smallest < 64 or not set(self.numbers("scales")) <= {1, 2, 4, 8}:
            raise OptionError(
                f"--scales {self.scales} of --size {self.size} end at {smallest} px; 1, 2, 4 or 8 "
                "down to 64 px are accepted: the perceptual network sees no less"
            )
        if not 1 <= self.zoom <= 4:
            raise OptionError(f"--zoom is {self.zoom}; 1 (as the frames are) to 4 is accepted")
        if not 0 <= self.photo_share < 1 or (self.photo_share > 0) != bool(self.photos):
            raise OptionError(
                f"--photo-share is {self.photo_share}, --photos {self.photos or 'nothing'}; "
                "both or none are accepted, the share under 1"
            )

    def numbers(self, name: str) -> list[int]:
        """The whole numbers of a setting that is a list; raises OptionError."""
        text = getattr(self, name)
        try:
            return [int(word) for word in text.split(",")]
        except ValueError as error:
            raise OptionError(
                f"--{name.replace('_', '-')} is {text!r}; whole numbers with commas are accepted"
            ) from error

    @property
    def weights(self) -> dict[str, float]:
        """Of the terms of the objective, by their names."""
        return {
            "perceptual": self.perceptual_weight,
            "equivariance_value": self.value_weight,
            "equivariance_jacobian": self.jacobian_weight,
            "loss_G": self.gan_weight,
            "matching": self.matching_weight,
        }

    def lr_at(self, cur_nimg: int) -> float:
        """The learning rate after that many pairs."""
        drops = [float(word) for word in self.lr_drops.split(",") if word]
        return self.lr * 0.1 ** sum(cur_nimg >= part * self.images for part in drops)


# vox-256: 100 epochs of 75 pairs of each of 12,331 clips; VGG-19 at 1, 1/2, 1/4, 1/8 of the size is
# replaced by SqueezeNet, which sees no less than 64 px. vox-adv-256: 150 epochs, its discriminator
# sees the keypoints.
PRESETS = {
    "vox": MotionConfig(),
    "vox-adv": MotionConfig(images=138_723_750, batch=36, lr_drops="", gan_weight=1.0),
    "gpu": MotionConfig(images=2_000_000, batch=32, holdout=1),
    "cpu": MotionConfig(
        size=128,
        detector_widths="16,32,64,128,128",
        motion_widths="16,32,64,128,128",
        generator_widths="16,32,96",
        num_residuals=3,
        images=160_000,
        batch=8,
        lr=4e-4,
        scales="1,2",
        zoom=1.5,  # cut_clips leaves more room around a face than demo.animate does
        holdout=1,
        sample_every=500,
    ),
}
