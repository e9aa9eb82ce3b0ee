"""What a network costs, as plain values: traced once, kept, and all that a plan needs of it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

__all__ = ["LevelsCost", "NetworkCost", "PieceCost"]


class _Plain(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PieceCost(_Plain):
    """A network, or a piece of it, for each voxel that it is given along x, y and z.

    Args:
        bytes: Most that is held at once in fp32, the output included and the input not.
        flops: Floating-point operations.
        fixed: Bytes held beside that, whatever the volume; an engine's packed weights.
    """

    bytes: float
    flops: float
    fixed: float = 0.0


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

    first: int
    last: int
    factor: int
    encode_halo: int
    decode_halo: int
    handed: int
    risen: int
    encode: PieceCost
    decode: PieceCost
    below: PieceCost


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

    stride: tuple[int, int, int]
    margin: int
    halo: tuple[int, int, int]
    sequences: int
    classes: int
    whole: PieceCost
    answered: PieceCost = PieceCost(bytes=0, flops=0)
    levels: tuple[LevelsCost, ...] = ()
    whole_only: str | None = None
