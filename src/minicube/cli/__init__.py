"""The command line: one verb a file, thin – parse, call, print.

Exit codes: 0 done; 1 a fault of ours; 2 something given cannot be used as it is;
3 some cases of a cohort failed, the others are done;
130 stopped, by Ctrl-C or by SIGTERM. Nothing heavy is imported before a verb runs.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from itertools import zip_longest
from typing import Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

from minicube._errors import InputError, InternalError
from minicube._version import __version__

__all__ = ["VERBS", "app", "main"]

VERBS: Final = {
    "data": "See what a folder of scans holds; convert it.",
    "dicom": "See what a DICOM study holds; write one.",
    "pacs": "Fetch studies from an archive, store objects in it, watch it.",
    "phantom": "Make phantoms: real anatomy, made-up tumours, no patient.",
    "simulate": "Simulate cases: made-up heads, tumours from your own files.",
    "train": "Train a network on labelled cases.",
    "tune": "Search for settings that learn well; several processes may join.",
    "segment": "Segment a case, or a cohort, which goes on where it was stopped.",
    "plan": "Show how a volume would be segmented within a budget.",
    "export": "Write a model as one ONNX file, which segments without torch.",
    "evaluate": "Score segmentations against references.",
    "study": "Compare the report's systems on the same cases.",
    "recipe": "Make the trainings of a recipe; goes on where it was stopped.",
    "report": "Write the story of a training run as one HTML file.",
    "bundle": "Make an offline install for a PC without internet.",
    "serve": "Serve a page in the browser, and a REST API that does the same.",
    "doctor": "Print versions, processor features, memory, what is installed.",
}
"""What each verb does, so that the list of them is shown without importing any; a verb's file
bears its name."""


class _Verb(TyperCommand):
    """A verb whose file is imported when it is used."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        module = import_module(f"minicube.cli.{self.name}")
        verbs = getattr(module, "app", None)
        if verbs is None:
            verbs = typer.Typer(add_completion=False, rich_markup_mode=None)
            verbs.command(self.name)(getattr(module, str(self.name)))
        return typer.main.get_command(verbs).make_context(*args, **kwargs)


class _Verbs(TyperGroup):
    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, what in VERBS.items():
            self.add_command(_Verb(name, help=what, rich_markup_mode=None))

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:  # typer would end without a word
            _complain(str(stop) or "stopped")
            raise typer.Exit(130) from None


app = typer.Typer(
    name="minicube",
    cls=_Verbs,
    help="Brain-tumour segmentation in MRI on the computer you already have.\n\n"
    "Research software, not a medical device.\n\n"
    "Example: minicube segment patient_07/ -o patient_07_seg.nii.gz --report patient_07.html",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: what typer draws boxes with takes longer than all else
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"minicube {__version__}")
        raise typer.Exit


@app.callback()
def _start(
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Print the version."
    ),
) -> None:
    del version


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; never returns."""
    # Else pydantic searches all that is installed for plugins, which nobody asked for.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        app(_with_json_target(words), prog_name="minicube")
    except InputError as error:
        _complain(f"error: {error}")
        sys.exit(2)
    except InternalError as error:
        _complain(f"minicube failed: {error}")
        sys.exit(1)


def _with_json_target(words: list[str]) -> list[str]:
    """Let ``--json`` stand alone: without a file that ends in .json it means the terminal."""
    out = []
    for word, following in zip_longest(words, words[1:], fillvalue=""):
        out.append(word)
        if word == "--json" and following != "-" and not following.endswith(".json"):
            out.append("-")
    return out


def _complain(text: str) -> None:
    print(text, file=sys.stderr)  # noqa: T201 - the one place where errors reach the user
