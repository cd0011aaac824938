"""What of a pack is exported: its encoder, a generator per attribute path, its student."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.base import Base
from engine.exporting.plain import PlainSynthesis
from engine.latent import map_zplus
from engine.live import student_of
from engine.models.attribute import AttributeClassifier
from engine.models.detail import SHRINKING
from engine.style import Style

NUM_EXAMPLES, PSI = 8, 0.7
PICTURE = "RGB in [-1, 1], {0} x {0} px, an aligned face (FFHQ's framing)"
CODES = "codes of the picture, one per layer of the generator"


@dataclass(frozen=True)
class Part:
    """One network to export.

    Attributes:
        name: of its files.
        network: in float32 on the CPU; one tensor in, `outputs` out, the first axis is the batch.
        input, outputs: their names.
        about: what each of them holds, by name.
        example: [N, ...], what such a network really sees.
    """

    name: str
    network: nn.Module
    input: str
    outputs: tuple[str, ...]
    about: dict[str, str]
    example: Tensor

    def run(self, x: Tensor) -> tuple[Tensor, ...]:
        """Compute the outputs with PyTorch."""
        with torch.inference_mode():
            found = self.network(x)
        return found if isinstance(found, tuple) else (found,)


class Encoder(nn.Module):
    """image [N, 3, S, S] -> ws [N, L, w_dim], and if known the attributes' chances, [N, A].

    As `Base.encode`: posterior means, through the mapping network where the space is before it.
    """

    def __init__(self, base: Base, space: str, classifier: AttributeClassifier | None) -> None:
        super().__init__()
        self.encoder, self.mapping = base.encoder_into(space), base.generator.mapping
        self.space, self.num_ws, self.classifier = space, base.generator.num_ws, classifier

    def forward(self, image: Tensor) -> tuple[Tensor, ...] | Tensor:
        """Encode a batch."""
        found = self.encoder(image)
        found = found[:, None].expand(-1, self.num_ws, -1) if found.ndim == 2 else found
        ws = map_zplus(self.mapping, found) if self.space.startswith("z") else found
        return ws if self.classifier is None else (ws, self.classifier(found))


class Swapped(nn.Module):
    """ws [N, L, w_dim] -> picture, the features of the source handed over at one resolution."""

    def __init__(self, style: PlainSynthesis, source: PlainSynthesis, at: int) -> None:
        super().__init__()
        self.style, self.source, self.at = style, source, at

    def forward(self, ws: Tensor, detail: Tensor | None = None) -> Tensor:
        """Draw a batch."""
        return self.style(ws, self.source.features(ws, detail), self.at, detail)


class Drawing(nn.Module):
    """image [N, 3, R, R] -> picture: codes, what the photo shows beyond them, and the style.

    As `Base.encode`, `Base.detail` and `Style.synthesize` one after the other.
    """

    def __init__(self, base: Base, space: str, synthesis: PlainSynthesis | Swapped) -> None:
        super().__init__()
        self.encoder, self.reader = Encoder(base, space, None), base.detail_encoder
        whole = base.generator.synthesis
        self.source = PlainSynthesis(whole, until=whole.resolution // SHRINKING)
        self.synthesis = synthesis
        self.shrinking = base.generator.resolution // base.encoder_into(space).input_size

    def forward(self, image: Tensor) -> Tensor:
        """Draw a batch of aligned photos."""
        ws = self.encoder(F.avg_pool2d(image, self.shrinking))
        return self.synthesis(ws, detail=self.reader(image, self.source(ws)))


def parts_of(pack: Style | Base) -> Iterator[Part]:
    """Yield what of a loaded pack can be exported; load it in float32 on the CPU."""
    base = pack.base if isinstance(pack, Style) else pack
    ws, photos = _examples(base)
    space = pack.card.encoder_space if isinstance(pack, Style) else pack.pack.card.encoder_space
    if space in base.encoders:
        yield _encoder(pack, base, space, photos)
    if isinstance(pack, Base):
        yield _generator("generator", PlainSynthesis(base.generator.synthesis), ws, base)
        return
    for path, attribute in enumerate(pack.card.attributes or ("",)):
        name = f"generator-{attribute}" if attribute else "generator"
        synthesis = _synthesis(pack, path)
        yield _generator(name, synthesis, ws, base)
        if _reads_detail(base, space):
            drawing = Drawing(base, space, synthesis)
            yield _drawing(name.replace("generator", "drawing"), drawing, photos, base)
    if student := student_of(pack):
        yield _drawing("student", student, photos, base)


def _reads_detail(base: Base, space: str) -> bool:
    """Whether photos show more than their codes, at a size the encoder's follows from."""
    if base.detail_encoder is None or space not in base.encoders:
        return False
    return base.generator.resolution % base.encoder_into(space).input_size == 0


def _drawing(name: str, network: nn.Module, photos: Tensor, base: Base) -> Part:
    size = base.generator.resolution
    about = {"image": PICTURE.format(size), "picture": f"RGB in [-1, 1], {size} x {size} px"}
    example = F.interpolate(photos, (size, size), mode="area")
    return Part(name, network.eval(), "image", ("picture",), about, example)


def _synthesis(style: Style, path: int) -> PlainSynthesis | Swapped:
    plain = PlainSynthesis(style.network(path).synthesis)
    size = style.card.swap_resolution
    if not size:
        return plain
    return Swapped(plain, PlainSynthesis(style.base.generator.synthesis, until=size), size)


def _encoder(pack: Style | Base, base: Base, space: str, photos: Tensor) -> Part:
    wanted = isinstance(pack, Base) or len(pack.card.attributes) > 1
    classifier = base.classifier if wanted and space == "z+" else None
    size = base.encoder_into(space).input_size
    about = {"image": PICTURE.format(size), "ws": CODES}
    if classifier:
        about["attributes"] = f"how likely each is: {', '.join(classifier.names)}"
    outputs = ("ws", "attributes") if classifier else ("ws",)
    example = F.interpolate(photos, (size, size), mode="area")
    return Part("encoder", Encoder(base, space, classifier), "image", outputs, about, example)


def _generator(name: str, network: nn.Module, ws: Tensor, base: Base) -> Part:
    size = base.generator.resolution
    about = {"ws": CODES, "picture": f"RGB, nominally in [-1, 1]: clamp it; {size} x {size} px"}
    return Part(name, network.eval(), "ws", ("picture",), about, ws)


def _examples(base: Base) -> tuple[Tensor, Tensor]:
    """Codes of faces, and their pictures: no photo of anybody is needed."""
    G = base.generator
    z = torch.randn(NUM_EXAMPLES, G.mapping.z_dim, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        ws = G.ws(z, PSI).contiguous()
        return ws, G.synthesis(ws).clamp(-1, 1)
