"""Clips made on the spot, and a tiny stylizer that finds one face in all that is not black."""

import subprocess
from dataclasses import replace
from pathlib import Path

import imageio_ffmpeg
import numpy as np

from engine.detect import Face, face_from_points
from engine.library import StyleLibrary
from engine.pipeline import Stylizer
from engine.runtime import pick_runtime

RATE = 4


def make_clip(
    path: Path, seconds: float, *, source: str = "testsrc2=", sound: bool = False
) -> Path:
    """A test pattern of 64 x 48 pixels, four frames a second, perhaps with a tone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    video = ["-f", "lavfi", "-i", f"{source}s=64x48:r={RATE}:d={seconds}"]
    tone = ["-f", "lavfi", "-i", f"sine=440:d={seconds}", "-c:a", "aac"] if sound else []
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *video, *tone]
    subprocess.run([*command, "-pix_fmt", "yuv420p", "-g", "8", str(path)], check=True)
    return path


def find_one_face(rgb: np.ndarray) -> list[Face]:
    """A face in the middle, unless the picture is black."""
    if rgb.max() < 32:
        return []
    y, x = rgb.shape[0] / 2, rgb.shape[1] / 2
    return [face_from_points((x - 8, y - 6), (x + 8, y - 6), (x, y + 8))]


def tiny_stylizer(packs: Path, style: str = "comic", num_threads: int = 2) -> Stylizer:
    """A style of `tests.packs.write_packs`, as a machine with so many processors draws it."""
    runtime = replace(pick_runtime("cpu", "float32"), num_threads=num_threads)
    return Stylizer.load(style, StyleLibrary([packs]), runtime, find_one_face)
