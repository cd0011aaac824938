"""Everything of one visitor deleted at once: what they sent, and what was made and kept of it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder

from demo.reels import Reel, close_reel
from demo.stopping import Stops
from demo.tabs.pieces import ASSETS, LIGHT

# What the browser keeps goes too; the page then starts as for somebody new.
LEAVE = "() => { localStorage.clear(); location.reload(); }"


def add_forget_button(page: gr.Blocks, stops: Stops) -> None:
    """Add the button that deletes all of a visitor below what the page has so far."""
    sent = {block for block in page.blocks.values() if is_upload(block)}

    def forget(values: dict[Any, Any], request: gr.Request) -> None:
        stops.stop(request)
        forget_session(page, str(request.session_hash))
        for value in values.values():
            for file in value if isinstance(value, list) else [value]:
                if isinstance(file, dict) and file.get("path"):
                    delete_upload(Path(file["path"]))

    button = gr.Button("Delete my files now", size="sm", elem_id="forget", elem_classes="forget")
    gone = button.click(forget, sent, None, preprocess=False, **LIGHT)
    gone.then(None, None, None, js=LEAVE)


def is_upload(block: Any) -> bool:
    """Tell whether files are sent with a component of the page."""
    return isinstance(block, (gr.Image, gr.Video, gr.File)) and block.interactive is not False


def forget_session(page: gr.Blocks, session: str) -> None:
    """Delete what is kept of a session, and its files; nothing happens where there is none."""
    holder = page.state_holder
    if session in holder.session_data:
        kept = [value for _, value, _ in holder.session_data[session].state_components]
        holder.delete_state(session)
        for reel in kept:  # else its files wait ten minutes for a page that is loaded again
            close_reel(reel if isinstance(reel, Reel) else None)


def delete_upload(path: Path) -> None:
    """Delete a file somebody has sent, with the folder Gradio made for it.

    Our examples stay, all visitors share them, and so does what is not in the folder of uploads.
    """
    path, root = path.resolve(), Path(get_upload_folder()).resolve()
    example = ASSETS / path.name
    if root not in path.parents or not path.is_file():
        return
    if example.is_file() and example.read_bytes() == path.read_bytes():
        return
    shutil.rmtree(path.parent if path.parent != root else path, ignore_errors=True)
