"""Tiny files of every public project that can be imported, as they are read."""

import torch

from engine.checkpoints import Checkpoint, Contents, recognise
from engine.models.backbone_encoder import WEncoder
from engine.models.blendgan import StyleEncoder
from engine.models.stylegan2 import MappingNetwork
from tests.engine.checkpoints import layouts
from tests.engine.checkpoints.layouts import DIM, NUM_WS, prefixed

TRUNK = {"widths": (4, 4, 6, 8, 12), "units": (1, 2, 1, 1)}
PSP = {"encoder_type": "GradualStyleEncoder"}
E4E = {"encoder_type": "Encoder4Editing"}


def read(path: str, data: object, kind: str | None = None) -> Checkpoint:
    """Read what a file of that name would hold."""
    return recognise(Contents("torch", data), kind, path)


def stylegan2(seed: int = 0, path: str = "g.pt", *, with_d: bool = True, **more) -> Checkpoint:
    network = layouts.tiny_generator(seed, **more)
    file = {
        "g_ema": layouts.rosinality_generator(network),
        "latent_avg": network.mapping.w_avg,
    }
    if with_d:
        file["d"] = layouts.rosinality_discriminator(layouts.tiny_discriminator())
    return read(path, file)


def encoder_file(encoder, generator=None, *, opts=None) -> dict:
    beside = ("latent_avg", "progressive_stage")
    state = {n: v for n, v in encoder.state_dict().items() if n not in beside}
    file = {"state_dict": prefixed("encoder.", state), "latent_avg": torch.zeros(1, DIM)}
    if generator is not None:
        decoder = layouts.rosinality_generator(generator)
        file["state_dict"] |= prefixed("decoder.", decoder)
    return file | ({} if opts is None else {"opts": opts})


def psp(kind: str = "psp", seed: int | None = 0, path: str = "psp.pt", num_ws: int = NUM_WS):
    generator = None if seed is None else layouts.tiny_generator(seed)
    encoder = layouts.tiny_encoder(num_ws, variational=False)
    file = encoder_file(encoder, generator, opts=E4E if kind == "e4e" else PSP)
    return read(path, file, kind)


def agilegan_encoder(seed: int = 0, path: str = "encoder.pt") -> Checkpoint:
    file = encoder_file(layouts.tiny_encoder(), layouts.tiny_generator(seed))
    return read(path, file, "agilegan-encoder")


def agilegan_style(seed: int = 4, path: str = "cartoon.pt") -> Checkpoint:
    network = layouts.tiny_generator(seed, num_paths=2, path_until=16)
    return read(path, {"g_ema": layouts.two_paths(network, 2)})


def w_encoder(path: str = "w.pt") -> Checkpoint:
    torch.manual_seed(5)
    encoder = layouts.jittered(WEncoder(input_size=32, style_dim=DIM, **TRUNK))
    return read(path, encoder_file(encoder), "psp")


def blendgan(seed: int = 0, path: str = "blendgan.pt") -> Checkpoint:
    torch.manual_seed(6)
    mapping = layouts.randomised(MappingNetwork(DIM, DIM, 2))
    style = StyleEncoder((4, 4), (1, 1), hidden=(8,), style_dim=DIM, input_size=32)
    state = layouts.rosinality_generator(layouts.tiny_generator(seed))
    for name, value in mapping.state_dict().items():
        if name != "w_avg":
            layer, leaf = name.removeprefix("fc").split(".")
            state[f"embedding.{int(layer) + 1}.{leaf}"] = value
    for name, value in style.state_dict().items():
        place = name.replace("features.", "embedder.feature_extractor.vgg_layers.")
        state[f"embedder.{place.replace('mlp.', 'embedder_mlp.')}"] = value
    state["add_weight"] = torch.linspace(0, 1, NUM_WS).reshape(1, NUM_WS, 1)
    return read(path, {"g_ema": state})
