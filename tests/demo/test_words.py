"""What the page says in another language: nothing is left out of the table, nothing is lost."""

import io
import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from gradio.context import LocalContext
from gradio.i18n import I18nData
from PIL import Image

from demo.studio import Studio
from demo.tabs.train_runs import open_trainings
from demo.ui import build_ui
from demo.words import ASSETS, LANGUAGES, say, table, translations
from engine.errors import ImageError, MediaError
from engine.image import read_photo
from motion.media.formats import identify

NAMES = ("label", "info", "placeholder")
MARKER = re.compile(r'__i18n__{"__type__": "translation_metadata", "key": ("(?:[^"\\]|\\.)*")}')
# Names of what a visitor brings or a pack says of itself, and pure data.
DATA = re.compile(r"Cartoon|Comic|cartoon|comic|First|Second|Direction \d|\d+( · .*)?|")


def texts(config: dict) -> set[str]:
    """All a visitor reads before anything happened; the endpoints are for programs."""
    components = {c["id"]: c for c in config["components"]}
    found: set[str] = set()

    def walk(node: dict) -> None:
        component = components.get(node["id"], {"type": "", "props": {}})
        kind, props = component["type"], component["props"]
        if kind == "column" and props.get("visible") is False:
            return
        values = [props.get(name) for name in NAMES]
        if kind in ("button", "downloadbutton"):
            values.append(props.get("value"))
        if kind in ("html", "markdown"):
            written = props.get("value") or ""
            bare = re.sub(r"(?s)<[^>]*>|```.*?```", "", MARKER.sub("", written))
            values += [*(m[0] for m in MARKER.finditer(written)), bare.strip()]
        if kind in ("radio", "dropdown"):
            values += [text for text, _ in props.get("choices") or []]
        for value in filter(None, values):
            keys = [json.loads(key) for key in MARKER.findall(value)]
            found.update(keys or [value])
        for child in node.get("children", []):
            walk(child)

    walk(config["layout"])
    return {text for text in found if not DATA.fullmatch(text)}


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_label_is_outside_of_the_table(studio: Studio, tmp_path: Path, monkeypatch, language):
    monkeypatch.setenv("STYLIZE_HOME", str(tmp_path))
    for trainings in (None, open_trainings("cpu", "127.0.0.1", True)):
        shown = texts(build_ui(studio, trainings).config)
        estimates = {text for text in shown if text.startswith("About ")}
        missing = sorted(shown - estimates - set(table(language)) - {"Stylize", "Search"})
        assert missing == [], f"add them to {ASSETS.name}/words.{language}.json"
    assert len(shown) > 150


@pytest.mark.parametrize("language", LANGUAGES)
def test_places_of_a_text_are_in_its_translation(language: str):
    for text, translation in table(language).items():
        places = [set(re.findall(r"{(\w+)}", t)) for t in (text, translation)]
        assert places[0] == places[1] and translation, text
        if not places[0]:  # the browser reads these as ICU messages
            assert not set("{}<>'") & set(translation), text


def test_the_browser_has_the_tables():
    assert translations().translations_dict == {name: table(name) for name in LANGUAGES}
    assert isinstance(translations()("Photo"), I18nData)


def test_messages_follow_the_browser():
    def said(language: str | None, text: str) -> str:
        request = language and SimpleNamespace(headers={"accept-language": language})
        token = LocalContext.request.set(request)
        try:
            return say(text)
        finally:
            LocalContext.request.reset(token)

    line = "2 faces read in 1.3 s · drawn in 0.2 s · 200 × 150 px"
    for language in (None, "en-GB,zh-CN;q=0.5", "fr", "zh-TW"):
        assert said(language, line) == line
    for language in ("zh-CN,zh;q=0.9", "zh-cn", "zh-CN;q=1"):
        assert said(language, line) == "用 1.3 秒读取 2 张人脸 · 绘制用时 0.2 秒 · 200 × 150 px"
    told = said("zh-CN", "A film of 2.0 s: 48 frames, about 3 min of work. with sound")
    assert told == "影片长 2.0 秒：48 帧，约需 3 分钟。 有声音"
    assert said("zh-CN", "unheard of {curly} things") == "unheard of {curly} things"
    assert (
        said("zh-CN", "**2 of 3: click on the right eye.**") == "**第 2 步，共 3 步：请点击右眼。**"
    )


def test_errors_about_files_follow_the_browser(tmp_path: Path):
    """What the engine says of a visitor's files keeps no English words but their names."""
    token = LocalContext.request.set(SimpleNamespace(headers={"accept-language": "zh-CN"}))
    try:
        for file, said in errors_about_files(tmp_path):
            told = say(said)
            rest = told.replace(file, "")
            assert told != said and len(re.findall(r"\b[a-z]{4,}\b", rest)) == 0, told
    finally:
        LocalContext.request.reset(token)


def errors_about_files(folder: Path):
    """(name, message) of pictures and clips that are refused."""
    whole = io.BytesIO()
    Image.new("RGB", (40, 30)).save(whole, "PNG")
    for name, content in {
        "empty.png": b"",
        "letter.png": b"Dear Sir, this is no picture",
        "half.png": whole.getvalue()[:60],
    }.items():
        (folder / name).write_bytes(content)
        with pytest.raises(ImageError) as error:
            read_photo(folder / name)
        yield name, str(error.value)
    (folder / "large.png").write_bytes(whole.getvalue())
    with pytest.raises(ImageError) as error:
        read_photo(folder / "large.png", max_megapixels=0.001)
    yield "large.png", str(error.value)
    for content in (b"", b"#EXTM3U\nfile:///etc/passwd", b"a letter", b"\0\1\2\3" * 8):
        with pytest.raises(MediaError) as error:
            identify(content, "clip.mp4")
        yield "clip.mp4", str(error.value)
