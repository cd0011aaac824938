"""Connections to the web alone: few redirects, never down to http, and every failure in words."""

from __future__ import annotations

import contextlib
import http.client
import urllib.request
from collections.abc import Iterator
from http.cookiejar import CookieJar
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from engine.errors import DownloadError

MAX_REDIRECTS = 5

Response = Any  # what urllib returns: http.client.HTTPResponse


class LocationError(DownloadError):
    """One location does not give the file; another one may."""


class ConnectionBroken(LocationError):
    """The connection broke or stalled: what came is kept, and worth another attempt."""


class Refused(LocationError):
    """The server answers with an error status."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"the server answers {code} {reason}".rstrip())
        self.code = code


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a few redirects, to the web only, and never from https back to http."""

    max_redirections = MAX_REDIRECTS

    def redirect_request(self, request, *response_and_address):
        address = response_and_address[-1]
        schemes = urlsplit(request.full_url).scheme, urlsplit(address).scheme
        if schemes not in (("http", "http"), ("http", "https"), ("https", "https")):
            raise LocationError(f"it redirects to {address}, which is not followed")
        return super().redirect_request(request, *response_and_address)


def web_opener() -> urllib.request.OpenerDirector:
    """An opener for the web alone: no files, no FTP."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPCookieProcessor(CookieJar()),
        _Redirects(),
    ):
        opener.add_handler(handler)
    return opener


@contextlib.contextmanager
def open_address(
    opener: Any, address: str, headers: dict[str, str], timeout: float
) -> Iterator[Response]:
    """Open an address; `timeout` is how many seconds no byte may come. Raises LocationError."""
    if urlsplit(address).scheme not in ("http", "https"):
        raise LocationError("only https and http addresses are followed")
    request = urllib.request.Request(address, headers=headers)
    with connection(timeout):
        response = opener.open(request, timeout=timeout)
    with response:
        yield response


@contextlib.contextmanager
def connection(timeout: float) -> Iterator[None]:
    """Say in plain words why a server does not answer."""
    try:
        yield
    except HTTPError as error:  # its reason has many lines where redirects never end
        reason = next(iter(str(error.reason).splitlines()), "")
        raise Refused(error.code, reason) from error
    except (URLError, OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, TimeoutError):
            raise ConnectionBroken(f"no byte came for {timeout:g} s") from error
        raise ConnectionBroken(f"the connection failed: {reason}") from error
