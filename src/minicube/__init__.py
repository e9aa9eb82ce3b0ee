"""Brain-tumour segmentation in MRI on the computer you already have.

Research software, not a medical device.

>>> import minicube as mc
>>> case = mc.make_phantom(seed=1)  # or mc.load_case("patient_07/")
>>> case.shape
(240, 240, 155)
>>> result = mc.segment(case)
>>> sorted(result.volumes_ml)[:3]
['ET', 'TC', 'WT']
>>> from tempfile import TemporaryDirectory
>>> with TemporaryDirectory() as folder:
...     path = result.save(f"{folder}/seg.nii.gz")
...     scores = mc.evaluate(path, path)
>>> scores["summary"]["regions"]["WT"]["dice"]["mean"]
1.0

Everything below is loaded when it is first used; ``import minicube`` itself costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from minicube._errors import InputError, MinicubeError
from minicube._version import __version__

if TYPE_CHECKING:
    from minicube._api import evaluate, make_phantom, train
    from minicube.inference import Segmentation, segment
    from minicube.scans import Case, LabelMap, LabelScheme, load_case

__all__ = [
    "Case",
    "InputError",
    "LabelMap",
    "LabelScheme",
    "MinicubeError",
    "Segmentation",
    "__version__",
    "evaluate",
    "load_case",
    "make_phantom",
    "segment",
    "train",
]

_HOME = {
    "Case": "minicube.scans",
    "LabelMap": "minicube.scans",
    "LabelScheme": "minicube.scans",
    "load_case": "minicube.scans",
    "Segmentation": "minicube.inference",
    "segment": "minicube.inference",
    "evaluate": "minicube._api",
    "make_phantom": "minicube._api",
    "train": "minicube._api",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'minicube' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
