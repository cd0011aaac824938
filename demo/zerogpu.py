"""GPUs lent per call, as on a ZeroGPU Space; without the `spaces` package nothing here happens.

There a function runs in a process of its own that has a GPU for as long as it said beforehand. So
every call of a network says how long it takes, from how long such calls took before, and is short.
What a visitor may have per day runs out: then the same is drawn on the processor, and they are
told.
"""

from __future__ import annotations

import importlib
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from types import ModuleType
from typing import Any

import gradio as gr
import numpy as np
from gradio.context import LocalContext

from demo.words import warn
from engine.detect import Detector, Face
from engine.errors import Cancelled
from engine.options import StylizeOptions
from engine.pipeline import Portrait, Stylizer
from engine.style import Style

log = logging.getLogger(__name__)

SPENT = "Your share of the GPU is used up for now: drawing on the processor, which takes longer."
SPENT_SECONDS = 600  # a visitor is not sent to the GPU again for so long
STARTING, LONGEST = 5, 60  # seconds: until a lent GPU computes; the most a call asks for
# Seconds a unit of work takes before any was measured; a unit is a face, a picture, a search.
FIRST_GUESS = {
    **{"detect": 1.0, "encode": 1.0, "look": 0.5},
    **{"render_samples": 0.5, "most_typical": 0.5, "reference": 30.0},
}
MOST_VISITORS = 1000


@lru_cache(maxsize=1)
def lender() -> Lender | None:
    """Return who lends GPUs to this page, None where nobody does."""
    if "SPACE_ID" not in os.environ:
        return None
    try:
        return Lender(importlib.import_module("spaces"))
    except ImportError:
        return None


class Lender:
    """Lends a GPU to calls.

    Args:
        spaces: the package of that name, or what behaves like it: `GPU(duration=...)` decorates.
    """

    def __init__(self, spaces: ModuleType) -> None:
        self._spaces = spaces
        self._pace = dict(FIRST_GUESS)
        self._spent: dict[str, float] = {}

    def lend(
        self,
        name: str,
        own: Callable[..., Any],
        spare: Callable[..., Any],
        units: Callable[..., int] = lambda *arguments: 1,
    ) -> Callable[..., Any]:
        """Return `own` as a call with a lent GPU, and `spare` once nothing is lent any more.

        Args:
            name: of the work, as in FIRST_GUESS.
            own, spare: the same work on the GPU and on the processor. Arguments and result travel
                to another process and back: they hold no functions.
            units: how many units of work a call with these arguments is.
        """

        def seconds(*arguments: Any) -> int:
            wanted = STARTING + 2 * self._pace[name] * max(1, units(*arguments))
            return min(LONGEST, round(wanted))

        def timed(*arguments: Any) -> tuple[Any, float]:
            started = time.perf_counter()
            return own(*arguments), time.perf_counter() - started

        lent = self._spaces.GPU(duration=seconds)(timed)

        def call(*arguments: Any) -> Any:
            if self._is_spent():
                return spare(*arguments)
            try:
                result, took = lent(*arguments)
            except gr.Error as error:  # ours are StylizeErrors: this one says that nothing is lent
                log.info("no GPU: %s", error)
                self._remember()
                warn(SPENT)
                return spare(*arguments)
            # Half old, half new: one slow start does not make all later calls ask for too much.
            self._pace[name] = (self._pace[name] + took / max(1, units(*arguments))) / 2
            return result

        return call

    def _remember(self) -> None:
        while len(self._spent) >= MOST_VISITORS:
            self._spent.pop(next(iter(self._spent)))
        self._spent[_visitor()] = time.monotonic() + SPENT_SECONDS

    def _is_spent(self) -> bool:
        return self._spent.get(_visitor(), 0) > time.monotonic()


def _visitor() -> str:
    request = LocalContext.request.get(None)
    return str(getattr(request, "session_hash", ""))


class BorrowingStylizer(Stylizer):
    """A stylizer whose networks run on a lent GPU.

    Args:
        style, detector: as of `Stylizer`, on the GPU.
        lender: who lends it.
        spare: gives the same stylizer on the processor, for long work too.
    """

    def __init__(
        self, style: Style, detector: Detector | None, lender: Lender, spare: Callable[[], Stylizer]
    ) -> None:
        super().__init__(style, detector)
        own = Stylizer(style, detector)
        units = {
            "encode": lambda rgb, faces: len(faces),
            "render_samples": lambda portrait, options, code: options.samples,
            "most_typical": len,
        }

        def lent(name: str) -> Callable[..., Any]:
            more = {"units": units[name]} if name in units else {}
            return lender.lend(
                name,
                lambda *arguments: _call(own, name, arguments),
                lambda *arguments: _call(spare(), name, arguments),
                **more,
            )

        self._lent = {name: lent(name) for name in FIRST_GUESS}
        self.spare = spare

    @property
    def finishing(self) -> Style:
        """As of `Stylizer`, on the processor: it is little work."""
        return self.spare().style

    def detect(self, rgb: np.ndarray) -> list[Face]:
        """As of `Stylizer`."""
        return self._lent["detect"](rgb)

    def encode(
        self,
        rgb: np.ndarray,
        faces: Sequence[Face] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> list[Portrait]:
        """As of `Stylizer`; whether to stop is asked before, once for all faces."""
        faces = self.detect(rgb) if faces is None else faces
        _stop_if_asked(should_stop)
        return self._lent["encode"](rgb, list(faces)) if faces else []

    def render_samples(
        self,
        portrait: Portrait,
        options: StylizeOptions | None = None,
        should_stop: Callable[[], bool] | None = None,
        look: Any = None,
    ) -> np.ndarray:
        """As of `Stylizer`; whether to stop is asked before, once for all samples."""
        _stop_if_asked(should_stop)
        return self._lent["render_samples"](portrait, options or self.card.options(), look)

    def look(self, portrait: Portrait, options: StylizeOptions) -> Any:
        """As of `Stylizer`."""
        return self._lent["look"](portrait, options)

    def most_typical(self, pictures: np.ndarray) -> int:
        """As of `Stylizer`."""
        return self._lent["most_typical"](pictures)

    def reference(
        self,
        rgb: np.ndarray,
        faces: Sequence[Face] | None = None,
        *,
        method: str = "auto",
        settings: Any = None,
        **heard: Callable[..., Any],
    ) -> Any:
        """As of `Stylizer`; how far it is cannot be told while it runs elsewhere."""
        _stop_if_asked(heard.get("should_stop"))
        faces = self.detect(rgb) if faces is None else faces
        more = {"method": method} | ({} if settings is None else {"settings": settings})
        return self._lent["reference"](rgb, list(faces), more)

    def _portraits(
        self, rgb: np.ndarray, faces: Sequence[Face], should_stop: Callable[[], bool] | None
    ) -> Iterator[Portrait]:
        for face in faces:
            yield from self.encode(rgb, [face], should_stop)


def _call(stylizer: Stylizer, name: str, arguments: tuple[Any, ...]) -> Any:
    """Call a method of a stylizer with arguments that can travel between processes."""
    if name == "reference":
        *given, settings = arguments
        return stylizer.reference(*given, **settings)
    if name == "render_samples":
        portrait, options, code = arguments
        return stylizer.render_samples(portrait, options, None, code)
    return getattr(stylizer, name)(*arguments)


def _stop_if_asked(should_stop: Callable[[], bool] | None) -> None:
    if should_stop is not None and should_stop():
        raise Cancelled("stopped; nothing was written")
