"""Content credentials: a signed C2PA manifest in a result, where c2pa-python and a key are there.

`pip install c2pa-python`, then `$STYLIZE_C2PA_CERT` names a PEM file with the certificate chain
(own certificate first) and `$STYLIZE_C2PA_KEY` one with the private key of an ES256 certificate.
Without them results carry the unsigned statement of engine.provenance alone. The credentials a
photo came with are kept as its ingredient, so that its history stays whole.

Nothing is fetched from the network: neither remote manifests nor time stamps.
"""

from __future__ import annotations

import json
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from engine.errors import ImageError
from engine.provenance import TOOL, VOCABULARY

CERTIFICATE, KEY = "STYLIZE_C2PA_CERT", "STYLIZE_C2PA_KEY"
FORMATS = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp"}
FORMATS |= {".mp4": "video/mp4", ".mov": "video/quicktime"}
_SETTINGS = {
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
    "builder": {"thumbnail": {"enabled": False}},
}


@dataclass(frozen=True)
class Credentials:
    """What the active C2PA manifest of a file says, and whether that holds.

    Attributes:
        signer: the common name in the certificate, or its issuer.
        source: IPTC's digital source type of the last action, or None.
        is_intact: the signature and all hashes fit the file.
        is_trusted: the certificate leads to a root this machine trusts.
        ingredients: titles of what the file was made from.
    """

    signer: str
    source: str | None
    is_intact: bool
    is_trusted: bool
    ingredients: tuple[str, ...]


def can_read() -> bool:
    """Whether c2pa-python is installed."""
    return find_spec("c2pa") is not None


def is_configured() -> bool:
    """Whether results are to be signed: both variables name a file."""
    return bool(os.environ.get(CERTIFICATE) and os.environ.get(KEY))


def sign(path: str | os.PathLike, source: str, original: str | os.PathLike | None = None) -> None:
    """Put a signed manifest into a finished picture or movie, whole or not at all.

    Args:
        path: a file of FORMATS.
        source: IPTC's digital source type (engine.provenance).
        original: the photo or clip it was made from; it is named as ingredient, with its own
            credentials if it has some.

    Raises:
        ImageError: c2pa-python is missing, or certificate and key cannot sign.
    """
    path = Path(path)
    if not can_read():
        raise ImageError(
            f"{CERTIFICATE} is set, but c2pa-python is not installed: pip install c2pa-python, "
            f"or unset {CERTIFICATE}"
        )
    import c2pa

    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    try:
        with c2pa.Builder(json.dumps(_manifest(path, source)), _context()) as builder:
            if original is not None and Path(original).suffix.lower() in FORMATS:
                _add_original(builder, Path(original))
            with _signer() as signer, path.open("rb") as file, part.open("w+b") as signed:
                builder.sign(signer, FORMATS[path.suffix.lower()], file, signed)
        os.replace(part, path)
    except (OSError, KeyError, c2pa.C2paError) as error:
        with suppress(OSError):
            part.unlink()
        raise ImageError(
            f"{path.name} cannot be signed: {error}; {CERTIFICATE} must name a PEM chain of an "
            f"ES256 certificate and {KEY} its private key, and {', '.join(FORMATS)} are accepted"
        ) from error


def read_credentials(path: str | os.PathLike) -> Credentials | None:
    """Read the active manifest of a file; None without one or without c2pa-python."""
    path = Path(path)
    if not can_read() or path.suffix.lower() not in FORMATS:
        return None
    import c2pa

    try:
        with path.open("rb") as file:
            reader = c2pa.Reader(FORMATS[path.suffix.lower()], file, context=_context())
            with reader:
                return _credentials(json.loads(reader.json()))
    except c2pa.C2paError.ManifestNotFound:
        return None
    except (OSError, ValueError, c2pa.C2paError) as error:
        raise ImageError(f"the credentials of {path.name} cannot be read: {error}") from error


def _context() -> Any:
    import c2pa

    return c2pa.Context(c2pa.Settings.from_dict(_SETTINGS))


def _signer() -> Any:
    import c2pa

    chain, key = (Path(os.environ[name]).read_bytes() for name in (CERTIFICATE, KEY))
    return c2pa.Signer.from_info(c2pa.C2paSignerInfo(b"es256", chain, key, None))


def _manifest(path: Path, source: str) -> dict[str, Any]:
    action = {"action": "c2pa.created", "digitalSourceType": VOCABULARY + source}
    return {
        "claim_generator_info": [{"name": TOOL}],
        "title": path.name,
        "assertions": [{"label": "c2pa.actions", "data": {"actions": [action]}}],
    }


def _add_original(builder: Any, original: Path) -> None:
    with original.open("rb") as file:
        ingredient = {"title": original.name, "relationship": "inputTo"}
        builder.add_ingredient(ingredient, FORMATS[original.suffix.lower()], file)


def _credentials(store: dict[str, Any]) -> Credentials:
    manifest = store["manifests"][store["active_manifest"]]
    signature = manifest.get("signature_info", {})
    problems = {entry.get("code", "") for entry in store.get("validation_status", [])}
    return Credentials(
        signature.get("common_name") or signature.get("issuer") or "unknown",
        _last_source(manifest),
        problems <= {"signingCredential.untrusted"},
        not problems,
        tuple(part.get("title", "untitled") for part in manifest.get("ingredients", [])),
    )


def _last_source(manifest: dict[str, Any]) -> str | None:
    actions = [
        action
        for assertion in manifest.get("assertions", [])
        if assertion.get("label", "").startswith("c2pa.actions")
        for action in assertion.get("data", {}).get("actions", [])
    ]
    sources = [action["digitalSourceType"] for action in actions if "digitalSourceType" in action]
    return sources[-1].rsplit("/", 1)[-1] if sources else None
