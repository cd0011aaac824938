"""Video jobs: killed, stopped, refused, broken on the way; and that memory stays flat."""

import errno
import os
import subprocess
import sys
import weakref
from dataclasses import replace

import av
import numpy as np
import pytest

from engine.errors import MediaError, OptionError, OutOfMemory, StylizeError
from engine.options import StylizeOptions
from engine.pipeline import Stylizer
from motion.job import Job, estimate, run
from motion.media import probe, read_frames
from motion.stages import QUEUE_FRAMES, Source
from motion.temporal_options import TemporalOptions
from tests.motion.films import RATE, make_clip, tiny_stylizer
from tests.packs import write_packs

SECONDS = 7  # a segment, and most of another
TOGETHER = 8  # faces that two processors draw at a time
SEGMENT = 2 * TOGETHER  # frames: the first so many that last two seconds

KILLED = """
import os, signal, sys
from dataclasses import replace
from pathlib import Path
from motion.job import run
from tests.motion.films import tiny_stylizer
from tests.motion.test_job import plain_job

def kill_at(progress):
    if progress.done == {frame}:
        os.kill(os.getpid(), signal.SIGKILL)

run(plain_job(Path({clip!r}), Path({result!r})), tiny_stylizer(Path({packs!r})), kill_at)
"""


def plain_job(clip, result, **settings):
    return Job(clip, result, StylizeOptions(), TemporalOptions(look_ahead=2), **settings)


@pytest.fixture(scope="module")
def packs(tmp_path_factory):
    return write_packs(tmp_path_factory.mktemp("packs"))


@pytest.fixture(scope="module")
def stylizer(packs):
    return tiny_stylizer(packs)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return make_clip(tmp_path_factory.mktemp("clip") / "in.mp4", SECONDS, sound=True)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, clip, stylizer):
    """The film of the clip, made in one go."""
    result = tmp_path_factory.mktemp("whole") / "out.mp4"
    outcome = run(plain_job(clip, result), stylizer)
    assert outcome.is_complete and outcome.frames == SECONDS * RATE
    return result


def pictures(path):
    return np.stack([frame.rgb for frame in read_frames(path)])


def length(path):
    """Seconds until the last track ends."""
    with av.open(str(path)) as film:
        return film.duration / av.time_base


def stop_after(count):
    """`should_stop` that says so the `count`th time it is asked, once per frame."""
    calls = iter(range(1, 10**6))
    return lambda: next(calls) >= count


def test_a_film_is_as_long_as_its_clip_and_has_its_sound(whole, clip):
    film, source = probe(whole), probe(clip)
    assert film.sounds == source.sounds == 1
    assert film.seconds == pytest.approx(source.seconds, abs=0.001)
    times = [[frame.time for frame in read_frames(path)] for path in (whole, clip)]
    assert times[0] == times[1]
    assert not np.array_equal(pictures(whole), pictures(clip))
    assert [path.name for path in whole.parent.iterdir()] == ["out.mp4"]


def test_a_film_does_not_depend_on_the_processors(clip, packs, tmp_path):
    """Frames drawn side by side come in order, each with its own faces."""
    films = []
    for count in (1, 4):
        stylizer = tiny_stylizer(packs, num_threads=count)
        temporal = TemporalOptions(steadiness=0.0, look_ahead=2)
        job = Job(clip, tmp_path / f"{count}.mkv", StylizeOptions(), temporal, lossless=True)
        run(job, stylizer)
        films.append(pictures(job.result).astype(int))
    assert np.abs(films[0] - films[1]).max() <= 1
    assert np.abs(np.diff(films[0], axis=0)).max() > 10, "its frames differ"


def test_progress_is_told_for_every_frame(clip, stylizer, tmp_path):
    told = []
    run(plain_job(clip, tmp_path / "out.mp4"), stylizer, told.append)
    assert [p.done for p in told] == list(range(1, SECONDS * RATE + 1))
    assert {p.total for p in told} == {SECONDS * RATE}
    assert all(p.latest.shape == (48, 64, 3) and p.rate > 0 for p in told)
    assert told[-1].seconds_left == 0 < told[0].seconds_left


