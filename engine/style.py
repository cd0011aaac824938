"""A style, loaded: a card, its networks, and the one call every method shares.

    image = style.synthesize(content_ws, style_ws, weights)

Content meets style in latent space (AgileGAN, BlendGAN: codes are blended), in the weights
(Toonify: `blend_resolution`) or inside the generator (UI2I-StyleGAN2: `swap_resolution`). Any style
can do all three; its card says what it does by itself. Loaded styles are read-only and shared by
all threads; nothing of a visitor is kept here.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import cached_property

import torch
from torch import Tensor

from engine import sefa
from engine.base import Base, build, check_layout, freeze
from engine.card import BLEND_FILE, GENERATOR_FILE, STYLE_ENCODER_FILE, STYLE_MAPPING_FILE
from engine.errors import OptionError, PackError
from engine.latent import blend, map_zplus, slerp, truncate
from engine.models.blendgan import StyleEncoder, style_encoder_from_state
from engine.models.detail import as_addition
from engine.models.stylegan2 import (
    Generator,
    MappingNetwork,
    generator_from_state,
    mapping_from_state,
)
from engine.ops.graphs import replayed
from engine.pack import Pack, State
from engine.surgery import blend_layers, interpolate, with_shared

NUM_KEPT_NETWORKS = 3
STRENGTH_STEPS = 100
SAMPLES_OF_AVERAGE = 4096  # of the mapping, where a file does not say its average


class Style:
    """One style of a base.

    Args:
        pack: the style's files; its card names the base.
        base: the loaded base.
        source: the style whose generator the content's features come from (UI2I's translation
            between two fine-tuned domains); None: the base's source generator.
    """

    def __init__(self, pack: Pack, base: Base, source: Style | None = None) -> None:
        self.pack, self.card, self.base, self.source = pack, pack.card, base, source
        self._state = _synthesis_state(pack, base)
        self.mapping = _style_mapping(pack, base)
        self._face_weights = _face_weights(pack, base)
        self._networks: OrderedDict[tuple[int, int, int], Generator] = OrderedDict()
        self._lock = threading.Lock()

    def synthesize(
        self,
        content_ws: Tensor,
        style_ws: Tensor | None = None,
        weights: Tensor | float | None = None,
        *,
        path: int = 0,
        strength: float = 1.0,
        swap_resolution: int = 0,
        blend_resolution: int = 0,
        detail: Tensor | None = None,
    ) -> Tensor:
        """Draw the picture of some codes.

        Args:
            content_ws: [N, L, w_dim], what is shown.
            style_ws: [N, L, w_dim], how it is shown; None: the codes of the content.
            weights: [L] or one number, how much of `style_ws`; None: all of it.
            path: index of the attribute path.
            strength: 0 draws with the source generator, 1 with that of the style, between them
                with the interpolated weights, in steps of 0.01.
            swap_resolution: where the content's features of the source take the place of the
                style's own (UI2I, Section III-A); 0: where the card says, if anywhere.
            blend_resolution: above it the weights are those of the source (Toonify); 0: none.
            detail: [N, C, R / 4, R / 4], what the photo shows beyond `content_ws`, added to the
                features of that size (engine.models.detail); None: nothing.

        Returns:
            float32 [N, 3, R, R], nominally in [-1, 1].

        Raises:
            OptionError: no such resolution in this generator.
        """
        size = swap_resolution or self.card.swap_resolution or 0
        with torch.inference_mode():
            content = content_ws.to(self.base.runtime.device)
            codes = self._codes(content, style_ws, weights)
            network = self.network(path, strength, blend_resolution).synthesis
            detail = None if detail is None else detail.to(content.device)
            if not size:
                return replayed(network, codes, detail)
            add = as_addition(detail)
            features = self._content_features(content, size, add)
            return network(codes, replace={size: features}, add=add)

    def network(self, path: int = 0, strength: float = 1.0, blend_resolution: int = 0) -> Generator:
        """Return the generator between source (0) and style (1); the last few are kept."""
        step = round(strength * STRENGTH_STEPS)
        if step == 0:
            return self.base.generator
        key = (path, step, blend_resolution)
        with self._lock:
            if key not in self._networks:
                self._networks[key] = self._build(path, step / STRENGTH_STEPS, blend_resolution)
            self._networks.move_to_end(key)
            while len(self._networks) > NUM_KEPT_NETWORKS:
                self._networks.popitem(last=False)
            return self._networks[key]

    def random_codes(
        self,
        seed: int,
        psi: float = 1.0,
        steps: Sequence[tuple[int, float]] = (),
        around: Tensor | None = None,
    ) -> Tensor:
        """Draw a style code: ws [1, L, w_dim] from one z, or from one per layer (Lu & Zhou 2025).

        Args:
            seed: same number, same code.
            psi: 1 leaves the code as drawn, 0 gives the average style.
            steps: (seed, share) of codes to go towards on the sphere, one after the other: a small
                share gives a code near that of `seed`.
            around: [1, L, w_dim], what takes the place of the average; None: nothing.
        """
        z = self._random_z(seed)
        for towards, share in steps:
            z = slerp(z, self._random_z(towards), share)
        codes = self.codes_from(z.expand(-1, self.base.generator.num_ws, -1), psi)
        return codes if around is None else codes + (around - self.mapping.w_avg).to(codes)

    def _random_z(self, seed: int) -> Tensor:
        count = self.base.generator.num_ws if self.card.variation_space == "z+" else 1
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(1, count, self.mapping.z_dim, generator=generator)

    def reference_codes(self, image: Tensor) -> Tensor:
        """Read a style code off a picture [1, 3, H, W] in [-1, 1] (BlendGAN): ws [1, L, w_dim].

        Raises PackError where the style has no style encoder.
        """
        encoder = self.style_encoder
        if encoder is None:
            raise PackError(
                f"style {self.card.name} has no style encoder; use a BlendGAN pack, or let the "
                "reference be inverted"
            )
        with torch.inference_mode():
            z = encoder(image.to(self.base.runtime.device)).float().cpu()
        return self.codes_from(z[:, None].expand(-1, self.base.generator.num_ws, -1))

    def codes_from(self, z_plus: Tensor, psi: float = 1.0) -> Tensor:
        """Map style codes [N, L, z_dim] to ws [N, L, w_dim], pulled to the average by `psi`."""
        with torch.inference_mode():
            ws = map_zplus(self.mapping, z_plus.to(self.base.runtime.device))
            return truncate(ws, self.mapping.w_avg, psi).cpu().clone()

    def style_weights(self, mix_layer: int) -> Tensor:
        """Return how much of a style code each layer takes, [L]: none below `mix_layer`.

        That is BlendGAN's indicator over its learned weights, and everything from that layer on
        for the other methods.
        """
        weights = 1 - self._face_weights
        weights[:mix_layer] = 0
        return weights

    def edited(self, ws: Tensor, edits: Sequence[tuple[int, float, range | None]]) -> Tensor:
        """Move codes [N, L, w_dim] along semantic directions of the source (SeFa).

        Args:
            ws: the codes.
            edits: (number of the direction, amount, layers or None for all), added up.

        Raises:
            OptionError: no such direction or layer.
        """
        for number, amount, layers in edits:
            directions = self.base.directions
            if number >= len(directions):
                raise OptionError(
                    f"edits has direction {number}; accepted are 0 .. {len(directions) - 1}: "
                    "change --edits"
                )
            ws = sefa.edit(ws, directions[number], amount, layers)
        return ws

    @property
    def has_style_encoder(self) -> bool:
        """Whether the style reads references by itself (BlendGAN)."""
        return self.pack.has(STYLE_ENCODER_FILE)

    @cached_property
    def style_encoder(self) -> StyleEncoder | None:
        """BlendGAN's style encoder, read on first use: the public one has 1.25 GB."""
        if not self.has_style_encoder:
            return None
        encoder = build(self.pack, STYLE_ENCODER_FILE, style_encoder_from_state)
        return freeze(encoder, self.base.runtime)

    def _build(self, path: int, strength: float, blend_resolution: int) -> Generator:
        source = {name: value.cpu() for name, value in self.base.generator.state_dict().items()}
        mixed = {**source, **_one_path(self._state, path)}
        if blend_resolution:
            mixed = blend_layers(mixed, source, blend_resolution)
        if strength < 1:
            mixed = interpolate(source, mixed, strength)
        # Not as inference tensors: an inversion may need gradients through this network later.
        with torch.inference_mode(False):
            generator = generator_from_state(mixed, self.card.conv_clamp)
            generator.synthesis.dtype = self.base.runtime.dtype
            return freeze(generator, self.base.runtime)

    def _codes(
        self, content: Tensor, style_ws: Tensor | None, weights: Tensor | float | None
    ) -> Tensor:
        if style_ws is None:
            return content
        style = style_ws.to(content)
        return style if weights is None else blend(content, style, weights)

    def _content_features(
        self, content: Tensor, size: int, add: Mapping[int, Tensor] | None
    ) -> Tensor:
        source = self.source.network() if self.source else self.base.generator
        if size not in source.synthesis.resolutions:
            accepted = ", ".join(map(str, source.synthesis.resolutions))
            raise OptionError(
                f"swap_resolution is {size}; this generator has {accepted}: change "
                "--swap-resolution"
            )
        return source.synthesis.features(content, until=size, add=add)


