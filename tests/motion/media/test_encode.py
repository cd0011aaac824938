from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from engine.errors import MediaError
from motion.media import Frame, Writer, keeps_alpha
from tests.motion.media import here

TIMES = [Fraction(5), Fraction(5) + Fraction(1001, 30000), Fraction(51, 10), Fraction(11, 2)]


def picture(height: int = 48, width: int = 64, seed: int = 0) -> np.ndarray:
    """uint8 [H, W, 3], smooth, with a gradient in each colour."""
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    waves = [np.sin(3 * x + seed), np.cos(2 * y + seed), np.sin(2 * x + 2 * y)]
    return np.stack([100 * w + 127 for w in waves], axis=-1).astype(np.uint8)


def write(path: Path, frames: list[Frame], end: Fraction | None = None, **kind: bool) -> Path:
    with Writer(path, frames[0].rgb.shape[1], frames[0].rgb.shape[0], **kind) as writer:
        for frame in frames:
            writer.write(frame)
        if end is not None:
            writer.close(end)
    return path


def some_frames(alpha: np.ndarray | None = None, **size: int) -> list[Frame]:
    return [Frame(i, t, picture(seed=i, **size), alpha) for i, t in enumerate(TIMES)]


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm"])
def test_times_are_kept_and_begin_at_zero(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"out{suffix}", some_frames(), end=Fraction(6))
    frames, _ = here.read(path)
    exact = 1e-9 if suffix in (".mp4", ".mov") else 5.1e-4
    assert [float(f.time) for f in frames] == pytest.approx(
        [float(t - 5) for t in TIMES], abs=exact
    )
    assert here.probe(path).seconds == pytest.approx(1, abs=exact)


def test_h264_is_what_browsers_play(tmp_path: Path) -> None:
    path = write(tmp_path / "out.mp4", some_frames())
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        frame = next(container.decode(video=0))
        assert (context.name, context.pix_fmt, context.has_b_frames) == ("h264", "yuv420p", False)
    # 1: BT.709 for all three; 1: 16..235
    assert (frame.colorspace, frame.color_trc, frame.color_primaries) == (1, 1, 1)
    assert frame.color_range == 1


def test_h264_is_near_the_original(tmp_path: Path) -> None:
    frames, _ = here.read(write(tmp_path / "out.mp4", some_frames()))
    for ours, theirs in zip(frames, some_frames(), strict=True):
        assert np.abs(ours.rgb.astype(int) - theirs.rgb).mean() < 2


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_lossless_is_lossless_at_odd_sizes_too(tmp_path: Path, suffix: str) -> None:
    originals = some_frames(height=47, width=63)
    frames, _ = here.read(write(tmp_path / f"out{suffix}", originals, lossless=True))
    for ours, theirs in zip(frames, originals, strict=True):
        assert np.array_equal(ours.rgb, theirs.rgb)


def test_odd_sizes_get_a_row_and_a_column_more(tmp_path: Path) -> None:
    originals = some_frames(height=47, width=63)
    frame = here.read(write(tmp_path / "out.mp4", originals))[0][0]
    assert frame.rgb.shape == (48, 64, 3)
    kept = frame.rgb[:47, :63].astype(int)
    assert np.abs(kept - originals[0].rgb).mean() < 2
    assert np.abs(frame.rgb[47].astype(int) - frame.rgb[46]).mean() < 3


@pytest.mark.parametrize(("suffix", "lossless"), [(".webm", False), (".mkv", True), (".mov", True)])
def test_transparency_is_kept(tmp_path: Path, suffix: str, lossless: bool) -> None:
    alpha = np.tile(np.linspace(0, 255, 64).astype(np.uint8), (48, 1))
    path = tmp_path / f"out{suffix}"
    assert keeps_alpha(path, lossless=lossless)
    write(path, some_frames(alpha), lossless=lossless, alpha=True)
    for frame in here.read(path)[0]:
        assert np.abs(frame.alpha.astype(int) - alpha).max() <= (0 if lossless else 6)


def test_without_transparency_frames_are_laid_on_white(tmp_path: Path) -> None:
    clear = np.zeros((48, 64), np.uint8)
    frame = here.read(write(tmp_path / "out.mkv", some_frames(clear), lossless=True))[0][0]
    assert frame.rgb.min() == 255


@pytest.mark.parametrize(
    ("name", "kind", "remedy"),
    [
        ("out.avi", {}, "name it .mp4 or .mov or .mkv or .webm"),
        ("out.mp4", {"alpha": True}, "name it .webm"),
        ("out.webm", {"lossless": True}, "name it .mp4 or .mov or .mkv"),
        ("out.mp4", {"lossless": True, "alpha": True}, "name it .mov or .mkv"),
    ],
)
def test_kinds_that_do_not_exist_name_those_that_do(
    tmp_path: Path, name: str, kind: dict, remedy: str
) -> None:
    with pytest.raises(MediaError, match=f"{name}.*{remedy}$"):
        Writer(tmp_path / name, 64, 48, **kind)


def test_a_failure_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), Writer(tmp_path / "out.mp4", 64, 48) as writer:
        writer.write(some_frames()[0])
        raise ZeroDivisionError
    with pytest.raises(MediaError, match="would be empty"), Writer(tmp_path / "out.mp4", 64, 48):
        pass
    with pytest.raises(MediaError, match="cannot write out.mp4.*existing folder"):
        Writer(tmp_path / "nowhere" / "out.mp4", 64, 48)
    assert list(tmp_path.iterdir()) == []


def test_the_last_frame_stays_as_long_as_it_says(tmp_path: Path) -> None:
    last = Frame(1, Fraction(1, 10), picture(), duration=Fraction(3, 10))
    path = write(tmp_path / "out.mp4", [Frame(0, Fraction(0), picture()), last])
    assert here.probe(path).seconds == pytest.approx(0.4)
    silent = Frame(1, Fraction(1, 10), picture())
    path = write(tmp_path / "out2.mp4", [Frame(0, Fraction(0), picture()), silent])
    assert here.probe(path).seconds == pytest.approx(0.2)
