"""The card of a style pack: what `style.json` says, checked on creation."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from engine.errors import OptionError, PackError
from engine.options import StylizeOptions

# 2: cards of every method; 3: weights may be kept in 8 bits; 4: styles leave out what is the base's
FORMAT_VERSION = 4
CARD_FILE, PREVIEW_FILE = "style.json", "preview.jpg"
GENERATOR_FILE, DISCRIMINATOR_FILE = "generator.safetensors", "discriminator.safetensors"
ENCODER_FILE, DETECTOR_FILE = "encoder.safetensors", "detector.safetensors"
DETAIL_FILE = "detail.safetensors"  # what the codes of a face leave out
UPSCALER_FILE = "upscaler.safetensors"  # drawings twice as large
ATTRIBUTE_FILE = "attribute.safetensors"  # which attribute path suits a face
DIRECTIONS_FILE = "directions.safetensors"  # UI2I's factors, or what train.directions learned
STYLE_ENCODER_FILE = "style_encoder.safetensors"  # BlendGAN: picture -> style code
STYLE_MAPPING_FILE = "style_mapping.safetensors"  # BlendGAN: style code -> w
BLEND_FILE = "blend.safetensors"  # BlendGAN: `face_weights` [L]
STUDENT_FILE = "student.safetensors"  # photo crop -> stylized crop in one small network
KINDS = ("base", "blended", "swapped")
ENCODER_SPACES = {"z+": "zplus", "z": "z", "w+": "wplus", "w": "w"}
FRAMINGS = ("ffhq", "center")
_PLAIN_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_PLAIN_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}\.(safetensors|jpg)")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Card:
    """What `style.json` says about a pack.

    Attributes:
        name: plain lower-case name, that of the folder; `title` is for people.
        kind: "base" (encoder and source generator that styles share), "blended" or "swapped".
        resolution, channels, num_ws: layout of the generator; channels per resolution.
        base: for a style, {"name": ..., "sha256": of the base's generator.safetensors}. A style
            hangs on that network alone: the encoder or the detector may be retrained under it.
        encoder_space: of a base, what its encoder.safetensors answers; of a style, which of the
            base's encoders it wants: z+ (a posterior or codes), z, w+, w.
        framing: of a base, what its generator draws: faces in FFHQ's framing, or the central square
            of any picture ("center": cats, dogs, paintings).
        conv_clamp: largest magnitude its convolutions may answer (stylegan3-era files), or None.
        variation_space: where random style codes are drawn: one z for all layers, or z+, one each.
        swap_resolution: for "swapped", where the content's features are handed over, in pixels.
        defaults: fields of StylizeOptions that this style changes; `attribute` is the path taken
            when the user names none.
        attributes: names of the attribute paths, in the order of their weights.
        directions: of a base, what its first semantic directions do: learned or found by looking.
        order: where a style stands among those on offer, the smallest first.
        training: record of the training: counts and licence of the data, images seen, metrics.
        files: file name -> sha256.
    """

    name: str
    kind: str
    resolution: int
    num_ws: int
    channels: Mapping[int, int]
    title: str = ""
    method: str = ""
    base: Mapping[str, str] | None = None
    encoder_space: str = "z+"
    framing: str = "ffhq"
    conv_clamp: float | None = None
    variation_space: str = "z"
    swap_resolution: int | None = None
    defaults: Mapping[str, Any] = field(default_factory=dict)
    attributes: tuple[str, ...] = ()
    directions: tuple[str, ...] = ()
    order: int = 100
    training: Mapping[str, Any] = field(default_factory=dict)
    licence: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        try:
            channels = {int(size): int(count) for size, count in self.channels.items()}
            object.__setattr__(self, "channels", channels)
            object.__setattr__(self, "attributes", tuple(map(str, self.attributes)))
            object.__setattr__(self, "directions", tuple(map(str, self.directions)))
            object.__setattr__(self, "order", int(self.order))
            check_names(self.name, self.files)
            self._check_kind()
            self.options()
        except (TypeError, ValueError, AttributeError, OptionError) as error:
            raise PackError(f"the card of {self.name!r} is not valid: {error}") from error

    def _check_kind(self) -> None:
        if self.base and not _PLAIN_NAME.fullmatch(self.base["name"]):
            raise ValueError(f"base is {self.base['name']!r}; a plain pack name is accepted")
        if self.kind not in KINDS:
            raise ValueError(f"kind is {self.kind!r}; accepted are {', '.join(KINDS)}")
        if self.encoder_space not in ENCODER_SPACES:
            accepted = ", ".join(ENCODER_SPACES)
            raise ValueError(f"encoder_space is {self.encoder_space!r}; accepted: {accepted}")
        if self.framing not in FRAMINGS:
            raise ValueError(f"framing is {self.framing!r}; accepted: {', '.join(FRAMINGS)}")
        if self.variation_space not in ("z", "z+"):
            raise ValueError(f"variation_space is {self.variation_space!r}; accepted: z, z+")
        if self.conv_clamp is not None and not self.conv_clamp > 0:
            raise ValueError(f"conv_clamp is {self.conv_clamp!r}; a positive number is accepted")
        if (self.kind == "base") != (self.base is None):
            raise ValueError("a style names its base pack, a base pack has none")
        if self.kind == "swapped" and self.swap_resolution not in self.channels:
            raise ValueError(
                f"swap_resolution is {self.swap_resolution}; one of channels is needed"
            )
        if self.default_attribute is not None and self.default_attribute not in self.attributes:
            raise ValueError(f"default attribute {self.default_attribute!r} is none of attributes")

    @property
    def default_attribute(self) -> str | None:
        """The attribute path taken when the user names none; None for a style without paths."""
        first = self.attributes[0] if self.attributes else None
        return self.defaults.get("attribute") or first

    def options(self) -> StylizeOptions:
        """Return the default options of this style."""
        return StylizeOptions.from_dict(self.defaults)

    def beside(self, options: StylizeOptions) -> StylizeOptions:
        """Return the options of a picture for one person in it who is drawn in this style."""
        return replace(options, attribute=None, eyes=self.options().eyes)

    def path_of(self, attribute: str | None) -> int:
        """Return the index of an attribute path; None is the default one. Raises OptionError."""
        name = self.default_attribute if attribute is None else attribute
        if name is None:
            return 0
        if name not in self.attributes:
            accepted = ", ".join(self.attributes) or "none"
            raise OptionError(
                f"attribute is {name!r}; style {self.name} has {accepted}: change --attribute"
            )
        return self.attributes.index(name)

    def encoder_file(self, space: str) -> str:
        """Return the name of a base's encoder into `space`, whether it has that one or not."""
        if space == self.encoder_space:
            return ENCODER_FILE
        return f"encoder_{ENCODER_SPACES[space]}.safetensors"

    @property
    def sha256(self) -> str:
        """One hash for the whole pack: that of its sorted file hashes."""
        lines = "".join(f"{name} {digest}\n" for name, digest in sorted(self.files.items()))
        return hashlib.sha256(lines.encode()).hexdigest()

    def to_json(self) -> str:
        """Return the text of `style.json`."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"


def check_names(name: str, files: Mapping[str, str]) -> None:
    """Raise ValueError unless a pack's name and files are plain names, with a sha256 per file."""
    if not _PLAIN_NAME.fullmatch(name):
        raise ValueError(f"name is {name!r}; small letters, digits, _ and - are accepted")
    for file, digest in files.items():
        if not _PLAIN_FILE.fullmatch(file):
            raise ValueError(f"file {file!r} is no plain *.safetensors or *.jpg name")
        if not _SHA256.fullmatch(digest):
            raise ValueError(f"sha256 of {file} is {digest!r}; 64 hex digits are accepted")
