"""A model to one ONNX file that says what it is – written only when it answers as before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from minicube._errors import InputError, InternalError
from minicube._files import replacing
from minicube.engines import (
    Engine,
    Model,
    Numbers,
    Precision,
    load_model,
    open_engine,
    segment_volume,
)
from minicube.engines.portable import METADATA, NORMS, SUFFIX
from minicube.engines.torch_engine import TorchEngine, load_network
from minicube.engines.trainable import packed_norms
from minicube.evaluation import CaseScores, Summary, evaluate_case, summarise
from minicube.export.graph import cut_points, half_precision, onnx_graph
from minicube.export.int8 import calibration_box, quantised
from minicube.networks import Network, cost_of
from minicube.planning import NetworkCost
from minicube.scans import CaseFiles, LabelMap, LabelScheme, check_complete, load_case
from minicube.volumes import Prepared, prepare

__all__ = ["ExportRequest", "Exported", "export_model"]

_CLOSE: Final = 1e-3  # of logits in fp32
_MAY_FALL: Final = 0.005  # of mean Dice, over regions and cases
_PERIODS: Final = 4  # of the stride along each axis of the volume that is compared


@dataclass(frozen=True)
class ExportRequest:
    """What to export, and as what.

    Args:
        model: A run folder's; or an exported one, to be kept as fewer bytes.
        out: File to write; ends in ``.onnx``.
        numbers: What the weights are kept as.
        cases: Labelled ones, for everything but fp32: Dice on them must not fall by more than
            half a point. For int8 its ranges are found on them too.
        labels: Scheme of their references, where their files do not say.
        name: Of the model, in reports; that of the file when left out.
        licence: Of the weights; as the run says when left out.
        overwrite: False refuses to replace an existing file.
    """

    model: Model
    out: Path
    numbers: Numbers = Numbers.FP32
    cases: Sequence[CaseFiles] = ()
    labels: LabelScheme | None = None
    name: str | None = None
    licence: str | None = None
    overwrite: bool = True


@dataclass(frozen=True)
class Exported:
    """What was written.

    Args:
        model: The file, as it can be loaded.
        size: Bytes of the file.
        largest_difference: Of a logit from torch's in fp32, on a made-up volume.
        dice: Mean Dice over regions and cases in fp32 and as exported; None without cases.
    """

    model: Model
    size: int
    largest_difference: float
    dice: tuple[float, float] | None = None


@dataclass(frozen=True)
class _Candidate:
    """A file that is not in its place yet, and what it is measured against."""

    model: Model
    network: Network
    request: ExportRequest

    @property
    def engine(self) -> Engine:
        in_int8 = self.request.numbers is Numbers.INT8
        return open_engine(self.model, precision=Precision.INT8 if in_int8 else Precision.FP32)

    @property
    def original(self) -> Engine:
        return TorchEngine(self.network, bf16=False, cost=self.model.cost)


def export_model(request: ExportRequest) -> Exported:
    """Write a model's network as one portable file.

    Raises:
        InputError: The model is exported already and nothing is to change, cases are missing,
            the answer would become worse than allowed, or the file cannot be written.
        InternalError: The exported network does not compute what torch does.
    """
    if request.model.is_exported and request.numbers is Numbers.FP32:
        raise InputError(
            f"{request.model.place} is exported already.",
            expected="a run folder, as `train` makes; or --half or --int8",
        )
    if request.out.suffix != SUFFIX:
        raise InputError(f"{request.out} is no name for an ONNX file.", expected=f"NAME{SUFFIX}")
    if request.numbers is not Numbers.FP32 and not request.cases:
        raise InputError(
            f"{request.numbers} needs cases to be held against fp32.",
            hint="give a few labelled cases with --cases, none that the model was trained on",
        )
    network = load_network(request.model)
    graph = onnx_graph(network)
    if request.numbers is Numbers.FP16:
        graph = half_precision(graph)
    elif request.numbers is Numbers.INT8:
        windows = _calibration_windows(request, cost_of(network.config))
        graph = quantised(graph, windows, cut_points(network))
    with replacing(request.out, overwrite=request.overwrite) as temporary:
        temporary.write_bytes(_described(graph, request, network).SerializeToString())
        made = _Candidate(load_model(temporary), network, request)
        difference = _largest_difference(made)
        dice = _dice_before_and_after(made) if request.cases else None
        _refuse_worse(request, difference, dice)
    model = load_model(request.out)
    return Exported(model, request.out.stat().st_size, difference, dice)


def _described(graph: ModelProto, request: ExportRequest, network: Network) -> ModelProto:
    """The graph with the description among its metadata, and what training on asks for."""
    description = request.model.description.model_copy(
        update={
            "name": request.name or request.out.name.removesuffix(SUFFIX),
            "licence": request.licence or request.model.description.licence,
            "sha256": sha256(graph.graph.SerializeToString()).hexdigest(),
            "cost": request.model.description.cost or cost_of(network.config),
            "numbers": request.numbers,
            "cut_points": cut_points(network),
        }
    )
    out = ModelProto()
    out.CopyFrom(graph)
    out.producer_name, out.producer_version = "minicube", description.minicube
    del out.metadata_props[:]
    out.metadata_props.add(key=METADATA, value=description.model_dump_json())
    norms = packed_norms(request.model, network)
    if norms is not None and request.numbers is not Numbers.INT8:  # which is not trained on
        out.metadata_props.add(key=NORMS, value=norms)
    return out


def _largest_difference(made: _Candidate) -> float:
    """Between torch and the exported file, on noise."""
    cost = made.model.cost
    shape = [s * _PERIODS + 2 * cost.margin for s in cost.stride]
    images = np.random.default_rng(0).normal(size=(cost.sequences, *shape)).astype(np.float32)
    difference = made.original.logits(images) - made.engine.logits(images)
    return float(np.abs(difference).max())


def _dice_before_and_after(made: _Candidate) -> tuple[float, float]:
    engines = {"before": made.original, "after": made.engine}
    scores: dict[str, list[CaseScores]] = {name: [] for name in engines}
    description = made.model.description
    for ready, reference in _labelled(made.request):
        images = ready.images_as(description.normalisation)
        for name, engine in engines.items():
            found = segment_volume(engine, images, description.cut)
            scores[name].append(evaluate_case(found, reference, identity=ready.identity))
    return _mean(summarise(scores["before"])), _mean(summarise(scores["after"]))


def _calibration_windows(
    request: ExportRequest, cost: NetworkCost
) -> Iterator[NDArray[np.float32]]:
    for ready, _ in _labelled(request):
        images = ready.images_as(request.model.description.normalisation)
        yield calibration_box(ready, cost).cut(images)


def _labelled(request: ExportRequest) -> Iterator[tuple[Prepared, LabelMap]]:
    """The cases, made ready one after the other, and their references."""
    for files in request.cases:
        check_complete(files.identity, files.sequences, "to hold an exported model against")
        case = load_case(files, labels=request.labels)
        ready = prepare(case, denoise=request.model.description.denoise)
        if ready.labels is None:
            raise InputError(f"{files.identity} has no reference.", hint="leave it out of --cases")
        yield ready, ready.labels


def _mean(summary: Summary) -> float:
    means = [group.mean for group in summary.regions.values() if group.mean is not None]
    return float(np.mean(means))


def _refuse_worse(
    request: ExportRequest, difference: float, dice: tuple[float, float] | None
) -> None:
    if request.numbers is Numbers.FP32 and difference > _CLOSE:
        raise InternalError(
            f"The exported network gives other logits than torch: they differ by {difference:.2g}, "
            f"{_CLOSE:g} is allowed."
        )
    if dice is not None and dice[0] - dice[1] > _MAY_FALL:
        raise InputError(
            f"As {request.numbers} the model would lose too much.",
            expected=f"a mean Dice at most {_MAY_FALL:g} below fp32's {dice[0]:.4f}",
            found=f"{dice[1]:.4f} over {len(request.cases)} cases",
            hint="export it in fp32",
        )
