"""Clips made by ffmpeg on the spot, small and short, each once per session."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from imageio_ffmpeg import get_ffmpeg_exe

MakeClip = Callable[..., Path]


@pytest.fixture(scope="session")
def make_clip(tmp_path_factory: pytest.TempPathFactory) -> MakeClip:
    """`make_clip("a.mp4", *arguments)` gives the path of a clip; a picture of 96x64 is input 0.

    `rate`, `seconds` and `size` are those of the picture; `before` are arguments ahead of it.
    """
    folder = tmp_path_factory.mktemp("clips")

    def make(
        name: str,
        *arguments: str,
        rate: str = "25",
        seconds: float = 0.6,
        size: str = "96x64",
        before: tuple[str, ...] = (),
        source: str = "",
    ) -> Path:
        path = folder / name
        if not path.exists():
            picture = source or f"testsrc=size={size}:rate={rate}:duration={seconds}"
            command = [get_ffmpeg_exe(), "-nostdin", "-v", "error", *before]
            subprocess.run([*command, "-f", "lavfi", "-i", picture, *arguments, path], check=True)
        return path

    return make


@pytest.fixture(scope="session")
def beep(make_clip: MakeClip) -> Path:
    """4 s of black, with a white frame and a tone of 40 ms at 2 s and at 3 s; AAC."""
    return make_clip("beep.mp4", *BEEP, "-c:a", "aac", source=FLASH)


FLASH = (
    "color=black:size=64x48:rate=25:duration=4,"
    "drawbox=color=white:t=fill:enable='between(t,1.99,2.03)+between(t,2.99,3.03)'"
)
TONES = "0.8*sin(6000*t)*(between(t,2,2.04)+between(t,3,3.04))"
BEEP = ("-f", "lavfi", "-i", f"aevalsrc=exprs='{TONES}':sample_rate=44100:duration=4")
