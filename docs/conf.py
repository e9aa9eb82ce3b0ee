"""How `make docs` builds the site: Sphinx reads docs/*.md where they lie."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import redirect_stdout, suppress
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import Any, Final

from minicube import __version__
from minicube.cli import VERBS, main

HERE: Final = Path(__file__).resolve().parent

project = "minicube"
author = "The minicube authors"
version = release = __version__
copyright = "The minicube authors. Research software, not a medical device."  # noqa: A001

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_heading_anchors = 3
highlight_language = "none"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"

html_theme = "furo"
html_title = f"minicube {__version__}"
html_copy_source = False
html_show_sphinx = False


def _help_of(*words: str) -> str:
    shown = StringIO()
    with redirect_stdout(shown), suppress(SystemExit):
        main([*words, "--help"])
    return shown.getvalue().strip()


def _verbs() -> Iterator[tuple[str, ...]]:
    for verb in VERBS:
        group = getattr(import_module(f"minicube.cli.{verb}"), "app", None)
        if group is None:
            yield (verb,)
        else:
            yield from ((verb, str(command.name)) for command in group.registered_commands)


def _as_file(page: Path, link: re.Match[str]) -> str:
    """A link to a Markdown file beside docs/, which is no page, gives the file."""
    target = (page.parent / link[1]).resolve()
    return f"](path:{link[1]})" if target.is_file() and HERE not in target.parents else link[0]


def _prepare(app: Any, page: str, source: list[str]) -> None:
    """Put what `--help` says on the page of the command line; mend what GitHub takes as it is."""
    if page == "reference/cli":
        for words in _verbs():
            source[0] += f"\n## minicube {' '.join(words)}\n\n```text\n{_help_of(*words)}\n```\n"
    at = HERE / f"{page}.md"
    source[0] = re.sub(r"\]\((\.\./[^)#]*\.md)\)", lambda link: _as_file(at, link), source[0])
    # Their titles say more than the names of files.
    source[0] = re.sub(r"\[([\w./-]+\.md)\]\(\1\)", r"[](\1)", source[0])
    if page == "index":
        # Pages that may be there or not.
        source[0] = re.sub(r"^([a-z/]+\*)\n", _if_there, source[0], flags=re.M)


def _if_there(line: re.Match[str]) -> str:
    return line[0] if any(HERE.glob(f"{line[1]}.md")) else ""


def setup(app: Any) -> None:
    """Let Sphinx ask for the texts while it reads."""
    os.environ["COLUMNS"] = "100"
    app.connect("source-read", _prepare)
