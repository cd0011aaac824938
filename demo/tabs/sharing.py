"""What the tabs share that show the visitor's photo: they follow one another, and fail alike."""

from __future__ import annotations

from typing import Any

import gradio as gr

from demo.controls import uploaded_path
from demo.tabs.pieces import LIGHT, STOPPED
from demo.theme import problem_line, status_line
from demo.visit import Visit
from demo.words import warn
from engine.errors import Cancelled, StylizeError


class SharingTab:
    """A tab whose `parts` have the state `visit`, a `photo`, a `status` line and a `stop`."""

    parts: Any

    def follow_from(self, tab: gr.Tab) -> None:
        """Show the photo of the other tabs whenever this one is opened."""
        p = self.parts
        tab.select(follow, [p.visit, p.photo], p.photo, preprocess=False, **LIGHT)

    def _failed(self, error: StylizeError) -> dict[Any, Any]:
        """Something went wrong with a photo that is fine: what is on the page stays."""
        p, off = self.parts, gr.update(interactive=False)
        if isinstance(error, Cancelled):
            return {p.status: status_line(STOPPED), p.stop: off}
        warn(str(error))
        return {p.status: problem_line(str(error)), p.stop: off}


def follow(visit: Visit | None, photo: dict[str, Any] | None) -> Any:
    """Return the photo a tab should show when it is opened: the one of the visitor's last tab."""
    source = None if visit is None else visit.source
    return gr.skip() if uploaded_path(photo) == source else source
