"""Benchmark: how well photos come back out of each space of a base pack's generator.

    python -m train.compare_inversions --data ../shared/data/photos/test --base engine/packs/base

As in Table III of UI2I-StyleGAN2 (Huang et al. 2021): SSIM of reconstructions by StyleGAN2's
projector (W), Image2StyleGAN (W+) and the V space; here with Z+ and an encoder's start too, and all
with the same number of steps and the same distance. Writes a contact sheet and a JSON of numbers.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from engine.errors import OptionError, PackError, StylizeError
from engine.inversion import (
    PRESETS,
    DiscriminatorDistance,
    Distance,
    invert,
)
from engine.latent import map_zplus
from engine.models.perceptual import PerceptualDistance, SqueezeNet
from engine.runtime import pick_runtime
from train.data import as_float, load_images
from train.encoder import bounded_posterior
from train.loop import save_grid
from train.metrics import ssim
from train.packs import Source, load_source

METHODS = {  # name: (preset, where it starts)
    "projector": ("projector", "origin"),
    "image2stylegan": ("image2stylegan", "origin"),
    "v": ("v", "origin"),
    "v-average": ("v-average", "origin"),
    "z+encoder": ("z+", "encoder in Z+"),
    "indomain": ("indomain", "encoder in W+"),
    "z+": ("z+", "origin"),
}


def starts(source: Source, images: torch.Tensor) -> dict[str, torch.Tensor | None]:
    """Codes to start from: none, or those of the base's own encoder."""
    with torch.no_grad():
        z_plus = bounded_posterior(source.E, images)[0]
        ws = map_zplus(source.G.mapping, z_plus)
    return {"origin": None, "encoder in Z+": z_plus, "encoder in W+": ws}


def compare(
    *, base: str, data: str, out: str, count: int, steps: int, perceptual: str, methods: str
) -> Iterator[str]:
    """Run the benchmark, write sheet.png and numbers.json, and yield the lines of its table."""
    wanted = methods.split(",") if methods else list(METHODS)
    if unknown := set(wanted) - set(METHODS):
        raise OptionError(f"--methods {sorted(unknown)}; accepted are {', '.join(METHODS)}")
    runtime = pick_runtime()
    source = load_source(base)
    if source.E is None:
        raise PackError(f"{base} has no encoder; train one with python -m train.encoder")
    for network in (source.G, source.D, source.E):
        network.to(runtime.device)
    photos = load_images(data, source.G.resolution)
    chosen = torch.linspace(0, len(photos) - 1, count).long()
    images = as_float(photos.images[chosen]).to(runtime.device)
    distance: Distance = DiscriminatorDistance(source.D)
    if perceptual:
        distance = PerceptualDistance(SqueezeNet.from_npz(perceptual)).to(runtime.device)
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    rows, columns = {}, [images.cpu()]
    yield f"{'':<16}{'SSIM':>9}{'L2':>9}{'first':>9}{'last':>9}{'seconds':>9}"
    codes = starts(source, images)
    for name in wanted:
        preset, start = METHODS[name]
        recipe, begun = replace(PRESETS[preset], steps=steps), time.monotonic()
        found = invert(source.G, images, recipe, distance=distance, start=codes[start])
        picture = found.picture.clamp(-1, 1)
        row = {
            "ssim": ssim(picture, images.cpu()).mean().item(),
            "l2": (picture - images.cpu()).square().mean().item(),
            "first_loss": found.losses[:, 0].mean().item(),
            "last_loss": found.losses[:, -1].mean().item(),
            "seconds": time.monotonic() - begun,
        }
        rows[name] = row
        columns.append(picture)
        yield f"{name:<16}" + "".join(f"{x:9.4g}" for x in row.values())
        save_grid(folder / "sheet.png", torch.stack(columns, 1).flatten(0, 1), len(columns))
        settings = {"steps": steps, "photos": [photos.files[i] for i in chosen], "base": base}
        text = json.dumps({"settings": settings, "methods": rows}, indent=2)
        (folder / "numbers.json").write_text(text + "\n", encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and print the table, line by line; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base", default="engine/packs/base", help="base pack with an encoder")
    parser.add_argument("--data", required=True, help="folder of aligned photos")
    parser.add_argument("--out", default="runs/inversions", help="folder for sheet and numbers")
    parser.add_argument("--count", type=int, default=16, help="photos, spread over the folder")
    parser.add_argument("--steps", type=int, default=200, help="of every method")
    parser.add_argument(
        "--perceptual", default="", help="squeezenet_v1.0.npz instead of the discriminator"
    )
    parser.add_argument("--methods", default="", help=f"of {','.join(METHODS)}; default: all")
    try:
        for line in compare(**vars(parser.parse_args(argv))):
            print(line, flush=True)
    except StylizeError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
