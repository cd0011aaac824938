"""One address -> `NAME.part`: resumed with HTTP ranges, never trusting what a server promises."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from engine.download.connection import (
    ConnectionBroken,
    LocationError,
    Refused,
    Response,
    connection,
    open_address,
    web_opener,
)
from engine.download.pages import confirmed_address, explain
from engine.errors import Cancelled, DownloadError

STALL_SECONDS = 30.0
MAX_BYTES = 8 << 30  # of a file whose size nobody wrote down; public ones are below 2 GB
MAX_PAGE_BYTES = 1 << 20
NUM_ATTEMPTS = 3
_CHUNK, _SPARE_BYTES = 1 << 18, 64 << 20


class _Page(Exception):
    """A web page came instead of the file."""

    def __init__(self, response: Response, start: bytes) -> None:
        rest = response.read(MAX_PAGE_BYTES)
        self.text, self.address = (start + rest).decode("utf-8", "replace"), response.geturl()


@dataclass(frozen=True)
class Transfer:
    """How one file travels.

    Attributes:
        part: where its bytes are collected. `part`.json beside it remembers where they are from
            and how the server called that version, so that two versions never mix.
        size: in bytes, if published.
        stall_seconds: how long no byte may come.
        on_progress: called with (bytes so far, all bytes or None).
        should_stop: asked after each chunk; True raises Cancelled, and the part stays.
    """

    part: Path
    size: int | None = None
    stall_seconds: float = STALL_SECONDS
    on_progress: Callable[[int, int | None], None] = lambda done, total: None
    should_stop: Callable[[], bool] = lambda: False

    def run(self, address: str) -> None:
        """Fetch the rest of the file from `address`.

        Raises:
            LocationError: this address does not give the file.
            DownloadError: no address would help: the disk is full or cannot be written.
            Cancelled: `should_stop` said so; the next run goes on where this one stopped.
        """
        opener = web_opener()
        for attempt in range(1, NUM_ATTEMPTS + 1):
            before = self._position(address)
            try:
                self._attempt_with_confirmation(opener, address)
                return
            except ConnectionBroken:
                if attempt == NUM_ATTEMPTS or self._position(address) <= before:
                    raise

    @property
    def address(self) -> str | None:
        """Where the part has come from; None without one."""
        return self._remembered().get("address")

    def finish(self, target: Path) -> None:
        """Give the file its name."""
        self.part.replace(target)
        self._notes.unlink(missing_ok=True)

    @property
    def _notes(self) -> Path:
        return self.part.with_name(self.part.name + ".json")

    def _position(self, origin: str) -> int:
        """How many bytes have come from there; a part from elsewhere is replaced, not continued."""
        is_ours = self.part.exists() and self.address == origin
        return self.part.stat().st_size if is_ours else 0

    def _remembered(self) -> dict[str, Any]:
        try:
            values = json.loads(self._notes.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # no part yet, or one that was not ours: start over
            return {}
        return values if isinstance(values, dict) else {}

    def _remember(self, values: dict[str, Any]) -> None:
        with writing(self._notes):
            self._notes.write_text(json.dumps(values), encoding="utf-8")

    def _attempt_with_confirmation(self, opener: Any, address: str) -> None:
        try:
            self._attempt(opener, address, address)
        except _Page as page:
            confirmed = confirmed_address(page.text, page.address)
            try:
                self._attempt(opener, confirmed, address)
            except _Page as second:
                raise LocationError(explain(second.text)) from None

    def _attempt(self, opener: Any, address: str, origin: str) -> None:
        start = self._position(origin)
        notes = self._remembered() if start else {}
        if start and start == notes.get("total"):
            return
        headers = _headers(start, notes.get("version"))
        try:
            with open_address(opener, address, headers, self.stall_seconds) as response:
                is_same = self._continue(response, start, {**notes, "address": origin})
        except Refused as error:
            if not start or error.code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                raise
            is_same = False
        if not is_same:
            self.part.unlink(missing_ok=True)
            self._attempt(opener, address, origin)

    def _continue(self, response: Response, start: int, notes: dict[str, Any]) -> bool:
        """Receive an answer; False, untouched, if it does not continue the part of `start` bytes.

        An answer that begins at 0, because the server knows no ranges or the file has changed,
        replaces the part.
        """
        with connection(self.stall_seconds):
            first = response.read1(_CHUNK)
        position = _position_of(response)
        if _is_page(response, first if position == 0 else b""):
            raise _Page(response, first)
        total, version = _total(response, position), _version(response)
        is_same = (notes.get("total") or total) == total and notes.get("version") == version
        if position and not start:
            raise LocationError("it answers with a part of the file that nobody asked for")
        if position and (position != start or not is_same):
            return False
        self._check_size(total, position)
        if not position:
            self.part.unlink(missing_ok=True)
        self._remember({"address": notes["address"], "version": version, "total": total})
        self._receive(response, first, position, total)
        return True

    def _check_size(self, total: int | None, position: int) -> None:
        if self.size is not None and total not in (None, self.size):
            raise LocationError(f"it offers {total:,} bytes, the published file has {self.size:,}")
        expected = total or self.size
        if (expected or 0) > MAX_BYTES:
            raise LocationError(f"it offers {total:,} bytes, at most {MAX_BYTES:,} are accepted")
        free = shutil.disk_usage(self.part.parent).free
        needed = (expected or 0) - position + _SPARE_BYTES
        if free < needed:
            raise DownloadError(
                f"{self.part.parent} has {free >> 20:,} MB left, {needed >> 20:,} MB are needed: "
                "make room, or choose another folder with --folder"
            )

    def _receive(self, response: Response, chunk: bytes, position: int, total: int | None) -> None:
        limit = total or self.size or MAX_BYTES
        with writing(self.part), self.part.open("ab" if position else "wb") as file:
            while chunk:
                position += len(chunk)
                if position > limit:
                    raise LocationError(f"it sends more than the {limit:,} bytes it should")
                file.write(chunk)
                self.on_progress(position, total or self.size)
                if self.should_stop():
                    raise Cancelled(f"stopped; {self.part} is kept, the next attempt goes on there")
                with connection(self.stall_seconds):
                    chunk = response.read1(_CHUNK)
        expected = total or self.size or 1
        if position < expected:
            raise ConnectionBroken(f"the connection ended after {position:,} of {expected:,} bytes")


def _headers(start: int, version: str | None) -> dict[str, str]:
    headers = {"User-Agent": "stylize", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if version and not version.startswith("W/"):  # a weak tag cannot guard a range
            headers["If-Range"] = version
    return headers


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say in plain words why a file cannot be written: a DownloadError no location can help."""
    try:
        yield
    except OSError as error:
        raise DownloadError(
            f"{path} cannot be written: {error.strerror}; make room, or choose another --folder"
        ) from error


def _is_page(response: Response, first: bytes) -> bool:
    """No format of ours begins with "<", and none is text/html."""
    is_html = response.headers.get_content_type() in ("text/html", "application/xhtml+xml")
    return is_html or first.lstrip()[:1] == b"<"


def _position_of(response: Response) -> int:
    """Where in the file the answer begins."""
    found = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return int(found[1]) if response.status == HTTPStatus.PARTIAL_CONTENT and found else 0


def _total(response: Response, position: int) -> int | None:
    found = re.search(r"/(\d+)$", response.headers.get("Content-Range", ""))
    if position and found:
        return int(found[1])
    length = response.headers.get("Content-Length", "")
    return position + int(length) if length.isdigit() else None


def _version(response: Response) -> str | None:
    return response.headers.get("ETag") or response.headers.get("Last-Modified")
