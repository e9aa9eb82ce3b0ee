"""Score held-out cases, whole, during training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from minicube.engines import volume_logits
from minicube.engines.torch_engine import TorchEngine
from minicube.evaluation import CaseScores, evaluate_case, summarise
from minicube.networks import Network
from minicube.scans import NETWORK_SCHEME, LabelMap
from minicube.training.config import TrainingConfig
from minicube.training.device import Device
from minicube.training.losses import build_loss
from minicube.training.memory import scoring_partition
from minicube.training.ranks import ALONE, Ranks
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
    ranks: Ranks = ALONE,
) -> Scores:
    """Segment whole held-out cases and compare with their references, at 1 mm.

    Args:
        network: Left in the mode it was in.
        cases: At least one.
        config: Of the run: how volumes are cut and what the loss is.
        bf16: Compute in bfloat16.
        memory: Bytes that the process may hold; None sets no limit.
        ranks: That share the cases, and all call this; each returns the scores of all cases.
    """
    engine = TorchEngine(network, bf16=bf16)
    device = Device(engine.device.type)
    loss = build_loss(config.loss)

    def judged(case: StoredCase) -> tuple[float, CaseScores]:
        whole = Box((0, 0, 0), case.shape)
        images, truth = case.read(whole, config.intensities)
        cut = scoring_partition(config, case.shape, memory, device)
        logits = volume_logits(engine, images, cut)
        target = torch.from_numpy(truth).long()
        missed = float(loss(torch.from_numpy(logits)[None], target[None]))
        found = LabelMap(logits.argmax(axis=0).astype(np.uint8), NETWORK_SCHEME)
        return missed, evaluate_case(found, case.labels, identity=case.identity)

    mine = [cases[i] for i in ranks.share(len(cases))]
    parts = ranks.everyone(lambda: [judged(case) for case in mine])
    losses, scores = zip(*(pair for part in parts for pair in part), strict=True)
    summary = summarise(scores)
    return Scores(
        cases=len(scores),
        loss=float(np.mean(losses)),
        dice={region.value: summary.regions[region].mean for region in summary.regions},
        summary=summary.to_dict(),
    )
