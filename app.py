"""Start the page: `python app.py`, then open the address it prints."""

import argparse
import atexit
import logging
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Return the parsed command line."""
    parser = argparse.ArgumentParser(description="Stylize portraits in the browser.")
    everyone = "SPACE_ID" in os.environ  # on a Hugging Face Space the page is for all
    parser.add_argument(
        "--host",
        default="0.0.0.0" if everyone else "127.0.0.1",
        help="0.0.0.0 for the whole network (default: this machine alone; on a Space everyone)",
    )
    parser.add_argument("--port", type=int, help="default: the first free one from 7860")
    parser.add_argument("--device", help="auto, cpu, cuda, cuda:1 or mps (default: auto)")
    parser.add_argument("--dtype", help="auto, float32, bfloat16 or float16 (default: auto)")
    parser.add_argument("--packs", type=Path, help="a folder of style packs, searched first")
    parser.add_argument("--yunet", type=Path, help="find faces with YuNet from this .onnx file")
    parser.add_argument(
        "--allow-download", action="store_true", help="let the 68-point detector fetch its weights"
    )
    parser.add_argument(
        "--train",
        action=argparse.BooleanOptionalAction,
        help="offer training (default: only where no other machine reaches the page)",
    )
    parser.add_argument(
        "--mcp", action="store_true", help="offer the endpoints as MCP tools too (docs/api.md)"
    )
    parser.add_argument("--no-warm-up", action="store_true", help="load styles on first use only")
    parser.add_argument("--verbose", action="store_true", help="log what takes how long")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Serve the page until interrupted; uploads and results live in a folder that goes with it."""
    arguments = parse_arguments(argv)
    logging.basicConfig(level=logging.INFO if arguments.verbose else logging.WARNING)
    folder = tempfile.mkdtemp(prefix="stylize-")  # private to this user: mode 0700
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # else nothing is cleaned up
    os.environ["GRADIO_TEMP_DIR"] = folder
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    from demo.ui import serve  # reads the variables, and takes seconds: --help need not wait

    serve(arguments)


if __name__ == "__main__":
    main()
