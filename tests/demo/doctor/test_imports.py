"""`python -m demo.doctor import`: files of others on disk, packs, and a picture in the end."""

import numpy as np
import pytest
import torch

from demo.doctor.command import main
from engine.library import StyleLibrary
from engine.pack import EMBEDDED_PACKS, load_pack
from engine.pipeline import Stylizer
from engine.runtime import Runtime
from tests.engine.checkpoints import layouts
from tests.engine.importing import files
from tests.engine.test_pipeline import face, photo
from tests.packs import FixedFaces

RUNTIME = Runtime(torch.device("cpu"), torch.float32, "test")


@pytest.fixture
def run(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("STYLIZE_HOME", str(tmp_path / "home"))

    def run(*words):
        code = main(["import", *map(str, words)])
        output = capsys.readouterr()
        return code, output.out, output.err

    return run


@pytest.fixture
def write(tmp_path):
    """Write a file as its project does, under the name the project gives it."""

    def write(name, data):
        torch.save(data, tmp_path / name)
        return tmp_path / name

    return write


def drawn(library, name):
    stylizer = Stylizer.load(name, library, RUNTIME, FixedFaces((face(),)))
    return stylizer.render(stylizer.encode(photo())[0])


def encoder_file():
    return files.encoder_file(layouts.tiny_encoder(), layouts.tiny_generator(0))


def style_file():
    network = layouts.tiny_generator(4, num_paths=2, path_until=16)
    return {"g_ema": layouts.two_paths(network, 2)}


def test_agilegan_from_two_files_to_a_picture(run, write, tmp_path):
    code, text, _ = run(write("encoder.pt", encoder_file()), "--name", "agilegan")
    assert code == 0 and "variational encoder of AgileGAN, with encoder, generator" in text
    assert "a style tuned from it, python -m demo.doctor import STYLE.pt --base agilegan" in text
    code, text, _ = run(write("cartoon.pt", style_file()), "--base", "agilegan")
    assert code == 0 and "note: " in text
    assert "Licence: none stated, all rights reserved" in text, "known by the name of the file"
    assert "Next: python -m demo.photo me.jpg out.png --style cartoon" in text
    library = StyleLibrary()
    assert "cartoon" in library.names(), "where the page looks"
    picture = drawn(library, "cartoon")
    assert picture.shape == (32, 32, 3) and picture.std() > 0
    pack = load_pack(tmp_path / "home" / "packs" / "cartoon")
    assert pack.card.attributes == ("female", "male")


def test_a_swapped_style_in_another_folder(run, write, tmp_path):
    psp = files.encoder_file(
        layouts.tiny_encoder(variational=False), layouts.tiny_generator(0), opts=files.PSP
    )
    tuned = {"g_ema": layouts.rosinality_generator(layouts.tiny_generator(9))}
    out = tmp_path / "packs"
    words = [write("psp_ffhq_encode.pt", psp), write("toon.pt", tuned), "--out", out]
    code, text, _ = run(*words, "--name", "toon", "--swap-resolution", 8)
    assert code == 0, text
    assert "taken as psp" in text and f"--style {out / 'toon'}" in text
    base = out / "toon-base"
    assert run(words[1], "--base", base, "--name", "plain", "--out", out)[0] == 0
    library = StyleLibrary([out])
    assert library.card("toon").swap_resolution == 8
    assert not np.array_equal(drawn(library, "toon"), drawn(library, "plain"))


def test_a_generator_alone_asks_for_an_encoder(run, write):
    network = layouts.tiny_generator(0)
    path = write("g.pt", {"g_ema": layouts.rosinality_generator(network)})
    code, text, _ = run(path, "--licence", "CC0")
    assert code == 0 and "Licence: CC0: public domain" in text
    assert "photos need an encoder, python -m demo.doctor import ENCODER.pt --base g" in text


def test_names_that_fit_several_kinds(run, write):
    file = files.encoder_file(layouts.tiny_encoder(variational=False), layouts.tiny_generator(0))
    path = write("unknown.pt", file)
    code, _, error = run(path)
    assert code == 1 and "--kind psp-zplus" in error
    assert run(path, "--kind", "psp-zplus")[0] == 0
    assert StyleLibrary().card("unknown").encoder_space == "z+"


def test_errors_leave_nothing_behind(run, write, tmp_path, monkeypatch):
    code, _, error = run(write("cartoon.pt", style_file()))
    assert code == 1 and "cartoon.pt is a style with attribute paths" in error
    code, _, error = run(tmp_path / "absent.pt")
    assert code == 1 and "absent.pt" in error
    (tmp_path / "page.pt").write_text("<html>quota exceeded</html>")
    assert run(tmp_path / "page.pt")[0] == 1

    from engine.errors import PackError

    def refuse(pack, runtime):
        raise PackError("does not load")

    monkeypatch.setattr("demo.doctor.imports.read_base", refuse)
    code, _, error = run(write("encoder.pt", encoder_file()))
    assert code == 1 and "does not load" in error
    assert not list((tmp_path / "home" / "packs").iterdir())


def test_the_embedded_base_stays_as_it_is(run, write, tmp_path):
    eigvec = torch.eye(layouts.DIM)
    path = write("factor.pt", {"ckpt": "550000.pt", "eigvec": eigvec})
    before = load_pack(EMBEDDED_PACKS / "base").card.sha256
    code, _, error = run(path, "--base", "base")
    assert code == 1 and "is part of the project and stays as it is; copy" in error
    assert load_pack(EMBEDDED_PACKS / "base").card.sha256 == before
