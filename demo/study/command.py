"""The command line of the study: ask on a page of this machine, or print what was answered."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from demo.study.answers import AnswerFile, read_answers
from demo.study.pool import Pool, open_pool
from demo.study.questions import KINDS
from demo.study.report import summarize, to_markdown
from engine.errors import OptionError, StylizeError

SUCCESS, USAGE = 0, 2
MOST_METHODS = 26  # letters
DEFAULT_COUNTS = {"best": 10, "ratings": 5}  # AgileGAN 4.2; Lu & Zhou 4.1


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of `python -m demo.study`."""
    parser = argparse.ArgumentParser(
        prog="python -m demo.study",
        description="Ask people which method's pictures they prefer, without naming the methods.",
        epilog="--results writes ANSWERS.md and ANSWERS.json beside the file of answers",
    )
    add = parser.add_argument
    add("folders", metavar="FOLDER", nargs="*", help="one method's results; or METHOD=FOLDER")
    add("--photos", metavar="FOLDER", help="the inputs, under the same names")
    add("--styles", metavar="FOLDER", help="pictures of the style: of the same names, else a few")
    add("--ask", choices=KINDS, default="best", help="the best of all, or ratings from 0 to 5")
    add("--questions", type=int, metavar="N", help="pictures per participant (best 10, ratings 5)")
    add("--seed", type=int, default=0, help="other questions from the same pool")
    add("--answers", type=Path, default=Path("study.jsonl"), metavar="FILE.jsonl")
    add("--results", action="store_true", help="print and write the results, ask nothing")
    add("--size", type=int, default=512, metavar="PIXELS", help="longer side of a picture shown")
    add("--host", default="127.0.0.1", help="0.0.0.0 for the whole network")
    add("--port", type=int, default=7870, help="who comes back must find the same address")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    arguments = build_parser().parse_args(argv)
    try:
        if arguments.answers.suffix != ".jsonl":  # .json and .md beside it hold the results
            raise OptionError(f"--answers is {arguments.answers}; a name in .jsonl is accepted")
        return _results(arguments.answers) if arguments.results else _ask(arguments)
    except StylizeError as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE


def open_study(arguments: argparse.Namespace) -> tuple[Pool, AnswerFile, int]:
    """Return the pool, the answers so far and the pictures per participant; raises OptionError."""
    count = arguments.questions or DEFAULT_COUNTS[arguments.ask]
    least = 2 if arguments.ask == "best" else 1
    if not least <= len(arguments.folders) <= MOST_METHODS:
        raise OptionError(
            f"{len(arguments.folders)} folders given; --ask {arguments.ask} accepts {least} to "
            f"{MOST_METHODS}, one per method"
        )
    if count < 1 or arguments.size < 16:
        raise OptionError(
            f"--questions is {count}, --size {arguments.size}; at least 1 and 16 are accepted"
        )
    pool = open_pool(arguments.folders, arguments.photos, arguments.styles)
    study = pool.fingerprint(arguments.ask, count, arguments.seed)
    return pool, AnswerFile(arguments.answers, study), count


def _ask(arguments: argparse.Namespace) -> int:
    pool, answers, count = open_study(arguments)
    for note in pool.notes:
        print(f"note: {note}", file=sys.stderr)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    import gradio as gr

    from demo.serving import private_settings
    from demo.study.page import CSS, StudyPage

    with gr.Blocks(title="Portraits", analytics_enabled=False) as page:
        StudyPage(
            *(pool, arguments.ask, answers), count=count, seed=arguments.seed, side=arguments.size
        )
    _, url, _ = page.queue(api_open=False).launch(
        server_name=arguments.host,
        server_port=arguments.port,
        prevent_thread_lock=True,
        **{**private_settings(), "css": CSS, "footer_links": []},
    )
    print(f"{len(pool.names)} pictures of {len(pool.methods)} methods; answers: {answers.path}")
    print(f"The study runs at {url}  (stop with Ctrl+C)", flush=True)
    page.block_thread()
    return SUCCESS


def _results(path: Path) -> int:
    answers, num_damaged = read_answers(path)
    if not answers:
        raise OptionError(f"{path} has no answers yet; ask somebody first")
    if len(studies := sorted({answer["study"] for answer in answers})) > 1:
        raise OptionError(
            f"{path} mixes the answers of studies {', '.join(studies)}; one is accepted: "
            "put them into files of their own"
        )
    summary = summarize(answers, num_damaged)
    text = to_markdown(summary)
    path.with_suffix(".md").write_text(text, "utf-8")
    path.with_suffix(".json").write_text(json.dumps(summary, indent=2) + "\n", "utf-8")
    print(text, end="")
    return SUCCESS
