"""Recipe: clips of one person each -> folders of square frames around the face, for train.motion.

As for the public face networks of Siarohin et al. 2019 (section 4), the frame stands still over a
clip: heads must move in it. It is the square around the faces of the whole clip, enlarged by
`--margin`, moved into the picture where it reaches out of it. A clip whose face leaves the place
where it was first seen (a cut, another person) is used until there.
"""

import argparse
import io
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from engine.detect import EmbeddedDetector
from engine.detect.face import Detector
from engine.errors import DataError, OptionError, StylizeError
from engine.image import resize
from motion.media import read_frames
from train.dataset import write_whole

SUFFIXES = {".mp4", ".mov", ".m4v", ".webm", ".mkv", ".avi", ".gif"}
SAME_FACE = 0.25  # overlap with the first box (intersection over union), as published
LOOK_SIDE = 640  # px; where faces are looked for
LEAST_FRAMES = 16


@dataclass(frozen=True)
class Cut:
    """Where a clip is cut: a square (left, top, side) in pixels, and how many frames of it."""

    left: int
    top: int
    side: int
    num_frames: int


def find_cut(clip: Path, detector: Detector, margin: float, every: int = 5) -> Cut:
    """Look for the face in every `every`-th frame and return the square around all places of it.

    Raises:
        DataError: the first frames show no face, or it goes away too soon.
        MediaError: the clip cannot be read.
    """
    boxes: list[np.ndarray] = []
    count, height, width = 0, 0, 0  # frames until the face was seen last; size of the clip
    with read_frames(clip) as frames:
        for frame in frames:
            height, width = frame.rgb.shape[:2]
            if frame.index % every == 0:
                box = _face_box(frame.rgb, detector)
                if box is None or (boxes and overlap(box, boxes[0]) < SAME_FACE):
                    break
                boxes.append(box)
                count = frame.index + 1
    if count < LEAST_FRAMES:
        raise DataError(
            f"{clip.name} shows one and the same face for {count} frames only; {LEAST_FRAMES} "
            "from the first on are needed: cut the clip to start with the face"
        )
    return Cut(*square_around(np.stack(boxes), margin, height, width), count)


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection by union of two boxes [4] (x0, y0, x1, y1)."""
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    both = sides.clip(0).prod()
    return float(both / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - both))


def square_around(
    boxes: np.ndarray, margin: float, height: int, width: int
) -> tuple[int, int, int]:
    """Return left, top and side of the square around all boxes [N, 4] inside of a picture.

    `margin` is added on each side, in sides of the box around all.
    """
    low, high = boxes[:, :2].min(0), boxes[:, 2:].max(0)
    side = min(round(float((high - low).max() * (1 + 2 * margin))), height, width)
    left, top = np.rint((low + high - side) / 2).astype(int)
    return int(np.clip(left, 0, width - side)), int(np.clip(top, 0, height - side)), side


def write_cut(clip: Path, cut: Cut, out: Path, size: int) -> None:
    """Write the frames of a cut as out/000000.jpg ..., `size` px square.

    Raises MediaError or ImageError.
    """
    out.mkdir(parents=True)
    with read_frames(clip) as frames:
        for frame in frames:
            if frame.index == cut.num_frames:
                break
            rows, columns = (slice(at, at + cut.side) for at in (cut.top, cut.left))
            picture = Image.fromarray(resize(frame.rgb[rows, columns], size, size))
            buffer = io.BytesIO()
            picture.save(buffer, "JPEG", quality=95, subsampling=0)
            write_whole(out / f"{frame.index:06d}.jpg", buffer.getvalue())


def cut_clips(
    folder: Path, out: Path, size: int, margin: float, detector: Detector
) -> dict[str, str]:
    """Cut every clip of `folder` into out/NAME/; return what happened to each, in plain words.

    A clip whose folder exists is left as it is.

    Raises:
        DataError: there are no clips.
    """
    clips = sorted(path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES)
    if not clips:
        kinds = ", ".join(sorted(SUFFIXES))
        raise DataError(f"no clips in {folder}; a folder of {kinds} files is accepted")
    said = {}
    for clip in tqdm(clips, unit="clip"):
        target = out / clip.stem
        if target.exists():
            said[clip.name] = "was there already"
            continue
        try:
            cut = find_cut(clip, detector, margin)
            part = target.with_name(target.name + ".part")
            shutil.rmtree(part, ignore_errors=True)  # of a run that was stopped
            write_cut(clip, cut, part, size)
            part.replace(target)
            said[clip.name] = f"{cut.num_frames} frames of {cut.side} px"
        except StylizeError as error:
            said[clip.name] = f"left out: {error}"
    return said


def _face_box(rgb: np.ndarray, detector: Detector) -> np.ndarray | None:
    height, width = rgb.shape[:2]
    scale = max(1.0, max(height, width) / LOOK_SIDE)
    faces = detector(resize(rgb, round(height / scale), round(width / scale)))
    return faces[0].box * scale if faces else None


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0 if a clip was cut, 2 if none could be."""
    parser = argparse.ArgumentParser(
        prog="python -m train.cut_clips", description="Cut clips into frames for train.motion."
    )
    add = parser.add_argument
    add("folder", type=Path, help="where the clips are, one person each")
    add("out", type=Path, help="folder for the folders of frames")
    add("--size", type=int, default=256, help="side in pixels (%(default)s)")
    add("--margin", type=float, default=0.4, help="around the face, on each side (%(default)s)")
    args = parser.parse_args(argv)
    try:
        if args.size < 32 or not 0 <= args.margin <= 2:
            raise OptionError(
                f"--size is {args.size}, --margin {args.margin}; at least 32 px and 0 to 2 are "
                "accepted"
            )
        detector = EmbeddedDetector.from_file()
        said = cut_clips(args.folder, args.out, args.size, args.margin, detector)
    except StylizeError as error:
        print(error, file=sys.stderr)
        return 2
    for name, words in said.items():
        print(f"{name}: {words}")
    return 0 if any(not words.startswith("left out") for words in said.values()) else 2


if __name__ == "__main__":
    sys.exit(main())
