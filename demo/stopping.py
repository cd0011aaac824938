"""Stopping long work of one visitor without touching anyone else's: a flag per session.

Gradio's `cancels` ends a callback where it yields; a search for a code yields only at its end, and
would go on unseen. Work that asks `should_stop` ends within a step.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import gradio as gr


class Stops:
    """What visitors asked to stop; shared by all threads."""

    def __init__(self) -> None:
        self._flags: dict[str, threading.Event] = {}

    @contextmanager
    def watch(self, request: gr.Request) -> Iterator[Callable[[], bool]]:
        """Give the `should_stop` of one piece of work; it is forgotten afterwards."""
        session, flag = str(request.session_hash), threading.Event()
        self._flags[session] = flag
        try:
            yield flag.is_set
        finally:
            if self._flags.get(session) is flag:
                del self._flags[session]

    def stop(self, request: gr.Request) -> None:
        """Stop the running work of this visitor, if there is any."""
        flag = self._flags.get(str(request.session_hash))
        if flag is not None:
            flag.set()
