"""What tests of recipes start from: a base and a style of 32 px, exemplars, drawn networks."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from engine.models import perceptual
from tests.packs import PATHS, RESOLUTION, write_base, write_style


def write_tiny(folder: Path, pictures: int = 6) -> Path:
    """Write packs/base, packs/tuned with two attribute paths, and `pictures` with attributes."""
    card = write_base(folder / "packs")
    write_style(folder / "packs", card, "tuned")
    exemplars = folder / "pictures"
    exemplars.mkdir()
    random = np.random.default_rng(0)
    rows = ["file,attribute"]
    for i in range(pictures):
        tile = random.integers(0, 255, (4, 4, 3), np.uint8)
        Image.fromarray(tile).resize((RESOLUTION, RESOLUTION)).save(exemplars / f"{i}.png")
        rows.append(f"{i}.png,{PATHS[i % 2]}")
    (exemplars / "data.csv").write_text("\n".join(rows))
    return folder


def drawn_squeezenet(path: object) -> perceptual.SqueezeNet:
    """A network of drawn weights, for recipes that ask for a file of public ones."""
    random_state = torch.random.get_rng_state()
    torch.manual_seed(0)
    net = perceptual.SqueezeNet().eval().requires_grad_(False)
    torch.random.set_rng_state(random_state)
    return net


def parts_of(out: Path) -> dict:
    """What the run in a folder saved last."""
    return torch.load(out / "state.pt", weights_only=True)


def assert_same_state(a: Path, b: Path) -> None:
    """Two runs have come equally far and hold the same numbers, bit for bit."""
    first, second = parts_of(a), parts_of(b)
    assert first["cur_nimg"] == second["cur_nimg"]
    flat, other = (dict(_leaves(saved["parts"], "")) for saved in (first, second))
    assert flat.keys() == other.keys()
    for name, value in flat.items():
        same = torch.equal(value, other[name]) if torch.is_tensor(value) else value == other[name]
        assert same, name


def _leaves(part: object, name: str) -> Iterator[tuple[str, object]]:
    if isinstance(part, dict):
        for key, value in part.items():
            yield from _leaves(value, f"{name}/{key}")
    elif isinstance(part, (list, tuple)):
        for i, value in enumerate(part):
            yield from _leaves(value, f"{name}/{i}")
    else:
        yield name, part
