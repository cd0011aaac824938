"""The page: its tabs, and how it is served; limits and privacy are in `launch_settings`."""

from __future__ import annotations

import argparse
import atexit
import functools
import importlib.util
import logging
import sys
from typing import Any

import gradio as gr
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from demo.api import add_endpoints
from demo.forgetting import add_forget_button
from demo.serving import private_settings
from demo.stopping import Stops
from demo.studio import Studio
from demo.tabs.animate import AnimateTab
from demo.tabs.image import ImageTab
from demo.tabs.multimodal import MultimodalTab
from demo.tabs.reference import ReferenceTab
from demo.tabs.reference_oneshot import Oneshot
from demo.tabs.train import TrainTab
from demo.tabs.train_runs import Trainings, open_trainings, training_folder
from demo.tabs.verify import build_verify
from demo.tabs.video import VideoTab
from demo.tabs.video_parts import ticket_state
from demo.theme import CSS, TITLE, header_html
from demo.words import mark_labels, translations
from demo.zerogpu import lender
from engine.detect import YuNetDetector, choose_detector
from engine.errors import StylizeError
from engine.library import StyleLibrary
from engine.pack import search_folders
from engine.runtime import pick_runtime

log = logging.getLogger(__name__)

MAX_FILE_SIZE = "200mb"
MAX_WAITING = 16  # visitors in the queue; the next one is told to come back
MAX_SESSIONS = 24  # visits kept in memory, each with its decoded photo
SWEEP_SECONDS, FILE_SECONDS = 300, 3000  # uploads and results are gone within 55 minutes


def build_ui(studio: Studio, trainings: Trainings | None = None) -> gr.Blocks:
    """Return the page, with its queue configured; no weights are read.

    Without `trainings` the Train tab says that training is switched off.
    """
    stops = Stops()
    with gr.Blocks(
        title=TITLE,
        analytics_enabled=False,
        delete_cache=(SWEEP_SECONDS, FILE_SECONDS),
        fill_width=True,
    ) as page:
        gr.HTML(header_html(), elem_id="header-block", apply_default_css=False)
        ticket = ticket_state()
        with gr.Tabs(elem_id="tabs") as tabs_of_page:
            with gr.Tab("Image", id="image") as tab:
                image = ImageTab(studio, stops)
            image.follow_from(tab)
            with gr.Tab("Variations", id="multimodal") as tab:
                multimodal = MultimodalTab(studio, image.parts.visit, stops)
            multimodal.follow_from(tab)
            with gr.Tab("Reference", id="reference") as tab:
                reference = ReferenceTab(
                    studio, image.parts.visit, stops, can_train=trainings is not None
                )
            reference.follow_from(tab)
            with gr.Tab("Video", id="video") as video_tab:
                with gr.Tabs():
                    with gr.Tab("Stylize a clip", id="stylize-clip"):
                        video = VideoTab(studio, stops, ticket)
                    with gr.Tab("Animate a portrait", id="animate") as tab:
                        animate = AnimateTab(studio, image.parts.visit, stops)
            animate.follow_from(tab)
            video.restore_from(video_tab)
            with gr.Tab("Train", id="train") as tab:
                tabs = (image, multimodal, reference, video, animate)
                train = TrainTab(studio, trainings, [each.parts.styles for each in tabs])
            train.follow_from(page, tab)
            with gr.Tab("Verify", id="verify"):
                build_verify()
        if trainings is not None:
            Oneshot(reference.parts, studio, trainings, tabs_of_page)
        add_forget_button(page, stops)
        mark_labels(page)
        add_endpoints(studio)

        def forget(request: gr.Request) -> None:
            """Drop what is kept for a visitor who left; should they return, it is read again."""
            stops.stop(request)
            page.state_holder.delete_state(request.session_hash)

        page.unload(forget)
    return page.queue(max_size=MAX_WAITING, default_concurrency_limit=1, api_open=False)


def launch_settings(studio: Studio, *, mcp: bool = False) -> dict[str, Any]:
    """Return the arguments for `launch`: nothing leaves the machine, no file but ours is served.

    With `mcp` the endpoints are offered as MCP tools too.
    """

    def health(request: Request) -> JSONResponse:
        """Say that the page is up, for whoever watches over it."""
        return JSONResponse({"status": "ok", "styles": len(studio.names())})

    return {
        **private_settings(),
        "i18n": translations(),
        "app_kwargs": {"routes": [Route("/health", health)]},
        "mcp_server": mcp,
        "css": CSS,
        "max_file_size": MAX_FILE_SIZE,
        "state_session_capacity": MAX_SESSIONS,
        "blocked_paths": [str(p) for p in (*studio.library.search, training_folder())],
        "footer_links": ["api"],
    }


def open_studio(arguments: argparse.Namespace) -> Studio:
    """Return the studio that the command line asks for; raises StylizeError."""
    runtime = pick_runtime(arguments.device, arguments.dtype)
    log.info("runtime: %s", runtime.reason)
    folders = [arguments.packs] if arguments.packs else []
    if arguments.yunet:
        yunet = YuNetDetector(arguments.yunet)
        library = StyleLibrary([*folders, *search_folders()])
        return Studio(library, runtime, lambda _: yunet, lender())
    find = functools.partial(
        choose_detector, device=str(runtime.device), allow_download=arguments.allow_download
    )
    return Studio(StyleLibrary([*folders, *search_folders()]), runtime, find, lender())


def serve(arguments: argparse.Namespace) -> None:
    """Serve the page until interrupted; a wrong command line or pack ends with its message."""
    if arguments.mcp and importlib.util.find_spec("mcp") is None:
        sys.exit('app.py: --mcp needs a package that is missing: pip install "gradio[mcp]"')
    try:
        studio = open_studio(arguments)
        trainings = open_trainings(str(studio.runtime.device), arguments.host, arguments.train)
        page = build_ui(studio, trainings)
    except StylizeError as error:
        sys.exit(f"app.py: {error}")
    if trainings is not None:
        atexit.register(trainings.stop_and_wait)
    if studio.lender is not None:
        studio.load_all()  # a GPU is lent to what was loaded before
    if not arguments.no_warm_up:
        studio.warm_up_in_background()
    _, url, _ = page.launch(
        server_name=arguments.host,
        server_port=arguments.port,
        prevent_thread_lock=True,
        **launch_settings(studio, mcp=arguments.mcp),
    )
    print(f"Stylize runs at {url}  (stop with Ctrl+C)", flush=True)
    page.block_thread()
