import os
import struct
from pathlib import Path

import pytest

from engine.errors import MediaError
from motion.media import Limits, probe, read_frames
from motion.media.stream import open_container
from tests.motion.media import here
from tests.motion.media.conftest import MakeClip


def refusal(path: Path, limits: Limits | None = None) -> str:
    """What `probe` and `read_frames` say alike."""
    limits = limits or Limits()
    with pytest.raises(MediaError) as probed:
        probe(path, limits)
    with pytest.raises(MediaError) as read:
        list(read_frames(path, limits))
    assert str(probed.value) == str(read.value)
    return str(read.value)


def test_a_concat_script_called_mp4_opens_nothing(make_clip: MakeClip, tmp_path: Path) -> None:
    script = tmp_path / "clip.mp4"
    script.write_text(f"ffconcat version 1.0\nfile '{make_clip('plain.mp4')}'\n")
    assert "is a playlist" in refusal(script)


def test_a_playlist_behind_a_real_signature_opens_nothing(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"\0\0\0\x10ftypisom\0\0\0\0\n#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n")
    assert "cannot be read" in refusal(path)


def test_the_demuxer_is_forced_and_may_open_nothing_else(
    make_clip: MakeClip, tmp_path: Path
) -> None:
    script = tmp_path / "script"
    script.write_text(f"ffconcat version 1.0\nfile '{make_clip('plain.mp4')}'\n")
    for demuxer in ("mov", "matroska", "avi", "mpegts", "mpeg", "ogg"):
        with script.open("rb") as file, pytest.raises(MediaError, match="cannot be read"):
            open_container(file, demuxer, "script")
    # Even through the demuxer that is never chosen, the file it names stays shut.
    with script.open("rb") as file, pytest.raises((MediaError, OSError)):
        container = open_container(file, "concat", "script")
        next(container.demux())


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (Limits(bytes=1000), "at most 0.000954 MB are accepted"),
        (Limits(pixels=6000), "has frames of 96x64; at most 0.006 megapixels"),
        (Limits(seconds=0.3), "is longer than 0.3 s"),
        (Limits(streams=0), "has 1 streams; at most 0 are accepted"),
    ],
)
def test_limits_hold(make_clip: MakeClip, limits: Limits, reason: str) -> None:
    assert reason in refusal(make_clip("plain.mp4"), limits)


def test_a_folder_a_pipe_and_nothing_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    assert "is a folder or a device" in refusal(tmp_path)
    assert "is a folder or a device" in refusal(tmp_path / "pipe.mp4")
    assert "No such file" in refusal(tmp_path / "none.mp4")


def test_sound_alone_is_refused(make_clip: MakeClip) -> None:
    sound = make_clip("sound.m4a", source="sine=440:duration=0.2")
    assert "no moving picture in its 1 streams" in refusal(sound)


def test_a_clip_without_frames_is_refused(make_clip: MakeClip, tmp_path: Path) -> None:
    whole = make_clip("pieces.mp4", "-movflags", "frag_keyframe+empty_moov").read_bytes()
    path = tmp_path / "zero.mp4"
    path.write_bytes(whole[: whole.index(b"moof") - 4])
    assert "holds no frame that can be decoded" in refusal(path)


def test_a_recording_without_its_index_is_refused(make_clip: MakeClip, tmp_path: Path) -> None:
    whole = make_clip("plain.mp4").read_bytes()
    path = tmp_path / "cut.mp4"
    path.write_bytes(whole[: len(whole) // 2])
    assert "cut off before its index was written" in refusal(path)


def with_length(mkv: bytes, seconds: float) -> bytes:
    """The same MKV file with another duration in its header (EBML element 0x4489, a double)."""
    at = mkv.index(b"\x44\x89\x88") + 3
    return mkv[:at] + struct.pack(">d", seconds * 1000) + mkv[at + 8 :]


def test_a_header_that_promises_three_hours_is_not_believed(
    make_clip: MakeClip, tmp_path: Path
) -> None:
    path = tmp_path / "lie.mkv"
    path.write_bytes(with_length(make_clip("plain.mkv").read_bytes(), 3 * 3600))
    clip = here.probe(path)
    assert (clip.seconds, clip.frames) == (0.6, 15)
    assert clip.notes == ("it says 10800.0 s, but ends after 0.6 s: cut off",)
    frames, notes = here.read(path)
    assert len(frames) == 15 and notes == list(clip.notes)


def test_a_header_that_hides_its_length_is_not_believed(
    make_clip: MakeClip, tmp_path: Path
) -> None:
    path = tmp_path / "lie.mkv"
    path.write_bytes(with_length(make_clip("plain.mkv").read_bytes(), 0.1))
    assert here.probe(path).seconds == 0.6
    assert "is longer than 0.3 s" in refusal(path, Limits(seconds=0.3))


def test_too_many_frames_are_refused(make_clip: MakeClip) -> None:
    burst = make_clip(
        *("burst.mp4", "-vf", "settb=1/90000,setpts=N", "-fps_mode", "passthrough"),
        *("-enc_time_base", "1/90000", "-video_track_timescale", "90000"),
        *("-preset", "ultrafast"),
        source="testsrc=size=16x16:rate=1000:duration=0.5",
    )
    assert "has over 312 frames in 0.0 s" in refusal(burst, Limits(seconds=0.3))
