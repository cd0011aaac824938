"""Steady video on tiny random networks: order, people, gaps, cuts, restarts."""

from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np
import pytest
import torch

from engine.detect import face_from_points
from engine.errors import Cancelled, OptionError
from engine.finish import labelled
from engine.options import StylizeOptions
from engine.pipeline import Stylizer
from engine.runtime import Runtime
from motion.media import Frame
from motion.temporal import Look, Stabilizer, TemporalOptions, stylize
from tests.engine.test_student import taught_library
from tests.motion.test_follow import texture

RUNTIME = Runtime(torch.device("cpu"), torch.float32, "test")
PLAIN = TemporalOptions(steadiness=0.0, look_ahead=0)
SHORT = TemporalOptions(look_ahead=4)
QUICK = TemporalOptions(look_ahead=4, quick=True)


def face(x=60.0, y=50.0, size=10.0):
    return face_from_points((x - size, y), (x + size, y), (x, y + 2 * size))


@dataclass
class Script:
    """A detector that finds the next faces of a list, whatever it sees."""

    faces: list = field(default_factory=list)

    def __call__(self, rgb):
        return self.faces.pop(0)


def clip(num_frames, seed=0):
    return [
        Frame(i, Fraction(i, 30), np.roll(texture(120, 160, seed), i, 1)) for i in range(num_frames)
    ]


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return taught_library(tmp_path_factory.mktemp("packs"))


@pytest.fixture
def stylizer(library):
    return Stylizer.load("cartoon", library, RUNTIME, Script())


def drawn(stylizer, frames, faces, options=None, temporal=SHORT, people=None):
    stylizer._detector.faces = [list(found) for found in faces]
    return list(stylize(stylizer, frames, options, temporal, people))


def is_untouched(done, frame):
    return done.faces == () and np.array_equal(done.frame.rgb, frame.rgb)


def test_every_frame_comes_back_in_order_with_its_time(stylizer):
    frames = clip(11)
    done = drawn(stylizer, frames, [[face(60 + i)] for i in range(11)])
    assert [(d.frame.index, d.frame.time) for d in done] == [(f.index, f.time) for f in frames]
    assert all(d.faces == (0,) for d in done)
    assert not any(np.array_equal(d.frame.rgb, f.rgb) for d, f in zip(done, frames, strict=True))


def test_no_more_frames_are_held_than_looked_ahead(stylizer):
    stylizer._detector.faces = [[face()] for _ in range(24)]
    single, several = (Stabilizer(stylizer, None, SHORT, batch=batch) for batch in (1, 3))
    assert [len(single.push(frame)) for frame in clip(12)] == [0] * 4 + [1] * 8
    assert [len(several.push(frame)) for frame in clip(12)] == [0] * 6 + [3, 0, 0] * 2
    assert len(several.flush()) == 6


@pytest.mark.parametrize("more", [{}, {"color": "keep"}, {"surroundings": 0.8}])
def test_without_steadiness_frames_are_those_of_the_stylizer(stylizer, more):
    frames, faces = clip(4), [[face(60 + i)] for i in range(4)]
    options = StylizeOptions(attribute="first", **more)
    done = drawn(stylizer, frames, faces, options, PLAIN)
    for frame, found, stylized in zip(frames, faces, done, strict=True):
        plain = stylizer(frame.rgb, options, faces=found)
        assert np.array_equal(stylized.frame.rgb, plain)


def test_steadiness_calms_what_trembles(stylizer):
    random = np.random.default_rng(0)
    frames = [replace(f, rgb=texture(120, 160)) for f in clip(16)]
    faces = [[face(*random.normal((60, 50), 1.5))] for _ in frames]
    changes = []
    for temporal in (PLAIN, SHORT):
        done = np.stack([d.frame.rgb for d in drawn(stylizer, frames, faces, None, temporal)])
        changes.append(np.abs(np.diff(done.astype(float), axis=0)).mean())
    assert changes[1] < 0.5 * changes[0]


def test_batches_draw_what_single_frames_draw(stylizer):
    """Each batch knows more of what follows; without steadiness that makes no difference."""
    frames, faces = clip(7), [[face(60 + i), face(110, 60, 7)] for i in range(7)]
    calm = replace(SHORT, steadiness=0.0)
    pictures = []
    for batch in (1, 3):
        stylizer._detector.faces = list(faces)
        stabilizer = Stabilizer(stylizer, None, calm, batch=batch)
        done = [d for frame in frames for d in stabilizer.push(frame)] + stabilizer.flush()
        pictures.append(np.stack([d.frame.rgb for d in done]).astype(int))
    assert np.abs(pictures[0] - pictures[1]).max() <= 1


