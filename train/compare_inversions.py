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
import torch.nn.functional as F

from engine.errors import PackError, StylizeError
from engine.inversion import (
    PRESETS,
    DiscriminatorDistance,
    Distance,
    Inversion,
    code_of,
    invert,
    make_space,
)
from engine.latent import map_zplus
from engine.models.perceptual import PerceptualDistance, SqueezeNet
from engine.runtime import pick_runtime
from train.data import as_float, load_images
from train.encoder import bounded_posterior
from train.loop import save_grid
from train.packs import Source, load_source

WINDOW, SIGMA = 11, 1.5


def ssim(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Structural similarity (Wang et al. 2004, Equation 13) of [N, 3, H, W] in [-1, 1]: [N].

    Gaussian windows of 11 px and sigma 1.5 that lie inside the picture, K1 = 0.01, K2 = 0.03, the
    mean over channels and positions.
    """
    a, b = (x.clamp(-1, 1).double() / 2 + 0.5 for x in (a, b))
    bell = torch.exp(-((torch.arange(WINDOW) - WINDOW // 2).double() ** 2) / (2 * SIGMA**2))
    window = torch.outer(bell, bell)
    window = (window / window.sum()).to(a.device).expand(3, 1, -1, -1)

    def mean(x: torch.Tensor) -> torch.Tensor:
        return F.conv2d(x, window, groups=3)

    mean_a, mean_b = mean(a), mean(b)
    var_a, var_b = mean(a * a) - mean_a**2, mean(b * b) - mean_b**2
    covariance = mean(a * b) - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    likeness = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    likeness = likeness / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
    return likeness.mean(dim=(1, 2, 3))


def inversions(
    source: Source, images: torch.Tensor, distance: Distance, steps: int
) -> Iterator[tuple[str, Inversion]]:
    """Invert photos [N, 3, R, R] with every recipe, each for the same number of steps."""
    G = source.G
    with torch.no_grad():
        z_plus = bounded_posterior(source.E, images)[0]
        ws = map_zplus(G.mapping, z_plus)
        average = G.mapping.w_avg.expand(len(images), G.num_ws, -1)
    runs = {
        "W (StyleGAN2 projector)": ("projector", None),
        "W+ (Image2StyleGAN)": ("image2stylegan", None),
        "V (UI2I)": ("v", None),
        "V from w_avg": ("v", code_of(make_space("v", G), average)),
        "Z+ from the encoder": ("z+", z_plus),
        "W+ in-domain": ("indomain", ws),
        "Z+": ("z+", None),
    }
    for name, (preset, start) in runs.items():
        settings = replace(PRESETS[preset], steps=steps)
        yield name, invert(G, images, settings, distance=distance, start=start)


def compare(
    *, base: str, data: str, out: str, count: int, steps: int, perceptual: str
) -> Iterator[str]:
    """Run the benchmark, write sheet.png and numbers.json, and yield the lines of its table."""
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
    yield f"{'':<24}{'SSIM':>8}{'L2':>9}{'first':>9}{'last':>9}{'seconds':>9}"
    begun = time.monotonic()
    for name, found in inversions(source, images, distance, steps):
        picture = found.picture.clamp(-1, 1)
        row = {
            "ssim": ssim(picture, images.cpu()).mean().item(),
            "l2": (picture - images.cpu()).square().mean().item(),
            "first_loss": found.losses[:, 0].mean().item(),
            "last_loss": found.losses[:, -1].mean().item(),
            "seconds": time.monotonic() - begun,
        }
        begun = time.monotonic()
        rows[name] = row
        columns.append(picture)
        numbers = list(row.values())
        yield f"{name:<24}{numbers[0]:8.3f}" + "".join(f"{x:9.4g}" for x in numbers[1:])
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
    try:
        for line in compare(**vars(parser.parse_args(argv))):
            print(line, flush=True)
    except StylizeError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