@pytest.mark.parametrize("frame", [pytest.param(4, marks=pytest.mark.slow), 19])  # second segment
def test_a_killed_job_goes_on_and_gives_the_same_file(
    frame, clip, packs, stylizer, whole, tmp_path
):
    result = tmp_path / "out.mp4"
    names = {"frame": frame, "clip": str(clip), "result": str(result), "packs": str(packs)}
    killed = subprocess.run([sys.executable, "-c", KILLED.format(**names)], check=False)
    assert killed.returncode == -9 and not result.exists()
    told = []
    outcome = run(plain_job(clip, result), stylizer, told.append)
    assert outcome.is_complete and outcome.frames == SECONDS * RATE
    assert (told[0].done > 1) == (frame > SEGMENT), "finished segments are not made again"
    assert result.read_bytes() == whole.read_bytes()
    assert list(tmp_path.iterdir()) == [result]


@pytest.mark.parametrize("frames", [pytest.param(5, marks=pytest.mark.slow), 18])
def test_a_stopped_job_can_be_played_and_goes_on(frames, clip, stylizer, whole, tmp_path):
    job = plain_job(clip, tmp_path / "out.mp4")
    outcome = run(job, stylizer, should_stop=stop_after(frames))
    assert not outcome.is_complete and outcome.frames == frames
    film = probe(job.result)
    assert film.sounds == 1 and film.seconds == pytest.approx(frames / RATE, abs=0.001)
    assert length(job.result) == pytest.approx(frames / RATE, abs=0.03)
    difference = pictures(job.result).astype(int) - pictures(whole)[:frames]
    assert np.abs(difference).mean() < 4, "the same but for rate control at the end"
    assert job.folder.folder.exists() == (frames > SEGMENT), "kept while it helps"
    assert run(job, stylizer).frames == SECONDS * RATE
    assert job.result.read_bytes() == whole.read_bytes()


def test_a_stopped_job_of_other_options_is_refused(clip, stylizer, packs, tmp_path):
    job = plain_job(clip, tmp_path / "out.mp4")
    run(job, stylizer, should_stop=stop_after(18))
    before = job.result.read_bytes()
    other = make_clip(tmp_path / "other.mp4", 3)
    for changed, expected in (
        (replace(job, options=StylizeOptions(strength=0.5)), "strength 1.0 (now 0.5)"),
        (replace(job, temporal=TemporalOptions(look_ahead=5)), "look_ahead 2 (now 5)"),
        (replace(job, end=4.0), "end None (now 4.0)"),
        (replace(job, source=other), "source "),
        (replace(job, people={0: None}), "0 None (now left alone)"),
    ):
        with pytest.raises(OptionError) as error:
            run(changed, stylizer)
        assert expected in str(error.value) and "unfinished job" in str(error.value)
    with pytest.raises(OptionError, match="style "):
        run(job, tiny_stylizer(packs, "cartoon"))
    assert job.result.read_bytes() == before


