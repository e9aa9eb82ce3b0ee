"""What a label map was made from, in the file beside it: enough to know that it still holds."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from minicube._errors import InputError
from minicube._files import checksum, read_json, write_json
from minicube._version import __version__
from minicube.engines import Model
from minicube.scans import CaseFiles
from minicube.scans.nifti import sidecar_of
from minicube.volumes import Origin, origin_of

__all__ = ["Made", "keep_made", "made_before", "origin_of_segmentation", "settings_of"]


class Made(BaseModel):
    """What a cohort's table says of a case that was segmented.

    Args:
        volumes_ml: Millilitres of each region and tissue; None where not determinable.
        seconds: Time it took.
        warnings: Remarks that a user should see.
    """

    model_config = ConfigDict(frozen=True)

    volumes_ml: dict[str, float | None]
    seconds: float
    warnings: list[str]


class _Record(BaseModel):
    origin: dict[str, str]
    files: dict[str, str]
    made: Made


def origin_of_segmentation(
    files: CaseFiles, models: Sequence[Model], options: Mapping[str, str]
) -> Origin:
    """Describe all that a segmentation depends on: scans by their content, models, options.

    Args:
        files: Of the case; a reference among them does not count.
        models: All that are averaged.
        options: Whatever else changes what is written, in words.

    Raises:
        InputError: A file cannot be read.
    """
    scans = replace(files, reference=None)
    denoise = models[0].description.denoise
    return {
        **origin_of(scans, labels=None, denoise=denoise),
        **settings_of(models, options),
    }


def settings_of(models: Sequence[Model], options: Mapping[str, str]) -> dict[str, str]:
    """All but the scans that a segmentation depends on.

    Args:
        models: As for :func:`origin_of_segmentation`, like ``options``.
        options: See above.
    """
    return {
        **options,
        "models": " ".join(_digest(each.description.model_dump_json()) for each in models),
        "minicube": __version__,
    }


def keep_made(label_map: Path, origin: Origin, outputs: Iterable[Path], made: Made) -> None:
    """Note in the JSON file beside a label map what it and its companions were made from.

    Args:
        label_map: Written before, with the file beside it.
        origin: From :func:`origin_of_segmentation`, before the scans were read.
        outputs: All that was written, the label map included.
        made: For :func:`made_before` to give back.

    Raises:
        InputError: A file cannot be read or written.
    """
    files = {path.name: checksum(path) for path in outputs}
    record = _Record(origin=dict(origin), files=files, made=made)
    sidecar = sidecar_of(label_map)
    write_json(sidecar, {**read_json(sidecar), **record.model_dump()})


def made_before(
    label_map: Path,
    outputs: Iterable[Path],
    origin: Callable[[], Origin],
) -> Made | None:
    """Return what is known of outputs that are whole and would come out the same now.

    Args:
        label_map: Where it would be.
        outputs: All that is wanted, the label map included.
        origin: Gives what they would be made from now; asked only when they are whole.

    Returns:
        None when something is missing, was changed, or would come out otherwise.
    """
    try:
        record = _Record.model_validate(read_json(sidecar_of(label_map)))
        whole = all(record.files.get(path.name) == checksum(path) for path in outputs)
        if whole and record.origin == origin():
            return record.made
    except (InputError, ValidationError):
        pass
    return None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
