"""`python -m demo.photo`: what is written, what is recorded, and that no photo stops a batch."""

import errno
import json
import os
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from demo import photo as command
from demo.jobs import plan
from engine import pack
from engine.detect import face_from_points
from engine.errors import OptionError
from engine.options import StylizeOptions
from engine.pipeline import Stylizer
from engine.reference import QUICK
from tests.demo.test_statement import XMP
from tests.packs import RESOLUTION, write_packs


@pytest.fixture(scope="module")
def packs(tmp_path_factory):
    return write_packs(tmp_path_factory.mktemp("packs"))


@pytest.fixture(autouse=True)
def found_faces(monkeypatch):
    """A face in every photo that is not black; two in the wide ones."""

    def detect(self, rgb):
        if not rgb.any():
            return []
        height, width = rgb.shape[:2]
        middles = [width / 2] if width < 2 * height else [width / 4, 3 * width / 4]
        y = height / 2
        return [face_from_points((x - 8, y - 6), (x + 8, y - 6), (x, y + 8)) for x in middles]

    monkeypatch.setattr(Stylizer, "detect", detect)


@pytest.fixture
def run(packs, capsys):
    def run(*words):
        setup = ("--packs", str(packs), "--device", "cpu", "--dtype", "float32")
        code = command.main([*map(str, words), *setup])
        output = capsys.readouterr()
        return code, output.out + output.err

    return run


def write(path, size=(64, 48), color=(180, 120, 90), **settings):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB" if len(color) == 3 else "RGBA", size, color).save(path, **settings)
    return path


def test_one_photo_and_its_record(run, tmp_path, packs):
    source, target = write(tmp_path / "in.jpg"), tmp_path / "out" / "me.png"
    code, text = run(source, target, "--strength", "0.5", "--seed", "7")
    assert code == 0 and "1 written, 0 skipped, 0 failed, 1 faces" in text
    with Image.open(target) as image:
        assert image.size == (64, 48) and set(image.info) == XMP
    record = json.loads((tmp_path / "out" / "me.json").read_text())
    card = pack.load_pack(packs / "cartoon").card
    assert record["source"] == "in.jpg" and record["style"] == "cartoon"
    assert record["pack"] == {"name": "cartoon", "sha256": card.sha256}
    assert record["base"]["sha256"] == pack.load_pack(packs / "base").card.sha256
    assert record["options"]["strength"] == 0.5 and record["options"]["seed"] == 7
    assert record["options"]["attribute"] == "first"
    assert set(record["options"]) == set(StylizeOptions.describe())
    assert record["faces"][0]["stylized"] and len(record["faces"][0]["box"]) == 4
    assert record["photo"] == {"height": 48, "width": 64}
    assert record["versions"]["torch"] and record["versions"]["python"]
    assert record["runtime"] == {"device": "cpu", "dtype": "float32"}


def test_a_broken_file_does_not_stop_the_folder(run, tmp_path):
    folder = tmp_path / "in"
    write(folder / "a.jpg")
    (folder / "b.png").write_text("no picture")
    write(folder / "c.png")
    (folder / "notes.txt").write_text("not even tried")
    code, text = run(folder, tmp_path / "out")
    assert code == 1 and "2 written, 0 skipped, 1 failed" in text
    assert "failed: " in text and "b.png" in text and "notes.txt" not in text
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["a.json", "a.png", "c.json", "c.png"]


def test_skip_existing(run, tmp_path):
    folder, out = tmp_path / "in", tmp_path / "out"
    write(folder / "a.jpg")
    write(folder / "b.jpg")
    assert run(folder, out)[0] == 0
    (out / "b.json").unlink()  # an interrupted one is done again
    before = (out / "a.png").stat().st_mtime_ns
    code, text = run(folder, out, "--skip-existing")
    assert code == 0 and "1 written, 1 skipped" in text
    assert (out / "a.png").stat().st_mtime_ns == before
    code, text = run(folder, out, "--skip-existing")
    assert code == 0 and "0 written, 2 skipped" in text


def test_no_face_anywhere(run, tmp_path):
    source = write(tmp_path / "dark.png", color=(0, 0, 0))
    code, text = run(source, tmp_path / "out.png")
    assert code == 3 and "warning: no face found in" in text
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out.png")), np.zeros((48, 64, 3)))
    assert json.loads((tmp_path / "out.json").read_text())["faces"] == []


def test_one_photo_without_a_face_among_others(run, tmp_path):
    write(tmp_path / "in" / "dark.png", color=(0, 0, 0))
    write(tmp_path / "in" / "face.png")
    assert run(tmp_path / "in", tmp_path / "out")[0] == 0


def test_a_reference_changes_the_look_and_is_recorded(run, tmp_path, monkeypatch):
    monkeypatch.setattr("engine.reference.QUICK", replace(QUICK, steps=3))
    monkeypatch.setenv("STYLIZE_HOME", str(tmp_path / "home"))
    photo, look = write(tmp_path / "in.jpg"), tmp_path / "look.png"
    noise = np.random.default_rng(3).integers(0, 256, (50, 40, 3), np.uint8)
    Image.fromarray(noise).save(look)
    plain, referred = tmp_path / "plain.png", tmp_path / "referred.png"
    assert run(photo, plain)[0] == 0
    assert run(photo, referred, "--reference", look, "--mix-layer", "0")[0] == 0
    assert not np.array_equal(np.array(Image.open(plain)), np.array(Image.open(referred)))
    records = [json.loads(path.with_suffix(".json").read_text()) for path in (plain, referred)]
    assert [record["reference"] for record in records] == [None, "look.png"]


