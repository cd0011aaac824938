"""Pictures in and out: the only place where range, layout, colour space or orientation change.

Outside the networks a picture is uint8 RGB [H, W, 3] in sRGB, upright, its alpha kept aside; inside
it is float32 [N, 3, H, W] in [-1, 1]. Nothing else that a file carries (EXIF, GPS, thumbnails,
comments) gets past `read_photo`, so it cannot leak into a result.
"""

import io
import os
import secrets
import struct
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import ExifTags, Image, ImageCms, ImageOps, UnidentifiedImageError
from torch.nn import functional as F

from engine.errors import ImageError
from engine.png import encode_png

FORMATS = ("JPEG", "PNG", "WEBP", "HEIF", "AVIF", "BMP", "TIFF", "GIF")
ACCEPTED = "JPEG, PNG, WebP, HEIC, AVIF, BMP, TIFF or GIF"
# What Pillow's decoders raise on damaged or hostile files; seen by flipping bytes of every format.
DAMAGE = (
    *(OSError, SyntaxError, ValueError, EOFError, struct.error, IndexError, KeyError, TypeError),
    *(OverflowError, MemoryError, RuntimeError, Image.DecompressionBombError),
)
# A profile that moves no colour by more than this many grey levels is sRGB under another name.
SAME_COLOR = 2


@dataclass(frozen=True)
class Photo:
    """A decoded picture: `rgb` uint8 [H, W, 3] upright sRGB, `alpha` uint8 [H, W], None if opaque.

    The colour is the stored one, not multiplied by alpha.
    """

    rgb: np.ndarray
    alpha: np.ndarray | None = None


def read_photo(
    source: str | os.PathLike | bytes | Image.Image, max_megapixels: float = 40
) -> Photo:
    """Decode the first frame of a file, of a file's bytes, or of a Pillow image.

    Size and format are checked before any pixel is decoded. EXIF orientation and ICC profile are
    applied. Raises ImageError on anything missing, broken, too large or of another format.
    """
    name = source_name(source)
    if isinstance(source, Image.Image):
        return _decode(source, name, max_megapixels)
    stream = io.BytesIO(source) if isinstance(source, bytes) else _open_file(Path(source), name)
    with stream, _identify(stream, name, max_megapixels) as image:
        return _decode(image, name, max_megapixels)


def source_name(source: str | os.PathLike | bytes | Image.Image) -> str:
    """How messages call a source: its file name without the folders, else 'the picture'."""
    return Path(source).name if isinstance(source, str | os.PathLike) else "the picture"


def write_png(
    path: str | os.PathLike,
    rgb: np.ndarray,
    alpha: np.ndarray | None = None,
    xmp: bytes | None = None,
) -> None:
    """Write uint8 [H, W, 3] (and alpha [H, W]) as a PNG: whole or not at all.

    `xmp` is all the metadata it gets: the packet of engine.provenance. Raises ImageError if the
    disk is full or the folder cannot be written; no partial file remains.
    """
    path, data = Path(path), encode_png(rgb, alpha, xmp)
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    try:
        _write_through(part, data)
        os.replace(part, path)
    except OSError as error:
        with suppress(OSError):
            part.unlink()
        raise ImageError(
            f"cannot write {path.name} ({len(data)} bytes) into {path.parent}: "
            f"{error.strerror}; an existing folder with free space is accepted: "
            "choose another place or make room"
        ) from error


def to_tensor(
    rgb: np.ndarray, memory_format: torch.memory_format = torch.contiguous_format
) -> torch.Tensor:
    """Turn uint8 [H, W, 3] or [N, H, W, 3] into float32 [N, 3, H, W] in [-1, 1]."""
    batch = rgb[None] if rgb.ndim == 3 else rgb
    assert batch.ndim == 4 and batch.shape[3] == 3 and batch.dtype == np.uint8, (
        f"expected uint8 [H, W, 3] or [N, H, W, 3], got {rgb.dtype} {list(rgb.shape)}"
    )
    in_order = memory_format == torch.channels_last  # as pictures lie in memory: nothing is moved
    batch = batch if in_order else batch.transpose(0, 3, 1, 2)
    x = torch.from_numpy(np.ascontiguousarray(batch)).float() / 127.5 - 1
    return x.permute(0, 3, 1, 2) if in_order else x


