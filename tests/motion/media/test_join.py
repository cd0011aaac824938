from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from engine.errors import MediaError
from motion.media import Writer, join, probe, read_frames
from tests.motion.media import here
from tests.motion.media.conftest import BEEP, FLASH, MakeClip

FRAME = 1 / 25
SINE = ("-f", "lavfi", "-i", "sine=440:duration=0.6")


def rewrite(
    source: Path,
    out: Path,
    start: float = 0,
    end: float | None = None,
    every: int = 20,
    lossless: bool = False,
) -> tuple[str, ...]:
    """read_frames -> Writer -> join, in segments of `every` frames. Returns the notes of join."""
    segments, writer = [], None
    for frame in here.read(source, start, end)[0]:
        if frame.index % every == 0:
            if writer is not None:
                writer.close(frame.time)
            segments.append(out.with_name(f"{out.stem}{len(segments)}{out.suffix}"))
            height, width = frame.rgb.shape[:2]
            writer = Writer(segments[-1], width, height, lossless=lossless)
        writer.write(frame)
    writer.close(None if end is None else Fraction(end))
    return join(segments, source, out, start, end)


def flashes_and_beeps(path: Path) -> tuple[list[float], list[float]]:
    """When white frames and when tones begin, in seconds since the first frame."""
    flashes = [float(f.time) for f in here.read(path)[0] if f.rgb.mean() > 128]
    times, levels = [], []
    with av.open(str(path)) as container:
        origin = next(container.decode(video=0)).time
    with av.open(str(path)) as container:
        for sound in container.decode(audio=0):
            step = 1 if sound.format.is_planar else len(sound.layout.channels)
            samples = np.abs(sound.to_ndarray()[0][::step].astype(float))
            times.append(sound.time - origin + np.arange(len(samples)) / sound.sample_rate)
            levels.append(samples)
    times, levels = np.concatenate(times), np.concatenate(levels)
    loud = times[levels > 0.4 * levels.max()]
    return flashes, loud[np.r_[True, np.diff(loud) > 0.5]].tolist()