def test_shapes_of_another_style(run, tmp_path):
    photo, plain, mixed = write(tmp_path / "in.jpg"), tmp_path / "a.png", tmp_path / "b.png"
    swap = ("--swap-resolution", "16")
    assert run(photo, plain, *swap)[0] == 0
    assert run(photo, mixed, *swap, "--source-style", "comic")[0] == 0
    assert not np.array_equal(np.array(Image.open(plain)), np.array(Image.open(mixed)))
    assert json.loads(mixed.with_suffix(".json").read_text())["source_style"] == "comic"
    code, text = run(photo, mixed, "--source-style", "nothing")
    assert code == 2 and "no style 'nothing'" in text


def test_alpha_comes_back_at_the_output_size(run, tmp_path):
    source = write(tmp_path / "in.png", color=(200, 100, 50, 128))
    assert run(source, tmp_path / "out.png", "--output-size", "32")[0] == 0
    with Image.open(tmp_path / "out.png") as image:
        assert image.mode == "RGBA" and image.size == (32, 24)
        assert image.getchannel("A").getextrema() == (128, 128)


def test_a_crop_per_face(run, tmp_path):
    source = write(tmp_path / "in.png", size=(160, 64))
    code, _ = run(source, tmp_path / "out.png", "--no-whole-photo")
    assert code == 0
    for name in ("out.png", "out-face2.png"):
        with Image.open(tmp_path / name) as image:
            assert image.size == (RESOLUTION, RESOLUTION)
    assert len(json.loads((tmp_path / "out.json").read_text())["faces"]) == 2


def test_same_command_same_picture(run, tmp_path):
    source = write(tmp_path / "in.jpg")
    for name in ("one.png", "two.png"):
        assert run(source, tmp_path / name, "--samples", "3", "--seed", "5")[0] == 0
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


def test_full_disk_fails_photo_by_photo(run, tmp_path, monkeypatch):
    write(tmp_path / "in" / "a.jpg")
    write(tmp_path / "in" / "b.jpg")

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    code, text = run(tmp_path / "in", tmp_path / "out")
    assert code == 1 and "2 failed" in text and "No space left on device" in text
    assert list((tmp_path / "out").iterdir()) == []


def test_interrupt_keeps_what_is_done(run, tmp_path, monkeypatch):
    for name in "abc":
        write(tmp_path / "in" / f"{name}.jpg")
    real, calls = Stylizer.__call__, []

    def interrupted(self, *arguments, **named):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(self, *arguments, **named)

    monkeypatch.setattr(Stylizer, "__call__", interrupted)
    code, text = run(tmp_path / "in", tmp_path / "out")
    assert code == 130 and "interrupted" in text
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.json", "a.png"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--style", "nothing"), "no style 'nothing'; there are cartoon, comic"),
        (("--strength", "2"), "strength is 2.0; it must be a number from 0.0 to 1.0"),
        (("--attribute", "old"), "attribute is 'old'; style cartoon has first, second"),
        (("--device", "tpu"), "is no device"),
    ],
)
def test_setup_errors(packs, tmp_path, capsys, words, expected):
    source = write(tmp_path / "in.jpg")
    arguments = [str(source), str(tmp_path / "out.png"), "--packs", str(packs), *words]
    assert command.main(arguments) == 2
    assert expected in capsys.readouterr().err
    assert not (tmp_path / "out.png").exists()


def test_plans(tmp_path):
    write(tmp_path / "in" / "a.jpg")
    write(tmp_path / "in" / "a.png")
    write(tmp_path / "in" / "deep" / "b.JPG", format="JPEG")
    out = tmp_path / "out"
    names = [job.target.relative_to(out).as_posix() for job in plan(f"{tmp_path}/in", out)]
    assert names == ["a_jpg.png", "a_png.png"]
    deep = plan(f"{tmp_path}/in/**/*", str(out))
    names = [job.target.relative_to(out).as_posix() for job in deep]
    assert names == ["a_jpg.png", "a_png.png", "deep/b.png"]
    (job,) = plan(str(tmp_path / "in" / "a.jpg"), str(out) + "/")
    assert job.target == out / "a.png"


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("a.png", "out.jpg", "end it in .png"),
        ("a.png", "a.png", "is one of the photos"),
        (".", ".", "is one of the photos"),
        ("none.png", "out.png", "no photo at"),
        ("*.gif", "out", "no photo at"),
    ],
)
def test_plans_that_are_refused(tmp_path, monkeypatch, source, target, expected):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a.png")
    with pytest.raises(OptionError) as error:
        plan(source, target)
    assert expected in str(error.value)


def test_help_is_quick_and_tells_the_exit_codes():
    started = time.perf_counter()
    answer = subprocess.run(
        [sys.executable, "-c", "import sys, demo.photo as p\ntry: p.main(['--help'])\n"
         "except SystemExit: pass\nassert 'torch' not in sys.modules, 'torch was imported'"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    assert "exit codes:" in answer.stdout and "--truncation-psi" in answer.stdout
    assert time.perf_counter() - started < 5  # about 0.2 s; the machine may be busy
