"""Prepared cases on disk, small, so that training reads windows of them and never a whole case."""

from __future__ import annotations

import io
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from minicube._errors import InputError, MissingExtra
from minicube._files import read_json, replacing, write_json
from minicube.scans import NETWORK_SCHEME, LabelMap, Sequence
from minicube.volumes.box import Box, Shape
from minicube.volumes.codes import decode, encode
from minicube.volumes.origin import Origin
from minicube.volumes.prepare import Intensities, Prepared, Scale, present_in, unscaled

__all__ = ["BRAIN", "StoredCase", "open_stored", "store_one"]

BRAIN = "brain"
_SPOTS_A_CLASS = 4096

_IMAGES, _LABELS, _LEVELS, _SPOTS = "images.b2nd", "labels.b2nd", "levels.npz", "spots.npz"
_FACTS = "case.json"

# A window of 96 x 96 x 80 unpacks about 1.8 times the voxels it has. Smaller blocks are too many,
# of larger ones more is unpacked in vain; a chunk is held while a window is put together.
_CHUNK: Final = 48
_BLOCK: Final = 24
_READ_AT_ONCE: Final = 1 << 20  # bytes

_Size = Annotated[int, Field(ge=1, le=4096)]


class _Facts(BaseModel):
    """``case.json``: what the other files hold, and their sizes and CRC-32."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    identity: str
    shape: tuple[_Size, _Size, _Size]
    scales: tuple[tuple[float, float], ...] = Field(
        min_length=len(Sequence), max_length=len(Sequence)
    )
    origin: dict[str, str]
    files: dict[str, tuple[int, int]]


@dataclass(frozen=True)
class StoredCase:
    """A prepared, labelled case that is read from disk a window at a time.

    Nothing stays open between reads, so any number of threads and processes may read.

    Args:
        folder: Holds ``images.b2nd`` (codes of z-scores, uint16, ``(sequence, x, y, z)``),
            ``labels.b2nd`` (uint8, ``(x, y, z)``), both compressed in blocks; ``levels.npz``
            (of each sequence the z-score that a code stands for); ``spots.npz`` and
            ``case.json``.
    """

    folder: Path

    @property
    def identity(self) -> str:
        """Name of the case."""
        return self._facts.identity

    @property
    def origin(self) -> Origin:
        """What it was made from."""
        return self._facts.origin

    @property
    def scales(self) -> tuple[Scale, ...]:
        """What the z-scores of each sequence were made with."""
        return tuple(Scale(*pair) for pair in self._facts.scales)

    @property
    def present(self) -> tuple[Sequence, ...]:
        """Sequences that are there."""
        return present_in(self.scales)

    @property
    def shape(self) -> Shape:
        """Voxels along x, y, z."""
        return self._facts.shape

    @property
    def labels(self) -> LabelMap:
        """Labels in :data:`NETWORK_SCHEME`, ``(x, y, z)``, all of them."""
        return LabelMap(self._cut(_LABELS, Box((0, 0, 0), self.shape)), NETWORK_SCHEME)

    @cached_property
    def spots(self) -> dict[str, NDArray[np.int16]]:
        """Up to 4096 voxels, ``(n, 3)``, of each tissue present and of the brain as a whole."""
        return self._tables(_SPOTS)

    def read(
        self, box: Box, intensities: Intensities = Intensities.Z_SCORE
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Read one window: images ``(sequence, *box.shape)`` and labels; 0 outside the case.

        Args:
            box: May reach outside the case.
            intensities: How images are scaled.

        Raises:
            InputError: The stored case is damaged.
        """
        levels = self._levels[intensities]
        codes: NDArray[np.uint16] = self._cut(_IMAGES, box)
        labels: NDArray[np.uint8] = self._cut(_LABELS, box)
        images = np.empty(codes.shape, np.float32)
        with self._reading(_IMAGES):
            for channel, table in enumerate(levels):
                decode(codes[channel], table, images[channel])
        return images, labels

    def is_whole(self) -> bool:
        """Whether every file is as it was written."""
        try:
            facts = self._facts
            return facts.files == {name: _checksum(self.folder / name) for name in _FILES}
        except (InputError, OSError):
            return False

    @cached_property
    def _facts(self) -> _Facts:
        path = self.folder / _FACTS
        try:
            return _Facts.model_validate(read_json(path))
        except InputError as error:
            raise _damaged(path, error.found or error.problem) from error
        except ValidationError as error:
            raise _damaged(path, str(error.errors()[0]["msg"])) from error

    @cached_property
    def _levels(self) -> Mapping[Intensities, tuple[NDArray[np.float32], ...]]:
        tables: dict[str, NDArray[np.float32]] = self._tables(_LEVELS)
        with self._reading(_LEVELS):
            scores = tuple(tables[sequence.value] for sequence in Sequence)
            if any(table.ndim != 1 or table.dtype != np.float32 for table in scores):
                raise ValueError("tables that are none")
        raw = tuple(
            unscaled(table[None], (scale,))[0]
            for table, scale in zip(scores, self.scales, strict=True)
        )
        return {Intensities.Z_SCORE: scores, Intensities.RAW: raw}

    def _tables(self, name: str) -> dict[str, Any]:
        with self._reading(name):
            content = io.BytesIO((self.folder / name).read_bytes())
            with np.load(content, allow_pickle=False) as archive:
                return {key: archive[key] for key in archive.files}

    def _cut(self, name: str, box: Box) -> NDArray[Any]:
        wanted: tuple[object, ...] = (self.shape, np.uint8, *_grid(3))
        if name == _IMAGES:
            wanted = ((len(Sequence), *self.shape), np.uint16, *_grid(4))
        with self._reading(name):
            array = _open(self.folder / name)
            found = (array.shape, array.dtype, array.chunks, array.blocks)
            if found != wanted:
                raise ValueError(f"an array of {array.dtype}, {array.shape}")
            return np.ascontiguousarray(box.cut(array))

    @contextmanager
    def _reading(self, name: str) -> Iterator[None]:
        path = self.folder / name
        try:
            # A frame that is cut short must not reach the library that unpacks it.
            if path.stat().st_size != self._facts.files[name][0]:
                raise ValueError(f"{path.stat().st_size} bytes")
            yield
        except InputError:
            raise
        except _UNREADABLE as error:
            raise _damaged(path, str(error) or type(error).__name__) from error


