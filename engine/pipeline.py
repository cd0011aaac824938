"""`Stylizer`: photo in, stylized picture out. One object for page, command line, video and batch.

Encoding a face is done once per photo and gives a `Portrait`, a value the caller keeps; rendering
it is cheap and can be repeated for every move of a slider. Nothing is remembered in here, so two
visitors never see each other's picture, and one stylizer serves all threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine.base import Base
from engine.compose import composed, placed_by
from engine.detect import Detector, Face, LooksAgain, choose_detector
from engine.distance import picture_distance
from engine.enlarge import WORTH, enlarged
from engine.errors import Cancelled, ImageError, StylizeError
from engine.finish import finished
from engine.image import to_tensor, to_uint8
from engine.latent import map_zplus, reparameterize, truncate
from engine.library import StyleLibrary
from engine.options import StylizeOptions
from engine.portraits import Portrait, central_square, encode_face, is_usable
from engine.reference import Reference, read_reference
from engine.runtime import Runtime, memory_guard
from engine.style import Style

__all__ = ["Portrait", "StylizeOptions", "Stylizer", "picture_distance"]

ShouldStop = Callable[[], bool]
Distance = Callable[[Tensor, Tensor], Tensor]


class Stylizer:
    """One style, ready to use.

    Args:
        style: a loaded style.
        detector: finds the faces; None: what `choose_detector` picks for the base pack.
        distance: ([N, 3, R, R], same) -> [N], compares posterior samples; pictures in [-1, 1].
    """

    def __init__(
        self, style: Style, detector: Detector | None = None, distance: Distance | None = None
    ) -> None:
        self.style, self.card, self.runtime = style, style.card, style.base.runtime
        self._detector = detector
        self._distance = distance or picture_distance

    @classmethod
    def load(
        cls,
        name: str,
        library: StyleLibrary | None = None,
        runtime: Runtime | None = None,
        detector: Detector | None = None,
    ) -> Stylizer:
        """Load a style by name, or from a folder such as ./mine; raises PackError."""
        return cls((library or StyleLibrary()).load(name, runtime), detector)

    @property
    def finishing(self) -> Style:
        """The style whose small networks draw around faces and make them finer."""
        return self.style

    def detect(self, rgb: np.ndarray) -> list[Face]:
        """Return the faces in uint8 RGB [H, W, 3], largest first; [] if there is none.

        A base that does not draw faces (`framing` of its card) takes the central square instead.
        Raises DetectorError where neither the base pack nor the project has a detector.
        """
        _check_photo(rgb)
        if self.style.base.pack.card.framing != "ffhq":
            return [central_square(rgb)]
        detector = self._finder()
        with memory_guard(self.runtime):
            return [face for face in detector(rgb) if is_usable(face, rgb)]

    def detect_again(self, rgb: np.ndarray, faces: Sequence[Face]) -> list[Face] | None:
        """Return which of the faces of the frame before are still there, where they are now.

        Much faster than `detect`; None where the detector can only search.
        """
        detector = self._finder()
        if not isinstance(detector, LooksAgain):
            return None
        with memory_guard(self.runtime):
            return [face for face in detector.again(rgb, faces) if is_usable(face, rgb)]

    def _finder(self) -> Detector:
        return self._detector or _detector_of(self.style.base)

    def encode(
        self,
        rgb: np.ndarray,
        faces: Sequence[Face] | None = None,
        should_stop: ShouldStop | None = None,
    ) -> list[Portrait]:
        """Encode the faces of a photo, the expensive step, once per photo.

        Args:
            rgb: uint8 [H, W, 3].
            faces: which faces, for example placed by hand; None: all that are found.
            should_stop: asked before each face; True raises Cancelled.

        Returns:
            One portrait per face, in the order of `faces` (found here: largest first); [] if none.
        """
        faces = self.detect(rgb) if faces is None else faces
        return list(self._portraits(rgb, faces, should_stop))

    def render(
        self,
        portrait: Portrait,
        options: StylizeOptions | None = None,
        should_stop: ShouldStop | None = None,
        look: Reference | None = None,
    ) -> np.ndarray:
        """Draw one portrait as uint8 [R, R, 3]: the most typical one if `options.samples` > 1."""
        samples = self.render_samples(portrait, options, should_stop, look)
        return samples[0] if len(samples) == 1 else samples[self.most_typical(samples)]

    def render_samples(
        self,
        portrait: Portrait,
        options: StylizeOptions | None = None,
        should_stop: ShouldStop | None = None,
        look: Reference | None = None,
    ) -> np.ndarray:
        """Draw all posterior samples of a portrait, uint8 [n, R, R, 3], for the user to choose.

        One sample is the posterior mean; several are drawn from the posterior with
        `options.seed` (Song et al. 2021, section 3.2). An encoder without a posterior gives one.

        `look` is that of a reference (`engine.reference`); without one, `options.variation` may
        draw a code at random.
        """
        options = options or self.card.options()
        settings = {
            "weights": self.style.style_weights(options.mix_layer),
            "path": self.card.path_of(options.attribute or self._likely_attribute(portrait)),
            "strength": options.strength,
            "swap_resolution": options.swap_resolution,
            "blend_resolution": options.blend_resolution,
            "detail": portrait.detail_at(options.likeness * options.truncation_psi),
        }
        pictures = []
        with memory_guard(self.runtime), torch.inference_mode():
            for ws in self._codes(portrait, options):
                _stop_if_asked(should_stop)
                code = self._variation(ws, options) if look is None else look.ws
                pictures.append(to_uint8(self.style.synthesize(ws, code, **settings)))
        drawn = np.concatenate(pictures)
        if look is None or options.mix_layer >= look.ws.shape[1]:
            return drawn
        share = options.palette * options.strength
        return np.stack([look.recolored(picture, share) for picture in drawn])

    def look(self, portrait: Portrait, options: StylizeOptions) -> Reference:
        """Return how `options.variation` looks; without one the face's own codes."""
        with memory_guard(self.runtime), torch.inference_mode():
            ws = next(self._codes(portrait, options))
            return Reference((self._variation(ws, options) if options.variation else ws).cpu())

    def _variation(self, ws: Tensor, options: StylizeOptions) -> Tensor | None:
        if not options.variation:
            return None
        around = ws if options.variation_center == "photo" else None
        which = (options.variation, options.style_psi, options.list_steps())
        return self.style.random_codes(*which, around)

    def paste(
        self,
        rgb: np.ndarray,
        portraits: Sequence[Portrait],
        crops: Sequence[np.ndarray],
        options: StylizeOptions | None = None,
        *,
        fine: bool | None = None,
    ) -> np.ndarray:
        """Return the photo with the rendered crops [R, R, 3] at the places of their portraits.

        What surrounds them is drawn or toned as far as the options say. `fine`: as of `composed`.
        """
        options = options or self.card.options()
        placed = []
        for portrait, crop in zip(portraits, crops, strict=True):
            if not len(portrait.landmarks):  # no face in a picture: the crop is the picture
                return self.crop(portrait, crop, options)
            placed.append(placed_by(portrait, crop, options))
        return composed(rgb, placed, options, self.finishing, fine=fine)

    def crop(self, portrait: Portrait, rendered: np.ndarray, options: StylizeOptions) -> np.ndarray:
        """Return a rendered crop as a picture of its own: colours, eyes and size as chosen."""
        shaped = portrait.shaped(portrait.recolored(rendered, options.color), options)
        is_fine = options.output_size >= WORTH * len(shaped)
        return finished(enlarged(shaped, self.finishing.base) if is_fine else shaped, options)

    def __call__(
        self,
        rgb: np.ndarray,
        options: StylizeOptions | None = None,
        should_stop: ShouldStop | None = None,
        faces: Sequence[Face] | None = None,
        look: Reference | None = None,
    ) -> np.ndarray:
        """Stylize a photo uint8 [H, W, 3], one face at a time: 40 need no more memory than one.

        Returns the whole photo, or without `options.whole_photo` the crop of the first selected
        face. A photo without a face comes back as it is.
        """
        options = options or self.card.options()
        if look is not None:  # no student learned what a reference looks like
            options = replace(options, around="toned")
        faces = self.detect(rgb) if faces is None else faces
        chosen = [faces[index] for index in options.select(len(faces))]
        placed = []
        for portrait in self._portraits(rgb, chosen, should_stop):
            crop = self.render(portrait, options, should_stop, look)
            if not (options.whole_photo and len(portrait.landmarks)):
                return self.crop(portrait, crop, options)
            placed.append(placed_by(portrait, crop, options))
        return composed(rgb, placed, options, self.finishing)

    def _portraits(
        self, rgb: np.ndarray, faces: Sequence[Face], should_stop: ShouldStop | None
    ) -> Iterator[Portrait]:
        _check_photo(rgb)
        for face in faces:
            _stop_if_asked(should_stop)
            yield encode_face(rgb, face, self.style.base, self.card.encoder_space)

    def _likely_attribute(self, portrait: Portrait) -> str | None:
        """The attribute path that suits a face best; None leaves it to the card."""
        likely = {k: v for k, v in portrait.attributes.items() if k in self.card.attributes}
        return max(likely, key=likely.get) if likely else None

    def _codes(self, portrait: Portrait, options: StylizeOptions) -> Iterator[Tensor]:
        """Yield the truncated and edited codes [1, L, w_dim] of each posterior sample."""
        base, space = self.style.base, self.card.encoder_space
        if (portrait.base_sha256, portrait.space) != (base.sha256, space):
            raise StylizeError(
                f"this face was encoded for base {portrait.base_sha256[:12]}... in "
                f"{portrait.space}, style {self.card.name} needs {base.sha256[:12]}... in {space}: "
                "encode the photo again with it"
            )
        mapping, device = base.generator.mapping, self.runtime.device
        generator = torch.Generator().manual_seed(options.seed)
        for _ in range(options.samples if portrait.logvar is not None else 1):
            if options.samples == 1 or portrait.logvar is None:
                ws = portrait.ws.to(device)
            else:
                z_plus = reparameterize(portrait.mu, portrait.logvar, generator)
                ws = map_zplus(mapping, z_plus.to(device))
            ws = truncate(ws, mapping.w_avg, options.truncation_psi)
            ws = ws if portrait.edit is None else ws + portrait.edit.to(ws)
            yield self.style.edited(ws, options.list_edits())

    def reference(
        self, rgb: np.ndarray, faces: Sequence[Face] | None = None, **settings: Any
    ) -> Reference:
        """Read the look of a reference picture.

        `faces` as in `encode`, `settings` as in `engine.reference.read_reference`.
        """
        faces = self.detect(rgb) if faces is None else faces
        return read_reference(self.style, rgb, faces, **settings)

    def most_typical(self, pictures: np.ndarray) -> int:
        """Return which of uint8 [n, R, R, 3] has the smallest mean distance to all the others."""
        with memory_guard(self.runtime), torch.inference_mode():
            x = to_tensor(pictures).to(self.runtime.device)
            rows = [self._distance(x[i : i + 1].expand_as(x), x) for i in range(len(x))]
            return int(torch.stack(rows).float().mean(dim=1).argmin())


@lru_cache(maxsize=4)
def _detector_of(base: Base) -> Detector:
    """The detector all styles of a base share: its networks are read-only."""
    return choose_detector(base.detector, device=str(base.runtime.device))


def _check_photo(rgb: np.ndarray) -> None:
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.size == 0:
        raise ImageError(
            f"the photo is {rgb.dtype} {list(rgb.shape)}; uint8 RGB [H, W, 3] is expected: "
            "read it with engine.image.read_photo"
        )


def _stop_if_asked(should_stop: ShouldStop | None) -> None:
    if should_stop is not None and should_stop():
        raise Cancelled("stopped; nothing was written")
