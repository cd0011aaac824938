"""How all our pages are served: nothing leaves the machine, no files but their own are given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from demo.theme import HEAD, build_theme

STREAM = Path(__file__).parent / "assets" / "stream.js"


def private_settings() -> dict[str, Any]:
    """Return the arguments for Gradio's `launch` that all pages share."""
    return {
        "theme": build_theme(),
        "head": f"{HEAD}<script>{STREAM.read_text('utf-8')}</script>",
        "allowed_paths": [],
        "run_history": False,
        "enable_monitoring": False,
        "show_error": False,
        "ssr_mode": False,
        "share": False,
        "pwa": False,
        "quiet": True,
    }
