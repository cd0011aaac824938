"""`fetch`: from disk, from the hub's cache, from the next location; and what is never used."""

import hashlib
import io
import json
import zipfile

import pytest

from engine.catalogue import PublicFile
from engine.download import fetch, is_offline, is_present, weights_folder
from engine.errors import Cancelled, DownloadError

BODY = bytes(range(256)) * 100
SHA256 = hashlib.sha256(BODY).hexdigest()
MD5 = hashlib.md5(BODY).hexdigest()


def entry(*locations, **more):
    values = {"licence": "L", "non_commercial": True, "kind": "", "gives": "nothing"}
    more = {"page": "https://example.org/weights", **more}
    return PublicFile("thing", "A thing", "w.pt", locations, **values, **more)


@pytest.fixture
def notes():
    return []


@pytest.fixture
def get(tmp_path, notes):
    def get(wanted, **more):
        return fetch(wanted, tmp_path / "weights", on_note=notes.append, **more)

    return get


def test_the_default_folder(tmp_path, site):
    path = fetch(entry(site.put("/w", BODY), sha256=SHA256))
    assert path == tmp_path / "home" / "weights" / "w.pt" == weights_folder() / "w.pt"
    assert path.read_bytes() == BODY


@pytest.mark.parametrize("published", [{"sha256": SHA256}, {"sha256": SHA256[:8]}, {"md5": MD5}])
def test_a_published_hash(get, site, notes, published):
    wanted = entry(site.put("/w", BODY), size=len(BODY), **published)
    path = get(wanted)
    assert path.read_bytes() == BODY and notes == []
    assert is_present(wanted, path.parent)
    assert sorted(p.name for p in path.parent.iterdir()) == ["w.pt"]
    assert get(wanted) == path and len(site.seen) == 1, "the second time it is there already"


@pytest.mark.parametrize("published", [{"sha256": "0" * 64}, {"sha256": "0"}, {"md5": "0" * 32}])
def test_a_wrong_hash_is_never_used(get, site, published, tmp_path):
    with pytest.raises(DownloadError, match="its publisher wrote 0+; it is not used, and kept as"):
        get(entry(site.put("/w", BODY), **published))
    folder = tmp_path / "weights"
    assert (folder / "w.pt.rejected").read_bytes() == BODY
    assert not (folder / "w.pt").exists() and not (folder / "w.pt.part").exists()


def test_the_next_location(get, site, notes):
    absent, wrong = site.root + "/absent", site.put("/wrong", b"something else")
    assert get(entry(absent, wrong, site.put("/w", BODY), sha256=SHA256)).read_bytes() == BODY
    assert len(notes) == 2 and "404" in notes[0] and "/wrong" in notes[1]


def test_no_location_helps(get, site):
    quota = site.put("/quota", b"<html>Quota exceeded", headers={"Content-Type": "text/html"})
    with pytest.raises(DownloadError) as caught:
        get(entry(quota, site.root + "/absent"))
    text = str(caught.value)
    assert "quota for this file is exhausted" in text and "404" in text
    assert "open https://example.org/weights in a browser and save the file as" in text


def test_a_stopped_mirror_goes_on_first(get, site, tmp_path):
    body = BODY * 40
    absent = site.root + "/absent"
    wanted = entry(absent, site.put("/w", body, headers={"ETag": '"1"'}))
    with pytest.raises(Cancelled):
        get(wanted, should_stop=lambda: True)
    kept = (tmp_path / "weights" / "w.pt.part").stat().st_size
    site.seen.clear()
    assert get(wanted).read_bytes() == body
    assert [path for path, _ in site.seen] == ["/w"] and site.ranges("/w") == [f"bytes={kept}-"]


def test_without_a_published_hash_the_first_one_counts(get, site, notes, tmp_path):
    wanted, book = entry(site.put("/w", BODY)), tmp_path / "weights" / "known_hashes.json"
    path = get(wanted)
    assert json.loads(book.read_text()) == {"w.pt": SHA256}
    assert len(notes) == 1 and "nobody published a hash of w.pt" in notes[0]
    get(wanted)
    assert len(notes) == 1
    path.unlink()
    site.put("/w", BODY[::-1])
    with pytest.raises(DownloadError, match=f"the first w.pt seen here had {SHA256}"):
        get(wanted)
    assert not path.exists()


