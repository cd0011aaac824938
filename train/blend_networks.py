"""The networks that train.blend trains: a generator of faces and styles, three discriminators."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from engine.card import BLEND_FILE, GENERATOR_FILE, STYLE_ENCODER_FILE, STYLE_MAPPING_FILE
from engine.errors import OptionError, PackError, TrainingError
from engine.latent import blend
from engine.models.blendgan import StyleEncoder, style_encoder_from_state
from engine.models.discriminator import Discriminator, discriminator_from_state
from engine.models.stylegan2 import (
    Generator,
    MappingNetwork,
    Noise,
    generator_from_state,
    mapping_from_state,
)
from engine.pack import State, load_pack
from engine.runtime import Runtime
from engine.surgery import with_shared
from train.codes import Content
from train.loop import Values
from train.packs import Source
from train.projection import ProjectionDiscriminator


class Settings(Protocol):
    """What the networks need to know of a configuration."""

    lr: float
    face_share: float
    continue_run: str


class BlendedGenerator(nn.Module):
    """Face codes and a style code -> picture.

    Args:
        G: the generator; its mapping is that of the faces.
        style_mapping: z_style -> w_style.
        face_weights: [L], share of the face per layer.
    """

    def __init__(self, G: Generator, style_mapping: MappingNetwork, face_weights: Tensor) -> None:
        super().__init__()
        self.G, self.style_mapping = G, style_mapping
        self.face_weights = nn.Parameter(face_weights)

    def ws(self, face_ws: Tensor, z_style: Tensor, indicator: int = 0) -> Tensor:
        """Blend face_ws [N, L, w_dim] with the codes of z_style [N, z_dim]: [N, L, w_dim].

        The first `indicator` layers are the face's own.
        """
        style_ws = self.style_mapping(z_style)[:, None].expand_as(face_ws)
        weights = 1 - self.face_weights
        weights = torch.cat([torch.zeros_like(weights[:indicator]), weights[indicator:]])
        return blend(face_ws, style_ws, weights)

    def forward(
        self, face: Content, z_style: Tensor, indicator: int = 0, noise: Noise = "const"
    ) -> Tensor:
        """Draw [N, 3, R, R] in [-1, 1]."""
        return self.G.synthesis(self.ws(face.codes, z_style, indicator), noise, add=face.added)

    @torch.no_grad()
    def clamp_shares(self) -> None:
        """Bring the shares back into [0, 1] after a step.

        Not in `ws`: torch gives a clamped 1, where the shares start, no gradient.
        """
        self.face_weights.clamp_(0, 1)


class Networks:
    """The generator with its average, the three discriminators, optimizers."""

    def __init__(self, config: Settings, source: Source, files: Mapping[str, State], to: Runtime):
        """Start from the base, where the style's files do not say otherwise."""
        mapping = source.G.mapping
        self.blended = blended_of(source, files, config.face_share).to(to.device)
        self.blended.G.synthesis.requires_grad_(True)
        self.blended.style_mapping.requires_grad_(True)
        self.average = copy.deepcopy(self.blended).requires_grad_(False)
        self.D = _discriminators(source.D, mapping.z_dim, config.continue_run).to(to.device)
        for module in (self.blended.G, self.average.G):
            module.synthesis.dtype = to.dtype
        for discriminator in self.D.values():
            discriminator.dtype = to.dtype
        trained = [p for p in self.blended.parameters() if p.requires_grad]
        betas = (0.0, 0.99)
        self.opt_G = torch.optim.Adam(trained, config.lr, betas, fused=True)
        self.opt_D = torch.optim.Adam(self.D.parameters(), config.lr, betas, fused=True)
        self.values = Values(path_mean=0.0)

    def draw(self, face: Content, z_style: Tensor, noise: Noise) -> dict[str, Tensor]:
        """Draw faces without any style, and the same faces with it; [N, 3, R, R] each."""
        return {
            "face": self.blended.G.synthesis(face.codes, noise, add=face.added),
            "style": self.blended(face, z_style, noise=noise),
        }

    def scores(self, pictures: Mapping[str, Tensor], z_style: Tensor) -> dict[str, Tensor]:
        """Scores [N, 1] of "face" by the face's, of "style" by the two other discriminators."""
        return {
            "face": self.D["face"](pictures["face"]),
            "style": self.D["style"](pictures["style"]),
            "latent": self.D["latent"](pictures["style"], z_style),
        }

    def state(self) -> dict[str, object]:
        """Everything that resuming needs."""
        networks = {"blended": self.blended, "average": self.average, "D": self.D}
        return {**networks, "opt_G": self.opt_G, "opt_D": self.opt_D, "values": self.values}


def blended_of(source: Source, files: Mapping[str, State], face_share: float) -> BlendedGenerator:
    """The generator, on the CPU: what a style's files do not say starts as the base's.

    Args:
        face_share: of the face in all layers, where the files have no shares yet.
    """
    shared = {k: v.cpu() for k, v in source.G.state_dict().items()}
    G = generator_from_state(with_shared(files[GENERATOR_FILE], shared))
    if STYLE_MAPPING_FILE in files:
        style_mapping = mapping_from_state(files[STYLE_MAPPING_FILE])
    else:
        style_mapping = copy.deepcopy(source.G.mapping).cpu()
    shares = files.get(BLEND_FILE, {}).get("face_weights")
    shares = torch.full((G.num_ws,), face_share) if shares is None else shares.float()
    return BlendedGenerator(G, style_mapping, shares)


def read_style_files(folder: str, source: Source) -> tuple[StyleEncoder, dict[str, State]]:
    """The style encoder of a pack, and the weights that its training goes on with.

    Raises:
        OptionError: no pack given.
        PackError: it has no style encoder, or is a style of another base.
    """
    if not folder:
        raise OptionError(
            "no style to start from: make one with train.style_encoder and give it as --style"
        )
    pack = load_pack(folder)
    base = pack.card.base or {}
    if not pack.has(STYLE_ENCODER_FILE) or base.get("sha256") != source.reference["sha256"]:
        raise PackError(
            f"{folder} is no style of base {source.pack.folder} with a style encoder: make one "
            "with python -m train.style_encoder, or give its own base as --base"
        )
    wanted = (GENERATOR_FILE, STYLE_MAPPING_FILE, BLEND_FILE)
    files = {file: pack.state(file) for file in wanted if pack.has(file)}
    return style_encoder_from_state(pack.state(STYLE_ENCODER_FILE)), files


def _discriminators(face: Discriminator, style_dim: int, continue_run: str) -> nn.ModuleDict:
    """The face's from the base, two drawn anew; or all three from an earlier run."""
    sizes = (face.resolution,)
    D = nn.ModuleDict(
        {
            "face": discriminator_from_state(face.state_dict()),
            "style": Discriminator(*sizes, channels=face.channels),
            "latent": ProjectionDiscriminator(*sizes, channels=face.channels, style_dim=style_dim),
        }
    )
    if continue_run:
        file = Path(continue_run) / "state.pt"
        try:
            D.load_state_dict(torch.load(file, map_location="cpu", weights_only=True)["parts"]["D"])
        except (OSError, KeyError, RuntimeError) as error:
            raise TrainingError(
                f"{file} has no discriminators of train.blend for this base ({error}): leave "
                "--continue-run out"
            ) from error
    return D.requires_grad_(False)
