"""Pictures that must be refused, in words that help; and the disk that refuses ours."""

from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image, ImageFile, PngImagePlugin

from engine import image
from engine.errors import ImageError
from engine.image import read_photo, write_png
from tests.engine.test_image import encode, gradient, png

SECRET = "taken-by-camera-4711"


def test_size_is_checked_before_decoding(monkeypatch):
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(ImageError, match="over 178 megapixels.; at most 30 megapixels"):
        read_photo(png(20000, 10000, 8, 2, b""), max_megapixels=30)
    with pytest.raises(ImageError, match="8000 x 6000, 48 megapixels.*at most 40"):
        read_photo(png(8000, 6000, 8, 2, b""))
    with pytest.raises(ImageError, match="at most 0.0001 megapixels.*make it smaller"):
        read_photo(Image.new("RGB", (64, 64)), max_megapixels=0.0001)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF"])
def test_truncated_file(file_format, tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    path = tmp_path / "holiday.jpg"
    data = encode(Image.fromarray(noise), file_format)
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ImageError, match="holiday.jpg is damaged or incomplete.*again"):
        read_photo(path)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damaged_bytes_raise_nothing_else():
    random = np.random.default_rng(1)
    for file_format in ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF"):
        whole = np.frombuffer(encode(Image.fromarray(gradient()), file_format), np.uint8)
        for _ in range(40):
            broken = whole.copy()
            broken[random.integers(0, len(whole), 4)] = random.integers(0, 256, 4)
            try:
                read_photo(broken.tobytes())
            except ImageError as error:
                assert "accepted" in str(error)


def test_what_is_no_picture(tmp_path):
    (tmp_path / "letter.png").write_text("Dear Sir or Madam")
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "vector.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    with pytest.raises(
        ImageError, match="letter.png .17 bytes. holds no picture.*JPEG.*save it as"
    ):
        read_photo(tmp_path / "letter.png")
    with pytest.raises(ImageError, match="empty.jpg .0 bytes.*copy it again"):
        read_photo(tmp_path / "empty.jpg")
    with pytest.raises(ImageError, match="vector.svg"):
        read_photo(tmp_path / "vector.svg")
    with pytest.raises(ImageError, match="is a folder; one JPEG.*name a file in it"):
        read_photo(tmp_path)
    with pytest.raises(ImageError, match="cannot open gone.png: No such file.*check the name"):
        read_photo(tmp_path / "gone.png")


def test_formats_outside_of_the_list_are_refused():
    for file_format in ("PPM", "ICO", "EPS", "TGA"):
        data = encode(Image.fromarray(gradient()), file_format)
        with pytest.raises(ImageError, match="JPEG, PNG, WebP.*are accepted"):
            read_photo(data)


def test_heic_without_its_package_is_refused(monkeypatch):
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    data = encode(Image.fromarray(gradient(64, 64)), "HEIF")
    monkeypatch.setattr(image, "_readable_formats", lambda: ("JPEG", "PNG"))
    with pytest.raises(ImageError, match="holds no picture I can read"):
        read_photo(data)


def test_written_png_has_pixels_and_nothing_else(tmp_path):
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", SECRET)
    exif = Image.Exif()
    exif[0x010F] = SECRET
    data = encode(Image.fromarray(gradient()), "PNG", pnginfo=info, exif=exif)
    assert SECRET.encode() in data
    photo = read_photo(data)
    alpha = gradient()[..., 0]
    write_png(tmp_path / "out.png", photo.rgb, alpha)
    written = (tmp_path / "out.png").read_bytes()
    again = read_photo(written)
    assert np.array_equal(again.rgb, gradient()) and np.array_equal(again.alpha, alpha)
    assert SECRET.encode() not in written
    kinds = {k for k in (b"tEXt", b"iTXt", b"zTXt", b"eXIf", b"iCCP", b"tIME") if k in written}
    assert not kinds and [p.name for p in tmp_path.iterdir()] == ["out.png"]


@contextmanager
def tiny_disk():
    """Let this process write no file beyond 4 KiB, as if the disk were full."""
    resource = pytest.importorskip("resource", reason="file size limits are a Unix thing")
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, old[1]))
    try:
        yield
    finally:  # before pytest writes its own report
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


def test_full_disk(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    match = r"cannot write out.png .* bytes.*make room"
    with pytest.raises(ImageError, match=match), tiny_disk():
        write_png(tmp_path / "out.png", noise)
    assert list(tmp_path.iterdir()) == []


def test_full_disk_keeps_the_older_result(tmp_path, monkeypatch):
    write_png(tmp_path / "out.png", gradient())

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(image.os, "fsync", full)
    with pytest.raises(ImageError, match="No space left on device"):
        write_png(tmp_path / "out.png", gradient() // 2)
    assert [p.name for p in tmp_path.iterdir()] == ["out.png"]
    assert np.array_equal(read_photo(tmp_path / "out.png").rgb, gradient())


def test_writing_into_no_folder(tmp_path):
    with pytest.raises(ImageError, match="cannot write out.png.*No such file.*existing folder"):
        write_png(tmp_path / "gone" / "out.png", gradient())


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (33, 2)])
def test_pictures_of_any_size_are_written_with_their_statement(tmp_path, size: tuple[int, int]):
    rgb = np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8)[:, ::-1]
    write_png(tmp_path / "out.png", rgb, xmp="<x>é</x>".encode())
    with Image.open(tmp_path / "out.png") as written:
        assert np.array_equal(np.array(written), rgb)
        assert written.info["XML:com.adobe.xmp"] == "<x>é</x>"
