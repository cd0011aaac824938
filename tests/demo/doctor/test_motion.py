"""`python -m demo.doctor import vox-cpk.pth.tar`: from the public file to a pack that animates."""

import pytest
import torch

from demo.doctor.command import main
from engine.runtime import pick_runtime
from motion.animator import Animator
from tests.motion.fomm import tiny


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setenv("STYLIZE_HOME", str(tmp_path / "home"))
    path = tmp_path / "vox-cpk.pth.tar"
    torch.save(tiny.public_file(tiny.detector(), tiny.generator()), path)
    return str(path)


def test_motion_weights_become_a_pack(file, tmp_path, capsys):
    assert main(["import", file, "--name", "vox"]) == 0
    text = capsys.readouterr().out
    assert "first order motion model, with keypoints, motion generator" in text
    assert "MIT since 2023" in text, "known by the name of the file"
    assert "python -m demo.animate me.jpg driving.mp4 out.mp4 --motion vox" in text
    animator = Animator.load(runtime=pick_runtime("cpu", "float32"))
    assert animator.size == 256, "the user's pack comes before the embedded one"
    assert main(["import", file, "--name", "vox"]) == 1
    assert "exists already" in capsys.readouterr().err


def test_motion_weights_are_imported_alone(file, capsys):
    assert main(["import", file, file]) == 1
    assert "moves pictures: import it by itself" in capsys.readouterr().err
