"""Recipe: one more style from one picture (BlendGAN, Liu et al. 2021, supplement E).

    python -m train.oneshot REFERENCE --style PACK --pack OUT --photos PHOTOS

Everything of train.blend is tuned on, but the style encoder: the style discriminators see nothing
but the reference, that of the faces goes on with photos; 1000 iterations of one picture each. With
`--continue-run` the discriminators go on as well; without it those of the styles begin anew, which
takes longer to get as far.
"""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from engine.errors import DataError, OptionError
from engine.image import read_photo, resize
from train.blend import BlendConfig, fit
from train.config import run_recipe
from train.data import ImageSet
from train.packs import load_source


@dataclass(frozen=True)
class OneshotConfig:
    """Settings of train.oneshot; the defaults are those of the paper."""

    reference: str = field(default="", metadata={"help": "the picture: an aligned square face"})
    style: str = field(default="", metadata={"help": "style pack of train.blend"})
    pack: str = field(default="", metadata={"help": "style pack to write at the end"})
    photos: str = field(
        default="", metadata={"holds": "photos", "help": "folder of aligned photos"}
    )
    about: str = field(default="", metadata={"help": "the picture and its licence, for the card"})
    base: str = field(default="engine/packs/base", metadata={"help": "base of the style pack"})
    out: str = field(default="runs/oneshot", metadata={"help": "run folder; rerun to resume"})
    title: str = field(default="", metadata={"help": "what people read in the gallery"})
    continue_run: str = field(default="", metadata={"help": "run folder of train.blend, if kept"})
    iterations: int = field(default=1000, metadata={"help": "steps"})
    batch: int = field(default=1, metadata={"help": "pictures of each kind per step"})
    lr: float = field(default=0.002, metadata={"help": "Adam, betas 0 and 0.99"})
    photo_share: float = field(default=0.0, metadata={"help": "of face codes, from the encoder"})
    detail_share: float = field(
        default=0.0, metadata={"help": "share of photo codes with all that only the photo shows"}
    )
    r1_gamma: float = field(default=10.0, metadata={"help": "of gamma / 2 |grad D|^2"})
    path_weight: float = field(default=2.0, metadata={"help": "path length; 0 turns it off"})
    ema_images: float = field(default=500, metadata={"help": "half-life of the average"})
    mix_layer: int = field(default=6, metadata={"help": "indicator of the pack"})
    sample_every: int = field(default=100, metadata={"help": "iterations between grids"})
    seed: int = field(default=0, metadata={"help": "of everything that is drawn"})

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        self.blending()

    def blending(self) -> BlendConfig:
        """The same as settings of train.blend; raises OptionError."""
        shared = {name: value for name, value in asdict(self).items() if name != "reference"}
        return BlendConfig(**shared, data=self.reference)


PRESETS = {
    "paper": OneshotConfig(),
    "cpu": OneshotConfig(
        iterations=200,
        lr=0.001,
        photo_share=1.0,
        detail_share=0.9,
        r1_gamma=1.0,
        path_weight=0.0,
        ema_images=50,
    ),
}


def train(config: OneshotConfig) -> None:
    """Train, resume by rerunning, and write the style pack at the end."""
    source = load_source(config.base)
    reference = read_reference(config.reference, source.G.resolution)
    fit(config.blending(), source, reference, "train.oneshot")


def read_reference(file: str, resolution: int) -> ImageSet:
    """One aligned picture as a training set.

    Raises:
        OptionError: no file given.
        DataError: it is not square.
        ImageError: it is no picture.
    """
    if not file:
        raise OptionError("no picture given: name one, python -m train.oneshot reference.png ...")
    rgb = read_photo(file).rgb
    height, width = rgb.shape[:2]
    if height != width:
        raise DataError(
            f"{file} is {width}x{height}; an aligned face is square: run python -m train.prepare "
            "on its folder"
        )
    pixels = torch.from_numpy(resize(rgb, resolution, resolution)).permute(2, 0, 1)
    return ImageSet(pixels[None].contiguous(), ("",), (Path(file).name,))


def main(argv: Sequence[str]) -> None:
    """Take the reference as the first argument or as --reference."""
    if argv and not argv[0].startswith("-"):
        argv = ["--reference", *argv]
    run_recipe(OneshotConfig, PRESETS, train, __doc__, argv)


if __name__ == "__main__":
    main(sys.argv[1:])
