"""`python -m demo.video`: what is written and recorded, in how many styles, stopped and gone on."""

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from demo import video as command
from engine import pack
from engine.options import StylizeOptions
from engine.pipeline import Stylizer
from motion.film import Film
from motion.media import probe, read_frames
from motion.temporal_options import TemporalOptions
from tests.motion.films import RATE, find_one_face, make_clip
from tests.packs import write_packs

QUICK = ("--look-ahead", "1")


@pytest.fixture(scope="module")
def packs(tmp_path_factory):
    """A comic that gives the drawn face alone by default: clips keep their frames all the same."""
    folder = write_packs(tmp_path_factory.mktemp("packs"))
    card = pack.read_card(folder / "comic")
    pack.save_pack(folder / "comic", replace(card, defaults={"whole_photo": False}), {})
    return folder


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return make_clip(tmp_path_factory.mktemp("clip") / "in.mp4", 1.5, sound=True)


@pytest.fixture(autouse=True)
def found_faces(monkeypatch):
    monkeypatch.setattr(Stylizer, "detect", lambda self, rgb: find_one_face(rgb))


@pytest.fixture
def run(packs, capsys):
    def run(*words):
        setup = ("--packs", str(packs), "--device", "cpu", "--dtype", "float32")
        code = command.main([*map(str, words), *QUICK, *setup])
        output = capsys.readouterr()
        return code, output.out + output.err

    return run


def pictures(path):
    return np.stack([frame.rgb for frame in read_frames(path)])


def test_one_film_and_its_record(run, clip, packs, tmp_path):
    target = tmp_path / "out" / "me.mp4"
    code, text = run(clip, target, "--strength", "0.5", "--carry", "0.25")
    assert code == 0 and "1 written, 0 skipped, 0 failed" in text
    film = probe(target)
    assert (film.width, film.height, film.sounds) == (64, 48, 1)
    assert film.seconds == pytest.approx(1.5, abs=0.001)
    record = json.loads(target.with_suffix(".json").read_text())
    assert record["source"] == "in.mp4" and record["style"] == "cartoon" and record["complete"]
    card = pack.load_pack(packs / "cartoon").card
    assert record["pack"] == {"name": "cartoon", "sha256": card.sha256}
    assert record["options"]["strength"] == 0.5 and record["temporal"]["carry"] == 0.25
    assert set(record["options"]) == set(StylizeOptions.describe())
    assert set(record["temporal"]) == set(TemporalOptions.describe())
    assert record["frames"] == 1.5 * RATE and record["frames_without_a_face"] == []
    assert record["clip"] == {"width": 64, "height": 48, "seconds": 1.5}
    assert record["versions"]["av"] and record["runtime"] == {"device": "cpu", "dtype": "float32"}
    assert sorted(path.name for path in target.parent.iterdir()) == ["me.json", "me.mp4"]


def test_several_styles_and_a_preview(run, clip, tmp_path):
    code, text = run(clip, tmp_path / "a.mp4", "--preview", "--style", "cartoon", "comic")
    assert code == 0 and "2 written" in text
    names = ["a-cartoon-preview", "a-comic-preview"]
    films = [tmp_path / f"{name}.mp4" for name in names]
    assert sorted(path.stem for path in tmp_path.glob("*.mp4")) == names
    assert [probe(film).seconds for film in films] == pytest.approx([1.0, 1.0])
    assert not np.array_equal(*map(pictures, films))


def test_a_folder_goes_on_after_a_broken_clip_and_skips_what_is_done(run, clip, tmp_path):
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    (folder / "a.mov").write_bytes(clip.read_bytes())
    (folder / "b.mp4").write_text("no clip")
    code, text = run(folder, out)
    assert code == 1 and "1 written, 0 skipped, 1 failed" in text and "failed: " in text
    assert sorted(path.name for path in out.iterdir()) == ["a.json", "a.mp4"]
    (folder / "b.mp4").unlink()
    before = (out / "a.mp4").stat().st_mtime_ns
    code, text = run(folder, out, "--skip-existing")
    assert code == 0 and "0 written, 1 skipped" in text
    assert (out / "a.mp4").stat().st_mtime_ns == before


def test_no_face_anywhere(run, tmp_path):
    clip = make_clip(tmp_path / "dark.mp4", 1, source="color=black:")
    code, text = run(clip, tmp_path / "out.mkv", "--lossless")
    assert code == 3 and "warning: no face found in" in text
    assert np.array_equal(pictures(tmp_path / "out.mkv"), pictures(clip))
    record = json.loads((tmp_path / "out.json").read_text())
    assert record["frames_without_a_face"] == [[0, RATE - 1]] and record["lossless"]


