"""Score held-out cases, whole, during training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from minicube.engines import volume_logits
from minicube.engines.torch_engine import TorchEngine
from minicube.evaluation import evaluate_case, summarise
from minicube.networks import Network
from minicube.scans import NETWORK_SCHEME, LabelMap
from minicube.training.config import TrainingConfig
from minicube.training.device import Device
from minicube.training.losses import build_loss
from minicube.training.memory import scoring_partition
from minicube.volumes import Box, StoredCase

__all__ = ["Scores", "score"]


@dataclass(frozen=True)
class Scores:
    """What the held-out cases say.

    Args:
        cases: How many there are.
        loss: Mean of the training loss over whole cases.
        dice: Mean Dice of each region by its name, None when no case has it.
        summary: Everything, ready for JSON.
    """

    cases: int
    loss: float
    dice: Mapping[str, float | None]
    summary: Mapping[str, Any]


def score(
    network: Network,
    cases: Sequence[StoredCase],
    config: TrainingConfig,
    *,
    bf16: bool,
    memory: int | None = None,
) -> Scores:
    """Segment whole held-out cases and compare with their references, at 1 mm.

    Args:
        network: Left in the mode it was in.
        cases: At least one.
        config: Of the run: how volumes are cut and what the loss is.
        bf16: Compute in bfloat16.
        memory: Bytes that the process may hold; None sets no limit.
    """
    engine = TorchEngine(network, bf16=bf16)
    device = Device(engine.device.type)
    loss = build_loss(config.loss)
    losses, scores = [], []
    for case in cases:
        whole = Box((0, 0, 0), case.shape)
        images, truth = case.read(whole, config.intensities)
        cut = scoring_partition(config, case.shape, memory, device)
        logits = volume_logits(engine, images, cut)
        target = torch.from_numpy(truth).long()
        losses.append(float(loss(torch.from_numpy(logits)[None], target[None])))
        found = LabelMap(logits.argmax(axis=0).astype(np.uint8), NETWORK_SCHEME)
        scores.append(evaluate_case(found, case.labels, identity=case.identity))
    summary = summarise(scores)
    return Scores(
        cases=len(scores),
        loss=float(np.mean(losses)),
        dice={region.value: summary.regions[region].mean for region in summary.regions},
        summary=summary.to_dict(),
    )
