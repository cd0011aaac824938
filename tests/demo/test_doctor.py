"""`python -m demo.doctor`: what it says about good and broken packs, and its exit code."""

import pytest

from demo import doctor
from tests.packs import write_base, write_packs, write_style


@pytest.fixture
def run(capsys):
    def run(*words):
        code = doctor.main([*map(str, words), "--device", "cpu"])
        return code, capsys.readouterr().out

    return run


def test_a_healthy_installation(run, tmp_path):
    write_style(tmp_path, write_base(tmp_path, detector=True), "cartoon")
    code, text = run("--packs", tmp_path)
    assert code == 0, text
    assert "CPU: asked for by device 'cpu'" in text and "torch 2" in text
    assert "cartoon (blended, 32 px, attributes first, second), Apache-2.0" in text
    assert "cartoon is complete" in text and "writes H.264 and AAC" in text
    assert "0 broken" in text


def test_a_base_without_a_detector_is_a_warning(run, tmp_path):
    code, text = run("--packs", write_packs(tmp_path, ("cartoon",)))
    assert code == 0 and "base base has no detector" in text


def test_a_broken_pack(run, tmp_path):
    write_packs(tmp_path)
    with (tmp_path / "comic" / "generator.safetensors").open("ab") as file:
        file.write(b"x")
    code, text = run("--packs", tmp_path)
    assert code == 1 and "BROKEN" in text and "altered or is incomplete" in text
    assert "cartoon (blended" in text, "the others are still listed"


def test_no_style_at_all(run, tmp_path):
    code, text = run("--packs", tmp_path)
    assert code == 1 and f"no style in {tmp_path}" in text


def test_a_device_that_is_not_there(run, tmp_path):
    write_packs(tmp_path)
    code, text = run("--packs", tmp_path, "--dtype", "int8")
    assert code == 1 and "dtype 'int8' is no number format" in text
