"""`Transfer`: what servers do wrong, and what a second attempt makes of it."""

import json
import shutil
from collections import namedtuple

import pytest

from engine.download import transfer as module
from engine.download.connection import LocationError
from engine.download.transfer import Transfer
from engine.errors import Cancelled, DownloadError

from .server import Answer

BODY = bytes(range(256)) * 4096  # 1 MB: several chunks
TAG = {"ETag": '"one"'}


@pytest.fixture
def part(tmp_path):
    return tmp_path / "w.pt.part"


def begin(part, address, start=300_000, **notes):
    """Leave a part as a stopped download does."""
    part.write_bytes(BODY[:start])
    notes = {"address": address, "version": '"one"', "total": len(BODY), **notes}
    part.with_name(part.name + ".json").write_text(json.dumps(notes))


def test_a_whole_file_with_progress(site, part):
    seen = []
    Transfer(part, on_progress=lambda *numbers: seen.append(numbers)).run(site.put("/w", BODY))
    assert part.read_bytes() == BODY
    assert seen[-1] == (len(BODY), len(BODY)) and seen == sorted(seen) and len(seen) > 2
    part.with_name("x").write_bytes(b"")
    Transfer(part).finish(part.with_name("w.pt"))
    assert sorted(p.name for p in part.parent.iterdir()) == ["w.pt", "x"], "no notes are left"


def test_goes_on_where_it_was_stopped(site, part):
    address, seen = site.put("/w", BODY, headers=TAG), []
    stop = Transfer(part, should_stop=lambda: part.stat().st_size > 0)
    with pytest.raises(Cancelled, match="the next attempt goes on there"):
        stop.run(address)
    kept = part.stat().st_size
    assert 0 < kept < len(BODY)
    Transfer(part, on_progress=lambda done, total: seen.append((done, total))).run(address)
    assert part.read_bytes() == BODY
    assert site.ranges("/w") == [None, f"bytes={kept}-"]
    assert site.seen[-1][1]["If-Range"] == '"one"'
    assert min(seen)[0] > kept and seen[-1] == (len(BODY), len(BODY))


def test_a_finished_part_asks_nobody(site, part):
    address = site.put("/w", b"")
    begin(part, address, len(BODY))
    Transfer(part).run(address)
    assert part.read_bytes() == BODY and site.seen == []


@pytest.mark.parametrize("length", [None, ""])
def test_a_server_without_ranges_starts_over(site, part, length):
    address = site.put("/w", BODY, headers=TAG, ranges=False, length=length)
    begin(part, address)
    Transfer(part).run(address)
    assert part.read_bytes() == BODY


@pytest.mark.parametrize("known", [{}, {"version": None}, {"version": None, "total": None}])
def test_a_file_that_changed_between_two_attempts(site, part, known):
    """Guarded by If-Range, noticed by another tag, noticed by another total."""
    new = BODY[::-1] + b"more"
    address = site.put("/w", new, headers={"ETag": '"two"'})
    begin(part, address, **known)
    Transfer(part).run(address)
    assert part.read_bytes() == new


def test_a_file_that_became_shorter(site, part):
    address = site.put("/w", BODY[:1000])
    begin(part, address, version=None)
    Transfer(part).run(address)
    assert part.read_bytes() == BODY[:1000]
    assert site.ranges("/w") == ["bytes=300000-", None], "416 means: start over"


def test_a_part_from_another_address_is_not_continued(site, part):
    begin(part, "https://elsewhere.org/w")
    Transfer(part).run(site.put("/w", BODY, headers=TAG))
    assert part.read_bytes() == BODY and site.ranges("/w") == [None]


def test_a_part_survives_an_address_that_does_not_answer(site, part):
    begin(part, site.put("/w", BODY, headers=TAG))
    with pytest.raises(LocationError, match="404"):
        Transfer(part).run(site.root + "/absent")
    Transfer(part).run(site.root + "/w")
    assert site.ranges("/w") == ["bytes=300000-"]


def test_a_broken_connection_is_continued_at_once(site, part):
    cut = Answer(BODY, headers=TAG, cut=200_000)
    Transfer(part).run(site.put("/w", cut, Answer(BODY, headers=TAG)))
    assert part.read_bytes() == BODY
    assert site.ranges("/w") == [None, "bytes=200000-"]


def test_a_server_that_promises_too_much(site, part):
    address = site.put("/w", BODY, length=len(BODY) + 5)
    with pytest.raises(LocationError, match=r"ended after 1,048,576 of 1,048,581 bytes"):
        Transfer(part).run(address)


def test_a_server_that_stalls(site, part):
    address = site.put("/w", BODY, cut=1000, stall=2)
    with pytest.raises(LocationError, match=r"no byte came for 0.2 s"):
        Transfer(part, stall_seconds=0.2).run(address)
    assert part.read_bytes() == BODY[:3000], "what came in three attempts is kept"


@pytest.mark.parametrize("length", [len(BODY), ""])
def test_another_size_than_published(site, part, length):
    address = site.put("/w", BODY, length=length)
    with pytest.raises(LocationError, match="1,048,576 bytes|more than the 1,000,000 bytes"):
        Transfer(part, size=1_000_000).run(address)
    assert not part.exists() or part.stat().st_size <= 1_000_000


