"""The endpoint `stylize_image` over HTTP, and what the server keeps to itself."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from gradio_client import Client, handle_file
from PIL import Image

from demo.studio import Studio
from demo.ui import build_ui, launch_settings
from engine.library import StyleLibrary
from engine.options import StylizeOptions
from engine.provenance import COMPOSITE, GENERATED, read_mark
from motion.animate_options import AnimateOptions
from motion.temporal_options import TemporalOptions

from .page import RUNTIME, FindIn, save_photo
from .test_statement import XMP


@pytest.fixture(scope="module")
def client(tmp_path_factory, packs: Path) -> Iterator[Client]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("server")))
        studio = Studio(StyleLibrary([packs]), RUNTIME, lambda network: FindIn())
        page = build_ui(studio)
        _, url, _ = page.launch(prevent_thread_lock=True, **launch_settings(studio))
        yield Client(url, verbose=False, download_files=tmp_path_factory.mktemp("downloads"))
        page.close()


def call(client: Client, path: Path, *arguments, **named):
    return client.predict(handle_file(path), *arguments, api_name="/stylize_image", **named)


def test_endpoint_returns_a_png(client: Client, photo: Path):
    with Image.open(call(client, photo, "comic", 0.5)) as image:
        assert image.format == "PNG" and image.size == (200, 150) and set(image.info) == XMP
    assert read_mark(image.filename).source == COMPOSITE
    crop = call(client, photo, faces="1", whole_photo=False, output_size=64)
    assert Image.open(crop).size == (64, 64) and read_mark(crop).source == GENERATED


def test_endpoint_is_documented_in_order(client: Client):
    endpoints = client.view_api(return_format="dict")["named_endpoints"]
    own = {
        "/stylize_image": ["photo", "style"],
        "/vary": ["photo", "style", "count"],
        "/apply_reference": ["photo", "reference", "style"],
        "/stylize_batch": ["photos", "style"],
        "/edit": ["photo", "style", "direction", "amount"],
        "/stylize_video": ["clip", "style", "start", "end"],
        "/animate": ["photo", "driving", "style"],
    }
    kinds = {"/stylize_video": (StylizeOptions, TemporalOptions), "/animate": (AnimateOptions,)}
    assert list(endpoints) == list(own)
    for name, arguments in own.items():
        found = [p["parameter_name"] for p in endpoints[name]["parameters"]]
        options = kinds.get(name, (StylizeOptions,))
        assert found == [*arguments, *(o for kind in options for o in kind.describe())]
        assert endpoints[name]["description"].startswith(("Draw", "Drive"))


def test_vary_draws_looks_by_number(client: Client, photo: Path):
    def vary(count: int, variation: int) -> list[bytes]:
        found = client.predict(
            handle_file(photo), count=count, variation=variation, api_name="/vary"
        )
        return [Path(path).read_bytes() for path in found]

    first, second, third = vary(3, 5)
    assert len({first, second, third}) == 3
    assert vary(1, 7) == [third]
    with pytest.raises(Exception, match="count is 40; accepted are 1 to 16"):
        vary(40, 1)


def test_stylize_batch_gives_a_zip(client: Client, photo: Path, tmp_path: Path):
    (tmp_path / "letter.png").write_text("Dear Sir")
    files = [handle_file(photo), handle_file(tmp_path / "letter.png")]
    packed = client.predict(files, "comic", api_name="/stylize_batch")
    with zipfile.ZipFile(packed) as file:
        assert sorted(file.namelist()) == ["A-photo.json", "A-photo.png", "problems.txt"]
    with pytest.raises(Exception, match="letter.png .8 bytes"):
        client.predict(files[1:], "comic", api_name="/stylize_batch")


def test_edit_moves_the_face(client: Client, photo: Path):
    def edit(**named) -> bytes:
        path = client.predict(handle_file(photo), api_name="/edit", **named)
        return Path(path).read_bytes()

    plain = Path(call(client, photo)).read_bytes()
    assert edit(amount=0) == plain != edit(direction="direction 1", amount=5)
    assert edit(direction="2", amount=5) == Path(call(client, photo, edits="2:5")).read_bytes()
    with pytest.raises(Exception, match="edits has 'Charm:3'"):
        edit(direction="Charm")


def test_apply_reference_follows_the_picture(client: Client, photo: Path, tmp_path: Path):
    look = save_photo(tmp_path / "look.png", rgb=(230, 90, 40))
    picture = client.predict(
        handle_file(photo), handle_file(look), mix_layer=0, api_name="/apply_reference"
    )
    assert Path(picture).read_bytes() != Path(call(client, photo)).read_bytes()


def test_endpoint_turns_phone_photos_upright(client: Client, tmp_path: Path):
    exif = Image.Exif()
    exif[0x0112] = 6
    photo = save_photo(tmp_path / "phone.jpg", exif=exif.tobytes())
    assert Image.open(call(client, photo)).size == (150, 200)


BAD_CALLS = {
    "strength is 7": {"strength": 7},
    "choose one of cartoon, comic": {"style": "../../secret"},
    "attribute is 'third'": {"attribute": "third"},
    "color is 'pink'": {"color": "pink"},
    "faces is 'me'": {"faces": "me"},
    "no face found in A photo.jpg .200x150.": {"faces": "9"},
}


@pytest.mark.parametrize("message", BAD_CALLS)
def test_endpoint_says_what_is_wrong(client: Client, photo: Path, message: str):
    with pytest.raises(Exception, match=message):
        call(client, photo, **BAD_CALLS[message])


def test_endpoint_refuses_what_is_no_picture(client: Client, tmp_path: Path):
    (tmp_path / "letter.png").write_text("Dear Sir")
    with pytest.raises(Exception, match="letter.png .8 bytes.*picture"):
        call(client, tmp_path / "letter.png")


def test_server_gives_no_files_away(client: Client, packs: Path):
    for path in (packs / "cartoon" / "style.json", Path("/etc/hostname"), Path("app.py").resolve()):
        assert httpx.get(f"{client.src}gradio_api/file={path}").status_code in (403, 404)
    assert httpx.get(f"{client.src}monitoring").status_code in (403, 404)
