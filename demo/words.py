"""English and Chinese: what the page says, in the language of the visitor's browser.

The English text is the key: a language is one table, assets/words.LANGUAGE.json, from what the page
says in English to what it says in that language. Labels are translated in the browser, which has
the tables (`gr.I18n`): they are marked for it when the page is built. What is said while the page
works leaves through `say`, which knows the language from the request. A text in the table may have
places, as in `{count} faces`.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

import gradio as gr
from gradio.context import LocalContext

ASSETS = Path(__file__).parent / "assets"
LANGUAGES = ("zh-CN",)  # besides English
LABELS = ("label", "info", "placeholder")
JOINTS = re.compile(r"( · |\n|(?<=\.) )")  # what messages are put together with
PLACE = re.compile(r"\\{(\w+)\\}")


def translations() -> gr.I18n:
    """Return the tables as the browser wants them."""
    return gr.I18n(**{language: table(language) for language in LANGUAGES})


@cache
def table(language: str) -> dict[str, str]:
    """Return what is said in a language, by the English text."""
    return json.loads((ASSETS / f"words.{language}.json").read_text("utf-8"))


def marked(text: str) -> str:
    """Return a text that is part of static HTML or Markdown for the browser to translate.

    Gradio translates the first such text of a component only.
    """
    return str(gr.I18n()(text))


def mark_labels(page: gr.Blocks) -> None:
    """Have the browser translate the labels of all that is on a page so far.

    Gradio looks up a plain label only once, before the language is loaded.
    """
    known = {text for language in LANGUAGES for text in table(language)}
    for block in page.blocks.values():
        names = (*LABELS, "value") if isinstance(block, (gr.Button, gr.DownloadButton)) else LABELS
        for name in names:
            text = getattr(block, name, None)
            if isinstance(text, str) and text in known:
                setattr(block, name, marked(text))


def say(text: str) -> str:
    """Return a text in the language of whom it is for; where none is known, as it is."""
    language = _language()
    return text if language is None else _translated(text, language)


def warn(text: str) -> None:
    """Show a message to the visitor, in their language."""
    gr.Warning(say(text))


def _language() -> str | None:
    """The table for the visitor of this event; None for English, and outside of an event."""
    request = LocalContext.request.get(None)
    headers = getattr(request, "headers", None) or {}
    wish = dict(headers).get("accept-language", "").split(",")[0].split(";")[0].strip().lower()
    return next((name for name in LANGUAGES if name.lower() == wish), None)


def _translated(text: str, language: str) -> str:
    """The text itself if the table has it, else with its places filled, else piece by piece."""
    words = table(language)
    if text in words:
        return words[text]
    for pattern, translation in _patterns(language):
        if found := pattern.fullmatch(text):
            inside = {name: _translated(part, language) for name, part in found.groupdict().items()}
            return translation.format(**inside)
    first, *others = JOINTS.split(text)  # every second one is a joint
    if not others:
        return text
    joints, pieces = others[::2], [first, *others[1::2]]
    said = [_translated(piece, language) for piece in pieces]
    return said[0] + "".join(joint + piece for joint, piece in zip(joints, said[1:], strict=True))


@cache
def _patterns(language: str) -> tuple[tuple[re.Pattern[str], str], ...]:
    """What texts with places look like, those with the most letters of their own first."""
    with_places = [(key, value) for key, value in table(language).items() if "{" in key]
    ordered = sorted(with_places, key=lambda pair: -len(re.sub(r"{\w+}", "", pair[0])))
    return tuple(
        (re.compile(PLACE.sub(r"(?P<\1>(?:(?! · ).)+?)", re.escape(key))), value)
        for key, value in ordered
    )
