"""Sequences left on disk and read slab by slab, for cases larger than the memory to spare."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minicube.scans._case_files import VolumeInFile
from minicube.scans.case import Croppable, Sequence, Slices
from minicube.scans.geometry import Geometry
from minicube.scans.nifti import read_header, read_slabs

__all__ = ["ImagesOnDisk"]


@dataclass(frozen=True)
class ImagesOnDisk(Croppable):
    """Reads a sequence each time it is asked for, and keeps nothing.

    Args:
        places: Where each sequence lies.
        geometries: The grid of each file.
    """

    places: Mapping[Sequence, Path | VolumeInFile]
    geometries: Mapping[Sequence, Geometry]

    @classmethod
    def of(cls, places: Mapping[Sequence, Path | VolumeInFile]) -> ImagesOnDisk:
        """Read the headers alone.

        Raises:
            InputError: One is missing or damaged.
        """
        paths = dict.fromkeys(_volume(place).path for place in places.values())
        grids = {path: read_header(path).geometry for path in paths}
        return cls(places, {s: grids[_volume(place).path] for s, place in places.items()})

    def __len__(self) -> int:
        return len(self.places)

    def __contains__(self, sequence: object) -> bool:
        return sequence in self.places  # a mapping's own would read the whole volume

    def __iter__(self) -> Iterator[Sequence]:
        return iter(self.places)

    def __getitem__(self, sequence: Sequence) -> NDArray[np.float32]:
        """The whole volume, ``(x, y, z)`` in RAS+ and Fortran memory order."""
        x, y, z = self.geometries[sequence].ras_shape
        return self.crop(sequence, (slice(0, x), slice(0, y), slice(0, z)))

    def crop(self, sequence: Sequence, box: Slices) -> NDArray[np.float32]:
        """A box of a volume, in RAS+ and Fortran memory order; a slab at a time is read."""
        out = np.empty([s.stop - s.start for s in box], np.float32, order="F")
        for _, where, slab in self.slabs((sequence,)):
            inside = [
                slice(max(a.start, b.start), min(a.stop, b.stop))
                for a, b in zip(where, box, strict=True)
            ]
            if all(s.start < s.stop for s in inside):
                to = tuple(_moved(s, b.start) for s, b in zip(inside, box, strict=True))
                out[to] = slab[
                    tuple(_moved(s, w.start) for s, w in zip(inside, where, strict=True))
                ]
        return out

    def by_file(self) -> list[tuple[Sequence, ...]]:
        """The sequences, together where they lie in one file."""
        files: dict[Path | Sequence, list[Sequence]] = {}
        for sequence, place in self.places.items():
            key = place.path if isinstance(place, VolumeInFile) else sequence
            files.setdefault(key, []).append(sequence)
        return [tuple(sequences) for sequences in files.values()]

    def slabs(
        self, sequences: tuple[Sequence, ...]
    ) -> Iterator[tuple[Sequence, Slices, NDArray[np.float32]]]:
        """Slabs that make up sequences of one file, and where they lie, in RAS+.

        Raises:
            InputError: The file is damaged, or does not hold what it should.
        """
        volumes = {_volume(self.places[sequence]).index: sequence for sequence in sequences}
        place, geometry = _volume(self.places[sequences[0]]), self.geometries[sequences[0]]
        axis, direction = geometry.orientation[2]
        length = geometry.shape[2]
        for volume, start, slab in read_slabs(place.path, place.count, volumes):
            stop = start + slab.shape[2]
            first, last = (start, stop) if direction > 0 else (length - stop, length - start)
            where = [slice(0, n) for n in geometry.ras_shape]
            where[axis] = slice(first, last)
            yield volumes[volume], (where[0], where[1], where[2]), geometry.to_ras(slab)


def _volume(place: Path | VolumeInFile) -> VolumeInFile:
    return place if isinstance(place, VolumeInFile) else VolumeInFile(place, 0, 1)


def _moved(part: slice, origin: int) -> slice:
    return slice(part.start - origin, part.stop - origin)
