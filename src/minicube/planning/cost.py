"""What a network costs, as plain values: traced once, kept, and all that a plan needs of it."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["LevelsCost", "NetworkCost", "PieceCost"]

# No network has more; who says so does not know, or lies.
_Amount = Annotated[float, Field(ge=0, le=1e15, allow_inf_nan=False)]
_Halo = Annotated[int, Field(ge=0, le=2048)]  # voxels; of seven levels it is 382
_Margin = Annotated[int, Field(ge=0, le=64)]  # voxels
_Factor = Annotated[int, Field(ge=1, le=128)]
_Channels = Annotated[int, Field(ge=1, le=1 << 16)]
_Level = Annotated[int, Field(ge=0, le=16)]


class _Plain(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PieceCost(_Plain):
    """A network, or a piece of it, for each voxel that it is given along x, y and z.

    Args:
        bytes: Most that is held at once in fp32, the output included and the input not.
        flops: Floating-point operations.
        fixed: Bytes held beside that, whatever the volume; an engine's packed weights.
    """

    bytes: _Amount
    flops: _Amount
    fixed: _Amount = 0.0


class LevelsCost(_Plain):
    """Levels ``first`` to ``last`` - 1 of a network, run in parts; all below run whole.

    Args:
        first: Top level; 0 takes images and gives logits.
        last: The level below them.
        factor: Voxels at ``first`` that one at ``last`` stands for, along an axis.
        encode_halo: Voxels at ``first`` around a part on the way down, on each side; like the
            next, a multiple of the factor.
        decode_halo: Voxels at ``first`` around a part on the way up, on each side.
        handed: Channels handed down to ``last``.
        risen: Channels that come up from ``last``.
        encode: The way down; for each voxel at ``first``.
        decode: The way up; for each voxel at ``first``.
        below: All from ``last`` down; for each voxel at ``last``.
    """

    first: _Level
    last: _Level
    factor: _Factor
    encode_halo: _Halo
    decode_halo: _Halo
    handed: _Channels
    risen: _Channels
    encode: PieceCost
    decode: PieceCost
    below: PieceCost

    @model_validator(mode="after")
    def _of_levels(self) -> Self:
        if self.last <= self.first or self.factor != 2 ** (self.last - self.first):
            raise ValueError(f"levels {self.first} to {self.last} with a factor of {self.factor}")
        return self


class NetworkCost(_Plain):
    """What a plan must know of a network.

    Args:
        stride: Voxels along x, y, z; what it answers for is a multiple of it.
        margin: Voxels on each side that it takes and does not answer for.
        halo: Voxels around an aligned part, on each side along x, y, z, that make it exact.
        sequences: Channels in.
        classes: Channels out.
        whole: All of it.
        answered: What comes on top for each voxel that it answers for; of a network with a
            margin, which computes on both.
        levels: The ways to cut it between levels; none where it has no levels.
        whole_only: Why parts cannot give the answer of the whole; None where they can.
    """

    stride: tuple[_Factor, _Factor, _Factor]
    margin: _Margin
    halo: tuple[_Halo, _Halo, _Halo]
    sequences: _Channels
    classes: _Channels
    whole: PieceCost
    answered: PieceCost = PieceCost(bytes=0, flops=0)
    levels: tuple[LevelsCost, ...] = Field((), max_length=64)
    whole_only: str | None = Field(None, max_length=2000)

    @model_validator(mode="after")
    def _of_a_network(self) -> Self:
        if not (self.whole.bytes and self.whole.flops):
            raise ValueError("a network that costs nothing")
        tops = {0, *(levels.last for levels in self.levels)}
        if any(levels.first not in tops for levels in self.levels):
            raise ValueError("levels that nothing hands down to")
        return self
