"""Files of inversions and the cache of them: exact, atomic, and not to be fooled."""

import os
import stat
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from engine.errors import CheckpointError
from engine.inversion import (
    PRESETS,
    Inversion,
    InversionCache,
    InversionSettings,
    load_inversion,
    save_inversion,
)
from engine.inversion.cache import cache_key


def example(steps: int = 4, count: int = 2) -> Inversion:
    torch.manual_seed(0)
    return Inversion(
        ws=torch.randn(count, 8, 16),
        code=torch.randn(count, 16),
        noise={"b4.conv1": torch.randn(count, 1, 4, 4)},
        losses=torch.rand(count, steps),
        picture=torch.rand(count, 3, 32, 32),
        settings=replace(PRESETS["v"], steps=steps),
    )


def assert_same(a: Inversion, b: Inversion) -> None:
    assert a.settings == b.settings and (a.noise or {}).keys() == (b.noise or {}).keys()
    for name in ("ws", "code", "losses", "picture"):
        assert torch.equal(getattr(a, name), getattr(b, name))
    assert all(torch.equal(x, b.noise[name]) for name, x in (a.noise or {}).items())


@pytest.mark.parametrize("with_noise", [True, False])
def test_roundtrip(tmp_path, with_noise):
    found = example() if with_noise else replace(example(), noise=None)
    save_inversion(tmp_path / "a.safetensors", found, note="ada.jpg")
    assert_same(found, load_inversion(tmp_path / "a.safetensors", note="ada.jpg"))
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]
    with pytest.raises(CheckpointError, match="is no inversion this program wrote"):
        load_inversion(tmp_path / "a.safetensors", note="eve.jpg")


@pytest.mark.parametrize("preset", ["projector", "image2stylegan"])  # in W+ the code is ws
def test_real_inversion_roundtrip(tmp_path, G, images, distance, preset):
    from engine.inversion import invert

    found = invert(G, images, replace(PRESETS[preset], steps=3), distance=distance)
    save_inversion(tmp_path / "a.safetensors", found)
    assert_same(found, load_inversion(tmp_path / "a.safetensors"))


def hostile(path, **changes) -> None:
    found = example()
    tensors = {name: getattr(found, name) for name in ("ws", "code", "losses", "picture")}
    metadata = {"format": "inversion-1", "settings": found.settings.to_json(), "note": ""}
    metadata |= changes.pop("metadata", {})
    save_file({k: v for k, v in (tensors | changes).items() if v is not None}, path, metadata)


@pytest.mark.parametrize(
    "changes",
    [
        {"metadata": {"format": "pt"}},
        {"metadata": {"settings": "[" * 100_000}},
        {"metadata": {"settings": "{}"}},  # 1000 steps, but losses of 4
        {"metadata": {"settings": '{"lr": "x"}'}},
        {"metadata": {"settings": '["lr"]'}},
        {"ws": None},
        {"ws": torch.zeros(2, 8)},
        {"ws": torch.full((2, 8, 16), torch.nan)},
        {"ws": torch.zeros(3, 8, 16)},
        {"code": torch.zeros(2, 16, dtype=torch.int64)},
        {"picture": torch.zeros(2, 3, 0, 32)},
        {"extra": torch.zeros(2, 1, 4, 4)},
    ],
)
def test_files_that_lie_are_refused(tmp_path, changes):
    hostile(tmp_path / "a.safetensors", **changes)
    with pytest.raises(CheckpointError, match="invert the picture again"):
        load_inversion(tmp_path / "a.safetensors")


@pytest.mark.parametrize("content", [b"", b"\x80\x04cposix\nsystem\n", b"\xff" * 64, b"{}" * 10])
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "a.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match="is no inversion this program wrote"):
        load_inversion(tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match="is no inversion"):
        load_inversion(tmp_path / "absent.safetensors")


def test_too_large_is_refused_unread(tmp_path):
    with open(tmp_path / "a.safetensors", "wb") as file:
        file.truncate(2**30 + 1)  # sparse
    with pytest.raises(CheckpointError, match="an inversion at most"):
        load_inversion(tmp_path / "a.safetensors")


def test_what_cannot_be_written_is_said(tmp_path):
    with pytest.raises(CheckpointError, match="cannot be written: No such file or directory"):
        save_inversion(tmp_path / "absent" / "a.safetensors", example())


def test_key_depends_on_everything():
    keys = {
        cache_key(b"image", "ab", PRESETS["v"]),
        cache_key(b"other", "ab", PRESETS["v"]),
        cache_key(b"image", "cd", PRESETS["v"]),
        cache_key(b"image", "ab", replace(PRESETS["v"], steps=7)),
        cache_key(b"image", "ab", PRESETS["v"], "lpips"),
        cache_key(b"imagea", "b", PRESETS["v"]),
    }
    assert len(keys) == 6
    assert cache_key(b"image", "ab", PRESETS["v"]) in keys


def key_of(text: str) -> str:
    return cache_key(text.encode(), "", InversionSettings())


def test_cache_gives_back_what_was_put(tmp_path):
    cache = InversionCache(tmp_path / "visitor")
    assert cache.get(key_of("a")) is None
    assert cache.put(key_of("a"), example())
    assert_same(cache.get(key_of("a")), example())
    assert InversionCache(tmp_path / "another").get(key_of("a")) is None


def test_cache_ignores_damaged_and_swapped_files(tmp_path):
    cache = InversionCache(tmp_path)
    cache.put(key_of("a"), example())
    path = tmp_path / f"{key_of('a')}.safetensors"
    other = tmp_path / f"{key_of('b')}.safetensors"
    other.write_bytes(path.read_bytes())  # a file under a key it was not saved with
    assert cache.get(key_of("b")) is None and not other.exists()
    path.write_bytes(path.read_bytes()[:-5])
    assert cache.get(key_of("a")) is None and not path.exists()


def test_cache_removes_what_was_used_longest_ago(tmp_path):
    cache = InversionCache(tmp_path)
    for number, text in enumerate("abc"):
        cache.put(key_of(text), example())
        os.utime(tmp_path / f"{key_of(text)}.safetensors", (number, number))
    size = (tmp_path / f"{key_of('a')}.safetensors").stat().st_size
    assert cache.get(key_of("a"))  # used: now the youngest
    small = InversionCache(tmp_path, max_bytes=3 * size)
    assert small.put(key_of("d"), example())
    kept = {text for text in "abcd" if small.get(key_of(text))}
    assert kept == {"a", "c", "d"}
    assert not InversionCache(tmp_path, max_bytes=size - 1).put(key_of("e"), example())


def test_cache_never_fails_for_want_of_a_folder(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    cache = InversionCache(tmp_path / "file" / "folder")
    assert not cache.put(key_of("a"), example()) and cache.get(key_of("a")) is None


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_cache_in_a_folder_that_is_read_only(tmp_path):
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    assert not InversionCache(tmp_path).put(key_of("a"), example())


@pytest.mark.parametrize("key", ["../../etc/passwd", "a" * 63, "A" * 64])
def test_cache_accepts_keys_only(tmp_path, key):
    with pytest.raises(ValueError, match="is no key"):
        InversionCache(tmp_path).get(key)
