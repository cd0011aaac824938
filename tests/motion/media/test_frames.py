import subprocess
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from imageio_ffmpeg import get_ffmpeg_exe
from PIL import Image

from motion.media import read_frames
from tests.motion.media import here
from tests.motion.media.conftest import MakeClip, hdr_filter, rotated


def by_ffmpeg(path: Path, height: int, width: int) -> np.ndarray:
    """uint8 [N, H, W, 3], turned upright by ffmpeg."""
    command = [get_ffmpeg_exe(), "-nostdin", "-v", "error", "-i", path]
    raw = subprocess.run(
        [*command, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"], check=True, capture_output=True
    ).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, height, width, 3)


def test_frames_come_through_the_pipe_as_they_are(make_clip: MakeClip) -> None:
    path = make_clip("plain.mp4")
    with read_frames(path) as frames:
        ours = list(frames)
    theirs, notes = here.read(path)
    assert notes == list(frames.notes) == []
    assert [f.index for f in ours] == list(range(15))
    assert [f.time for f in ours] == [Fraction(i, 25) for i in range(15)]
    assert all(np.array_equal(a.rgb, b.rgb) for a, b in zip(ours, theirs, strict=True))


def test_closing_early_stops_the_process(make_clip: MakeClip) -> None:
    frames = read_frames(make_clip("plain.mp4"))
    next(frames)
    process = frames._decoder._process
    frames.close()
    assert process.returncode is not None
    assert next(frames, None) is None


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotated_frames_stand_upright(make_clip: MakeClip, degrees: int) -> None:
    path = rotated(make_clip, degrees)
    frames, _ = here.read(path)
    theirs = by_ffmpeg(path, *frames[0].rgb.shape[:2])
    assert np.abs(frames[0].rgb.astype(int) - theirs[0]).mean() < 6  # they smooth colours less
    wrong = np.abs(frames[0].rgb[::-1, ::-1].astype(int) - theirs[0]).mean()
    assert wrong > 30


def test_mirrored_frames_are_mirrored_back(make_clip: MakeClip) -> None:
    straight = make_clip("plain.mp4")
    flip = ("-display_rotation", "0", "-display_hflip", "-i", str(straight))
    path = make_clip("mirrored.mp4", "-map", "0", "-c", "copy", before=flip)
    assert np.array_equal(here.read(path)[0][3].rgb, here.read(straight)[0][3].rgb[:, ::-1])


def test_variable_rates_keep_every_time(make_clip: MakeClip) -> None:
    times = [*(i / 50 for i in range(5)), *(0.1 + i / 10 for i in range(10))]
    path = make_clip(
        *("variable.mp4", "-vf", "settb=1/90000,setpts='if(lt(N,5),N*1800,9000+(N-5)*9000)'"),
        *("-fps_mode", "passthrough", "-enc_time_base", "1/90000"),
        *("-video_track_timescale", "90000"),
    )
    assert [float(f.time) for f in here.read(path)[0]] == pytest.approx(times, abs=1e-9)


def test_a_window_begins_with_what_is_on_screen(make_clip: MakeClip) -> None:
    path = make_clip("plain.mp4")
    whole, _ = here.read(path)
    frames, _ = here.read(path, start=0.25, end=0.4)
    assert [f.time * 100 for f in frames] == [25, 28, 32, 36]
    assert np.array_equal(frames[0].rgb, whole[6].rgb)
    assert [f.duration * 100 for f in frames] == [3, 4, 4, 4]
    assert float(here.read(path, end=0.37)[0][-1].duration) == pytest.approx(0.01)


@pytest.mark.parametrize("index", [0, 7, 60, 99])
def test_resuming_at_a_frame_gives_that_frame(make_clip: MakeClip, index: int) -> None:
    path = make_clip("long.mp4", "-g", "12", seconds=4, rate="30000/1001")
    time = Fraction(1001 * index, 30000)
    frames, _ = here.read(path, start=float(time), end=float(time) + 0.05)
    whole, _ = here.read(path)
    assert frames[0].time == time
    assert np.array_equal(frames[0].rgb, whole[index].rgb)
    assert len(frames) == 2


def test_nothing_comes_after_the_end(make_clip: MakeClip) -> None:
    frames, _ = here.read(make_clip("plain.mp4"), start=50)
    assert len(frames) == 1  # the last frame is still on screen
    assert here.read(make_clip("plain.mp4"), end=0)[0] == []


def test_frames_are_scaled_down_never_up(make_clip: MakeClip) -> None:
    path = rotated(make_clip, 90)
    assert here.read(path, longest=48)[0][0].rgb.shape == (48, 32, 3)
    assert here.read(path, longest=480)[0][0].rgb.shape == (96, 64, 3)


