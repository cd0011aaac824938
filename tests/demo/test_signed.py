"""Signed results: who signed them, what they were made from, and that changes are noticed."""

from pathlib import Path

import pytest

from demo.statement import read_statement, write_picture
from engine.provenance import GENERATED
from tests.engine.test_credentials import PICTURE, signer  # noqa: F401  (a fixture)


def test_a_signed_result_names_its_signer_and_its_photo(signer: Path):  # noqa: F811
    write_picture(signer / "photo.png", PICTURE, None, GENERATED)
    write_picture(signer / "a.png", PICTURE, original=signer / "photo.png")
    rows = dict(read_statement(signer / "a.png"))
    assert rows["Content credentials"].startswith("intact")
    assert rows["Signed by"].startswith("the signer, whom this machine does not know")
    assert rows["Made from"] == "photo.png" and "Signed statement" not in rows


def test_a_changed_result_is_called_broken(signer: Path):  # noqa: F811
    write_picture(signer / "a.png", PICTURE)
    data = bytearray((signer / "a.png").read_bytes())
    data[-20] ^= 1
    (signer / "a.png").write_bytes(data)
    assert "BROKEN" in dict(read_statement(signer / "a.png"))["Content credentials"]


def test_credentials_without_the_library_are_named(signer: Path, monkeypatch):  # noqa: F811
    write_picture(signer / "a.png", PICTURE)
    monkeypatch.setattr("engine.credentials.can_read", lambda: False)
    assert (
        "pip install c2pa-python" in dict(read_statement(signer / "a.png"))["Content credentials"]
    )
    with pytest.raises(Exception, match="c2pa-python is not installed"):
        write_picture(signer / "a.png", PICTURE)