def test_a_frame_without_a_face_passes_through(stylizer):
    frames = clip(6)
    done = drawn(stylizer, frames, [[face()]] * 3 + [[]] * 3)
    assert [d.faces for d in done] == [(0,)] * 3 + [()] * 3
    assert all(is_untouched(d, f) for d, f in zip(done[3:], frames[3:], strict=True))


@pytest.mark.parametrize("around", ["drawn", "toned"])
def test_surroundings_stay_as_they_were_where_a_scene_has_no_face(stylizer, around):
    frames, options = clip(6), StylizeOptions(surroundings=1.0, around=around)
    done = drawn(stylizer, frames, [[face()]] * 3 + [[]] * 3, options)
    assert [d.faces for d in done] == [(0,)] * 3 + [()] * 3
    corner = np.s_[-8:, -8:]
    before, after = (
        done[i].frame.rgb[corner].mean() - frames[i].rgb[corner].mean() for i in (2, 3)
    )
    assert abs(before) > 2 and abs(after - before) < abs(before) / 4, "colours do not flash"


def test_a_face_lost_for_two_frames_is_bridged(stylizer):
    done = drawn(stylizer, clip(9), [[face()]] * 4 + [[]] * 2 + [[face()]] * 3)
    assert [d.faces for d in done] == [(0,)] * 9


def test_what_is_seen_once_is_no_face(stylizer):
    faces = [[face()] for _ in range(9)]
    faces[5].append(face(120, 60, 6))
    assert all(d.faces == (0,) for d in drawn(stylizer, clip(9), faces))


