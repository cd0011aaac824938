"""The page a participant sees: pictures without names, one question at a time.

Pictures travel inside the page (data URIs), so that neither an address nor a file name tells the
method; which picture is whose never leaves the server. A participant is a random word in the
browser's storage: whoever comes back goes on where they stopped.
"""

from __future__ import annotations

import functools
import html
import secrets
import string
from typing import Any

import gradio as gr

from demo.study.answers import AnswerFile
from demo.study.pool import Pool, embed
from demo.study.questions import Kind, Question, draw_questions
from demo.theme import problem_line, status_line
from engine.errors import StylizeError

LETTERS = string.ascii_uppercase
SCORES = tuple(range(6))
TOKEN_BYTES = 9
LIGHT = {"show_progress": "hidden", "api_visibility": "private"}
WELCOME = (
    "<div class='words'><h1>Which pictures do you like?</h1><p>You will see {count} questions "
    "about portraits drawn by computers. There is no right answer: say what you see. Nothing about "
    "you is kept but your answers, and you may stop whenever you like.</p></div>"
)
THANKS = "<div class='words'><h1>Thank you!</h1><p>All {count} answers are kept.</p></div>"
CSS = """
#study { max-width: 1100px; margin: 0 auto; gap: 14px; }
#question .words { text-align: center; padding: 48px 16px; }
#question h1 { font-size: 1.5rem; font-weight: 700; }
#question h2 { font-size: 1.1rem; font-weight: 600; margin: 4px 0 10px; }
#question .row { display: flex; flex-wrap: wrap; gap: 12px; justify-content: center; }
#question figure { margin: 0; flex: 0 1 240px; min-width: 130px; text-align: center; }
#question .candidates figure { flex-basis: 300px; }
#question img { width: 100%; border-radius: var(--radius-md); }
#question figcaption { color: var(--body-text-color-subdued); padding: 2px; }
#question .candidates figcaption { font-weight: 700; color: var(--body-text-color); }
@media (max-width: 640px) { #question .candidates figure { flex-basis: calc(50% - 12px); } }
#study:not(:has(.candidates)) .answer { display: none; }
"""


class StudyPage:
    """The page inside the current `gr.Blocks`."""

    def __init__(
        self, pool: Pool, kind: Kind, answers: AnswerFile, *, count: int, seed: int, side: int
    ) -> None:
        self.pool, self.kind, self.answers, self.side = pool, kind, answers, side
        self.draw = functools.partial(
            draw_questions, kind, pool.names, tuple(pool.methods), count, seed
        )
        self.scales = ("best",)
        if kind == "ratings":  # without the photo nobody can tell what was kept of it
            self.scales = ("quality", "fidelity") if pool.photos else ("quality",)
        self._build()

    def _build(self) -> None:
        self.who = gr.BrowserState("", storage_key="study", secret=self.answers.study)
        self.shown = gr.State(None)
        with gr.Column(elem_id="study"):
            words = WELCOME.format(count=len(self.draw("")))
            self.question = gr.HTML(words, elem_id="question", apply_default_css=False)
            self.given = [self._radio(scale) for scale in self.scales]
            self.status = gr.HTML(elem_id="status")
            self.button = gr.Button("Start", variant="primary", elem_id="next")
        outputs = [self.who, self.shown, self.question, self.button, self.status, *self.given]
        self.button.click(self.go_on, [self.who, self.shown, *self.given], outputs, **LIGHT)

    def _radio(self, scale: str) -> gr.Radio:
        labels = {
            "best": "Which one is best?",
            "quality": "How good is picture A, as a picture? (0 bad, 5 excellent)",
            "fidelity": "How well does it keep the person of the photo? (0 not at all, 5 fully)",
        }
        choices = list(LETTERS[: len(self.pool.methods)]) if scale == "best" else list(SCORES)
        return gr.Radio(choices, label=labels[scale], elem_id=scale, elem_classes="answer")

    def go_on(self, who: str, shown: int | None, *given: Any) -> list[Any]:
        """Keep the answer to question `shown`, if one is, and show the next one that is open."""
        try:
            if shown is not None and not self._keep(who, self.draw(who)[shown], given):
                return self._said(status_line("Please answer first."))
            if not _is_ours(who) or (shown is None and self._open(who) is None):
                who = secrets.token_urlsafe(TOKEN_BYTES)  # the first visit, or the next person
            return [who, *self._show(self._open(who), who)]
        except StylizeError as error:
            return self._said(problem_line(str(error)))

    def _said(self, line: str) -> list[Any]:
        """Return updates that change the line of status only."""
        return [*[gr.skip()] * 4, line, *[gr.skip()] * len(self.given)]

    def _open(self, who: str) -> Question | None:
        """Return the first question a participant has not answered, None after the last."""
        done = self.answers.answered(who)
        return next((q for q in self.draw(who) if q.number not in done), None)

    def _keep(self, who: str, question: Question, given: tuple[Any, ...]) -> bool:
        if any(value is None for value in given):
            return False
        said = dict(zip(self.scales, given, strict=True))
        if self.kind == "best":
            said = {"best": question.methods[LETTERS.index(said["best"])]}
        facts = {"kind": self.kind, "name": question.name, "shown": list(question.methods)}
        self.answers.add(who, question.number, **facts, **said)
        return True

    def _show(self, question: Question | None, who: str) -> list[Any]:
        empty, count = [None] * len(self.given), len(self.draw(who))
        if question is None:
            words = THANKS.format(count=count)
            return [None, words, gr.update(value="Someone else would like to answer"), "", *empty]
        line = status_line(f"Question {question.number + 1} of {count}")
        return [question.number, self._pictures(question), gr.update(value="Next"), line, *empty]

    def _pictures(self, question: Question) -> str:
        """Return the photo, the style and the results, lettered in the order drawn, as HTML."""
        photo = self.pool.photos.get(question.name)
        context = [(photo, "The photo")] if photo else []
        context += [(path, "The style") for path in self.pool.styles_for(question.name)]
        results = [
            (self.pool.methods[method][question.name], letter)
            for method, letter in zip(question.methods, LETTERS, strict=False)
        ]
        return self._row("context", context) + self._row("candidates", results)

    def _row(self, name: str, pictures: list[tuple[Any, str]]) -> str:
        figures = "".join(
            f"<figure><img src='{embed(path, self.side)}' alt='{html.escape(caption)}'>"
            f"<figcaption>{html.escape(caption)}</figcaption></figure>"
            for path, caption in pictures
        )
        return f"<div class='row {name}'>{figures}</div>" if figures else ""


def _is_ours(who: Any) -> bool:
    """Tell whether the browser's storage held a participant, not what somebody put there."""
    return isinstance(who, str) and len(who) == len(secrets.token_urlsafe(TOKEN_BYTES))
