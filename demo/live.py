"""Work that takes minutes, watched while it runs: the latest picture, how far, how long yet."""

from __future__ import annotations

import base64
import html
import io
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from contextvars import copy_context
from threading import Event
from typing import TypeVar

import numpy as np
from PIL import Image

from demo.visit import fit
from engine.image import resize
from motion.job import Progress

T = TypeVar("T")
Told = TypeVar("Told")

EVERY = 0.5  # seconds between two pictures on the page
LIVE_SIDE, LIVE_QUALITY = 640, 80
LIVE = """
<figure class="running"><img src="data:image/jpeg;base64,{data}" alt="{alt}" width="{width}"
 height="{height}"><progress max="1" value="{share:.3f}" aria-label="How far it is"></progress>
</figure>
"""


def stoppable(
    work: Callable[[Callable[[], bool]], T], should_stop: Callable[[], bool] = lambda: False
) -> Generator[None, None, T]:
    """Run `work(should_stop)` in a thread, in the same context; yield every so many seconds.

    Returns what it returns and raises what it raises. A generator that is closed early, because
    the visitor is gone or calls it off, stops the work and waits for it.
    """
    is_closed = Event()
    with ThreadPoolExecutor(1) as pool:
        run = copy_context().run
        future = pool.submit(run, work, lambda: is_closed.is_set() or should_stop())
        try:
            while not wait([future], EVERY).done:
                yield
            return future.result()
        finally:
            is_closed.set()


def watched(
    work: Callable[[Callable[[Told], None], Callable[[], bool]], T],
    should_stop: Callable[[], bool],
) -> Generator[Told, None, T]:
    """Run `work(tell, should_stop)` as `stoppable` does; yield the last it told."""
    told: deque[Told] = deque(maxlen=1)
    with closing(stoppable(lambda stop: work(told.append, stop), should_stop)) as steps:
        while True:
            try:
                next(steps)
            except StopIteration as end:
                return end.value
            if told:
                yield told.pop()


def live_html(rgb: np.ndarray, share: float, alt: str) -> str:
    """Return a picture uint8 [H, W, 3] and a bar filled to `share`; nothing is left on the disk."""
    height, width = fit(*rgb.shape[:2], LIVE_SIDE)
    file = io.BytesIO()
    Image.fromarray(resize(rgb, height, width)).save(file, "JPEG", quality=LIVE_QUALITY)
    data = base64.b64encode(file.getvalue()).decode()
    return LIVE.format(data=data, alt=html.escape(alt), share=share, width=width, height=height)


def progress_line(step: Progress) -> str:
    """Return how far a film is, as visitors want to know it."""
    parts = [f"{step.done} of {step.total} frames", f"{step.rate:.1f} a second"]
    left = step.seconds_left
    return " · ".join([*parts, *([] if left is None else [f"about {duration(left)} left"])])


def duration(seconds: float) -> str:
    """Return a time as people say it: 40 s, 3 min, 1 h 20 min."""
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