def test_an_unpublished_size_has_a_limit(site, part, monkeypatch):
    monkeypatch.setattr(module, "MAX_BYTES", 500_000)
    with pytest.raises(LocationError, match="at most 500,000 are accepted"):
        Transfer(part).run(site.put("/w", BODY))
    with pytest.raises(LocationError, match="more than the 500,000 bytes"):
        Transfer(part).run(site.put("/w", BODY, length=""))


def test_an_empty_answer(site, part):
    with pytest.raises(LocationError, match="ended after 0 of 1 bytes"):
        Transfer(part).run(site.put("/w", b""))


def test_a_part_nobody_asked_for(site, part):
    wrong = {"Content-Range": "bytes 10-99/100"}
    with pytest.raises(LocationError, match="nobody asked for"):
        Transfer(part).run(site.put("/w", BODY, status=206, headers=wrong))


@pytest.mark.parametrize("status", [403, 404, 500, 503])
def test_error_status(site, part, status):
    with pytest.raises(LocationError, match=f"the server answers {status} "):
        Transfer(part).run(site.put("/w", b"<html>", status=status))
    assert not part.exists() and len(site.seen) == 1


def test_redirects_are_followed_five_times(site, part):
    for i in range(5):
        site.put(f"/{i}", b"", status=302, headers={"Location": f"/{i + 1}"})
    site.put("/5", BODY, headers=TAG)
    Transfer(part).run(site.root + "/0")
    assert part.read_bytes() == BODY
    site.put("/start", b"", status=302, headers={"Location": "/0"})
    part.unlink()
    with pytest.raises(LocationError, match="redirect"):
        Transfer(part).run(site.root + "/start")


def test_a_range_goes_through_a_redirect(site, part):
    address = site.put("/from", b"", status=302, headers={"Location": "/w"})
    site.put("/w", BODY, headers=TAG)
    begin(part, address)
    Transfer(part).run(address)
    assert part.read_bytes() == BODY and site.ranges("/w") == ["bytes=300000-"]


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x"])
def test_redirects_lead_to_the_web_only(site, part, target):
    address = site.put("/w", b"", status=302, headers={"Location": target})
    with pytest.raises(LocationError, match="not followed|not allowed"):
        Transfer(part).run(address)
    with pytest.raises(LocationError, match="only https and http"):
        Transfer(part).run(target)


def test_a_secure_address_does_not_lead_to_an_insecure_one():
    import urllib.request

    from engine.download.connection import _Redirects

    request = urllib.request.Request("https://a.org/w")
    follow = _Redirects().redirect_request
    with pytest.raises(LocationError, match="http://a.org/w, which is not followed"):
        follow(request, None, 302, "Found", {}, "http://a.org/w")
    assert follow(request, None, 302, "Found", {}, "https://b.org/w").full_url == "https://b.org/w"


@pytest.mark.parametrize(
    "body, headers, said",
    [
        (b"<title>Hello &amp;\n there</title>", {"Content-Type": "text/html"}, "Hello & there"),
        (b"  <!DOCTYPE html><html>", {"Content-Type": "application/octet-stream"}, "no title"),
        (b"<html>Google Drive - Quota exceeded", {}, "quota for this file is exhausted"),
        (b"<p>Too many users have viewed or downloaded", {}, "quota"),
    ],
)
def test_a_web_page_is_no_file(site, part, body, headers, said):
    with pytest.raises(LocationError, match=said):
        Transfer(part).run(site.put("/w", body, headers=headers))
    assert not part.exists()


def test_a_page_does_not_touch_what_has_come(site, part):
    address = site.put("/w", b"<html>quota exceeded", headers={"Content-Type": "text/html"})
    begin(part, address)
    with pytest.raises(LocationError, match="quota"):
        Transfer(part).run(address)
    assert part.read_bytes() == BODY[:300_000]


def form(action):
    return f"""<html><form id="download-form" action="{action}" method="get">
        <input type="hidden" name="id" value="a b"><input name="confirm" value="t">
        <input type="submit"></form><form><input name="other" value="1"></form>""".encode()


def test_the_confirmation_of_google_drive(site, part):
    address = site.put("/w", form("/download"))
    site.put("/download", BODY, headers=TAG)
    begin(part, address)
    Transfer(part).run(address)
    assert part.read_bytes() == BODY
    assert site.seen[-1][0] == "/download?id=a+b&confirm=t"
    assert site.seen[-1][1]["Range"] == "bytes=300000-", "the part goes on behind the form"


def test_the_confirmation_is_given_once(site, part):
    site.put("/download", b"<title>Virus</title>" + form("/download"))
    with pytest.raises(LocationError, match="Virus"):
        Transfer(part).run(site.put("/w", form("/download")))
    assert len(site.seen) == 2


def test_a_form_leads_to_google_or_home(site, part):
    with pytest.raises(LocationError, match="https://evil.org/x, which is not followed"):
        Transfer(part).run(site.put("/w", form("https://evil.org/x")))


def test_too_little_space_is_said_before(site, part, monkeypatch):
    usage = namedtuple("usage", "total used free")(0, 0, len(BODY) // 2)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(DownloadError, match="has 0 MB left, 65 MB are needed: make room") as caught:
        Transfer(part).run(site.put("/w", BODY))
    assert not isinstance(caught.value, LocationError), "another location would not help"
    assert not part.exists()


def test_a_disk_that_fills_up_meanwhile(site, part, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    with pytest.raises(DownloadError, match="No space left on device; make room"):
        Transfer(part, on_progress=full).run(site.put("/w", BODY))
