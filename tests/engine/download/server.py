"""A web server in a thread that misbehaves as told: `site.pages["/a"] = Answer(b"...", ...)`."""

import re
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Answer:
    """What the server does with one address.

    length is what it claims (None: the truth, "" nothing), cut how many bytes it really sends,
    stall how many seconds it then waits, ranges whether it knows them.
    """

    body: bytes = b""
    status: int = 200
    headers: dict = field(default_factory=dict)
    length: int | str | None = None
    cut: int | None = None
    stall: float = 0
    ranges: bool = True


class Site:
    """Addresses with their answers; `seen` holds what was asked for, as (path, headers)."""

    def __init__(self, root: str) -> None:
        self.root, self.pages, self.seen = root, {}, []

    def put(self, path: str, *answers, **more) -> str:
        """Answer `path` with each of `answers` in turn, the last one for ever."""
        self.pages[path] = [a if isinstance(a, Answer) else Answer(a, **more) for a in answers]
        return self.root + path

    def ranges(self, path: str) -> list[str | None]:
        """The Range header of every request for a path."""
        return [headers.get("Range") for seen, headers in self.seen if seen == path]

    def next(self, path: str) -> Answer:
        answers = self.pages.get(path) or self.pages.get(path.split("?")[0])
        if not answers:
            return Answer(b"nothing here", status=404)
        return answers.pop(0) if len(answers) > 1 else answers[0]


class _Handler(BaseHTTPRequestHandler):
    site: Site

    def do_GET(self):
        self.site.seen.append((self.path, dict(self.headers)))
        answer = self.site.next(self.path)
        status, body, headers = answer.status, answer.body, dict(answer.headers)
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        guard = self.headers.get("If-Range")
        if asked and answer.ranges and status == 200 and guard in (None, headers.get("ETag")):
            start = int(asked[1])
            status, body = (206, body[start:]) if start < len(body) else (416, b"")
            headers["Content-Range"] = f"bytes {start}-{len(answer.body) - 1}/{len(answer.body)}"
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        length = len(body) if answer.length is None else answer.length
        if length != "":
            self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(body if answer.cut is None else body[: answer.cut])
        self.wfile.flush()
        time.sleep(answer.stall)

    def log_message(self, *_):
        pass


@contextmanager
def serve():
    """A site that is up while the context lasts."""
    handler = type("Handler", (_Handler,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads, server.block_on_close = True, False
    handler.site = site = Site(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
