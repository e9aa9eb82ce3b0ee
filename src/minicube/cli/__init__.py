"""The command line: one verb a file, thin – parse, call, print.

Exit codes: 0 done; 1 a fault of ours; 2 something given cannot be used as it is;
3 some cases of a cohort failed, the others are done;
130 stopped by the user. Nothing heavy is imported before a verb runs.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence

import typer

from minicube._errors import InputError, InternalError
from minicube._version import __version__
from minicube.cli import (
    bundle,
    data,
    dicom,
    doctor,
    evaluate,
    export,
    phantom,
    plan,
    recipe,
    report,
    segment,
    serve,
    simulate,
    study,
    train,
)

__all__ = ["app", "main"]

app = typer.Typer(
    name="minicube",
    help="Brain-tumour segmentation in MRI on the computer you already have.\n\n"
    "Research software, not a medical device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: what typer draws boxes with takes longer than all else
)
app.add_typer(data.app, name="data")
app.add_typer(dicom.app, name="dicom")
app.command("phantom")(phantom.phantom)
app.command("simulate")(simulate.simulate)
app.command("train")(train.train)
app.command("segment")(segment.segment)
app.command("plan")(plan.plan)
app.command("export")(export.export)
app.command("evaluate")(evaluate.evaluate)
app.command("study")(study.study)
app.command("recipe")(recipe.recipe)
app.command("report")(report.report)
app.command("bundle")(bundle.bundle)
app.command("serve")(serve.serve)
app.command("doctor")(doctor.doctor)


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
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        app(_with_json_target(words), prog_name="minicube")
    except InputError as error:
        _complain(f"error: {error}")
        sys.exit(2)
    except InternalError as error:
        _complain(f"minicube failed: {error}")
        sys.exit(1)
    except KeyboardInterrupt:
        _complain("stopped")
        sys.exit(130)


def _with_json_target(words: list[str]) -> list[str]:
    """Let ``--json`` stand alone: without a file that ends in .json it means the terminal."""
    out = []
    for word, following in zip(words, [*words[1:], ""], strict=True):
        out.append(word)
        if word == "--json" and following != "-" and not following.endswith(".json"):
            out.append("-")
    return out


def _complain(text: str) -> None:
    print(text, file=sys.stderr)  # noqa: T201 - the one place where errors reach the user