@pytest.mark.parametrize("codec", ["libvpx", "libvpx-vp9"])
def test_transparency_of_webm_is_kept(make_clip: MakeClip, codec: str) -> None:
    path = make_clip(
        *(f"{codec}.webm", "-c:v", codec, "-auto-alt-ref", "0"),
        source="color=red@0.5:size=96x64:rate=25:duration=0.2,format=yuva420p",
    )
    frame = here.read(path)[0][0]
    assert here.probe(path).has_alpha
    assert np.abs(frame.alpha.astype(int) - 127).max() <= 2
    assert frame.rgb[..., 0].min() > 245 and frame.rgb[..., 1:].max() < 10


@pytest.mark.parametrize("kind", ["gif", "webp"])
def test_transparency_of_animations_is_kept(tmp_path: Path, kind: str) -> None:
    pictures = []
    for left in (0, 20):
        rgba = np.zeros((16, 40, 4), np.uint8)
        rgba[:, left : left + 20] = (200, 0, 0, 255)
        rgba[0, 0, 3] = rgba[-1, -1, 3] = 128  # or WebP would crop each frame to what is opaque
        pictures.append(Image.fromarray(rgba))
    path = tmp_path / f"clear.{kind}"
    pictures[0].save(
        path, save_all=True, append_images=pictures[1:], duration=[70, 130], disposal=2
    )
    frames, _ = here.read(path)
    assert here.probe(path).has_alpha
    assert [f.time * 1000 for f in frames] == [0, 70]
    assert [f.duration * 1000 for f in frames] == [70, 130]
    assert [f.alpha[8, 5] for f in frames] == [255, 0]
    assert [f.alpha[8, 35] for f in frames] == [0, 255]
    assert frames[1].rgb[8, 35, 0] > 190


def test_interlaced_clips_keep_their_times(make_clip: MakeClip) -> None:
    fields = "tinterlace=interleave_top,setfield=tff"
    path = make_clip(
        *("fields.mp4", "-vf", fields, "-flags", "+ilme+ildct", "-x264opts", "tff=1"), rate="50"
    )
    frames, notes = here.read(path)
    assert [f.time for f in frames] == [Fraction(i, 25) for i in range(15)]
    assert notes == ["it is interlaced: its half frames are joined to whole ones"]


@pytest.mark.parametrize(
    ("tags", "pixels"),
    [
        ("smpte170m:range=tv", "bt601:out_range=tv"),
        ("bt709:range=tv", "bt709:out_range=tv"),
        ("bt709:range=pc", "bt709:out_range=pc"),
        ("", "bt601:out_range=tv"),
    ],
)
def test_matrix_and_range_tags_are_kept(make_clip: MakeClip, tags: str, pixels: str) -> None:
    tagged = f"format=yuv420p,setparams=colorspace={tags}" if tags else "format=yuv420p"
    path = make_clip(
        f"color{(tags or 'none').replace(':', '-')}.mp4",
        *(
            "-crf",
            "1",
            "-vf",
            f"format=gbrp,scale=out_color_matrix={pixels},{tagged}",
        ),
        source="color=0xc83c5a:size=64x64:rate=5:duration=0.4",
    )
    mean = here.read(path)[0][0].rgb.reshape(-1, 3).mean(axis=0)
    assert mean == pytest.approx([200, 60, 90], abs=5)  # a wrong tag is off by 10 to 40


def test_hdr_white_paper_becomes_almost_white(make_clip: MakeClip) -> None:
    path = make_clip(
        *("paper.mp4", "-crf", "1", "-vf", hdr_filter("smpte2084")),
        source="color=0x949494:size=64x64:rate=5:duration=0.2",  # PQ 0.58 is 203 cd/m2
    )
    rgb = here.read(path)[0][0].rgb
    assert rgb.std() < 2
    assert 200 < rgb.mean() < 250


@pytest.mark.parametrize("transfer", ["smpte2084", "arib-std-b67"])
def test_hdr_at_its_brightest_keeps_its_colours(make_clip: MakeClip, transfer: str) -> None:
    path = make_clip(
        *(f"bars-{transfer}.mp4", "-crf", "1", "-vf", hdr_filter(transfer)),
        source="smptebars=size=96x64:rate=5:duration=0.2",
    )
    bars = here.read(path)[0][0].rgb[20].astype(int)  # grey yellow cyan green magenta red blue
    grey, yellow, _, green, magenta, red, blue = (bars[7 + 14 * i] for i in range(7))
    assert np.ptp(grey) < 8
    assert min(yellow[:2]) > 60 + yellow[2] and min(magenta[::2]) > 60 + magenta[1]
    assert [green.argmax(), red.argmax(), blue.argmax()] == [1, 0, 2]
    white = make_clip(
        *(f"white-{transfer}.mp4", "-crf", "1", "-vf", hdr_filter(transfer)),
        source="color=white:size=64x64:rate=5:duration=0.2",
    )
    assert here.read(white)[0][0].rgb.min() > 250
