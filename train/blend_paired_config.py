"""Settings of train.blend_paired."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class BlendPairedConfig:
    """Settings of train.blend_paired."""

    data: str = field(
        default="",
        metadata={"holds": "exemplars", "help": "aligned exemplars; attribute: their teacher"},
    )
    teachers: str = field(default="engine/packs", metadata={"help": "folder of the styles"})
    photos: str = field(
        default="", metadata={"holds": "photos", "help": "folder of aligned photos"}
    )
    style: str = field(default="", metadata={"help": "style pack with a style encoder"})
    about: str = field(default="", metadata={"help": "exemplars and licence, for the card"})
    pack: str = field(default="", metadata={"help": "style pack to write at the end"})
    base: str = field(default="engine/packs/base", metadata={"help": "base of all the styles"})
    out: str = field(default="runs/blend_paired", metadata={"help": "run folder; rerun to resume"})
    title: str = field(default="", metadata={"help": "what people read in the gallery"})
    perceptual: str = field(
        default="", metadata={"help": "squeezenet_v1.0.npz; nothing: the base's discriminator"}
    )
    images: int = field(default=200_000, metadata={"help": "pictures drawn in training"})
    batch: int = field(default=16, metadata={"help": "pictures per step"})
    accumulate: int = field(default=1, metadata={"help": "parts of a batch, one after the other"})
    lr: float = field(default=2e-3, metadata={"help": "of Adam, for what draws and encodes"})
    mapping_lr: float = field(default=2e-2, metadata={"help": "of the style mapping"})
    freeze_share: float = field(
        default=0.25, metadata={"help": "layers below this share of the size stay the face's"}
    )
    face_share: float = field(default=0.3, metadata={"help": "a of the layers above"})
    perceptual_weight: float = field(default=0.5, metadata={"help": "LPIPS-like distance"})
    unchanged: float = field(default=0.4, metadata={"help": "share of colours left as they are"})
    photo_share: float = field(default=1.0, metadata={"help": "of face codes, from the encoder"})
    detail_share: float = field(
        default=0.9, metadata={"help": "share of photo codes with all that only the photo shows"}
    )
    code_space: str = field(default="z", metadata={"help": "z, or z+: one z for every layer"})
    mixing: float = field(default=0.0, metadata={"help": "share of random codes crossed over"})
    ema_images: float = field(default=5000, metadata={"help": "half-life of the average"})
    mix_layer: int = field(default=0, metadata={"help": "indicator of the pack"})
    sample_every: int = field(default=10_000, metadata={"help": "images between sample grids"})
    seed: int = field(default=0, metadata={"help": "of everything that is drawn"})


PRESETS = {
    "gpu": BlendPairedConfig(),
    "cpu": BlendPairedConfig(images=6000, batch=4, ema_images=400, sample_every=600),
}
