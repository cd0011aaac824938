"""`python -m demo.doctor show`: a pack explained, and whether it is what its card says."""

import pytest

from demo.doctor.command import main
from demo.doctor.words import explain_licence, record_rows, table
from engine.pack import save_pack
from tests.packs import card, write_base, write_style


@pytest.fixture
def packs(tmp_path):
    base = write_base(tmp_path)
    write_style(tmp_path, base, "cartoon")
    write_style(tmp_path, base, "swap", kind="swapped", seed=5)
    return tmp_path


@pytest.fixture
def show(packs, capsys):
    def show(name):
        code = main(["show", str(name), "--packs", str(packs)])
        output = capsys.readouterr()
        return code, output.out + output.err

    return show


def test_a_style(show, packs):
    code, text = show("cartoon")
    assert code == 0
    assert text.startswith("cartoon: Cartoon\n")
    assert "32 x 32 px, 8 layers of codes" in text
    assert f"base at {packs / 'base'}, fits" in text
    assert "first, second; first if you name none" in text
    assert "all hashes are right" in text
    assert "free to use, also commercially" in text
    assert "python -m demo.photo me.jpg out.png --style cartoon --attribute first" in text


def test_a_style_that_swaps(show):
    assert "8 px" in show("swap")[1]


def test_a_base(show):
    code, text = show("base")
    assert code == 0 and "Z+ (one z per layer)" in text
    assert "discriminator.safetensors" in text and "not by itself" in text


def test_a_folder(show, packs):
    assert show(packs / "cartoon")[0] == 0


def test_an_altered_file(show, packs):
    with (packs / "cartoon" / "generator.safetensors").open("ab") as file:
        file.write(b"x")
    code, text = show("cartoon")
    assert code == 1 and "BROKEN" in text and "was altered or is incomplete" in text
    (packs / "cartoon" / "generator.safetensors").unlink()
    assert "missing" in show("cartoon")[1]


def test_another_base(show, packs):
    write_base(packs, seed=9)
    assert "is ANOTHER ONE than this style was trained on" in show("cartoon")[1]
    (packs / "base" / "style.json").unlink()
    assert "which is MISSING here" in show("cartoon")[1]


def test_no_such_pack(show):
    code, text = show("oil")
    assert code == 1 and text.startswith("error: no style 'oil'; there are cartoon, swap")


def test_settings_and_record(show, packs):
    record = {"images_seen": 120_000, "metrics": {"own_nearest": [0.9, 0.8]}, "half": True}
    fields = {"defaults": {"strength": 0.8}, "training": record}
    save_pack(packs / "base", card("base", "base", **fields), {})
    text = show("base")[1]
    assert "--strength  0.8 instead of 1.0" in text
    assert "images seen    120,000" in text and "  own nearest  0.9, 0.8" in text


@pytest.mark.parametrize(
    "licence, said",
    [
        ("Apache-2.0", "also commercially"),
        ("MIT", "also commercially"),
        ("CC BY-NC-SA 4.0", "not for commercial use"),
        ("S-Lab License 1.0 (non-commercial)", "not for commercial use"),
        ("MIT code, weights for research only", "not for commercial use"),
        ("", "all rights are reserved"),
        ("none stated, all rights reserved", "ask the author"),
        ("ACME Licence", "read it before you publish"),
    ],
)
def test_licences(licence, said):
    assert said in explain_licence(licence)


def test_tables():
    rows = [("a", "size"), ("a wide heading", ""), ("bb", "1")]
    assert table(rows, right=("size",)) == "a   size\na wide heading\nbb     1"
    assert list(record_rows({"a": None, "b": {"c": False}})) == [
        ("a", "none"),
        ("b", ""),
        ("  c", "no"),
    ]
