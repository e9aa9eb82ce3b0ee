"""The pictures that a study keeps beside its results, put into its report."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from markupsafe import Markup
from PIL import Image, UnidentifiedImageError

__all__ = ["Album", "InlinedPicture", "album"]

_KINDS: Final = {
    ".png": "image/png",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".svg": "image/svg+xml",
}
_MOST: Final = 3_600_000
_LARGE: Final = 150_000
_QUALITY: Final = 85


@dataclass(frozen=True)
class InlinedPicture:
    """A picture inside the page.

    Args:
        name: Of its file, without the ending.
        source: A ``data:`` address.
        width: Pixels; 0 for drawings, which have no size of their own.
        height: Pixels, likewise.
    """

    name: str
    source: Markup
    width: int
    height: int

    @property
    def words(self) -> str:
        """The file's name as words, for those who cannot see the picture."""
        return self.name.replace("-", " ").replace("_", " ")


@dataclass
class Album:
    """All pictures of a study, each to be taken once.

    Args:
        pictures: In the order of their names.
        left_out: What could not be put in, and why.
    """

    pictures: list[InlinedPicture]
    left_out: list[str] = field(default_factory=list)

    def take(self, *starts: str) -> list[InlinedPicture]:
        """Take out the pictures whose names begin so; without a start, all that are left."""
        taken = [p for p in self.pictures if not starts or p.name.startswith(starts)]
        self.pictures = [p for p in self.pictures if p not in taken]
        return taken


def album(folder: Path, first: Iterable[str]) -> Album:
    """Read all pictures of a folder, as long as they fit in a page of about 4 MB.

    Args:
        folder: With PNG, WebP, GIF and SVG files; it may be missing. Large PNGs become WebP.
        first: Beginnings of names that are put in before others, the most important first.
    """
    starts = list(first)
    paths = [p for p in folder.glob("*") if p.suffix in _KINDS and not p.name.startswith(".")]
    paths.sort(key=lambda path: (_rank(path.stem, starts), path.name))
    pictures: list[InlinedPicture] = []
    left_out: list[str] = []
    used = 0
    for path in paths:
        try:
            picture = _inlined(path)
        except (OSError, UnidentifiedImageError, SyntaxError) as error:
            left_out.append(f"{path.name} cannot be read: {error}")
            continue
        if used + len(picture.source) > _MOST:
            left_out.append(f"{path.name} is left out, the page would become too large")
            continue
        used += len(picture.source)
        pictures.append(picture)
    return Album(pictures, left_out)


def _rank(name: str, starts: list[str]) -> int:
    return next((i for i, start in enumerate(starts) if name.startswith(start)), len(starts))


def _inlined(path: Path) -> InlinedPicture:
    content, kind, size = path.read_bytes(), _KINDS[path.suffix], (0, 0)
    if path.suffix != ".svg":
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            size = image.size
            if path.suffix == ".png" and len(content) > _LARGE:
                content, kind = _smaller(image, content, kind)
    encoded = base64.b64encode(content).decode()
    source = Markup("data:{};base64,{}").format(kind, encoded)
    return InlinedPicture(path.stem, source, *size)


def _smaller(image: Image.Image, content: bytes, kind: str) -> tuple[bytes, str]:
    """The picture as WebP, where that is smaller."""
    file = io.BytesIO()
    image.convert("RGB").save(file, "WEBP", quality=_QUALITY, method=4)
    webp = file.getvalue()
    return (webp, _KINDS[".webp"]) if len(webp) < len(content) else (content, kind)
