"""The decoding process: `python -m motion.media.worker REQUEST`, the clip as standard input.

It can open no other file for reading by what the clip says, write none unless its task is to
join, and answers with motion.media.pipe on its standard output.
"""

from __future__ import annotations

import json
import sys
from fractions import Fraction
from typing import Any, BinaryIO

from engine.errors import StylizeError
from motion.media import pipe

ADDRESS_SPACE = 6 * 2**30


def run(request: dict[str, Any], clip: BinaryIO, answers: BinaryIO) -> None:
    """Do one task; errors a user can cause become a message."""
    try:
        if request["task"] == "probe":
            send_survey(request, clip, answers)
        elif request["task"] == "frames":
            send_frames(request, clip, answers)
        elif request["task"] == "join":
            send_join(request, clip, answers)
    except StylizeError as error:
        pipe.send(answers, {"kind": "error", "message": str(error)})
    except MemoryError:
        message = f"{request['name']} needs too much memory: save a smaller version"
        pipe.send(answers, {"kind": "error", "message": message})


def send_survey(request: dict[str, Any], clip: BinaryIO, answers: BinaryIO) -> None:
    """Answer "probe"."""
    from motion.media.survey import survey

    pipe.send(answers, {"kind": "clip", "clip": survey(clip, request)})


def send_frames(request: dict[str, Any], clip: BinaryIO, answers: BinaryIO) -> None:
    """Answer "frames": one message per frame, then the notes."""
    from motion.media.decode import Lens, frames_between
    from motion.media.opening import open_source

    source = open_source(clip, request)
    start = Fraction(*request["start"])
    end = Fraction(*request["end"]) if request["end"] else None
    lens = None
    for timed in frames_between(source, start, end, lambda: _alive(answers)):
        lens = lens or Lens(source, timed.picture, request["longest"])
        rgb, alpha = lens(timed.picture)
        message = {
            **{"kind": "frame", "size": rgb.shape[:2], "alpha": alpha is not None},
            "time": timed.time.as_integer_ratio(),
            "duration": timed.duration.as_integer_ratio(),
        }
        pipe.send(answers, message, rgb, *([] if alpha is None else [alpha]))
    if lens is not None and end is None:
        source.note_cut_off(timed.time + timed.duration)
    pipe.send(answers, {"kind": "end", "notes": source.notes()})


def send_join(request: dict[str, Any], clip: BinaryIO, answers: BinaryIO) -> None:
    """Answer "join"."""
    from motion.media.remux import remux

    notes = remux(clip, request, lambda: _alive(answers))
    pipe.send(answers, {"kind": "end", "notes": notes})


def _alive(answers: BinaryIO) -> None:
    pipe.send(answers, {"kind": "alive"})


def confine(may_write: bool) -> None:
    """Limit what a clip could do if it took over its decoder: memory, files, core dumps."""
    if sys.platform != "linux":  # others have no such limits, or do not keep them
        return
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if not may_write:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def main() -> None:
    """Read the request from the command line and answer it."""
    request = json.loads(sys.argv[1])
    confine(may_write=request["task"] == "join")
    with open(0, "rb", buffering=0) as clip, open(1, "wb") as answers:
        run(request, clip, answers)


if __name__ == "__main__":
    main()