_FILES: Final = (_IMAGES, _LABELS, _LEVELS, _SPOTS)

# All that numpy and blosc2 were seen to raise on files with changed bytes.
_UNREADABLE: Final = (
    OSError,
    EOFError,
    ValueError,  # blosc2's refusal of what could run code is one
    TypeError,
    LookupError,
    ArithmeticError,
    RuntimeError,
    SyntaxError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


def store_one(case: Prepared, folder: Path, origin: Origin | None = None) -> StoredCase:
    """Write one prepared case with its labels into ``folder``.

    Args:
        case: With labels; a sequence that is missing is 0.
        folder: Of all stored cases; each has a folder of its own in it.
        origin: What the case was made from, to be asked for when it is opened; left out, it
            counts as made from nothing that is known.

    Raises:
        InputError: The folder cannot be written to.
        MissingExtra: blosc2 is not installed.
    """
    stored = StoredCase(folder / case.identity)
    if case.labels is None:
        raise ValueError(f"{case.identity} has no labels to learn from")
    codes = np.empty(case.images.shape, np.uint16)
    levels = {}
    for channel, sequence in enumerate(Sequence):
        codes[channel], levels[sequence.value] = encode(case.images[channel])
    contents = {
        _IMAGES: _frame(codes),
        _LABELS: _frame(case.labels.array.astype(np.uint8)),
        _LEVELS: _archive(levels),
        _SPOTS: _archive(_spots(case.brain, case.labels)),
    }
    for name, content in contents.items():
        with replacing(stored.folder / name) as temporary:
            temporary.write_bytes(content)
    # Last, and with the checksums: a case that was left half-written, or written by two at once
    # from different sources, does not pass for a whole one.
    x, y, z = case.images.shape[1:]
    facts = _Facts(
        identity=case.identity,
        shape=(x, y, z),
        scales=tuple((scale.mean, scale.deviation) for scale in case.scales),
        origin=dict(origin or {}),
        files={name: (len(content), zlib.crc32(content)) for name, content in contents.items()},
    )
    write_json(stored.folder / _FACTS, facts.model_dump(mode="json"))
    return stored


def open_stored(folder: Path, identity: str, origin: Origin | None = None) -> StoredCase | None:
    """Return the stored case, or None when it has to be prepared.

    Args:
        folder: Of all stored cases.
        identity: Name of the case.
        origin: What it must have been made from; None takes what is there.

    Returns:
        None when the case is not there, not whole, or made from something else.
    """
    stored = StoredCase(folder / identity)
    if not stored.is_whole() or (origin is not None and stored.origin != origin):
        return None
    return stored


def _blosc2() -> ModuleType:
    try:
        import blosc2
    except ImportError as error:
        raise MissingExtra("Storing prepared cases", "train") from error
    module: ModuleType = blosc2
    return module


def _grid(dimensions: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Sizes of chunks and of the blocks in them; the sequences of a place lie in one chunk."""
    if dimensions == 3:
        return (_CHUNK,) * 3, (_BLOCK,) * 3
    return (len(Sequence), *(_CHUNK,) * 3), (1, *(_BLOCK,) * 3)


def _frame(array: NDArray[Any]) -> bytes:
    blosc2 = _blosc2()
    chunks, blocks = _grid(array.ndim)
    # LZ4HC unpacks twice as fast as zstd and is a tenth larger. One thread, here and in reading:
    # the others belong to the training.
    packing = blosc2.CParams(
        codec=blosc2.Codec.LZ4HC, clevel=9, filters=[blosc2.Filter.SHUFFLE], nthreads=1
    )
    packed = blosc2.asarray(
        np.ascontiguousarray(array), chunks=chunks, blocks=blocks, cparams=packing
    )
    return bytes(packed.to_cframe())


def _open(path: Path) -> Any:
    blosc2 = _blosc2()
    # "safe": expressions, functions and references to other files are refused.
    array = blosc2.open(str(path), mode="r", deserialize="safe", dparams=blosc2.DParams(nthreads=1))
    if not isinstance(array, blosc2.NDArray):
        raise TypeError(f"a {type(array).__name__}")
    return array


def _archive(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, allow_pickle=False, **arrays)
    return file.getvalue()


def _checksum(path: Path) -> tuple[int, int]:
    """Size in bytes, and CRC-32."""
    size = crc = 0
    with path.open("rb") as file:
        while part := file.read(_READ_AT_ONCE):
            size, crc = size + len(part), zlib.crc32(part, crc)
    return size, crc


def _damaged(path: Path, found: str) -> InputError:
    return InputError(
        f"The prepared case {path.parent} is damaged.",
        found=f"{path.name}: {found}",
        hint=f"delete {path.parent}; it is prepared anew when the command is run again",
    )


def _spots(brain: NDArray[np.bool_], labels: LabelMap) -> dict[str, NDArray[np.int16]]:
    rng = np.random.default_rng(0)
    found = {}
    masks = {tissue.value: labels.tissue(tissue) for tissue in labels.scheme.tissues.values()}
    for name, mask in (masks | {BRAIN: brain}).items():
        flat = np.flatnonzero(mask)
        if flat.size > _SPOTS_A_CLASS:
            flat = np.sort(rng.choice(flat, _SPOTS_A_CLASS, replace=False))
        if flat.size:
            found[name] = np.stack(np.unravel_index(flat, mask.shape), axis=1).astype(np.int16)
    return found
