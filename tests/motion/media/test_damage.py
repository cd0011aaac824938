import os
import signal
from collections.abc import Iterator
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import av
import pytest

from engine.errors import MediaError
from motion.media import Limits, pipe, read_frames
from motion.media.decode import Timeline
from motion.media.source import Source
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


class Listed(Source):
    """A source whose frames have given timestamps, in 1/25 s."""

    time_base, rate = Fraction(1, 25), Fraction(25)

    def __init__(self, *times: int | None) -> None:
        super().__init__("listed", Limits(seconds=2))
        self._times = times

    def pictures(self) -> Iterator[av.VideoFrame]:
        for time in self._times:
            picture = av.VideoFrame(16, 16, "gray")
            picture.time_base, picture.pts = self.time_base, time
            yield picture

    def stated_length(self) -> tuple[Fraction, int]:
        return Fraction(0), 0

    measured_length = stated_length


@pytest.mark.parametrize(
    ("stored", "kept"),
    [
        ((10, 11, 12, 900, 14, 15), [0, 1, 2, 4, 5]),
        ((10, 11, 12, 3, 14, 15), [0, 1, 2, 4, 5]),
        ((10, 11, 11, 12), [0, 1, 2]),
        ((10, None, None, 13), [0, 1, 2, 3]),
        ((None, None, None), [0, 1, 2]),
    ],
)
def test_one_wrong_time_costs_one_frame(stored: tuple[int | None, ...], kept: list[int]) -> None:
    source = Listed(*stored)
    frames = Timeline(source)(source.pictures())
    assert [timed.time * 25 for timed in frames] == kept
    assert bool(source.notes()) == (len(kept) < len(stored))


def test_times_that_really_are_far_ahead_count_for_the_limit() -> None:
    source = Listed(0, 1, 900, 901, 902)
    with pytest.raises(MediaError, match="is longer than 2 s"):
        list(Timeline(source)(source.pictures()))


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
    stream = BytesIO()
    pipe.send(stream, {"kind": "frame"}, here.np.zeros(100, "uint8"))
    with pytest.raises(EOFError, match=r"\+ 100 bytes"):
        pipe.receive(BytesIO(stream.getvalue()), max_payload=99)
    with pytest.raises(EOFError, match="1 bytes early"):
        pipe.receive(BytesIO(stream.getvalue()[:-1]), max_payload=100)