def test_part_of_a_clip(clip, stylizer, tmp_path):
    told = []
    part = {"start": 1.0, "end": 2.5, "lossless": True, "people": {0: None}}
    job = plain_job(clip, tmp_path / "out.mp4", **part)
    assert run(job, stylizer, told.append).frames == 1.5 * RATE == told[0].total
    film = probe(job.result)
    assert film.seconds == pytest.approx(1.5, abs=0.001) and film.sounds == 1
    assert length(job.result) == pytest.approx(1.5, abs=0.03), "the sound ends with the film"
    assert np.array_equal(pictures(job.result), pictures(clip)[RATE : RATE * 5 // 2])


@pytest.mark.parametrize(("start", "end"), [(60.0, None), (2.0, 1.0), (-1.0, None)])
def test_a_part_that_is_none(clip, stylizer, tmp_path, start, end):
    with pytest.raises(OptionError, match="change --start or --end"):
        run(plain_job(clip, tmp_path / "out.mp4", start=start, end=end), stylizer)
    assert list(tmp_path.iterdir()) == []


def test_frames_without_a_face_are_kept_and_listed(stylizer, tmp_path):
    clip = make_clip(tmp_path / "black.mp4", 1, source="color=black:")
    outcome = run(plain_job(clip, tmp_path / "out.mkv", lossless=True), stylizer)
    assert outcome.untouched == ((0, RATE - 1),) and outcome.num_untouched == RATE
    assert np.array_equal(pictures(tmp_path / "out.mkv"), pictures(clip))


def test_memory_running_out_keeps_what_is_done(clip, stylizer, tmp_path, monkeypatch):
    real, num_drawn = Stylizer.render_samples, [0]

    def render(self, portrait, *arguments, **named):
        if num_drawn[0] + len(portrait.ws) > 26:
            raise OutOfMemory("out of memory on cpu")
        num_drawn[0] += len(portrait.ws)
        return real(self, portrait, *arguments, **named)

    monkeypatch.setattr(Stylizer, "render_samples", render)
    job = plain_job(clip, tmp_path / "out.mp4")
    with pytest.raises(StylizeError) as error:
        run(job, stylizer)
    assert str(error.value) == (
        f"out of memory on cpu; the first 24 frames are in {job.result}: run again to go on"
    )
    assert len(pictures(job.result)) == 24
    monkeypatch.setattr(Stylizer, "render_samples", real)
    assert run(job, stylizer).is_complete


def test_a_full_disk_keeps_finished_parts(clip, stylizer, whole, tmp_path, monkeypatch):
    real, calls = os.replace, []

    def full(source, target):
        calls.append(target)
        if len(calls) > 3:  # job.json, the first segment, its state
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(source, target)

    job = plain_job(clip, tmp_path / "out.mp4")
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(MediaError) as error:
            run(job, stylizer)
    assert "No space left on device" in str(error.value)
    assert f"finished parts are kept in {job.folder.folder}" in str(error.value)
    assert not job.result.exists() and list(tmp_path.rglob("*part*")) == []
    run(job, stylizer)
    assert job.result.read_bytes() == whole.read_bytes()


def test_nothing_is_left_of_a_clip_that_cannot_be_read(stylizer, tmp_path):
    (tmp_path / "in.mp4").write_text("no clip")
    with pytest.raises(MediaError, match=r"in\.mp4"):
        run(plain_job(tmp_path / "in.mp4", tmp_path / "out.mp4"), stylizer)
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_the_number_of_frames_in_memory_does_not_grow(stylizer, tmp_path, monkeypatch):
    alive, most = set(), {}

    def release(address):
        alive.discard(address)

    def watched(frames):
        for frame in frames:
            pixels = frame.rgb if frame.rgb.base is None else frame.rgb.base
            alive.add(id(pixels))
            weakref.finalize(pixels, release, id(pixels))
            del pixels
            yield frame
            del frame

    real = Source.frames
    monkeypatch.setattr(Source, "frames", lambda self, limit=None: watched(real(self, limit)))
    for seconds in (12, 24):
        job = plain_job(make_clip(tmp_path / "in.mp4", seconds), tmp_path / f"{seconds}.mp4")
        counts = []
        run(job, stylizer, lambda progress, counts=counts: counts.append(len(alive)))
        most[seconds] = max(counts)
    assert most[24] <= most[12] + QUEUE_FRAMES + 3, most
    assert most[24] <= 2 * QUEUE_FRAMES + 4 * TOGETHER + 2 + 10, "queues, batches, some in hand"


def test_an_estimate(clip, stylizer, tmp_path):
    job = plain_job(clip, tmp_path / "out.mp4")
    assert 0 < estimate(job, stylizer, sample=4) < 60
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_memory_of_a_long_clip(packs, tmp_path):
    """A minute may use at most 100 MB more than six seconds."""
    peaks = []
    for seconds in (6, 60):
        clip = make_clip(tmp_path / f"{seconds}.mp4", seconds)
        script = (
            "import resource, sys\nfrom pathlib import Path\nfrom motion.job import run\n"
            "from tests.motion.films import tiny_stylizer\n"
            "from tests.motion.test_job import plain_job\n"
            f"run(plain_job(Path({str(clip)!r}), Path({str(clip.with_suffix('.mkv'))!r})), "
            f"tiny_stylizer(Path({str(packs)!r})))\n"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
        peaks.append(int(done.stdout) / 1024)
    assert peaks[1] - peaks[0] < 100, peaks
