"""Packs and styles: what is checked before a tensor is used, and where content meets style."""

import hashlib
import json
import shutil

import numpy as np
import pytest
import torch

from engine.card import Card
from engine.errors import OptionError, PackError
from engine.library import StyleLibrary
from engine.pack import load_pack, save_pack, search_folders
from engine.runtime import Runtime
from engine.style import NUM_KEPT_NETWORKS
from tests.packs import CHANNELS, CODE, NUM_WS, PATHS, card, write_base, write_packs, write_style

RUNTIME = Runtime(torch.device("cpu"), torch.float32, "test")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = write_packs(tmp_path_factory.mktemp("packs"))
    write_style(folder, load_pack(folder / "base").card, "swap", kind="swapped", seed=5)
    return folder


@pytest.fixture
def packs(written, tmp_path):
    """A copy to break."""
    return shutil.copytree(written, tmp_path / "packs")


@pytest.fixture(scope="module")
def library(written):
    return StyleLibrary([written])


@pytest.fixture(scope="module")
def ws():
    return torch.randn(1, NUM_WS, CODE, generator=torch.Generator().manual_seed(0))


def load(packs, name="cartoon"):
    return StyleLibrary([packs]).load(name, RUNTIME)


def edit_card(folder, **changes):
    path = folder / "style.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def fails(packs, *words, name="cartoon"):
    with pytest.raises(PackError) as error:
        load(packs, name)
    for word in words:
        assert word in str(error.value)


def test_library_lists_styles_not_bases(library, written):
    assert library.names() == ["cartoon", "comic", "swap"]
    assert library.card("comic").title == "Comic"
    assert library.preview("comic") == written / "comic" / "preview.jpg"


def test_loading_is_shared(library):
    cartoon, comic = library.load("cartoon", RUNTIME), library.load("comic", RUNTIME)
    assert library.load("cartoon", RUNTIME) is cartoon
    assert cartoon.base is comic.base


def test_a_folder_is_a_style_too(written):
    style = StyleLibrary([]).load(str(written / "cartoon"), RUNTIME)
    assert style.card.name == "cartoon"


def test_the_first_folder_wins_and_home_comes_first(monkeypatch, packs, tmp_path):
    monkeypatch.setenv("STYLIZE_HOME", str(tmp_path))
    assert search_folders()[0] == packs
    other = shutil.copytree(packs, tmp_path / "other")
    edit_card(other / "cartoon", title="Other")
    assert StyleLibrary([other, packs]).card("cartoon").title == "Other"


def test_card_survives_json(written):
    saved = load_pack(written / "cartoon").card
    assert saved.channels == CHANNELS and saved.attributes == PATHS
    assert Card(**json.loads(saved.to_json())) == saved


def test_unknown_style_lists_the_known():
    with pytest.raises(PackError, match="no style 'nothing'; there are none"):
        StyleLibrary([]).load("nothing", RUNTIME)


def test_missing_file(packs):
    (packs / "cartoon" / "generator.safetensors").unlink()
    fails(packs, "generator.safetensors cannot be read", "No such file", "copy pack cartoon again")


def test_missing_base(packs):
    shutil.rmtree(packs / "base")
    fails(packs, "no style 'base'")


def test_missing_base_file(packs):
    (packs / "base" / "encoder.safetensors").unlink()
    fails(packs, "encoder.safetensors cannot be read")


def test_wrong_hash(packs):
    path = packs / "cartoon" / "generator.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    fails(packs, "altered or is incomplete", "sha256")


def test_wrong_tensor_shape(packs):
    pack = load_pack(packs / "cartoon")
    state = pack.state("generator.safetensors")
    state["synthesis.b32.conv1.weight"] = torch.zeros(8, 4, 3, 3)
    save_pack(packs / "cartoon", pack.card, {"generator.safetensors": state})
    fails(packs, "synthesis.b32.conv1.weight is [8, 4, 3, 3], expected [8, 8, 3, 3]")


def test_layout_other_than_the_card_says(packs):
    edit_card(packs / "cartoon", resolution=64)
    fails(packs, "the card in", "copy the pack again")


def test_encoder_of_another_generator(packs):
    pack = load_pack(packs / "base")
    state = pack.state("encoder.safetensors")
    more = {k.replace("styles.7.", "styles.8."): v for k, v in state.items()}
    save_pack(packs / "base", pack.card, {"encoder.safetensors": {**state, **more}})
    fails(packs, "gives 9 codes of 16", "needs 8 of 16 in z+")


def test_style_of_another_base(packs):
    write_base(packs, seed=9)
    fails(packs, "trained on another base", "copy the base it belongs to")


def test_tensors_that_are_no_tensors(packs):
    pack = load_pack(packs / "base")
    (packs / "base" / "detector.safetensors").write_bytes(b"no tensors at all")
    digest = hashlib.sha256(b"no tensors at all").hexdigest()
    edit_card(packs / "base", files={**pack.card.files, "detector.safetensors": digest})
    fails(packs, "is no safetensors file")


def test_bad_json(packs):
    (packs / "cartoon" / "style.json").write_text("{")
    fails(packs, "cannot be read as JSON")
    assert StyleLibrary([packs]).names() == ["comic", "swap"]
    problems = StyleLibrary([packs]).packs()
    assert isinstance(problems[packs / "cartoon"], PackError)


def test_newer_format(packs):
    edit_card(packs / "cartoon", format_version=99)
    fails(packs, "format version 99; this program reads up to 4: update the program")


