"""The half of the page that all visitors share: styles, and one loaded stylizer per style.

Read-only after loading: what belongs to one visitor is a `Visit` (demo/visit.py), never kept here.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from demo.zerogpu import BorrowingStylizer, Lender
from engine.base import Base
from engine.card import STYLE_ENCODER_FILE, Card
from engine.detect import Detector, choose_detector, face_from_points
from engine.errors import DetectorError, PackError, StylizeError
from engine.library import StyleLibrary
from engine.models.detector import FaceNetwork
from engine.options import StylizeOptions
from engine.pipeline import Stylizer
from engine.runtime import Runtime, pick_runtime
from engine.style import Style
from motion.animator import Animator

log = logging.getLogger(__name__)

FindDetector = Callable[[FaceNetwork | None], Detector]


class Studio:
    """Styles by name, each loaded on first use and then shared.

    Args:
        library: where the packs are.
        runtime: where the networks run; None decides now.
        find_detector: gives the detector to use with the detector network of a base pack.
        lender: lends GPUs per call (demo/zerogpu.py); None where nobody does.

    Raises PackError where the library holds no style at all.
    """

    def __init__(
        self,
        library: StyleLibrary,
        runtime: Runtime | None = None,
        find_detector: FindDetector = choose_detector,
        lender: Lender | None = None,
    ) -> None:
        self.library, self.lender = library, lender
        self.runtime = runtime or pick_runtime()
        self._steady = pick_runtime("cpu") if lender else self.runtime  # for work that takes long
        self._find_detector = find_detector
        self._stylizers: dict[tuple[str, Runtime], Stylizer] = {}
        self._detectors: dict[tuple[str, str], Detector | None] = {}  # by base and device
        self._animator: Animator | None = None
        self._lock = threading.Lock()
        self._order: list[str] = []
        if not self.names():
            raise PackError(
                "no style pack found; expected a folder with style.json in engine/packs: "
                "fetch the project again, or name a folder with --packs"
            )

    def tiles(self) -> list[tuple[Path | np.ndarray, str]]:
        """Return (preview, title) of every style; a style without preview gets a plain tile."""
        return [
            (self.library.preview(name) or _plain_tile(), self.card(name).title or name)
            for name in self.names()
        ]

    def names(self) -> Sequence[str]:
        """Return the names of the styles, in the order to show them.

        New ones come last: pages that are open choose by number.
        """
        found = self.library.names()
        known = [name for name in self._order if name in found]
        self._order = [*known, *(name for name in found if name not in known)]
        return list(self._order)

    @property
    def default_style(self) -> str:
        """The style chosen before the visitor chooses: the first one on show."""
        return self.names()[0]

    @property
    def reference_style(self) -> str:
        """The style that references begin with: one that reads them at once, if there is any."""
        ready = (name for name in self.names() if STYLE_ENCODER_FILE in self.card(name).files)
        return next(ready, self.default_style)

    def card(self, name: str) -> Card:
        """Return the card of a style; PackError for a name that is none.

        Only the names on offer: a visitor must not make the library open a path of their choice.
        """
        if name not in self.names():
            raise PackError(f"no style {name!r}; choose one of {', '.join(self.names())}")
        return self.library.card(name)

    def companions(self, name: str) -> list[str]:
        """Return the styles that can draw the same portraits as one: together in one picture."""
        card = self.card(name)
        wanted = (card.base, card.encoder_space)
        every = [self.card(other) for other in self.names()]
        return [other.name for other in every if (other.base, other.encoder_space) == wanted]

    def directions(self, name: str) -> Sequence[str]:
        """Return what the first semantic directions of a style's base do; () if nobody looked."""
        self.card(name)
        try:
            return self.library.base_card(name).directions
        except PackError:
            return ()  # the style will say so when it is loaded

    def stylizer(self, name: str, *, is_long: bool = False) -> Stylizer:
        """Return the loaded style `name`; the first call reads its weights. Raises PackError.

        `is_long` is for films and the like: they never hold a GPU that is lent per call.
        """
        self.card(name)
        with self._lock:
            return self._loaded(name, self._steady if is_long else self.runtime)

    def _loaded(self, name: str, runtime: Runtime) -> Stylizer:
        if (name, runtime) not in self._stylizers:
            started = time.perf_counter()
            style = self._load(name, runtime)
            detector = self._detector(style.base)
            if self.lender is None or runtime is self._steady:
                stylizer = Stylizer(style, detector)
            else:
                spare = functools.partial(self.stylizer, name, is_long=True)
                stylizer = BorrowingStylizer(style, detector, self.lender, spare)
            self._stylizers[name, runtime] = stylizer
            log.info("loaded style %s in %.2f s", name, time.perf_counter() - started)
        return self._stylizers[name, runtime]

    def animator(self) -> Animator:
        """Return the loaded motion networks, read by the first call; PackError without any."""
        with self._lock:
            self._animator = self._animator or Animator.load(runtime=self._steady)
            return self._animator

    def _load(self, name: str, runtime: Runtime) -> Style:
        """Load a style; what is wrong with its files, and where they lie, is no visitor's matter.

        Raises PackError.
        """
        try:
            return self.library.load(name, runtime)
        except PackError as error:
            log.error("style %s: %s", name, error)
            raise PackError(
                f"style {name} cannot be loaded here: choose another one, and tell whoever runs "
                "this page; its log says why"
            ) from error

    def _detector(self, base: Base) -> Detector | None:
        """Without any detector the page still works: faces are marked by hand."""
        key = (base.sha256, str(base.runtime.device))
        if key not in self._detectors:
            try:
                self._detectors[key] = self._find_detector(base.detector)
            except DetectorError as error:
                log.warning("no face detector: %s", error)
                self._detectors[key] = None
        return self._detectors[key]

    def load_all(self) -> None:
        """Load every style now; one that cannot be loaded is told of in the log."""
        for name in self.names():
            with suppress(PackError):
                self.stylizer(name)

    def warm_up(self) -> None:
        """Run the default style once on a blank picture: the first visitor need not wait then."""
        started = time.perf_counter()
        try:
            stylizer = self.stylizer(self.default_style)
            blank = np.full((256, 256, 3), 128, np.uint8)
            stylizer.detect(blank)
            face = face_from_points((96, 104), (160, 104), (128, 176))
            portraits = stylizer.encode(blank, [face])
            stylizer.paste(blank, portraits, [stylizer.render(portraits[0], StylizeOptions())])
        except StylizeError as error:  # the visitor will be told again, where it matters
            log.warning("warm-up: %s", error)
            return
        log.info("warmed up in %.2f s", time.perf_counter() - started)

    def warm_up_in_background(self) -> threading.Thread:
        """Start `warm_up` beside the server and return its thread."""
        thread = threading.Thread(target=self.warm_up, name="warm-up", daemon=True)
        thread.start()
        return thread


def _plain_tile() -> np.ndarray:
    """A diagonal gradient from indigo to pink, uint8 [128, 128, 3]."""
    ramp = np.add.outer(np.arange(128), np.arange(128))[..., None] / 254
    return np.rint((1 - ramp) * (99, 102, 241) + ramp * (236, 72, 153)).astype(np.uint8)
