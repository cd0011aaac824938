"""Every kind of picture a user may drop, and the way into and out of the networks."""

import io
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from engine import image
from engine.image import read_photo, resize, to_tensor, to_uint8


def gradient(height: int = 24, width: int = 32) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 / (width - 1), y * 255 / (height - 1), x * 0 + 90], -1).astype(
        np.uint8
    )


def encode(picture: Image.Image, file_format: str, **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, file_format, **options)
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, depth: int, color: int, rows: bytes, *extra: bytes) -> bytes:
    """A PNG from raw rows (each with its filter byte): what Pillow itself cannot write."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0))
    body = b"".join(extra) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + body


def deep_rows(values: np.ndarray) -> bytes:
    """Rows of big-endian 16-bit samples [H, W * channels]."""
    return b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)


@pytest.mark.parametrize("file_format", ["PNG", "BMP", "TIFF"])
def test_lossless_formats_keep_every_pixel(file_format, tmp_path):
    path = tmp_path / "in"
    path.write_bytes(encode(Image.fromarray(gradient()), file_format))
    photo = read_photo(path)
    assert np.array_equal(photo.rgb, gradient()) and photo.alpha is None


@pytest.mark.parametrize("file_format", ["JPEG", "WEBP", "GIF", "AVIF", "HEIF"])
def test_lossy_formats(file_format):
    if file_format == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    data = encode(Image.fromarray(gradient(64, 64)), file_format, quality=95)
    photo = read_photo(data)
    assert photo.rgb.shape == (64, 64, 3)
    assert np.abs(photo.rgb.astype(int) - gradient(64, 64)).mean() < 12


def test_one_pixel():
    assert read_photo(encode(Image.new("RGB", (1, 1), (7, 8, 9)), "PNG")).rgb.tolist() == [
        [[7, 8, 9]]
    ]


@pytest.mark.parametrize("file_format", ["GIF", "WEBP", "PNG"])
def test_animation_gives_its_first_frame(file_format):
    frames = [Image.new("RGB", (16, 16), color) for color in ("red", "blue")]
    data = encode(frames[0], file_format, save_all=True, append_images=frames[1:], lossless=True)
    assert read_photo(data).rgb[8, 8].tolist() == [255, 0, 0]


def test_cmyk_jpeg():
    data = encode(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=100)
    assert np.abs(read_photo(data).rgb.astype(int) - [255, 0, 0]).max() <= 2


def test_grey_and_bilevel():
    assert read_photo(encode(Image.new("L", (4, 4), 77), "PNG")).rgb[0, 0].tolist() == [77] * 3
    assert read_photo(encode(Image.new("1", (4, 4), 1), "PNG")).rgb[0, 0].tolist() == [255] * 3


def test_sixteen_bits_are_scaled_not_clipped():
    ramp = np.linspace(0, 65535, 64).reshape(2, 32)
    grey = read_photo(png(32, 2, 16, 0, deep_rows(ramp)))
    color = read_photo(png(32, 2, 16, 2, deep_rows(np.repeat(ramp, 3, 1))))
    expected = np.repeat((ramp / 257)[..., None], 3, 2)
    assert np.abs(grey.rgb - expected).max() <= 0.51
    assert np.abs(color.rgb - expected).max() <= 1


def test_sixteen_bit_transparency():
    key = chunk(b"tRNS", struct.pack(">H", 65535))
    grey = read_photo(png(2, 1, 16, 0, deep_rows(np.array([[0, 65535]])), key))
    assert grey.alpha.tolist() == [[255, 0]]
    rgba = np.array([[65535, 0, 0, 32896]])
    photo = read_photo(png(1, 1, 16, 6, deep_rows(rgba)))
    assert photo.rgb.tolist() == [[[255, 0, 0]]] and photo.alpha.tolist() == [[128]]


def grey_with_alpha(mode: str, alpha: np.ndarray) -> bytes | Image.Image:
    grey = Image.new("L", alpha.shape[::-1], 100)
    if mode == "P":  # transparency in the palette, as a paletted PNG has it
        picture = Image.fromarray(alpha // 8)
        picture.putpalette([100] * 96)
        return encode(picture, "PNG", transparency=bytes(range(0, 256, 8)))
    picture = Image.merge("RGBA", [grey, grey, grey, Image.fromarray(alpha)])
    return picture.convert(mode)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "PA", "RGBa"])
def test_alpha_is_kept_aside(mode):
    alpha = np.tile(np.arange(0, 256, 8, dtype=np.uint8), (8, 1))
    photo = read_photo(grey_with_alpha(mode, alpha))
    assert np.array_equal(photo.alpha, alpha)
    assert np.abs(photo.rgb[:, 16:].astype(int) - 100).max() <= 1


def test_hidden_colour_is_stored_colour_and_opaque_alpha_is_none():
    hidden = np.dstack([gradient(), np.zeros((24, 32), np.uint8)])
    photo = read_photo(encode(Image.fromarray(hidden), "PNG"))
    assert np.array_equal(photo.rgb, gradient()) and not photo.alpha.any()
    hidden[..., 3] = 255
    assert read_photo(encode(Image.fromarray(hidden), "PNG")).alpha is None


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_rotated_phone_photo(file_format, orientation):
    upright = Image.fromarray(gradient(48, 64))
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # the transposition a camera would have made
    held = upright.transpose(undo[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    photo = read_photo(encode(held, file_format, exif=exif, quality=98))
    assert photo.rgb.shape == (48, 64, 3)
    assert np.abs(photo.rgb.astype(int) - gradient(48, 64)).mean() < 4


def test_alpha_turns_with_the_picture():
    rgba = Image.new("RGBA", (4, 2), (1, 2, 3, 255))
    rgba.putpixel((0, 0), (1, 2, 3, 10))
    exif = Image.Exif()
    exif[0x0112] = 6
    photo = read_photo(encode(rgba, "PNG", exif=exif))
    assert photo.rgb.shape == (4, 2, 3) and photo.alpha[0, 1] == 10


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_unreadable_exif_turns_nothing():
    data = encode(Image.fromarray(gradient()), "PNG", exif=b"Exif\0\0MM\0\x2a\xff\xff\xff\xff")
    assert np.array_equal(read_photo(data).rgb, gradient())


def swapped_profile() -> bytes:
    """An ICC profile whose red and blue primaries are exchanged: any use of it is plain to see."""
    icc = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    for entry in range(132, 132 + 12 * struct.unpack(">I", icc[128:132])[0], 12):
        tag = bytes(icc[entry : entry + 4])
        icc[entry : entry + 4] = {b"rXYZ": b"bXYZ", b"bXYZ": b"rXYZ"}.get(tag, tag)
    return bytes(icc)


def test_icc_profile_is_applied():
    red = Image.new("RGB", (4, 4), (255, 0, 0))
    assert read_photo(encode(red, "PNG", icc_profile=swapped_profile())).rgb[0, 0, 2] > 250
    assert read_photo(encode(red, "PNG")).rgb[0, 0].tolist() == [255, 0, 0]


def test_srgb_profile_changes_no_pixel_and_a_broken_one_is_ignored():
    picture = Image.fromarray(gradient())
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for icc in (srgb, b"not a profile", srgb[:200]):
        assert np.array_equal(read_photo(encode(picture, "PNG", icc_profile=icc)).rgb, gradient())


def test_profile_of_another_colour_space_is_ignored():
    grey = Image.new("L", (4, 4), 77)
    data = encode(grey, "PNG", icc_profile=swapped_profile())
    assert read_photo(data).rgb[0, 0].tolist() == [77] * 3


def test_callers_image_is_left_alone():
    picture = Image.fromarray(gradient())
    picture.info["icc_profile"] = swapped_profile()
    read_photo(picture)
    assert "icc_profile" in picture.info and np.array_equal(np.array(picture), gradient())


def test_tensor_round_trip_is_exact():
    levels = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    x = to_tensor(levels)
    assert x.shape == (1, 3, 16, 16) and x.dtype == torch.float32
    assert x.min() == -1 and x.max() == 1
    assert np.array_equal(to_uint8(x)[0], levels)
    assert to_tensor(np.stack([levels, levels])).shape == (2, 3, 16, 16)


def test_to_uint8_clamps_and_rounds():
    x = torch.tensor([-3.0, 0.6 / 127.5 - 1, 3.0]).reshape(1, 3, 1, 1)
    assert to_uint8(x).ravel().tolist() == [0, 1, 255]
    assert to_uint8(x.bfloat16()).dtype == np.uint8


def test_resize_keeps_flat_colour_and_antialiases():
    flat = np.full((40, 60, 3), 93, np.uint8)
    assert (resize(flat, 7, 11) == 93).all() and resize(flat, 80, 90).shape == (80, 90, 3)
    checker = ((np.indices((64, 64)).sum(0) % 2) * 255).astype(np.uint8)[..., None].repeat(3, 2)
    assert np.abs(resize(checker, 8, 8)[2:-2, 2:-2].astype(int) - 127).max() <= 2


def test_pixels_become_the_same_numbers_in_either_layout():
    rgb = np.random.default_rng(0).integers(0, 256, (2, 5, 7, 3), np.uint8)
    plain, last = to_tensor(rgb), to_tensor(rgb, torch.channels_last)
    assert plain.is_contiguous() and last.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(plain, last) and np.array_equal(to_uint8(last), rgb)


@pytest.mark.parametrize(("height", "width"), [(16, 24), (90, 31), (121, 300)])
def test_resize_is_pillows_lanczos(monkeypatch, height: int, width: int):
    smooth = np.random.default_rng(0).integers(0, 256, (9, 13, 3), np.uint8)
    rgb = resize(smooth, 64, 96)
    fast = [resize(rgb, height, width), resize(rgb[::2, :, 0], height, width)]
    monkeypatch.setattr(image, "_torch_has_lanczos", lambda: False)
    slow = [resize(rgb, height, width), resize(rgb[::2, :, 0], height, width)]
    for ours, pillow in zip(fast, slow, strict=True):
        assert ours.shape == pillow.shape and ours.dtype == pillow.dtype
        assert ours.flags.writeable and np.abs(ours.astype(int) - pillow).max() <= 2
