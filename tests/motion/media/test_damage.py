import os
import signal
from pathlib import Path

import pytest

from engine.errors import MediaError
from motion.media import Limits, pipe, read_frames
from tests.motion.media import here
from tests.motion.media.conftest import MakeClip


@pytest.mark.parametrize("name", ["cut.mp4", "cut.mkv"])
def test_a_clip_cut_in_the_middle_gives_its_first_half(
    make_clip: MakeClip, tmp_path: Path, name: str
) -> None:
    faststart = ("-g", "10", "-movflags", "+faststart") if name.endswith("mp4") else ("-g", "10")
    whole = make_clip(f"whole{name}", *faststart, seconds=2).read_bytes()
    path = tmp_path / name
    path.write_bytes(whole[: len(whole) // 2])
    clip = here.probe(path)
    assert 0.2 < clip.seconds < 1.5
    assert any("it says 2.0 s, but ends after" in note for note in clip.notes)
    frames, notes = here.read(path)
    assert len(frames) >= 5
    assert [f.time for f in frames] == [f.index * frames[1].time for f in frames]
    assert any("cut off" in note for note in notes)


def test_broken_frames_leave_the_times_of_the_others_alone(
    make_clip: MakeClip, tmp_path: Path
) -> None:
    whole = bytearray(make_clip("keys.mkv", "-c:v", "mjpeg", "-q:v", "3").read_bytes())
    starts = [i for i in range(len(whole)) if whole.startswith(b"\xff\xd8\xff", i)]
    for start in starts[4:6]:
        whole[start : start + 800] = bytes(800)
    path = tmp_path / "broken.mkv"
    path.write_bytes(whole)
    frames, notes = here.read(path)
    assert [f.time * 25 for f in frames] == [0, 1, 2, 3, *range(6, 15)]
    assert notes == ["2 frames are damaged: seen with errors, or the one before stays on screen"]


def test_a_decoder_that_crashes_is_an_error_not_a_crash(make_clip: MakeClip) -> None:
    frames = read_frames(make_clip("large.mp4", size="640x480"))
    next(frames)
    os.kill(frames._decoder._process.pid, signal.SIGSEGV)
    with pytest.raises(MediaError, match=r"broke down on large.mp4 \(exit code -11\)"):
        list(frames)
    assert next(frames, None) is None


def test_a_decoder_that_hangs_is_stopped(make_clip: MakeClip) -> None:
    frames = read_frames(make_clip("large.mp4", size="640x480"), Limits(timeout_s=10))
    next(frames)
    process = frames._decoder._process
    os.kill(process.pid, signal.SIGSTOP)
    frames._decoder._limits = Limits(timeout_s=0.2)
    with pytest.raises(MediaError, match="busy for over 0.2 s with one frame"):
        list(frames)
    assert process.returncode is not None


def test_a_message_that_promises_too_much_is_not_waited_for() -> None:
    from io import BytesIO

    stream = BytesIO()
    pipe.send(stream, {"kind": "frame"}, here.np.zeros(100, "uint8"))
    with pytest.raises(EOFError, match=r"\+ 100 bytes"):
        pipe.receive(BytesIO(stream.getvalue()), max_payload=99)
    with pytest.raises(EOFError, match="1 bytes early"):
        pipe.receive(BytesIO(stream.getvalue()[:-1]), max_payload=100)
