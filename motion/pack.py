"""Motion packs: a folder with `motion.json` (the card), the keypoint detector and the generator.

    engine/packs/motion/             the embedded one; imported ones lie in $STYLIZE_HOME/packs/NAME
      motion.json                    MotionCard: size of the pictures, licence, training record
      keypoints.safetensors          state dict of motion.fomm.KeypointDetector
      generator.safetensors          state dict of motion.fomm.Generator, its dense motion included

    save_motion_pack(folder, MotionCard(name="motion", size=128, ...), detector, generator)
    pack = load_motion_pack(find_motion_pack())     # MotionPack(folder, card, detector, generator)

As for styles (`engine.pack`), nothing is executed, and every file is compared with its sha256 in
the card before a tensor of it is used. All sizes of the networks are read off their weights.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from engine.card import check_names
from engine.errors import CheckpointError, PackError
from engine.pack import (
    read_tensors,
    read_values,
    save_tensors,
    search_folders,
    sha256_of,
    whole_files,
)
from motion.fomm import Generator, KeypointDetector, generator_from_state, keypoints_from_state

FORMAT_VERSION = 1
CARD_FILE = "motion.json"
KEYPOINTS_FILE, GENERATOR_FILE = "keypoints.safetensors", "generator.safetensors"
_SIZES = range(32, 1025)


@dataclass(frozen=True)
class MotionCard:
    """What `motion.json` says; checked on creation (PackError).

    Attributes:
        name: plain lower-case name, that of the folder; `title` is for people.
        size: side in pixels of the pictures the networks were trained on.
        align_corners: how the generator samples, see `DenseMotion`.
        licence: of the weights.
        training: record of the training: data, its licence, pictures seen, measures.
        files: file name -> sha256; filled in by `save_motion_pack`.
    """

    name: str
    size: int
    title: str = ""
    align_corners: bool = True
    licence: str = ""
    training: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        try:
            check_names(self.name, self.files)
            if type(self.size) is not int or self.size not in _SIZES:
                raise ValueError(f"size is {self.size!r}; accepted: {_SIZES[0]} to {_SIZES[-1]} px")
            if not isinstance(self.align_corners, bool):
                raise ValueError(f"align_corners is {self.align_corners!r}; accepted: true, false")
        except (ValueError, TypeError, AttributeError) as error:
            raise PackError(f"motion pack {self.name!r}: {error}; copy the pack again") from error

    def to_json(self) -> str:
        """Return the text of `motion.json`."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"


@dataclass(frozen=True)
class MotionPack:
    """Both networks of a pack, float32 on the CPU, for inference."""

    folder: Path
    card: MotionCard
    detector: KeypointDetector
    generator: Generator


def motion_packs(search: Sequence[str | Path] | None = None) -> dict[str, Path]:
    """Return the folders of all motion packs by name: the user's first, the embedded one last."""
    found: dict[str, Path] = {}
    for folder in search_folders() if search is None else map(Path, search):
        for card in sorted(folder.glob(f"*/{CARD_FILE}")):
            found.setdefault(card.parent.name, card.parent)
    return found


def find_motion_pack(name: str | None = None, search: Sequence[str | Path] | None = None) -> Path:
    """Return the folder of a motion pack; None: the first there is, one with a slash: a path.

    Raises:
        PackError: there is none, or none of that name; the message says which weights to get.
    """
    if name and "/" in name.replace("\\", "/"):
        return Path(name)
    found = motion_packs(search)
    if name is None and found:
        return next(iter(found.values()))
    if name in found:
        return found[name]
    wrong = f"no motion pack {name!r}" if name else "no motion weights on this machine"
    raise PackError(
        f"{wrong}; there are {', '.join(found) or 'none'}: get the public ones with "
        "`python -m demo.doctor fetch fomm-vox-adv` and then "
        "`python -m demo.doctor import` with the file it names, or name a folder as ./motion"
    )


def read_motion_card(folder: str | Path) -> MotionCard:
    """Read `motion.json` of a pack without touching its weights; raises PackError."""
    path = Path(folder) / CARD_FILE
    return _card_from_values(read_values(path, "motion pack"), path)


def load_motion_pack(folder: str | Path) -> MotionPack:
    """Read a pack and build its networks; raises PackError or CheckpointError."""
    folder = Path(folder)
    card = read_motion_card(folder)
    keypoints, generator = (
        read_tensors(folder, card.files, file) for file in (KEYPOINTS_FILE, GENERATOR_FILE)
    )
    pack = MotionPack(
        folder,
        card,
        keypoints_from_state(keypoints),
        generator_from_state(generator, align_corners=card.align_corners),
    )
    check_pair(pack.detector, pack.generator)
    return pack


def save_motion_pack(
    folder: str | Path,
    card: MotionCard,
    detector: KeypointDetector,
    generator: Generator,
    *,
    half: bool = True,
) -> MotionPack:
    """Write both networks and the card, whole or not at all; `half` stores floats as float16.

    Raises PackError where the folder cannot be written, CheckpointError where the two differ in
    their number of keypoints.
    """
    check_pair(detector, generator)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    networks = {KEYPOINTS_FILE: detector, GENERATOR_FILE: generator}
    with whole_files(folder) as parts:
        for file, network in networks.items():
            save_tensors(network.state_dict(), parts(file), half=half)
        card = replace(card, files={file: sha256_of(parts(file)) for file in networks})
        parts(CARD_FILE).write_text(card.to_json(), encoding="utf-8")
    return load_motion_pack(folder)


def check_pair(detector: KeypointDetector, generator: Generator) -> None:
    """Both networks must be of one number of keypoints; raises CheckpointError."""
    needed = generator.dense_motion.mask.out_channels - 1
    if detector.num_keypoints != needed:
        raise CheckpointError(
            f"the keypoint detector finds {detector.num_keypoints} keypoints, the generator needs "
            f"{needed}; take both from one training"
        )


def _card_from_values(values: Any, path: Path) -> MotionCard:
    if not isinstance(values, dict):
        raise PackError(f"{path} holds {type(values).__name__}; a JSON object is accepted")
    version = values.get("format_version")
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise PackError(
            f"{path} has format version {version!r}; this program reads up to {FORMAT_VERSION}: "
            "update the program"
        )
    unknown = sorted(set(values) - {f.name for f in fields(MotionCard)})
    missing = sorted({"name", "size", "files"} - set(values))
    if unknown or missing:
        raise PackError(f"{path}: unknown entries {unknown}, missing entries {missing}")
    return MotionCard(**values)
