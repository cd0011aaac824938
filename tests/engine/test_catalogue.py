"""The catalogue: complete, consistent, and only what can be fetched or found."""

import re

import pytest

from engine.catalogue import find, public_files
from engine.errors import DownloadError

LOCATION = {
    "https": r"https://[a-z0-9.-]+/\S+",
    "drive": r"drive:[A-Za-z0-9_-]{33}",
    "hub": r"hub:[\w.-]+/[\w.-]+/\S+",
}


def test_every_entry_can_be_used():
    entries = public_files()
    assert len(entries) >= 35
    assert len({entry.file for entry in entries.values()}) == len(entries), "files never collide"
    for name, entry in entries.items():
        assert name == entry.name and re.fullmatch(r"[a-z0-9][a-z0-9-]*", name)
        assert re.fullmatch(r"[\w.-]+\.(pt|pkl|pth|pth\.tar)", entry.file), name
        assert entry.title and entry.licence and entry.gives, name
        assert entry.page.startswith("https://"), name
        assert re.fullmatch(r"[0-9a-f]{8,64}|", entry.sha256), name
        assert re.fullmatch(r"[0-9a-f]{32}|", entry.md5), name
        for location in entry.locations:
            assert any(re.fullmatch(form, location) for form in LOCATION.values()), location


def test_where_no_location_is_known_the_page_has_the_file():
    by_hand = [entry for entry in public_files().values() if not entry.locations]
    assert by_hand and all("drive.google.com/drive/folders/" in entry.page for entry in by_hand)


def test_files_named_after_their_hash():
    for entry in public_files().values():
        if found := re.search(r"-([0-9a-f]{8,10})\.pth(\.tar)?$", entry.file):
            assert entry.sha256 == found[1], entry.name


def test_find():
    assert find("e4e-ffhq").size == 1_201_649_680
    assert find("e4e_ffhq_encode.pt") is find("e4e-ffhq")
    with pytest.raises(DownloadError, match="no public file 'e4e' is known: did you mean e4e-ffhq"):
        find("e4e")
    with pytest.raises(DownloadError, match="python -m demo.doctor list names all"):
        find("??")
