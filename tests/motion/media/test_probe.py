from fractions import Fraction

import pytest

from motion.media import probe
from tests.motion.media import here
from tests.motion.media.conftest import MakeClip, hdr_filter, rotated

FIELDS = ("-c:v", "mpeg2video", "-flags", "+ilme+ildct")
SINE = ("-f", "lavfi", "-i", "sine=440:duration=0.6")


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
@pytest.mark.parametrize(
    ("rate", "frames"), [("24000/1001", 24), ("30000/1001", 30), ("60", 60), ("25", 25)]
)
def test_lengths_and_rates_are_exact(
    make_clip: MakeClip, suffix: str, rate: str, frames: int
) -> None:
    seconds = float(frames / Fraction(rate))
    name = f"rate{rate.replace('/', '-')}{suffix}"
    clip = here.probe(make_clip(name, rate=rate, seconds=seconds))
    assert clip.frames == frames
    assert clip.rate == Fraction(rate)
    assert clip.seconds == pytest.approx(seconds, abs=5e-4)


def test_a_process_tells_the_same(make_clip: MakeClip) -> None:
    path = make_clip("plain.mp4")
    assert probe(path) == here.probe(path) == probe(str(path))


@pytest.mark.parametrize(("degrees", "clockwise"), [(90, 270), (180, 180), (270, 90)])
def test_rotated_clips_tell_their_upright_size(
    make_clip: MakeClip, degrees: int, clockwise: int
) -> None:
    clip = here.probe(rotated(make_clip, degrees))
    assert clip.rotation == clockwise
    assert (clip.width, clip.height) == ((96, 64) if degrees == 180 else (64, 96))


def test_sounds_are_counted(make_clip: MakeClip) -> None:
    two = make_clip("two.mp4", *SINE, *SINE, "-map", "0", "-map", "1", "-map", "2")
    assert here.probe(two).sounds == 2
    assert here.probe(make_clip("plain.mp4")).sounds == 0


def test_odd_sizes_and_ten_bits_are_fine(make_clip: MakeClip) -> None:
    clip = here.probe(make_clip("odd.mp4", "-pix_fmt", "yuv444p10le", size="95x63"))
    assert (clip.width, clip.height, clip.notes) == (95, 63, ())


def test_pixels_that_are_not_square_are_noted(make_clip: MakeClip) -> None:
    clip = here.probe(make_clip("wide.mp4", "-vf", "setsar=4/3"))
    assert (clip.width, clip.height) == (128, 64)
    assert clip.notes == ("its pixels are not square: 96x64 is shown as 128x64",)


def test_hdr_and_interlaced_are_noted(make_clip: MakeClip) -> None:
    hdr = make_clip("pq.mp4", "-vf", hdr_filter("smpte2084"))
    assert here.probe(hdr).notes == ("it is HDR (PQ): brought to the usual range of brightness",)
    fields = "tinterlace=interleave_top,setfield=tff"
    interlaced = make_clip("fields.mpg", "-vf", fields, *FIELDS)
    assert any("interlaced" in note for note in here.probe(interlaced).notes)


@pytest.mark.parametrize("name", ["moves.gif", "moves.webp"])
def test_animations_are_clips(make_clip: MakeClip, name: str) -> None:
    codec = ("-c:v", "libwebp_anim") if name.endswith("webp") else ()
    clip = here.probe(make_clip(name, *codec, rate="10", seconds=1))
    assert (clip.frames, clip.seconds, clip.rate) == (10, 1, 10)