@pytest.mark.parametrize(
    "name", ["../base/generator.safetensors", "/etc/passwd", "a\\b.jpg", "..", "run.py", ".jpg"]
)
def test_file_names_stay_in_the_folder(packs, name):
    edit_card(packs / "cartoon", files={name: "0" * 64})
    fails(packs, "no plain *.safetensors or *.jpg name")


def test_base_names_stay_in_the_library(packs):
    edit_card(packs / "cartoon", base={"name": "../base", "sha256": "0" * 64})
    fails(packs, "base is '../base'")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kind": "pickled"}, "kind is 'pickled'; accepted are base, blended, swapped"),
        ({"encoder_space": "v"}, "encoder_space is 'v'"),
        ({"framing": "full"}, "framing is 'full'; accepted: ffhq, center"),
        ({"variation_space": "w"}, "variation_space is 'w'; accepted: z, z+"),
        ({"conv_clamp": 0}, "conv_clamp is 0; a positive number is accepted"),
        ({"defaults": {"strength": 3}}, "strength is 3"),
        ({"defaults": {"attribute": "none"}}, "'none' is none of attributes"),
        ({"channels": "wide"}, "not valid"),
        ({"surprise": 1}, "unknown entries ['surprise']"),
        ({"attributes": ["one"]}, "has 2 attribute paths"),
        ({"kind": "base", "base": None}, "is a base pack, no style"),
    ],
)
def test_cards_that_make_no_sense(packs, changes, words):
    edit_card(packs / "cartoon", **changes)
    fails(packs, words)


def test_saving_keeps_files_and_halves_floats(packs):
    before = load_pack(packs / "base").card
    extra = {"detector.safetensors": {"a": torch.ones(2), "big": torch.tensor([1e9])}}
    after = save_pack(packs / "base", card("base", "base"), extra)
    assert set(after.card.files) == {*before.files, "detector.safetensors"}
    state = after.state("detector.safetensors")
    assert state["a"].dtype == torch.float16 and state["big"].dtype == torch.float32
    assert not list(packs.rglob("*.part"))
    rights = {path.stat().st_mode for path in (packs / "base").iterdir()}
    assert len(rights) == 1, "tensors are readable for whoever may read the card"


def test_a_full_disk_leaves_the_old_pack_whole(packs, monkeypatch):
    from engine import pack as disk

    before = {path.name: path.read_bytes() for path in (packs / "base").iterdir()}
    real = disk.save_file

    def save_first_only(tensors, path, metadata):
        if path.name.startswith("detector"):
            raise OSError(28, "No space left on device")
        real(tensors, path, metadata)

    monkeypatch.setattr(disk, "save_file", save_first_only)
    states = {"generator.safetensors": {"a": torch.ones(2)}, "detector.safetensors": {}}
    with pytest.raises(PackError, match="cannot be written: No space left on device; free some"):
        save_pack(packs / "base", card("base", "base"), states)
    assert {path.name: path.read_bytes() for path in (packs / "base").iterdir()} == before


def test_attribute_paths_have_names(library):
    cartoon = library.card("cartoon")
    assert cartoon.default_attribute == "first"
    assert cartoon.path_of(None) == 0 and cartoon.path_of("second") == 1
    with pytest.raises(OptionError, match="style cartoon has first, second"):
        cartoon.path_of("third")


def test_strength_runs_from_source_to_style(library, ws):
    style = library.load("cartoon", RUNTIME)
    source = style.base.generator.synthesis(ws)
    assert torch.equal(style.synthesize(ws, strength=0), source)
    full, almost = style.synthesize(ws, path=1), style.synthesize(ws, path=1, strength=0.99)
    assert 0 < (full - almost).abs().max() < (full - source).abs().max()
    assert not torch.equal(full, style.synthesize(ws, path=0))


def test_a_path_is_the_network_that_was_saved(written, ws):
    from engine.models.stylegan2 import generator_from_state

    style = StyleLibrary([written]).load("cartoon", RUNTIME)
    state = style.pack.state("generator.safetensors")
    mapping = style.base.generator.mapping.state_dict()
    whole = generator_from_state({**state, **{f"mapping.{k}": v for k, v in mapping.items()}})
    for path in (0, 1):
        expected = whole.synthesis(ws, path=path)
        torch.testing.assert_close(style.synthesize(ws, path=path), expected)


def test_few_networks_are_kept(written, ws):
    style = StyleLibrary([written]).load("cartoon", RUNTIME)
    for strength in np.linspace(0, 1, 8):
        style.synthesize(ws, strength=float(strength))
    assert len(style._networks) == NUM_KEPT_NETWORKS


def test_codes_blend_in_latent_space(library, ws):
    style = library.load("cartoon", RUNTIME)
    other = ws.flip(-1)
    assert torch.equal(style.synthesize(ws, other), style.synthesize(other))
    assert torch.equal(style.synthesize(ws, other, torch.zeros(NUM_WS)), style.synthesize(ws))
    per_layer = torch.linspace(0, 1, NUM_WS)
    middle = style.synthesize(ws, other, per_layer)
    expected = style.synthesize(torch.lerp(ws, other, per_layer[None, :, None]))
    torch.testing.assert_close(middle, expected)


def test_swapped_style_takes_the_features_of_the_source(library, ws):
    style = library.load("swap", RUNTIME)
    other = ws.flip(-1)
    features = style.base.generator.synthesis.features(ws, until=8)
    expected = style.network().synthesis(other, replace={8: features})
    torch.testing.assert_close(style.synthesize(ws, other), expected)
    plain = style.base.generator.synthesis(ws)
    torch.testing.assert_close(style.synthesize(ws, strength=0), plain)
