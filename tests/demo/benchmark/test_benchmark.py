"""What is measured of photos, films and starts, with tiny packs; no number depends on the clock."""

import json

import numpy as np
import pytest

from demo.benchmark import __main__ as command
from demo.benchmark import films, photo, pictures, startup
from engine.benchmark.timing import Timing
from engine.errors import StylizeError
from engine.pipeline import Stylizer
from motion.batches import Batches
from motion.media import probe
from tests.motion.films import find_one_face, tiny_stylizer


@pytest.mark.parametrize("num_faces", [1, 3, 8])
def test_group_photo_has_every_portrait_whole(num_faces):
    rgb = pictures.group_photo(320, 240, num_faces)
    assert rgb.shape == (240, 320, 3) and rgb.dtype == np.uint8
    is_portrait = (rgb.max(2) - rgb.min(2)) > 8  # the gradient is grey
    assert not is_portrait[0].any() and not is_portrait[-1].any() and not is_portrait[:, 0].any()
    assert is_portrait.mean() > 0.05 * num_faces**0.5
    again = pictures.group_photo(320, 240, num_faces)
    assert np.array_equal(again, rgb)


def test_clip_sways(tmp_path):
    clip = probe(pictures.make_clip(tmp_path / "clip.mp4", 1.5, 4, height=48))
    assert (clip.width, clip.height, clip.frames) == (64, 48, 6)
    assert float(clip.seconds) == pytest.approx(1.5)


def test_every_stage_of_a_photo_is_timed(packs, monkeypatch):
    monkeypatch.setattr(photo, "SIZES", {"small": (64, 48)})
    rows = photo.stage_rows(tiny_stylizer(packs), 2)
    assert [row["stage"] for row in rows] == [*photo.STAGES, "detect to paste"]
    assert {row["runs"] for row in rows} == {2}


def test_stages_are_summed_run_by_run():
    parts = [Timing((1.0, 2.0), (0.5, 1.0)), Timing((10.0, 20.0), (5.0, 10.0))]
    assert photo.summed(parts) == Timing((11.0, 22.0), (5.5, 11.0))


def test_faces_and_films(packs):
    stylizer = tiny_stylizer(packs)
    faces = photo.face_rows(stylizer, (1, 2), 1)
    assert [(row["faces"], row["found"]) for row in faces] == [(1, 1), (2, 1)]
    rows = films.length_rows(stylizer, [2.0, 1.0])
    assert [row["frames"] for row in rows] == [2, 4]
    for row in rows:
        assert row["frames a second"] == pytest.approx(row["frames"] / row["seconds"])


def test_films_shorter_than_a_batch_are_timed(packs, monkeypatch):
    monkeypatch.setattr("motion.temporal.usual_batches", lambda *_, **kw: Batches(100))
    stages = {row["stage"] for row in films.film_stage_rows(tiny_stylizer(packs), height=48)}
    assert {"read", "see", "draw", "write"} <= stages


def test_help_is_run_in_processes_of_their_own():
    rows = startup.help_rows(1, commands=())
    assert [row["command"].split()[1] for row in rows] == ["app.py", "-c"]
    assert rows[0]["processor seconds"] > 0


def test_a_page_that_does_not_start_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(startup, "ROOT", tmp_path)
    with pytest.raises(StylizeError, match="app.py --port 1 ended before it was ready"):
        startup.first_picture(tmp_path / "photo.png", 1)


def test_command_writes_what_it_prints(packs, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(Stylizer, "detect", lambda self, rgb: find_one_face(rgb))
    monkeypatch.setattr(photo, "SIZES", {"small": (64, 48)})
    monkeypatch.setattr(command, "FACES", (1, 2))
    words = ["--packs", packs, "--repeat", "1", "--device", "cpu", "--out", tmp_path]
    assert command.main([str(word) for word in ("photo", *words)]) == 0
    assert (tmp_path / "photo.md").read_text("utf-8") == capsys.readouterr().out
    assert (tmp_path / "photo.png").stat().st_size > 1000
    values = json.loads((tmp_path / "photo.json").read_text("utf-8"))
    assert [table["title"] for table in values["tables"]][1] == "More faces"


def test_wrong_wishes_are_told(packs, capsys):
    assert command.main(["--packs", str(packs), "--style", "none", "--device", "cpu"]) == 2
    assert "no style 'none'" in capsys.readouterr().err
