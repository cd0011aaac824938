"""A visitor with the system Chromium, driven by Playwright."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
PATIENCE = 120  # seconds; the machine may be busy
SOME_FRAMES = """() => new Promise((done) => {
  const wait = (left) => left ? requestAnimationFrame(() => wait(left - 1)) : setTimeout(done, 200);
  wait(10);
})"""
SCREENSHOTS = os.environ.get("STYLIZE_SCREENSHOTS")  # a folder to keep them in


class BrowserVisitor:
    """A person with a browser of their own."""

    def __init__(
        self, browser: "Browser", url: str, script: str = "", status: str = "#status", **context
    ) -> None:
        self.status_line = status
        self.context = browser.new_context(**{"viewport": DESKTOP, **context})
        self.page = self.context.new_page()
        self.page.add_init_script(script)
        self.page.set_default_timeout(PATIENCE * 1000)
        self.requests: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(url)
        self.page.wait_for_selector("#photo input[type=file]", state="attached")

    def upload(self, path: Path) -> str:
        """Upload a photo, wait for its result, and return the address of that."""
        old = self.result()
        self.page.set_input_files("#photo input[type=file]", path)
        return self.wait_for_result(old)

    def result(self) -> str:
        images = self.page.locator("#result img")
        return images.nth(1).get_attribute("src") or "" if images.count() > 1 else ""

    def wait_for_result(self, old: str) -> str:
        self.wait(lambda: self.result() not in ("", old))
        self.page.wait_for_selector("#download:not([disabled])")
        return self.result()

    def wait(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end, self.status()
            self.page.wait_for_timeout(50)

    def clear(self) -> None:
        self.page.get_by_label("Remove Image").click()
        self.page.get_by_text("Drop Image Here").wait_for()

    def open(self, name: str, part: str, kind: str = "button") -> None:
        """Open a section, or with `kind` "tab" a tab, and wait until it keeps what is entered.

        Gradio gives the parts of what is opened their first values some frames after they appear,
        on a busy machine later, over what somebody has entered by then.
        """
        self.page.get_by_role(kind, name=name).click()
        self.page.wait_for_selector(part, state="attached")
        self.page.evaluate(SOME_FRAMES)

    def status(self) -> str:
        return self.page.locator(self.status_line).inner_text()

    def pixels(self, url: str, folder: Path) -> np.ndarray:
        path = folder / "fetched.png"
        path.write_bytes(self.context.request.get(url).body())
        return np.array(Image.open(path))

    def keep_screenshot(self, name: str) -> None:
        if SCREENSHOTS:
            self.page.screenshot(path=f"{SCREENSHOTS}/{name}.png", full_page=True)
