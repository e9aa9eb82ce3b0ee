"""The parts of the Python API that are more than a name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minicube.scans import Case, LabelScheme

__all__ = ["evaluate", "make_phantom", "train"]


def make_phantom(seed: int = 0, index: int = 0) -> Case:
    """Make one phantom: real anatomy, made-up tumour, reference labels.

    Args:
        seed: Of the dataset.
        index: Number of the case in it.

    Raises:
        MissingExtra: SciPy is not installed.
    """
    from minicube._errors import require

    require("Making phantoms", "phantom", "scipy")
    from minicube.phantom import PhantomSpec
    from minicube.phantom import make_phantom as make

    return make(PhantomSpec(seed=seed), index)


def evaluate(
    prediction: Path | str,
    reference: Path | str,
    *,
    prediction_labels: LabelScheme | None = None,
    reference_labels: LabelScheme | None = None,
) -> dict[str, Any]:
    """Score label maps on disk against references.

    Args:
        prediction: A NIfTI file, or a folder of them.
        reference: Likewise; files of two folders are matched by name.
        prediction_labels: Scheme of the predictions, where their files do not say.
        reference_labels: Scheme of the references, where their files do not say.

    Returns:
        What ``minicube evaluate --json`` prints: counts and scores of each case and of all.

    Raises:
        InputError: A file cannot be read, grids differ, or a scheme is not known.
    """
    from minicube.evaluation import evaluate_files

    return evaluate_files(
        Path(prediction), Path(reference), prediction_labels, reference_labels
    ).to_dict()


def train(
    data: Path | str, out: Path | str, *, minutes: float | None = None, **settings: Any
) -> Path:
    """Train a network on labelled cases; returns the run folder.

    Args:
        data: Folder of labelled cases in any layout.
        out: Run folder; must not hold a run yet.
        minutes: About how long to train; else ``steps`` says.
        settings: Fields of :class:`minicube.training.TrainingConfig`, such as ``steps``,
            ``seed`` or ``widths``.

    Raises:
        InputError: Data, folder or a setting cannot be used, or PyTorch is missing.
    """
    from minicube._errors import require

    require("Training", "train", "torch", "lightning_fabric", "monai")
    from minicube.training import TrainingConfig, TrainingRequest
    from minicube.training import train as run

    config = TrainingConfig.checked(settings, "arguments")
    request = TrainingRequest(data=Path(data), out=Path(out), config=config, minutes=minutes)
    return run(request).path
