"""Signed manifests: written with a certificate of our own, read back, altered and noticed."""

import datetime
from pathlib import Path

import numpy as np
import pytest

from engine.credentials import is_configured, read_credentials, sign
from engine.errors import ImageError
from engine.image import read_photo, write_png
from engine.provenance import COMPOSITE, GENERATED, read_mark, xmp_packet
from tests.engine.test_provenance import PICTURE, movie

pytest.importorskip("c2pa", reason="c2pa-python is not installed")
from cryptography import x509  # noqa: E402  (comes with c2pa-python)
from cryptography.hazmat.primitives import hashes, serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec  # noqa: E402


def certificate(name: str, key, issuer: x509.Certificate | None, issuer_key) -> x509.Certificate:
    subject = x509.Name(
        [
            x509.NameAttribute(x509.NameOID.COMMON_NAME, name),
            x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "tests"),
        ]
    )
    now, is_root = datetime.datetime.now(datetime.timezone.utc), issuer is None
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False
    )
    usage |= dict.fromkeys(("encipher_only", "decipher_only"), False)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(x509.BasicConstraints(is_root, None), True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=not is_root, key_cert_sign=is_root, crl_sign=is_root, **usage
            ),
            True,
        )
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), False
        )
    )
    if not is_root:
        usages = x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.EMAIL_PROTECTION])
        builder = builder.add_extension(usages, True)
    return builder.sign(issuer_key, hashes.SHA256())


@pytest.fixture
def signer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    root = certificate("root", keys[0], None, keys[0])
    leaf = certificate("the signer", keys[1], root, keys[0])
    pem = serialization.Encoding.PEM
    (tmp_path / "chain.pem").write_bytes(leaf.public_bytes(pem) + root.public_bytes(pem))
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (tmp_path / "key.pem").write_bytes(keys[1].private_bytes(pem, *plain))
    monkeypatch.setenv("STYLIZE_C2PA_CERT", str(tmp_path / "chain.pem"))
    monkeypatch.setenv("STYLIZE_C2PA_KEY", str(tmp_path / "key.pem"))
    return tmp_path


def test_a_signed_picture_says_who_and_how(signer: Path):
    assert is_configured()
    write_png(signer / "a.png", PICTURE, xmp=xmp_packet(GENERATED))
    assert read_credentials(signer / "a.png") is None
    sign(signer / "a.png", GENERATED)
    found = read_credentials(signer / "a.png")
    assert (found.signer, found.source, found.ingredients) == ("the signer", GENERATED, ())
    assert found.is_intact and not found.is_trusted  # nobody knows our root
    assert np.array_equal(read_photo(signer / "a.png").rgb, PICTURE)
    assert read_mark(signer / "a.png").has_c2pa and read_mark(signer / "a.png").is_generated


def test_the_credentials_of_the_photo_are_kept(signer: Path):
    for name in ("photo.png", "result.png"):
        write_png(signer / name, PICTURE)
    sign(signer / "photo.png", GENERATED)
    sign(signer / "result.png", COMPOSITE, original=signer / "photo.png")
    found = read_credentials(signer / "result.png")
    assert (found.source, found.ingredients) == (COMPOSITE, ("photo.png",)) and found.is_intact


def test_a_signed_movie_reads_back(signer: Path):
    path = movie(signer / "a.mp4")
    sign(path, COMPOSITE)
    assert read_credentials(path).is_intact and read_mark(path).has_c2pa


def test_an_altered_picture_is_noticed(signer: Path):
    write_png(signer / "a.png", PICTURE)
    sign(signer / "a.png", GENERATED)
    data = bytearray((signer / "a.png").read_bytes())
    data[-20] ^= 1  # in the pixels, the last but one chunk
    (signer / "a.png").write_bytes(data)
    assert not read_credentials(signer / "a.png").is_intact


def test_a_key_that_does_not_fit_is_refused(signer: Path):
    other = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (signer / "key.pem").write_bytes(other)
    write_png(signer / "a.png", PICTURE)
    before = (signer / "a.png").read_bytes()
    with pytest.raises(ImageError, match="STYLIZE_C2PA_KEY its private key"):
        sign(signer / "a.png", GENERATED)
    assert (signer / "a.png").read_bytes() == before
    assert not list(signer.glob("*.part"))