def to_uint8(x: torch.Tensor) -> np.ndarray:
    """Turn float [N, 3, H, W] in [-1, 1] into uint8 [N, H, W, 3], clamped and rounded."""
    assert x.ndim == 4 and x.shape[1] == 3, f"expected [N, 3, H, W], got {list(x.shape)}"
    levels = x.detach().float().clamp(-1, 1).add_(1).mul_(127.5).round_().to(torch.uint8)
    return levels.permute(0, 2, 3, 1).contiguous().cpu().numpy()  # [N, H, W, 3]


def resize(rgb: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resample uint8 [H, W, 3] or [H, W] by Lanczos, antialiased where it shrinks."""
    if rgb.shape[:2] == (height, width):
        return rgb.copy()
    rgb = np.ascontiguousarray(rgb)
    if not _torch_has_lanczos():
        return np.array(Image.fromarray(rgb).resize((width, height), Image.Resampling.LANCZOS))
    x = torch.from_numpy(rgb).view(1, *rgb.shape[:2], -1).permute(0, 3, 1, 2)
    drawn = F.interpolate(x, (height, width), mode="lanczos", antialias=True)
    return drawn.permute(0, 2, 3, 1).reshape(height, width, *rgb.shape[2:]).numpy()


@cache
def _torch_has_lanczos() -> bool:
    """Tell whether this torch has Lanczos: a quarter of Pillow's time, within 2 grey levels."""
    with suppress(RuntimeError, ValueError):
        F.interpolate(torch.zeros(1, 1, 2, 2), (1, 1), mode="lanczos", antialias=True)
        return True
    return False


def _open_file(path: Path, name: str) -> io.BufferedReader:
    if path.is_dir():
        raise ImageError(f"{name} is a folder; one {ACCEPTED} file is accepted: name a file in it")
    try:
        return path.open("rb")
    except OSError as error:
        raise ImageError(
            f"cannot open {name}: {error.strerror}; a readable {ACCEPTED} file is accepted: "
            "check the name and the permissions"
        ) from error


@cache
def _readable_formats() -> tuple[str, ...]:
    """HEIC needs an optional package; without it such files are refused like any unknown format."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return tuple(f for f in FORMATS if f != "HEIF")
    register_heif_opener()
    return FORMATS


def _identify(stream: io.BufferedIOBase, name: str, max_megapixels: float) -> Image.Image:
    """Read the header only; formats outside of FORMATS are never given to their decoder."""
    try:
        return Image.open(stream, formats=_readable_formats())
    except Image.DecompressionBombError as error:  # Pillow's own limit, before it tells the size
        value = f"over {2 * Image.MAX_IMAGE_PIXELS // 10**6} megapixels"
        raise _too_large(name, value, max_megapixels) from error
    except UnidentifiedImageError as error:
        size = stream.seek(0, io.SEEK_END)
        remedy = "save it as one of them" if size else "the file is empty: copy it again"
        raise ImageError(
            f"{name} ({size} bytes) holds no picture I can read, whatever its name ends in; "
            f"{ACCEPTED} are accepted: {remedy}"
        ) from error
    except DAMAGE as error:
        raise _damaged(name, error) from error


def _decode(image: Image.Image, name: str, max_megapixels: float) -> Photo:
    width, height = image.size
    if width * height > max_megapixels * 1e6:
        value = f"{width} x {height}, {width * height / 1e6:.0f} megapixels"
        raise _too_large(name, value, max_megapixels)
    if width < 1 or height < 1:
        raise ImageError(f"{name} is {width} x {height}; at least 1 x 1 is accepted: save it again")
    try:
        image.load()
        image = _upright(image)
        alpha = _alpha(image)
        rgb = np.array(_to_srgb(_eight_bits(image), image.info.get("icc_profile")))
    except DAMAGE as error:
        raise _damaged(name, error) from error
    return Photo(rgb, None if alpha is None or alpha.min() == 255 else alpha)


def _upright(image: Image.Image) -> Image.Image:
    """Apply the EXIF orientation; an EXIF block that cannot be read turns nothing."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except DAMAGE:
        return image
    return ImageOps.exif_transpose(image) if orientation in range(2, 9) else image


def _alpha(image: Image.Image) -> np.ndarray | None:
    """Alpha of any mode, from a channel, a palette or one transparent colour; None without one."""
    if not image.has_transparency_data:
        return None
    if _is_deep(image):  # Pillow cannot convert these; their transparency is one grey level
        key = image.info["transparency"]
        return np.where(np.asarray(image) == key, 0, 255).astype(np.uint8)
    return np.array(image.convert("RGBA").getchannel("A"))


def _is_deep(image: Image.Image) -> bool:
    return image.mode.startswith("I") or image.mode == "F"


def _eight_bits(image: Image.Image) -> Image.Image:
    """Reduce any mode to L, RGB, CMYK or LAB: 8 bits a channel, no alpha, no palette."""
    if _is_deep(image):
        return Image.fromarray(_scale_deep_grey(np.asarray(image, np.float32), image.mode))
    if image.mode in ("L", "RGB", "CMYK", "LAB"):
        return image
    if image.mode in ("1", "LA"):
        return image.convert("L")
    # Through RGBA, which undoes premultiplied colour and palettes with transparency.
    return image.convert("RGBA").convert("RGB")


def _scale_deep_grey(grey: np.ndarray, mode: str) -> np.ndarray:
    """Scale 16-bit integers from 0..65535, floats from 0..1; values in 0..255 stay."""
    peak = float(grey.max())
    if mode.startswith("I;16") or (mode == "I" and peak > 255):
        grey = grey / 257
    elif mode == "F" and peak <= 1:
        grey = grey * 255
    return np.rint(np.clip(np.nan_to_num(grey), 0, 255)).astype(np.uint8)


@cache
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def _to_srgb(image: Image.Image, icc: bytes | None) -> Image.Image:
    """Leave the file's own colour space for sRGB.

    A profile that is broken, or of another colour space than the pixels, is ignored as browsers do.
    """
    if not icc or image.mode == "LAB":
        return image.convert("RGB")
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        if profile.profile.xcolor_space.strip() != {"L": "GRAY"}.get(image.mode, image.mode):
            return image.convert("RGB")
        transform = ImageCms.buildTransform(profile, _srgb(), image.mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return image.convert("RGB")
    if _changes_nothing(transform, image.mode):
        return image.convert("RGB")
    return ImageCms.applyTransform(image, transform)


def _changes_nothing(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Most photos carry some sRGB profile: leave their pixels exactly as they are, and faster."""
    if mode == "CMYK":
        return False
    axes = [np.arange(0, 256, 17, dtype=np.uint8)] * len(mode)
    colors = np.stack(np.meshgrid(*axes), -1).reshape(-1, 1, len(mode))
    probe = Image.fromarray(colors if mode == "RGB" else colors[..., 0])
    before = np.asarray(probe.convert("RGB"), np.int16)
    after = np.asarray(ImageCms.applyTransform(probe, transform), np.int16)
    return int(np.abs(after - before).max()) <= SAME_COLOR


def _write_through(part: Path, data: bytes) -> None:
    with part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())  # a full disk may only show when the pages are really written


def _too_large(name: str, value: str, max_megapixels: float) -> ImageError:
    return ImageError(
        f"{name} is too large ({value}); at most {max_megapixels:g} megapixels are accepted: "
        "make it smaller first"
    )


def _damaged(name: str, error: BaseException) -> ImageError:
    return ImageError(
        f"{name} is damaged or incomplete ({type(error).__name__}); a whole {ACCEPTED} file is "
        "accepted: copy or export it again"
    )
