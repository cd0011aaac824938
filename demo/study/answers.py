"""Answers on disk: one JSON object per line, appended and synced one by one, never rewritten.

An answer names the study, an anonymous random participant, the picture, the methods as shown and
what was said: no address, no time, nothing about the person.
"""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

from engine.errors import OptionError

Answer = dict[str, Any]
KEYS = dict(study=str, participant=str, question=int, kind=str, name=str, shown=list)


class AnswerFile:
    """The answers of one study; several visitors may add to it at once, from one process.

    Raises OptionError if `path` holds the answers of another study.
    """

    def __init__(self, path: Path, study: str) -> None:
        self.path, self.study = path, study
        self._lock = threading.Lock()
        answers, _ = read_answers(path) if path.exists() else ([], 0)
        if others := {answer["study"] for answer in answers} - {study}:
            raise OptionError(
                f"{path} has the answers of study {others.pop()}, this is {study}: its pictures, "
                "methods, question kind, count or seed differ; choose another file with --answers"
            )
        self._answered = {(answer["participant"], answer["question"]) for answer in answers}

    def answered(self, participant: str) -> set[int]:
        """Return the numbers of the questions a participant has answered."""
        with self._lock:
            return {number for who, number in self._answered if who == participant}

    def add(self, participant: str, question: int, **answer: Any) -> bool:
        """Append an answer and sync it; False if this question was answered before: nothing is
        written. Raises OptionError if the file cannot be written.
        """
        record = {"study": self.study, "participant": participant, "question": question, **answer}
        with self._lock:
            if (participant, question) in self._answered:
                return False
            _append(self.path, json.dumps(record, ensure_ascii=False))
            self._answered.add((participant, question))
            return True


def read_answers(path: Path) -> tuple[list[Answer], int]:
    """Return the answers of a file, the first to each question, and how many lines are damaged.

    Raises OptionError if the file cannot be read.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise OptionError(
            f"cannot read {path}: {error.strerror}; name a file of answers"
        ) from error
    parsed = [_parse(line) for line in lines if line.strip()]
    answers = [answer for answer in parsed if answer is not None]
    first: dict[tuple[Any, ...], Answer] = {}
    for answer in answers:
        first.setdefault((answer["study"], answer["participant"], answer["question"]), answer)
    return list(first.values()), len(parsed) - len(answers)


def _parse(line: bytes) -> Answer | None:
    """Return the answer on a line, None if a crash or an editor left it incomplete."""
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if _is_answer(record) else None


def _is_answer(record: Any) -> bool:
    if not isinstance(record, dict):
        return False
    if any(not isinstance(record.get(key), kind) for key, kind in KEYS.items()):
        return False
    if record["kind"] == "best":
        return record.get("best") in record["shown"]
    return isinstance(record.get("quality"), int) and len(record["shown"]) == 1


def _append(path: Path, line: str) -> None:
    """Write one line in one call and sync it; what a crash left behind stays a line of its own."""
    try:
        with path.open("a+b") as stream:
            end = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, end - 1))
            torn = stream.read(1) not in (b"", b"\n")
            stream.write(b"\n" * torn + line.encode() + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise OptionError(
            f"cannot write an answer to {path}: {error.strerror}; a writable file on a disk with "
            "free space is accepted: make room, then press the button again"
        ) from error
