"""The page in the system Chromium: what a visitor does, and that nothing leaves the machine."""

import numpy as np
import pytest
from PIL import Image

from .browser import CHROMIUM, PHONE, BrowserVisitor
from .page import save_photo

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: none is installed"),
]


def test_photo_is_drawn_by_itself_and_redrawn_without_encoding(visit, server, photo, tmp_path):
    visitor, encoded = visit(), server.num_encoded
    first = visitor.upload(photo)
    assert server.num_encoded == encoded + 1
    picture = visitor.pixels(first, tmp_path)
    assert picture.shape == (150, 200, 3)
    assert "2 faces" in visitor.status()
    slider = visitor.page.locator("#settings input[type=range]").first
    slider.focus()
    for _ in range(8):
        slider.press("ArrowLeft")
    second = visitor.wait_for_result(first)
    visitor.page.wait_for_timeout(500)
    assert (visitor.pixels(visitor.result(), tmp_path) != picture).any()
    visitor.page.get_by_role("radio", name="Face only").check()
    visitor.wait_for_result(second)
    assert server.num_encoded == encoded + 1
    visitor.keep_screenshot("desktop")


def test_nothing_leaves_the_machine(visit, server, photo):
    visitor = visit()
    visitor.upload(photo)
    local = (server.url, "data:", "blob:")
    assert [url for url in visitor.requests if not url.startswith(local)] == []


def test_styles_faces_and_samples_are_chosen_by_click(visit, server, photo, tmp_path):
    visitor = visit()
    page, first, encoded = visitor.page, visitor.upload(photo), server.num_encoded
    page.locator("#styles button.thumbnail-item").nth(1).click()
    second = visitor.wait_for_result(first)
    comic, cartoon = (visitor.pixels(url, tmp_path) for url in (second, first))
    assert (comic != cartoon).any()
    page.locator("#faces button.thumbnail-item").nth(2).click()
    third = visitor.wait_for_result(second)
    one_face = visitor.pixels(third, tmp_path)
    assert (one_face[:, :70] != comic[:, :70]).any()
    visitor.open("Fine tuning", "[aria-label='number input for Samples']")
    page.get_by_label("number input for Samples").fill("3")
    page.wait_for_selector("#samples button.thumbnail-item")
    assert page.locator("#samples button.thumbnail-item").count() == 3
    fourth = visitor.wait_for_result(third)
    page.locator("#samples button.thumbnail-item").nth(1).click()
    fifth = visitor.wait_for_result(fourth)
    page.locator("#dice").click()
    visitor.wait_for_result(fifth)
    assert server.num_encoded == encoded
    visitor.keep_screenshot("samples")


# Gives the page what the server says, but close_stream only after 1.5 s.
LATE_CLOSE = """
const plain = window.fetch;
window.fetch = async (...call) => {
  const response = await plain(...call);
  if (!String(call[0].url || call[0]).includes("queue/data")) return response;
  const late = new TransformStream({
    async transform(chunk, out) {
      const text = new TextDecoder().decode(chunk), at = text.lastIndexOf("data:");
      if (!text.includes("close_stream")) return out.enqueue(chunk);
      if (at > 0) out.enqueue(new TextEncoder().encode(text.slice(0, at)));
      await new Promise((done) => setTimeout(done, 1500));
      out.enqueue(new TextEncoder().encode(text.slice(at)));
    },
  });
  return new Response(response.body.pipeThrough(late), response);
};
"""


def test_a_change_is_not_lost_while_the_stream_is_closed(visit, photo):
    visitor = visit(script=LATE_CLOSE)
    first = visitor.upload(photo)
    visitor.page.locator("#styles button.thumbnail-item").nth(1).click()
    second = visitor.wait_for_result(first)
    visitor.page.get_by_role("radio", name="Face only").check()
    third = visitor.wait_for_result(second)
    visitor.page.wait_for_timeout(2000)
    visitor.page.get_by_role("radio", name="Whole photo").check()
    visitor.wait_for_result(third)


def test_two_visitors_do_not_see_each_other(visit, photo, tmp_path):
    mine, yours = visit(), visit()
    dark = save_photo(tmp_path / "dark.jpg", (60, 40, 30))
    my_first, your_first = mine.upload(photo), yours.upload(dark)
    assert mine.pixels(my_first, tmp_path).mean() > yours.pixels(your_first, tmp_path).mean()
    yours.page.get_by_role("radio", name="Face only").check()
    yours.wait_for_result(your_first)
    assert mine.result() == my_first
    mine.page.get_by_role("radio", name="Of the photo").check()
    again = mine.pixels(mine.wait_for_result(my_first), tmp_path)
    assert again.shape == (150, 200, 3) and again[-1].mean() > 80


