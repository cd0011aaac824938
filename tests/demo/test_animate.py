"""`python -m demo.animate` on tiny networks: a clip with sound in, an animation with sound out."""

import json
import re
import subprocess
import sys
from fractions import Fraction

import av
import numpy as np
import pytest

from demo import animate
from engine.image import write_png
from motion.media import Frame, probe, read_frames
from motion.pack import MotionCard, save_motion_pack
from motion.recording import load_motion
from tests.motion.films import RATE, make_clip
from tests.motion.fomm import tiny
from tests.packs import write_base, write_style

RANDOM = np.random.default_rng(0)
COUNT = 8


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A folder with a photo, a silent driving clip, and a motion pack in $STYLIZE_HOME."""
    monkeypatch.setenv("STYLIZE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("STYLIZE_DEVICE", "cpu")
    save_motion_pack(
        tmp_path / "home" / "packs" / "tiny",
        MotionCard("tiny", tiny.SIZE),
        tiny.detector(),
        tiny.generator(),
    )
    write_png(tmp_path / "photo.png", RANDOM.integers(0, 256, (48, 64, 3), np.uint8))
    make_clip(tmp_path / "driving.mp4", COUNT / RATE)
    return tmp_path


def run(work, *words: str) -> int:
    given = [str(work / word) if "." in word else word for word in words]
    return animate.main(given)


def frames_of(path) -> list[Frame]:
    with read_frames(path) as frames:
        return list(frames)


def test_a_photo_is_driven_frame_by_frame(work, capsys):
    assert run(work, "photo.png", "driving.mp4", "out.mp4") == animate.SUCCESS
    about, found = probe(work / "out.mp4"), frames_of(work / "out.mp4")
    assert (about.width, about.height, about.sounds) == (48, 48, 0), "the middle of the photo"
    assert [f.time for f in found] == [Fraction(i, RATE) for i in range(COUNT)]
    assert about.seconds == pytest.approx(COUNT / RATE, abs=0.001)
    output = capsys.readouterr()
    assert "8 frames, 4 a second" in output.out
    assert "no face found in the picture: its middle is driven" in output.err
    assert not list(work.glob(".*")), "nothing temporary remains"
    record = json.loads((work / "out.json").read_text())
    assert record["animation"]["transfer"] == "relative" and record["photo"] == "photo.png"


def test_the_sound_of_the_clip_is_kept(work):
    make_clip(work / "loud.mp4", COUNT / RATE, sound=True)
    assert run(work, "photo.png", "loud.mp4", "out.mp4") == animate.SUCCESS
    assert probe(work / "out.mp4").sounds == 1
    with av.open(str(work / "out.mp4")) as file:
        tones = [f.to_ndarray() for f in file.decode(audio=0)]
    assert max(np.abs(tone.astype(float)).max() for tone in tones) > 0
    assert not list(work.glob(".*")), "nothing temporary remains"


def test_a_template_gives_the_same_animation(work):
    assert run(work, "photo.png", "driving.mp4", "a.mp4", "--save-template", "nod.safetensors") == 0
    assert len(load_motion(work / "nod.safetensors")) == COUNT
    assert run(work, "photo.png", "nod.safetensors", "b.mp4") == animate.SUCCESS
    pairs = zip(frames_of(work / "a.mp4"), frames_of(work / "b.mp4"), strict=True)
    assert all(np.array_equal(a.rgb, b.rgb) and a.time == b.time for a, b in pairs)


def test_pasted_back_into_the_photo(work):
    assert run(work, "photo.png", "driving.mp4", "out.mkv", "--in-photo", "--gain", "0") == 0
    about = probe(work / "out.mkv")
    assert (about.width, about.height) == (64, 48)


def test_a_style_comes_first(work, monkeypatch):
    base = write_base(work / "packs", detector=True)
    write_style(work / "packs", base, "cartoon")
    words = ["photo.png", "driving.mp4", "out.mp4", "--style", "cartoon", "--packs"]
    assert run(work, *words, str(work / "packs")) == animate.SUCCESS
    assert len(frames_of(work / "out.mp4")) == COUNT
    assert json.loads((work / "out.json").read_text())["style"] == "cartoon"


@pytest.mark.parametrize(
    "words, message",
    [
        (["photo.png", "driving.mp4", "out.gif"], "OUT is .*out.gif; a file that ends in .mp4"),
        (["photo.png", "driving.mp4", "out.mp4", "--gain", "9"], "gain is 9.0; it must be"),
        (["photo.png", "none.mp4", "out.mp4"], "none.mp4"),
        (["photo.png", "driving.mp4", "none/out.mp4"], "there is no such folder"),
        (["photo.png", "photo.safetensors", "out.mp4"], "is no motion template"),
        (["none.png", "driving.mp4", "out.mp4"], "cannot open none.png"),
        (["photo.png", "driving.mp4", "out.mp4", "--motion", "vox"], "no motion pack 'vox'"),
        (["photo.png", "driving.mp4", "out.mp4", "--regions", "mouth"], "no face was found"),
        (["photo.png", "driving.mp4", "out.mp4", "--save-template", "x.npz"], "--save-template is"),
    ],
)
def test_what_goes_wrong_is_told_and_nothing_is_written(work, capsys, words, message):
    assert run(work, *words) == animate.FAILED
    assert re.search(message, capsys.readouterr().err)
    assert not (work / words[2]).exists()


def test_help_needs_no_torch():
    code = (
        "import sys, demo.animate\n"
        "demo.animate.build_parser().format_help()\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
