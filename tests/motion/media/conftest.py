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
    made: dict[str, list[str]] = {}

    def make(
        name: str,
        *arguments: str,
        rate: str = "25",
        seconds: float = 0.6,
        size: str = "96x64",
        before: tuple[str, ...] = (),
        source: str = "",
    ) -> Path:
        picture = source or f"testsrc=size={size}:rate={rate}:duration={seconds}"
        command = [get_ffmpeg_exe(), "-nostdin", "-v", "error", *before]
        command += ["-f", "lavfi", "-i", picture, *arguments, str(folder / name)]
        if name not in made:
            subprocess.run(command, check=True)
        assert made.setdefault(name, command) == command, f"two clips are called {name}"
        return folder / name

    return make


@pytest.fixture(scope="session")
def beep(make_clip: MakeClip) -> Path:
    """2.4 s of black, with a white frame and a tone of 40 ms at 1 s and at 2 s; AAC."""
    return make_clip("beep.mp4", *BEEP, "-c:a", "aac", source=FLASH)


FLASH = (
    "color=black:size=64x48:rate=25:duration=2.4,"
    "drawbox=color=white:t=fill:enable='between(t,0.99,1.03)+between(t,1.99,2.03)'"
)
TONES = "0.8*sin(6000*t)*(between(t,1,1.04)+between(t,2,2.04))"
BEEP = ("-f", "lavfi", "-i", f"aevalsrc=exprs='{TONES}':sample_rate=44100:duration=2.4")


def rotated(make_clip: MakeClip, degrees: int) -> Path:
    """A clip whose header asks to be turned counterclockwise."""
    straight = make_clip("plain.mp4")
    return make_clip(
        f"turned{degrees}.mp4",
        *("-map", "0", "-c", "copy"),
        before=("-display_rotation", str(degrees), "-i", str(straight)),
    )


def hdr_filter(transfer: str) -> str:
    """Tag the picture as BT.2020 with a transfer of ffmpeg's name."""
    tags = f"color_trc={transfer}:color_primaries=bt2020:colorspace=bt2020nc"
    return f"format=yuv420p10le,setparams={tags}"