def sound_bytes(path: Path, track: int = 0) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(p) for p in container.demux(audio=track) if p.size]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".webm"])
def test_picture_and_sound_stay_together(beep: Path, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"out{suffix}"
    notes = rewrite(beep, out)
    flashes, beeps = flashes_and_beeps(out)
    assert flashes == pytest.approx([1, 2], abs=1e-3)
    assert beeps == pytest.approx([1, 2], abs=2e-3)
    again = "its sound is aac, which .webm cannot hold: it is encoded again"
    assert notes == ((again,) if suffix == ".webm" else ())


@pytest.mark.parametrize(
    ("name", "sound"),
    [
        ("beep.ts", ("-c:a", "aac", "-output_ts_offset", "7")),
        ("beep.webm", ("-c:v", "libvpx", "-c:a", "libopus", "-ar", "48000")),
        ("beep.mov", ("-c:a", "pcm_s16le")),
        ("beep.mkv", ("-c:a", "libvorbis")),
    ],
)
def test_a_part_of_any_clip_stays_together(
    make_clip: MakeClip, tmp_path: Path, name: str, sound: tuple[str, ...]
) -> None:
    source = make_clip(name, *BEEP, *sound, source=FLASH)
    out = tmp_path / "part.mp4"
    rewrite(source, out, start=0.23, end=1.8)
    flashes, beeps = flashes_and_beeps(out)
    assert flashes == pytest.approx([0.77], abs=1e-3)
    assert beeps == pytest.approx([0.77], abs=5e-3)
    assert probe(out).seconds == pytest.approx(1.57, abs=1e-3)


def test_sound_that_begins_before_the_picture_is_kept_in_step(
    make_clip: MakeClip, tmp_path: Path
) -> None:
    delay = ("-itsoffset", "0.3")
    source = make_clip("late.mp4", *BEEP, "-c:a", "aac", source=FLASH, before=delay)
    flashes, beeps = flashes_and_beeps(source)
    rewrite(source, tmp_path / "out.mp4")
    copied_flashes, copied_beeps = flashes_and_beeps(tmp_path / "out.mp4")
    assert flashes[0] - beeps[0] == pytest.approx(0.3, abs=FRAME)
    assert copied_flashes == pytest.approx(flashes, abs=1e-6)
    assert copied_beeps == pytest.approx(beeps, abs=1e-6)


@pytest.mark.parametrize(("suffix", "lossless"), [(".mkv", True), (".webm", False)])
def test_the_last_frame_stays_as_long_as_the_others(
    make_clip: MakeClip, tmp_path: Path, suffix: str, lossless: bool
) -> None:
    """These files do not say how long a frame stays, only when the next one comes."""
    source = make_clip("four.mp4", rate="4", seconds=2)
    rewrite(source, tmp_path / f"out{suffix}", every=5, lossless=lossless)
    assert probe(tmp_path / f"out{suffix}").seconds == pytest.approx(2.0, abs=1e-3)


def test_every_track_is_copied_untouched(make_clip: MakeClip, tmp_path: Path) -> None:
    source = make_clip(
        *("tracks.mp4", *SINE, *SINE, "-map", "0", "-map", "1", "-map", "2"),
        *("-metadata:s:a:1", "language=fra"),
    )
    rewrite(source, tmp_path / "out.mp4")
    for track in (0, 1):
        assert sound_bytes(tmp_path / "out.mp4", track) == sound_bytes(source, track)
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.audio[1].language == "fra"


@pytest.mark.parametrize("rate", ["30000/1001", "24000/1001", "60"])
def test_segments_do_not_add_up_to_a_drift(make_clip: MakeClip, tmp_path: Path, rate: str) -> None:
    source = make_clip(f"drift{rate.replace('/', '-')}.mp4", rate=rate, seconds=1.6)
    rewrite(source, tmp_path / "out.mp4", every=7)
    theirs, ours = here.read(source)[0], here.read(tmp_path / "out.mp4")[0]
    assert [f.time for f in ours] == [f.time for f in theirs]
    assert here.probe(tmp_path / "out.mp4").seconds == here.probe(source).seconds


def test_lossless_segments_stay_lossless(make_clip: MakeClip, tmp_path: Path) -> None:
    source = make_clip("odd.mp4", "-pix_fmt", "yuv444p10le", size="95x63")
    rewrite(source, tmp_path / "out.mkv", every=4, lossless=True)
    theirs, ours = here.read(source)[0], here.read(tmp_path / "out.mkv")[0]
    assert all(np.array_equal(a.rgb, b.rgb) for a, b in zip(ours, theirs, strict=True))
    assert [float(f.time) for f in ours] == pytest.approx([float(f.time) for f in theirs], abs=6e-4)


def test_a_gif_has_no_sound_to_take(make_clip: MakeClip, tmp_path: Path) -> None:
    source = make_clip("moves.gif", rate="10", seconds=1)
    assert rewrite(source, tmp_path / "out.mp4", every=3) == ()
    assert here.probe(tmp_path / "out.mp4").seconds == 1


def test_segments_that_do_not_fit_are_refused(make_clip: MakeClip, tmp_path: Path) -> None:
    small, large = make_clip("plain.mp4"), make_clip("large.mp4", size="640x480")
    out = tmp_path / "out.mp4"
    with pytest.raises(MediaError, match="large.mp4 is h264 640x480.*h264 96x64"):
        join([small, large], small, out)
    with pytest.raises(MediaError, match="cannot join 0 segments as out.mp4"):
        join([], small, out)
    with pytest.raises(MediaError, match="cannot join 1 segments as out.avi"):
        join([small], small, tmp_path / "out.avi")
    with pytest.raises(MediaError, match="cannot write"):
        join([small], small, tmp_path / "nowhere" / "out.mp4")
    assert list(tmp_path.iterdir()) == []


def test_the_whole_trip_through_real_processes(beep: Path, tmp_path: Path) -> None:
    with read_frames(beep, end=1) as frames, Writer(tmp_path / "a.mp4", 64, 48) as writer:
        for frame in frames:
            writer.write(frame)
        writer.close(Fraction(1))
    join([tmp_path / "a.mp4"], beep, tmp_path / "out.mp4", end=1)
    clip = probe(tmp_path / "out.mp4")
    assert (clip.seconds, clip.frames, clip.sounds) == (1, 25, 1)