def test_a_damaged_book_is_said(get, site, tmp_path):
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "known_hashes.json").write_text("{")
    with pytest.raises(DownloadError, match="known_hashes.json cannot be read: .*; delete it"):
        get(entry(site.put("/w", BODY)))


def test_a_file_altered_on_disk_is_fetched_again(get, site, notes):
    wanted = entry(site.put("/w", BODY), sha256=SHA256)
    path = get(wanted)
    path.write_bytes(BODY[:-1] + b"!")
    assert get(wanted).read_bytes() == BODY
    assert "kept as" in notes[0] and path.with_name("w.pt.rejected").exists()


def test_a_torch_file_that_lost_its_end(get, site):
    """A server that promises too little is caught even where neither size nor hash is known."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", BODY)
    whole = buffer.getvalue()
    with pytest.raises(DownloadError, match="the end of the archive is missing"):
        get(entry(site.put("/w", whole, length=len(whole) - 40)))
    assert get(entry(site.put("/w", whole))).read_bytes() == whole


@pytest.mark.parametrize("switch", ["STYLIZE_OFFLINE", "HF_HUB_OFFLINE"])
def test_switched_off(get, site, monkeypatch, switch):
    wanted = entry(site.put("/w", BODY), sha256=SHA256)
    monkeypatch.setenv(switch, "1")
    assert is_offline()
    with pytest.raises(DownloadError, match=f"the network is switched off .{switch}."):
        get(wanted)
    assert site.seen == []
    monkeypatch.setenv(switch, "0")
    path = get(wanted)
    monkeypatch.setenv(switch, "True")
    assert get(wanted) == path, "what is there can be used"
    path.unlink()
    monkeypatch.delenv(switch)
    with pytest.raises(DownloadError, match="switched off .offline."):
        get(wanted, offline=True)


def test_only_for_browsers(get):
    with pytest.raises(DownloadError, match="offered to browsers only; open https://example.org"):
        get(entry())


def test_the_hub_and_its_mirror(get, site, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", site.root + "/")
    site.put("/a/b/resolve/main/deep/x%2By.pt", BODY)
    assert get(entry("hub:a/b/deep/x+y.pt", sha256=SHA256)).read_bytes() == BODY


def test_google_drive(get, site, monkeypatch):
    monkeypatch.setattr("engine.download.fetching.DRIVE", site.root + "/download")
    site.put("/download?id=abc&export=download", BODY)
    assert get(entry("drive:abc", sha256=SHA256)).read_bytes() == BODY


@pytest.mark.parametrize("variable", ["HF_HOME", "HF_HUB_CACHE"])
def test_what_the_hub_has_fetched_before(get, notes, tmp_path, monkeypatch, variable):
    cache = tmp_path / "elsewhere"
    monkeypatch.setenv(variable, str(cache))
    hub = cache / "hub" if variable == "HF_HOME" else cache
    found = hub / "models--a--b" / "snapshots" / "1234" / "deep" / "w.pt"
    found.parent.mkdir(parents=True)
    found.write_bytes(BODY)
    wanted = entry("hub:a/b/deep/w.pt", sha256=SHA256)
    assert get(wanted, offline=True).read_bytes() == BODY
    assert "taken from the Hugging Face cache" in notes[0]
    found.write_bytes(b"rotten")
    with pytest.raises(DownloadError, match="switched off"):
        get(entry("hub:a/b/deep/w.pt", sha256="1" * 64), offline=True)
    assert found.exists(), "the cache of others is left alone"


def test_a_folder_that_cannot_be_made(tmp_path, site):
    (tmp_path / "weights").write_text("a file")
    with pytest.raises(DownloadError, match="cannot be written: File exists"):
        fetch(entry(site.put("/w", BODY)), tmp_path / "weights")
