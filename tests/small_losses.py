"""What the tests of the losses have in common."""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor
from torch.nn import functional

from minicube.training.losses import Activation, LossConfig, Term, build_loss

EVERY = [
    (term, activation)
    for term, activation in product(Term, Activation)
    if term is not Term.REGION_DICE or activation is Activation.SOFTMAX
]
Logits = tuple[Tensor, Tensor]


def loss(logits: Tensor, target: Tensor, name: str, **settings: object) -> Tensor:
    config = LossConfig.model_validate({"name": name, **settings})
    return build_loss(config, logits.shape[1])(logits, target)


def some(seed: int, classes: int = 4, size: tuple[int, ...] = (2, 5, 4, 3)) -> Logits:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn((size[0], classes, *size[1:]), generator=generator, dtype=torch.float64)
    return 2 * logits, torch.randint(0, classes, size, generator=generator)


def certain(target: Tensor, classes: int = 4) -> Tensor:
    """Logits of one who knows."""
    return 60 * (2 * functional.one_hot(target, classes).movedim(-1, 1).float() - 1)
