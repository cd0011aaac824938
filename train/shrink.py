"""Keep the generators of style packs in 8 bits where their pictures stay the same.

    python -m train.shrink packs/drawings packs/comic

Draws the same codes with the weights as they are and in 8 bits, on every attribute path, and
rewrites the pack only if the pictures differ by less than 42 dB of PSNR: saving them as JPEG of
quality 95 gives 34 to 43 dB, so that nobody sees the difference. Base packs stay as they are:
their hash is what styles and portraits are bound to.
"""

import argparse
import math
import sys
from collections.abc import Sequence

import torch
from torch import Tensor

from engine.card import FORMAT_VERSION, GENERATOR_FILE, Card
from engine.eight_bits import from_eight_bits, to_eight_bits
from engine.errors import PackError, StylizeError
from engine.image import to_uint8
from engine.library import StyleLibrary
from engine.models.stylegan2 import generator_from_state
from engine.pack import State, load_pack, save_pack
from engine.surgery import with_shared, without_shared

LEAST_PSNR = 42.0  # dB
NUM_CODES = 16


def shrink(name: str, library: StyleLibrary | None = None) -> float:
    """Rewrite one style pack in 8 bits and return the PSNR between its pictures, in dB.

    Raises PackError: it is a base pack, or its pictures would change.
    """
    library = library or StyleLibrary()
    style = library.load(name)  # refuses base packs, and finds the base whose mapping it needs
    folder = library.find(name)
    pack = load_pack(folder)
    state = pack.state(GENERATOR_FILE)
    shared = style.base.generator.state_dict()
    small = to_eight_bits(without_shared(state, shared))
    before = _pictures(with_shared(state, shared), pack.card)
    after = _pictures(with_shared(from_eight_bits(small), shared), pack.card)
    psnr = _psnr(before, after)
    if psnr < LEAST_PSNR:
        raise PackError(
            f"{folder} in 8 bits draws other pictures: {psnr:.1f} dB, at least {LEAST_PSNR} dB are "
            "needed; the pack stays as it is"
        )
    record = {**pack.card.training, "stored": "8 bits per weight, scaled per channel"}
    fields = {**vars(pack.card), "training": record, "format_version": FORMAT_VERSION}
    save_pack(folder, Card(**fields), {GENERATOR_FILE: small})
    return psnr


def _pictures(state: State, card: Card) -> Tensor:
    """Uint8 pictures of fixed codes, all attribute paths one after the other."""
    G = generator_from_state({k: v.float() for k, v in state.items()}, card.conv_clamp)
    z = torch.randn(NUM_CODES, G.mapping.z_dim, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        ws = G.ws(z, truncation_psi=0.7)
        drawn = [G.synthesis(ws, path=path) for path in range(G.synthesis.num_paths)]
    return torch.from_numpy(to_uint8(torch.cat(drawn)))


def _psnr(a: Tensor, b: Tensor) -> float:
    error = (a.float() - b.float()).square().mean().item()
    return 10 * math.log10(255**2 / error) if error else math.inf


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; 0: all packs are in 8 bits, 1: some stayed as they were."""
    parser = argparse.ArgumentParser(prog="python -m train.shrink", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("packs", metavar="PACK", nargs="+", help="names or folders of styles")
    failures = 0
    for name in parser.parse_args(arguments).packs:
        try:
            print(f"{name}: 8 bits, {shrink(name):.1f} dB")
        except StylizeError as error:
            failures += 1
            print(f"{name}: {error}", file=sys.stderr)
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
