"""Templates to one self-contained HTML file."""

from __future__ import annotations

import base64
import functools
import io
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from minicube._files import write_text
from minicube._version import __version__

__all__ = ["page", "picture_source", "write_report"]


def page(template: str, **content: Any) -> str:
    """Fill a template of this package; everything put in is escaped."""
    return _environment().get_template(template).render(version=__version__, **content)


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("minicube.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["ratio"] = _ratio
    environment.filters["ml"] = _millilitres
    return environment


def picture_source(image: Image.Image) -> Markup:
    """Return the picture as a ``data:`` address, for the ``src`` of an image."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return Markup("data:image/png;base64,{}").format(base64.b64encode(file.getvalue()).decode())


def write_report(path: Path, html: str, *, overwrite: bool = True) -> None:
    """Write a report, whole or not at all.

    Args:
        path: The HTML file.
        html: From :func:`case_report`, :func:`run_report` or :func:`study_report`.
        overwrite: False refuses to replace an existing file.

    Raises:
        InputError: The file cannot be written, or must not be replaced.
    """
    write_text(path, html, overwrite=overwrite)


def _ratio(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _millilitres(value: float | None) -> str:
    if value is None:
        return "not determinable"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"