def test_a_cut_ends_the_scene(stylizer):
    first, second = (
        clip(5),
        [Frame(5 + i, Fraction(5 + i, 30), f.rgb) for i, f in enumerate(clip(5, 3))],
    )
    second = [replace(f, rgb=f.rgb // 4) for f in second]
    together = drawn(stylizer, first + second, [[face()]] * 10)
    alone = drawn(stylizer, second, [[face()]] * 5)
    assert [d.faces for d in together] == [(0,)] * 5 + [(1,)] * 5
    for a, b in zip(together[5:], alone, strict=True):
        assert np.array_equal(a.frame.rgb, b.frame.rgb), "the scene before left a trace"


def test_each_person_in_their_own_style(stylizer, library):
    frames, faces = clip(5), [[face(40, 40, 8), face(120, 40, 7)]] * 5
    other = Look(Stylizer.load("comic", library, RUNTIME, Script()), StylizeOptions(strength=0.5))
    both = drawn(stylizer, frames, faces)
    mixed = drawn(stylizer, frames, faces, people={1: other})
    left_out = drawn(stylizer, frames, faces, people={1: None})
    assert [d[2].faces for d in (both, mixed, left_out)] == [(0, 1), (0, 1), (0,)]
    pictures = [d[2].frame.rgb for d in (both, mixed, left_out)]
    assert np.array_equal(pictures[0][:, :70], pictures[1][:, :70])
    assert not np.array_equal(pictures[0][:, 90:], pictures[1][:, 90:])
    assert np.array_equal(pictures[2][:, 105:], frames[2].rgb[:, 105:])


@pytest.mark.parametrize(("chosen", "shown"), [("all", (0, 1)), ("largest", (1,)), ("0", (0,))])
def test_faces_to_draw_are_chosen_by_track(stylizer, chosen, shown):
    faces = [[face(40, 40, 6), face(110, 40, 9)]] * 4
    done = drawn(stylizer, clip(4), faces, StylizeOptions(faces=chosen))
    assert [d.faces for d in done] == [shown] * 4


@pytest.mark.parametrize("temporal", [SHORT, TemporalOptions(look_ahead=0), QUICK])
@pytest.mark.parametrize("stopped_after", [3, 7, 10])
@pytest.mark.parametrize(
    "options",
    [{"color": "keep"}, {"surroundings": 1.0}, {"surroundings": 1.0, "around": "toned"}],
)
def test_a_restart_gives_the_same_pixels(stylizer, temporal, stopped_after, options):
    frames = clip(12)
    faces = [[face(60 + i), face(110, 60, 7)] for i in range(12)]
    faces[6] = faces[6][:1]
    options = StylizeOptions(**options)
    whole = drawn(stylizer, frames, faces, options, temporal)

    stylizer._detector.faces = list(faces)
    first = Stabilizer(stylizer, options, temporal)
    done = [d for i in range(stopped_after) for d in first.push(frames[i])]
    second = Stabilizer(stylizer, options, temporal)
    second.restore(first.snapshot())
    for index in range(len(done), 12):
        done += second.push(frames[index])
    done += second.flush()
    for a, b in zip(whole, done, strict=True):
        assert a.faces == b.faces and np.array_equal(a.frame.rgb, b.frame.rgb)


def test_quick_films_are_drawn_by_the_student_alone(stylizer, monkeypatch):
    slow = drawn(stylizer, clip(6), [[face()]] * 6)
    for name in ("with_codes", "drawn"):
        monkeypatch.setattr(f"motion.temporal.{name}", None)
    done = drawn(stylizer, clip(6), [[face()]] * 6, temporal=QUICK)
    for one, other, frame in zip(done, slow, clip(6), strict=True):
        assert one.faces == (0,) and not np.array_equal(one.frame.rgb, other.frame.rgb)
        assert not np.array_equal(one.frame.rgb, frame.rgb)
        assert np.array_equal(one.frame.rgb[-10:], frame.rgb[-10:])  # far from the face


def test_quick_films_are_refused_where_no_student_draws_so(stylizer, library):
    with pytest.raises(OptionError, match=r"strength is 0.5; a small network draws .* with 1.0"):
        Stabilizer(stylizer, StylizeOptions(strength=0.5), QUICK)
    other = Look(Stylizer.load("comic", library, RUNTIME, Script()), StylizeOptions())
    with pytest.raises(OptionError, match="style comic has no small network"):
        Stabilizer(stylizer, None, QUICK, {1: other})
    Stabilizer(stylizer, StylizeOptions(color="keep", surroundings=1.0), QUICK, {1: None})


def test_a_snapshot_holds_only_tensors_and_json_values(stylizer):
    stylizer._detector.faces = [[face()]] * 6
    stabilizer = Stabilizer(stylizer, None, SHORT)
    for frame in clip(6):
        stabilizer.push(frame)
    kinds = (torch.Tensor, int, float, str, list, type(None))
    state = stabilizer.snapshot()
    assert all(isinstance(value, kinds) for value in state.values())
    kept = sum(v.nbytes for v in state.values() if isinstance(v, torch.Tensor))
    assert kept < 4 * clip(1)[0].rgb.nbytes, "frames that wait are read again, not kept"


def test_output_size_and_alpha(stylizer):
    frames = [replace(f, alpha=np.full((120, 160), 99, np.uint8)) for f in clip(2)]
    done = drawn(stylizer, frames, [[face()], [face()]], StylizeOptions(output_size=80))
    assert done[0].frame.rgb.shape == (60, 80, 3) and done[0].frame.alpha.shape == (60, 80)


def test_each_drawn_frame_is_labelled_once(stylizer):
    faces = [[face()], [face()]]
    plain, marked = (
        drawn(stylizer, clip(2), faces, StylizeOptions(ai_label=on)) for on in (False, True)
    )
    for before, after in zip(plain, marked, strict=True):
        assert np.array_equal(after.frame.rgb, labelled(before.frame.rgb))
    [untouched] = drawn(stylizer, clip(1), [[]], StylizeOptions(ai_label=True))
    assert is_untouched(untouched, clip(1)[0])


def test_a_video_keeps_its_frame(stylizer):
    with pytest.raises(OptionError, match="whole_photo is false"):
        Stabilizer(stylizer, StylizeOptions(whole_photo=False))


def test_stopping(stylizer):
    stylizer._detector.faces = [[face()]] * 3
    with pytest.raises(Cancelled):
        list(stylize(stylizer, clip(3), should_stop=lambda: True))


def test_options_are_checked_and_described():
    assert TemporalOptions.describe()["look_ahead"].flag == "--look-ahead"
    with pytest.raises(OptionError, match="look_ahead is -1"):
        TemporalOptions(look_ahead=-1)
    assert not set(TemporalOptions.describe()) & set(StylizeOptions.describe()), "one flag, twice"
