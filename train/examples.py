"""Recipe: example pictures for the app, as the base's own generator draws them.

    python -m train.examples PICTURE... --base engine/packs/base --out demo/assets

PICTUREs are aligned portraits of people who do not exist, free for any use: the page shows what the
base draws of their codes and detail, so that nobody's photograph is in it. Each is written as
example_N.png, if the embedded detector finds its face.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from engine.base import read_base
from engine.detect import EmbeddedDetector
from engine.errors import TrainingError
from engine.image import read_photo, resize, to_tensor, to_uint8, write_png
from engine.pack import load_pack
from engine.runtime import pick_runtime
from train.seen import drawing

SIZE = 256


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line and write the examples.

    Raises:
        ImageError, PackError: a picture or the base cannot be read.
        TrainingError: a drawing shows no face, or several.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures", metavar="PICTURE", nargs="+", help="aligned, of nobody")
    parser.add_argument("--base", default="engine/packs/base", help="base pack with a detector")
    parser.add_argument("--out", default="demo/assets", help="folder to write into")
    args = parser.parse_args(argv)
    base = read_base(load_pack(args.base), pick_runtime())
    detector = EmbeddedDetector(base.detector)
    space = base.pack.card.encoder_space
    for number, file in enumerate(args.pictures, 1):
        photo, small = (
            to_tensor(resize(read_photo(file).rgb, side, side)[None])
            for side in (base.generator.resolution, base.encoder.input_size)
        )
        with torch.inference_mode():
            ws = base.encode(small, space).ws
            drawn = drawing(base)(ws, base.detail(photo, ws)).cpu()
        picture = resize(to_uint8(drawn)[0], SIZE, SIZE)
        if len(detector(picture)) != 1:
            raise TrainingError(
                f"{args.base} draws {file} with {len(detector(picture))} faces, 1 is needed: give "
                "another picture, of one person"
            )
        write_png(Path(args.out) / f"example_{number}.png", picture)


if __name__ == "__main__":
    main()
