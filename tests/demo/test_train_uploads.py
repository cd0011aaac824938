"""Uploads for a training: what is copied, and that hostile zips are refused or harmless."""

import stat
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from demo.tabs import train_uploads
from demo.tabs.train_uploads import gather
from engine.errors import DataError


@pytest.fixture
def picture(tmp_path: Path) -> bytes:
    Image.new("RGB", (8, 8), "red").save(tmp_path / "red.png")
    return (tmp_path / "red.png").read_bytes()


def sent(path: Path) -> list[dict]:
    return [{"path": str(path), "orig_name": path.name}]


def zipped(path: Path, content: dict[str, bytes], how: int = zipfile.ZIP_STORED) -> list[dict]:
    with zipfile.ZipFile(path, "w", how) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return sent(path)


def files(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_files_and_zips_are_gathered(tmp_path: Path, picture: bytes):
    content = {"a/x.png": picture, "b/x.png": picture, "b/": b"", "__MACOSX/._x.png": b"?"}
    content |= {"people.csv": b"file,attribute\n", "read me.txt": b"hello"}
    (tmp_path / "画.PNG").write_bytes(picture)
    found = gather(
        [*sent(tmp_path / "画.PNG"), *zipped(tmp_path / "all.zip", content)], tmp_path / "out"
    )
    assert (found.pictures, found.others) == (3, 1) and found.table.name == "people.csv"
    assert files(tmp_path / "out") == [
        "0000/画.PNG",
        "0001/x.png",
        "0002/x.png",
        "table/people.csv",
    ]


def test_names_cannot_lead_elsewhere(tmp_path: Path, picture: bytes):
    names = ("../../evil.png", "/etc/evil.png", "..\\..\\evil.png", "C:\\evil.png", "a\n;rm.png")
    names = (*names, "../.png", "x" * 400 + ".png", "...png")
    gather(zipped(tmp_path / "tricks.zip", dict.fromkeys(names, picture)), tmp_path / "out")
    assert not list(tmp_path.glob("*evil*")) and not Path("/etc/evil.png").exists()
    assert all(name[:4].isdigit() and ".." not in name for name in files(tmp_path / "out"))


def test_links_are_files_without_a_target(tmp_path: Path):
    link = zipfile.ZipInfo("link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "links.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    gather(sent(tmp_path / "links.zip"), tmp_path / "out")
    (copied,) = (tmp_path / "out").rglob("link.png")
    assert not copied.is_symlink() and copied.read_text() == "/etc/passwd"


def test_bombs_are_counted_as_they_come(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(train_uploads, "MOST_FILE_BYTES", 10_000)
    bomb = zipped(tmp_path / "bomb.zip", {"a.png": bytes(10**6)}, zipfile.ZIP_DEFLATED)
    with pytest.raises(DataError, match="unpacks to too much"):
        gather(bomb, tmp_path / "out")
    assert sum(p.stat().st_size for p in (tmp_path / "out").rglob("*.png")) < 25_000
    monkeypatch.setattr(train_uploads, "MOST_BYTES", 15_000)
    many = zipped(tmp_path / "many.zip", {f"{i}.png": bytes(9_000) for i in range(3)})
    with pytest.raises(DataError, match="for all"):
        gather(many, tmp_path / "out2")
    monkeypatch.setattr(train_uploads, "MOST_PICTURES", 1)
    with pytest.raises(DataError, match="more than 1 pictures"):
        gather(many, tmp_path / "out3")


def test_endless_lists_are_refused_unread(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(train_uploads, "MOST_LIST_BYTES", 1000)
    upload = zipped(tmp_path / "list.zip", {f"{i}.png": b"" for i in range(100)})
    monkeypatch.setattr(zipfile, "ZipFile", lambda *a: pytest.fail("the list was read"))
    with pytest.raises(DataError, match="too many files"):
        gather(upload, tmp_path / "out")


@pytest.mark.parametrize("damage", ["cut", "flipped", "html", "locked"])
def test_damaged_zips_are_told_plainly(tmp_path: Path, picture: bytes, damage: str):
    path = tmp_path / "pictures.zip"
    upload = zipped(path, {"a.png": picture * 50}, zipfile.ZIP_DEFLATED)
    data = bytearray(path.read_bytes())
    if damage == "cut":
        data = data[: len(data) // 2]
    elif damage == "flipped":
        data[45:60] = bytes(15)
    elif damage == "html":
        data = bytearray(b"<html>not found</html>")
    else:  # the bit of a password, in the file's header and in the list
        data[6] |= 1
        data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(bytes(data))
    with pytest.raises(DataError, match="pictures.zip"):
        gather(upload, tmp_path / "out")
