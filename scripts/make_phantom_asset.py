"""Make src/minicube/phantom/assets/icbm152.npz from the ICBM-152 maps that nilearn carries.

Usage: python scripts/make_phantom_asset.py NILEARN_WHEEL_OR_FOLDER [OUT.npz]
"""

from __future__ import annotations

import io
import sys
import tempfile
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

HERE = Path(__file__).resolve().parent
DEFAULT_OUT = HERE.parent / "src/minicube/phantom/assets/icbm152.npz"
PATTERN = "mni_icbm152_{}_tal_nlin_sym_09a_converted.nii.gz"
MIDLINE = 98  # index of the sagittal plane the template is symmetric about
LEVELS = 15  # four bits
DEEP_BOX = (slice(70, 127), slice(80, 165), slice(70, 115))  # holds the lateral ventricles


def find(source: Path, kind: str) -> Path:
    """Return the path of one map below an unpacked folder."""
    found = sorted(source.rglob(PATTERN.format(kind)))
    if not found:
        raise SystemExit(f"{PATTERN.format(kind)} not found below {source}")
    return found[0]


def read(source: Path, kind: str) -> NDArray[np.uint8]:
    """Return one map, ``(197, 233, 189)``, RAS+, 0–255."""
    return np.asarray(nib.load(find(source, kind)).dataobj, np.uint8)  # type: ignore[attr-defined]


def signed_distance(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the distance to the mask's border, mm, positive inside."""
    inside: NDArray[np.float64] = ndimage.distance_transform_edt(mask)
    outside: NDArray[np.float64] = ndimage.distance_transform_edt(~mask)
    return inside - outside


def ventricles(csf: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return the lateral ventricles: the largest piece of fluid in the middle of the brain."""
    likely = csf > 0.5
    deep = np.zeros_like(likely)
    deep[DEEP_BOX] = likely[DEEP_BOX]
    pieces, _ = ndimage.label(ndimage.binary_opening(deep))
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return np.asarray(pieces == sizes.argmax())


def make(source: Path) -> dict[str, NDArray[np.generic]]:
    """Return the arrays of the asset."""
    grey, white, t1 = (read(source, kind) for kind in ("gm", "wm", "t1"))
    brain = ndimage.binary_fill_holes(ndimage.binary_closing(t1 > 0, iterations=8)) & (
        ndimage.binary_opening(t1 > 0, iterations=3) | (grey + white.astype(int) < 128)
    )
    pieces, _ = ndimage.label(brain)
    brain = pieces == np.bincount(pieces.ravel())[1:].argmax() + 1
    csf = np.where(brain, 1 - (grey.astype(float) + white) / 255, 0)
    depth = np.clip(np.round(signed_distance(brain) * 2), -90, 120)
    ventricle = np.clip(np.round(signed_distance(ventricles(csf)) * 2), -120, 60)
    half = slice(0, MIDLINE + 1)
    return {
        "grey": np.round(grey[half] / 255 * LEVELS).astype(np.uint8),
        "white": np.round(white[half] / 255 * LEVELS).astype(np.uint8),
        "depth": depth[half][::2, ::2, ::2].astype(np.int8),
        "ventricle": ventricle[half][::2, ::2, ::2].astype(np.int8),
    }


def write(arrays: dict[str, NDArray[np.generic]], out: Path) -> None:
    """Write an ``.npz`` that LZMA packs; the same input gives the same bytes."""
    with zipfile.ZipFile(out, "w", zipfile.ZIP_LZMA) as archive:
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, np.ascontiguousarray(array), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy")
            entry.compress_type = zipfile.ZIP_LZMA
            archive.writestr(entry, buffer.getvalue())


def main() -> None:
    """Read the arguments, make the asset and say how large it is."""
    if len(sys.argv) not in (2, 3):
        raise SystemExit(__doc__)
    source, out = Path(sys.argv[1]), Path([*sys.argv, str(DEFAULT_OUT)][2])
    if source.is_dir():
        write(make(source), out)
    else:
        with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(source) as wheel:
            for name in wheel.namelist():
                if Path(name).name in {PATTERN.format(kind) for kind in ("gm", "wm", "t1")}:
                    wheel.extract(name, folder)
            write(make(Path(folder)), out)
    sys.stdout.write(f"{out}: {out.stat().st_size} bytes\n")


if __name__ == "__main__":
    main()
