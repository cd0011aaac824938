"""Web pages that come instead of a file: Google Drive's confirmation, its quota, a login."""

from __future__ import annotations

import html.parser
import re
from urllib.parse import urlencode, urljoin, urlsplit

from engine.download.connection import LocationError

_CONFIRM_FORM = "download-form"
_GOOGLE = (".google.com", ".googleusercontent.com")
_QUOTA = ("quota exceeded", "too many users have viewed or downloaded")


class _Form(html.parser.HTMLParser):
    """Collects the fields of the form with the id `_CONFIRM_FORM`."""

    def __init__(self) -> None:
        super().__init__()
        self.action: str | None = None
        self.fields: dict[str, str] = {}
        self._is_inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open the form, or keep one of its fields."""
        values = {name: value or "" for name, value in attrs}
        if tag == "form" and values.get("id") == _CONFIRM_FORM:
            self._is_inside, self.action = True, values.get("action", "")
        elif tag == "input" and self._is_inside and values.get("name"):
            self.fields[values["name"]] = values.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        """Close the form."""
        self._is_inside &= tag != "form"


def confirmed_address(page: str, address: str) -> str:
    """Return where the form of Google Drive's "cannot scan for viruses" page leads.

    Args:
        page: the HTML that came instead of the file.
        address: where it came from; the form must lead to the same host or to Google.

    Raises:
        LocationError: the page is another one; the message says which.
    """
    form = _Form()
    form.feed(page)
    if form.action is None:
        raise LocationError(explain(page))
    target = urljoin(address, form.action)
    here, there = urlsplit(address), urlsplit(target)
    is_google = there.scheme == "https" and (there.hostname or "").endswith(_GOOGLE)
    if not is_google and (here.scheme, here.netloc) != (there.scheme, there.netloc):
        raise LocationError(f"its confirmation page leads to {target}, which is not followed")
    return f"{target}{'&' if there.query else '?'}{urlencode(form.fields)}"


def explain(page: str) -> str:
    """Say in plain words which page came instead of a file."""
    text = page.lower()
    if any(words in text for words in _QUOTA):
        return "Google Drive's quota for this file is exhausted; it opens again within a day"
    if "accounts.google.com" in text and "sign in" in text:
        return "Google Drive wants a login: the file is no longer public"
    title = re.search(r"<title[^>]*>(.*?)</title>", page, re.IGNORECASE | re.DOTALL)
    name = " ".join(html.unescape(title[1]).split())[:80] if title else "no title"
    return f"a web page came instead of the file: {name!r}"