def _synthesis_state(pack: Pack, base: Base) -> State:
    """The style's synthesis weights as stored, after a trial build with what is the base's."""
    stored = pack.state(GENERATOR_FILE)
    state = {name: value for name, value in stored.items() if name.startswith("synthesis.")}
    whole = with_shared(state, base.generator.state_dict())
    generator = build(pack, GENERATOR_FILE, generator_from_state, whole)
    check_layout(pack, generator)
    check_layout(base.pack, generator)
    if generator.synthesis.num_paths != max(1, len(pack.card.attributes)):
        raise PackError(
            f"{pack.folder / GENERATOR_FILE} has {generator.synthesis.num_paths} attribute paths, "
            f"the card names {list(pack.card.attributes)}; copy the pack again"
        )
    return state


def _style_mapping(pack: Pack, base: Base) -> MappingNetwork:
    """What turns style codes into w: BlendGAN's second mapping, else that of the base."""
    if not pack.has(STYLE_MAPPING_FILE):
        return base.generator.mapping
    state = pack.state(STYLE_MAPPING_FILE)
    mapping = build(pack, STYLE_MAPPING_FILE, mapping_from_state, state)
    if "w_avg" not in state:
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            z = torch.randn(SAMPLES_OF_AVERAGE, mapping.z_dim, generator=generator)
            mapping.w_avg.copy_(mapping(z).mean(0))
    return freeze(mapping, base.runtime)


def _face_weights(pack: Pack, base: Base) -> Tensor:
    """Learned share of the face per layer, [L]; zero without BlendGAN's file."""
    num_ws = base.generator.num_ws
    if not pack.has(BLEND_FILE):
        return torch.zeros(num_ws)
    weights = pack.state(BLEND_FILE).get("face_weights", torch.empty(0))
    if weights.shape != (num_ws,):
        raise PackError(
            f"{pack.folder / BLEND_FILE} has face_weights of shape {list(weights.shape)}; "
            f"[{num_ws}] is needed: copy the pack again"
        )
    return weights.float().clamp(0, 1)


def _one_path(state: Mapping[str, Tensor], path: int) -> State:
    """Weights of a plain generator: those all paths share, and those of one path renamed."""
    prefix = f"synthesis.paths.{path}."
    return {
        name.replace(prefix, "synthesis."): value.float()
        for name, value in state.items()
        if name.startswith(prefix) or ".paths." not in name
    }