def test_face_is_marked_by_hand_where_none_is_found(visit, tmp_path):
    visitor = visit()
    page = visitor.page
    sky = save_photo(tmp_path / "sky.jpg", (80, 120, 220))
    page.set_input_files("#photo input[type=file]", sky)
    page.wait_for_selector("#marker img", state="visible")
    visitor.wait(lambda: "found no face" in visitor.status())
    picture = page.locator("#marker img")

    def click(x: float, y: float) -> None:
        shown = "image => image.complete && image.naturalWidth > 0"
        visitor.wait(lambda: picture.count() == 1 and picture.evaluate(shown))
        page.wait_for_timeout(300)
        box = picture.bounding_box()
        picture.click(position={"x": x * box["width"], "y": y * box["height"]})

    def click_and_expect(x: float, y: float, text: str) -> None:
        click(x, y)
        page.locator("#marking").get_by_text(text).wait_for()

    click_and_expect(0.4, 0.4, "2 of 3: click on the right eye")
    visitor.keep_screenshot("marking")
    page.get_by_role("button", name="Undo").click()
    page.locator("#marking").get_by_text("1 of 3: click on the left eye").wait_for()
    click_and_expect(0.4, 0.4, "2 of 3: click on the right eye")
    click_and_expect(0.6, 0.4, "3 of 3: click on the mouth")
    click(0.5, 0.7)
    result = visitor.wait_for_result("")
    drawn = visitor.pixels(result, tmp_path)
    assert (drawn != np.array(Image.open(sky))).any() and not picture.is_visible()


def test_broken_file_gets_a_plain_message(visit, photo, tmp_path):
    visitor = visit()
    visitor.upload(photo)
    (tmp_path / "letter.png").write_text("Dear Sir")
    visitor.clear()
    visitor.page.set_input_files("#photo input[type=file]", tmp_path / "letter.png")
    visitor.wait(lambda: "letter.png" in visitor.status())
    visitor.page.get_by_text("Drop Image Here").wait_for()
    assert "Traceback" not in visitor.page.content()
    visitor.keep_screenshot("broken")


def test_drawing_can_be_stopped(visit, server, photo, tmp_path):
    visitor = visit()
    endless = save_photo(tmp_path / "meadow.jpg", (60, 180, 70))
    visitor.page.set_input_files("#photo input[type=file]", endless)
    visitor.page.wait_for_selector("#stop:not([disabled])")
    visitor.wait(lambda: "Looking for faces" in visitor.status())
    visitor.keep_screenshot("working")
    visitor.page.locator("#stop").click()
    visitor.wait(lambda: "Stopping" in visitor.status())
    visitor.clear()
    visitor.page.set_input_files("#photo input[type=file]", photo)
    visitor.page.wait_for_timeout(500)
    assert visitor.result() == ""
    server.detector.told.set()
    assert visitor.pixels(visitor.wait_for_result(""), tmp_path)[..., 0].mean() > 80, "not green"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_phone_shows_all_without_scrolling_sideways(visit, photo, scheme: str):
    visitor = visit(viewport=PHONE, color_scheme=scheme)
    visitor.keep_screenshot(f"phone-empty-{scheme}")
    visitor.upload(photo)
    assert visitor.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    tops = [visitor.page.locator(part).bounding_box()["y"] for part in ("#photo", "#result")]
    assert tops == sorted(tops)
    visitor.keep_screenshot(f"phone-{scheme}")


def test_leaving_deletes_the_pictures(visit, server, photo):
    visitor = visit()
    result = visitor.upload(photo)
    assert visitor.context.request.get(result).ok
    observer = visit()
    visitor.page.close()

    def is_gone() -> bool:
        try:
            return not observer.context.request.get(result).ok
        except sync_api.Error:  # deleted while it was being sent
            return False

    observer.wait(is_gone)


def test_app_starts_and_draws(app, browser, tmp_path, record_property):
    url, seconds = app
    record_property("seconds_to_page", round(seconds, 1))
    visitor = BrowserVisitor(browser, url)
    visitor.page.set_input_files(
        "#photo input[type=file]", save_photo(tmp_path / "sky.jpg", (80, 120, 220))
    )
    visitor.wait(lambda: "no face" in visitor.status() or "read in" in visitor.status())
    visitor.context.close()


def test_tabs_share_the_photo_of_a_visitor_only(visit, server, photo):
    visitor, other, encoded = visit(), visit(), server.num_encoded
    page = visitor.page
    visitor.open("Variations", "#vary-photo input[type=file]", "tab")
    page.set_input_files("#vary-photo input[type=file]", photo)
    page.wait_for_selector("#vary-download:not([disabled])")
    assert page.locator("#vary-tiles button.thumbnail-item").count() == 9
    page.locator("#vary-tiles button.thumbnail-item").nth(2).click()
    page.wait_for_function("document.querySelector('#vary-recipe textarea').value.includes('n 2')")
    page.locator("#vary-walk").click()
    page.wait_for_selector("#vary-clip video")
    page.get_by_role("tab", name="Image").click()
    visitor.wait(lambda: visitor.result() != "")
    assert server.num_encoded == encoded + 1
    other.page.get_by_role("tab", name="Reference").click()
    other.page.wait_for_timeout(500)
    assert other.page.locator("#reference-photo img").count() == 0
    visitor.keep_screenshot("tabs")
