"""The Verify tab: what a picture or clip says about how it was made, in plain words."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import gradio as gr

from demo.statement import read_statement
from demo.tabs.pieces import LIGHT, offer_examples
from demo.theme import first_line, problem_line, status_line
from demo.words import say
from engine.errors import ImageError

ENDINGS = [".png", ".jpg", ".jpeg", ".webp", ".mp4", ".mov"]
ABOUT = (
    "Choose a picture or a clip, ours or anyone's. It is read on this machine and shows what it "
    "says about how it was made."
)


def build_verify() -> None:
    """Lay the tab out inside the current `gr.Blocks` and connect it."""
    with gr.Column(elem_classes="verify"):
        file = gr.File(
            label="Picture or clip", file_types=ENDINGS, height=170, elem_id="verify-file"
        )
        offer_examples("verify_*", file, "verify-examples")
        answer = gr.HTML(first_line(ABOUT), elem_id="verify-answer", elem_classes="status")
    file.change(
        answer_for, file, answer, preprocess=False, concurrency_limit=2, api_visibility="private"
    )
    file.clear(lambda: status_line(ABOUT), None, answer, **LIGHT)


def answer_for(value: dict[str, Any] | None) -> str:
    """Return what an uploaded file says as HTML; what it quotes from the file is escaped."""
    if value is None:
        return status_line(ABOUT)
    try:
        rows = read_statement(Path(value["path"]))
    except ImageError as error:
        return problem_line(str(error))
    cells = "".join(
        f"<dt>{html.escape(say(question))}</dt><dd>{html.escape(say(text))}</dd>"
        for question, text in rows
    )
    return f'<dl class="statement" role="status">{cells}</dl>'
