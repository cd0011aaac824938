"""Live pictures in the Image tab: the visitor's own camera, drawn in the chosen style.

Off until the visitor opens it and starts the camera; then the browser sends a frame whenever the
last one is drawn, and no frame is kept anywhere.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from demo.livecam import AT_ONCE, LiveCamera, Viewer, frame_of
from demo.studio import Studio
from demo.tabs.pieces import LIGHT
from demo.theme import problem_line, status_line
from engine.errors import StylizeError
from motion.live import LiveSettings

EVERY, LONGEST = 0.05, 300  # seconds between two frames, of one sitting
# A sitting holds its place for minutes: it must not stand in the queue of the other tabs.
STREAM = {"concurrency_id": "live", "concurrency_limit": AT_ONCE, "api_visibility": "private"}
CAMERA = {"video": {"width": {"ideal": 640}, "height": {"ideal": 480}}}
VIEWER_SECONDS = 600
ABOUT = "Start the camera: pictures are drawn as they come, and none of them is kept."


class LivePart:
    """The part inside the current tab; `style` is the state with the name of the chosen style."""

    def __init__(self, studio: Studio, style: gr.State) -> None:
        self.camera = LiveCamera(studio)
        viewer = gr.State(None, time_to_live=VIEWER_SECONDS)
        with gr.Accordion("Live: draw what my camera sees", open=False, elem_id="live") as part:
            with gr.Row():
                source = gr.Image(
                    label="Camera",
                    sources=["webcam"],
                    streaming=True,
                    buttons=[],
                    webcam_options=gr.WebcamOptions(mirror=True, constraints=CAMERA),
                    alt_text="What the camera sees",
                    elem_id="live-camera",
                )
                with gr.Column():
                    shown = gr.HTML(elem_id="live-picture", apply_default_css=False)
                    status = gr.HTML(
                        status_line(ABOUT),
                        elem_id="live-status",
                        elem_classes="status",
                        apply_default_css=False,
                    )
                    whole = gr.Radio(
                        [("Face only", False), ("Whole picture", True)],
                        value=False,
                        label="Picture",
                        elem_id="live-whole",
                    )
        source.stream(
            self.draw,
            [source, style, viewer, whole],
            [shown, status, viewer],
            preprocess=False,
            stream_every=EVERY,
            time_limit=LONGEST,
            show_progress="hidden",
            **STREAM,
        )
        for event in (part.expand, style.change):
            event(self.explain, style, status, **LIGHT)

    def explain(self, style: str) -> str:
        """Say how quickly the chosen style is drawn."""
        try:
            return status_line(f"{self.camera.explain(style)} {ABOUT}")
        except StylizeError as error:
            return problem_line(str(error))

    def draw(
        self, frame: dict[str, Any] | None, style: str, viewer: Viewer | None, whole: bool
    ) -> tuple[Any, Any, Viewer]:
        """Draw one frame of the camera."""
        viewer = viewer or Viewer()
        try:
            rgb = frame_of(frame)
            if rgb is None:
                return gr.skip(), gr.skip(), viewer
            picture, line = self.camera.draw(rgb, style, viewer, LiveSettings(bool(whole)))
            return picture, status_line(line), viewer
        except StylizeError as error:
            return gr.skip(), problem_line(str(error)), viewer