def test_interrupt_leaves_a_film_and_the_same_command_goes_on(run, tmp_path, monkeypatch):
    clip, target = make_clip(tmp_path / "in.mp4", 7), tmp_path / "out.mp4"
    before = signal.getsignal(signal.SIGINT)  # ignored where a shell runs this in the background
    assert run(clip, tmp_path / "whole.mp4")[0] == 0
    real = Film.write

    def interrupted(self, *arguments, **named):
        if self.num_frames == 17:  # the second segment has begun
            signal.raise_signal(signal.SIGINT)
        real(self, *arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(Film, "write", interrupted)
        code, text = run(clip, target)
    assert code == 130 and "run again to go on" in text
    assert signal.getsignal(signal.SIGINT) is before
    record = json.loads(target.with_suffix(".json").read_text())
    assert not record["complete"] and len(pictures(target)) == record["frames"] == 18
    code, text = run(clip, target, "--strength", "0.5")
    assert code == 1 and "strength 1.0 (now 0.5)" in text and "--no-resume" in text
    assert run(clip, target, "--skip-existing")[0] == 0
    assert target.read_bytes() == (tmp_path / "whole.mp4").read_bytes()
    assert not (tmp_path / "out.mp4.job").exists()


def test_starting_over_and_keeping_the_parts(run, clip, tmp_path):
    target, folder = tmp_path / "out.mp4", tmp_path / "out.mp4.job"
    assert run(clip, target, "--keep-job")[0] == 0
    assert (folder / "job.json").exists() and list((folder / "segments").iterdir())
    assert run(clip, target, "--strength", "0.5")[0] == 1
    assert run(clip, target, "--strength", "0.5", "--no-resume")[0] == 0
    assert not folder.exists()


def test_persons_of_their_own(run, clip, tmp_path):
    plain, alone, other = (tmp_path / f"{name}.mp4" for name in ("plain", "alone", "other"))
    short = ("--end", "0.5", "--lossless")
    assert run(clip, plain, *short)[0] == 0
    assert run(clip, alone, *short, "--person", "0=none")[0] in (0, 3)
    assert run(clip, other, *short, "--person", "0=comic:0.8", "--person", "1=none")[0] == 0
    assert np.array_equal(pictures(alone), pictures(clip)[:2])
    assert not np.array_equal(pictures(other), pictures(plain))
    people = json.loads(other.with_suffix(".json").read_text())["people"]
    assert people["0"]["style"] == "comic" and people["0"]["options"]["strength"] == 0.8
    assert people["1"] == "left alone"


def test_an_estimate_writes_nothing(run, clip, tmp_path):
    code, text = run(clip, tmp_path / "out.mp4", "--estimate")
    assert code == 0 and "out.mp4: about " in text
    assert list(tmp_path.iterdir()) == []


def test_the_report_measures_both_ways(run, clip):
    code, text = run(clip, "--report", "--style", "comic")
    assert code == 0 and "in.mp4 in comic" in text
    assert "warping_error" in text and "plain" in text and "steady" in text


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--style", "nothing"), "no style 'nothing'; there are cartoon, comic"),
        (("--steadiness", "2"), "steadiness is 2.0; it must be a number from 0.0 to 1.0"),
        (("--person", "x=comic"), "person is 'x=comic'; N=STYLE, N=STYLE:STRENGTH or N=none"),
        (("--person", "1=nobody"), "no style 'nobody'"),
        (("--attribute", "old"), "attribute is 'old'; style cartoon has first, second"),
    ],
)
def test_setup_errors(run, clip, tmp_path, words, expected):
    code, text = run(clip, tmp_path / "out.mp4", *words)
    assert code == 2 and expected in text
    assert list(tmp_path.iterdir()) == []


def test_a_film_needs_a_name_of_its_own(run, clip, tmp_path):
    assert "IN or OUT is missing" in run(clip)[1]
    code, text = run(clip, tmp_path / "out.avi")
    assert code == 2 and "end it in .mp4 or .mov or .mkv or .webm" in text
    code, text = run(clip, clip)
    assert code == 2 and "is one of the clips; choose another OUT" in text


def test_an_option_a_film_cannot_have(run, clip, tmp_path):
    code, text = run(clip, tmp_path / "out.mp4", "--no-whole-photo")
    assert code == 1 and "a video keeps its frame" in text
    assert list(tmp_path.iterdir()) == []


def test_help_is_quick_and_tells_the_exit_codes():
    started = time.perf_counter()
    answer = subprocess.run(
        [sys.executable, "-c", "import sys, demo.video as p\ntry: p.main(['--help'])\n"
         "except SystemExit: pass\nassert 'torch' not in sys.modules, 'torch was imported'"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    assert "exit codes:" in answer.stdout and "--look-ahead" in answer.stdout
    assert time.perf_counter() - started < 20  # about 0.2 s; the machine may be busy
