"""Recipe: example pictures for the app, faces that the base's own generator made up.

    python -m train.examples --base engine/packs/base --photos sets/photos --out demo/assets

Nobody's photograph is shown: every picture is drawn from codes that blend those of three photos.
Samples are drawn until enough of them have a face that the embedded detector finds; each is
written as example_N.png.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from engine.base import read_base
from engine.detect import EmbeddedDetector
from engine.errors import TrainingError
from engine.image import resize, to_uint8, write_png
from engine.latent import map_zplus
from engine.pack import load_pack
from engine.runtime import pick_runtime
from train.data import load_images
from train.encoder import posteriors

SIZE = 256
MAX_DRAWS = 200


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line and write the examples.

    Raises:
        TrainingError: the generator's samples have no recognisable faces.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", default="engine/packs/base", help="base pack with a detector")
    parser.add_argument("--photos", required=True, help="folder of aligned photos to blend")
    parser.add_argument("--out", default="demo/assets", help="folder to write into")
    parser.add_argument("--count", type=int, default=6, help="how many, default 6")
    parser.add_argument("--seed", type=int, default=0, help="first seed to try")
    args = parser.parse_args(argv)
    base = read_base(load_pack(args.base), pick_runtime())
    mu, _ = posteriors(base.encoder, load_images(args.photos, base.encoder.input_size))
    mu = mu.to(base.runtime.device)
    detector = EmbeddedDetector(base.detector)
    written = 0
    for seed in range(args.seed, args.seed + MAX_DRAWS):
        chosen = torch.randperm(len(mu), generator=torch.Generator().manual_seed(seed))[:3]
        with torch.inference_mode():
            ws = map_zplus(base.generator.mapping, mu[chosen].mean(0, keepdim=True))
            picture = to_uint8(base.generator.synthesis(ws))[0]
        picture = resize(picture, SIZE, SIZE)
        if len(detector(picture)) == 1:
            written += 1
            write_png(Path(args.out) / f"example_{written}.png", picture)
        if written == args.count:
            return
    raise TrainingError(
        f"only {written} of {MAX_DRAWS} samples of {args.base} show a face, {args.count} are "
        "wanted: train the base longer"
    )


if __name__ == "__main__":
    main()
