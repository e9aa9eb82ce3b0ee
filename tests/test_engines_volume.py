"""A volume run in parts is the volume: cut, padded, cropped and put together again."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from minicube.engines import Cut, cut_volume, segment_volume, volume_logits
from minicube.engines.torch_engine import TorchEngine
from minicube.networks import Network, NetworkConfig, NetworkName, build_network
from minicube.scans import NETWORK_SCHEME
from minicube.volumes import Shape

Volume = NDArray[np.float32]

sizes = st.tuples(*[st.integers(1, 17)] * 3)
cuts = st.none() | st.builds(Cut, sizes, st.integers(0, 6).map(lambda n: 2 * n))


@dataclass
class Echo:
    """Answers with what it was given, less the margin; refuses sizes it could not take."""

    stride: Shape
    margin: int
    asked: list[Shape] = field(default_factory=list)

    def logits(self, images: Volume) -> Volume:
        x, y, z = (n - 2 * self.margin for n in images.shape[1:])
        self.asked.append((x, y, z))
        assert min(x, y, z) > 0
        assert not any(n % s for n, s in zip((x, y, z), self.stride, strict=True))
        assert images.flags["C_CONTIGUOUS"]
        m = self.margin
        return images[:, m : m + x, m : m + y, m : m + z]


class Neighbour(Echo):
    """Answers with the sum over what lies ``reach`` voxels before and behind along each axis."""

    reach = 3

    def logits(self, images: Volume) -> Volume:
        grown = np.pad(images, [(0, 0), *[(self.reach, self.reach)] * 3])
        total = np.zeros_like(images)
        for axis in (1, 2, 3):
            for way in (-self.reach, self.reach):
                moved = np.roll(grown, way, axis)
                inside = slice(self.reach, -self.reach)
                total += moved[:, inside, inside, inside]
        return super().logits(total)


def _volume(shape: Shape, seed: int = 0) -> Volume:
    return np.random.default_rng(seed).normal(size=(4, *shape)).astype(np.float32)


@given(
    shape=sizes,
    cut=cuts,
    stride=st.tuples(*[st.sampled_from([1, 2, 3, 8])] * 3),
    margin=st.integers(0, 5),
)
@settings(deadline=None, max_examples=150)
def test_cut_pad_and_crop_are_the_identity(
    shape: Shape, cut: Cut | None, stride: Shape, margin: int
) -> None:
    images = _volume(shape)
    engine = Echo(stride, margin)
    assert np.array_equal(volume_logits(engine, images, cut), images)
    if cut is None:
        assert engine.asked == [tuple(-(-n // s) * s for n, s in zip(shape, stride, strict=True))]
    else:
        context = max(cut.context - 2 * margin, 0)  # beyond the margin, which every part has
        wanted = zip(cut.minicube, stride, strict=True)
        assert set(engine.asked) == {tuple(-(-(n + context) // s) * s for n, s in wanted)}


@given(shape=sizes, minicube=sizes, context=st.integers(3, 5), margin=st.integers(0, 4))
@settings(deadline=None, max_examples=60)
def test_enough_context_makes_parts_exact(
    shape: Shape, minicube: Shape, context: int, margin: int
) -> None:
    images = _volume(shape)
    engine = Neighbour((1, 1, 1), margin)
    whole = volume_logits(Neighbour((1, 1, 1), 0), images)
    # The margin is context too, and consumed by nothing here.
    found = volume_logits(engine, images, Cut(minicube, 2 * context))
    np.testing.assert_allclose(found, whole, atol=1e-5)


def test_too_little_context_does_not() -> None:
    images = _volume((12, 12, 12))
    engine = Neighbour((1, 1, 1), 0)
    whole = volume_logits(engine, images)
    for context in (0, 2, 4):
        found = volume_logits(engine, images, Cut((6, 6, 6), context))
        assert abs(found - whole).max() > 0.1


@given(shape=sizes, minicube=sizes)
@settings(deadline=None)
def test_the_frame_is_centred_and_no_larger_than_needed(shape: Shape, minicube: Shape) -> None:
    parts, frame = cut_volume(shape, Cut(minicube))
    for axis in range(3):
        before, behind = -frame.start[axis], frame.stop[axis] - shape[axis]
        assert 0 <= before <= behind <= before + 1
        assert before + behind < minicube[axis]
    assert {part.core.shape for part in parts} == {minicube}


@given(shape=sizes, cut=cuts, value=st.floats(0.5, 9, width=32))
@settings(deadline=None, max_examples=50)
def test_constant_in_constant_out(shape: Shape, cut: Cut | None, value: float) -> None:
    logits = volume_logits(Echo((2, 2, 2), 1), np.full((4, *shape), value, np.float32), cut)
    assert logits.shape == (4, *shape)
    assert np.unique(logits).tolist() == [np.float32(value)]


def test_parts_of_nothing_are_not_run_and_are_background() -> None:
    images = np.zeros((4, 16, 8, 8), np.float32)
    images[3, 12:] = 1
    engine = Echo((4, 4, 4), 0)
    labels = segment_volume(engine, images, Cut((8, 8, 8)))
    assert engine.asked == [(8, 8, 8)]
    assert labels.scheme is NETWORK_SCHEME
    assert not labels.array[:12].any()
    assert (labels.array[12:] == 3).all()
    assert not segment_volume(engine, np.zeros((4, 5, 6, 7), np.float32)).array.any()


NETWORKS = {
    "segnet": (NetworkConfig(NetworkName.SEGNET, (4, 4)), (20, 20, 20)),
    "unet2d": (NetworkConfig(NetworkName.UNET2D, (4, 4)), (20, 16, 3)),
    "unet2d, tri-planar": (NetworkConfig(NetworkName.UNET2D, (4, 4), triplanar=True), (18, 16, 14)),
    "unet3d-report": (NetworkConfig(NetworkName.UNET3D_REPORT, (4, 4)), (16, 16, 16)),
    "unet3d": (NetworkConfig(NetworkName.UNET3D, (4, 4)), (14, 12, 16)),
    "unet3d-fast": (NetworkConfig(NetworkName.UNET3D_FAST, (4, 4)), (20, 20, 20)),
    "vnet": (NetworkConfig(NetworkName.VNET, (2, 2)), (24, 24, 24)),
}
each = pytest.mark.parametrize(("config", "minicube"), NETWORKS.values(), ids=NETWORKS.keys())


def _network(config: NetworkConfig) -> Network:
    """Fresh weights, and statistics as after some training."""
    torch.manual_seed(1)
    network = build_network(config)
    with torch.no_grad():
        for _ in range(3):
            network.train()(2 * torch.randn(2, 4, *(4 * s + 2 * network.margin for s in (8, 8, 8))))
    return network.eval()


def _exact_context(network: Network) -> int:
    """Both sides together: the halo in whole strides, so that parts stay aligned."""
    halo, stride = max(network.halo), max(network.stride)
    return 2 * -(-halo // stride) * stride


@each
def test_with_exact_context_parts_equal_the_whole(config: NetworkConfig, minicube: Shape) -> None:
    network = _network(config)
    engine = TorchEngine(network, bf16=False)
    # Two whole parts along each axis: nothing is added at the borders, where zeros around the
    # volume would meet the network's own.
    x, y, z = (2 * n for n in minicube)
    images = _volume((x, y, z))
    whole = volume_logits(engine, images)
    inside = tuple(
        slice(-(-halo // stride) * stride, -(-(-halo // stride) * stride) or None)
        for halo, stride in zip(network.halo, network.stride, strict=True)
    )
    exact = volume_logits(engine, images, Cut(minicube, _exact_context(network)))
    compared = (slice(None), *inside)
    assert whole[compared].size
    assert abs(whole[compared]).max() > 0.1
    np.testing.assert_allclose(exact[compared], whole[compared], atol=1e-4)
    bare = volume_logits(engine, images, Cut(minicube))
    assert abs(bare[compared] - whole[compared]).max() > 1e-2


@each
def test_a_constant_volume_shows_no_seam(config: NetworkConfig, minicube: Shape) -> None:
    network = _network(config)
    images = np.ones((4, *(2 * n for n in minicube)), np.float32)
    cut = Cut(minicube, _exact_context(network))
    logits = volume_logits(TorchEngine(network, bf16=False), images, cut)
    for axis, (halo, stride) in enumerate(zip(network.halo, network.stride, strict=True), start=1):
        length = logits.shape[axis]
        # Transposed convolutions repeat with the stride even when nothing else changes.
        one = logits.take(range(halo, length - halo - stride), axis)
        other = logits.take(range(halo + stride, length - halo), axis)
        assert one.shape[axis] > 0
        middle = tuple(slice(n, m - n) for n, m in zip(network.halo, logits.shape[1:], strict=True))
        rest = [middle[a] if a != axis - 1 else slice(None) for a in range(3)]
        np.testing.assert_allclose(one[:, *rest], other[:, *rest], atol=1e-4)


@pytest.mark.parametrize("shape", [(5, 37, 41), (1, 1, 1), (24, 24, 24), (33, 9, 20)])
@pytest.mark.parametrize("cut", [None, Cut((12, 12, 8), 20), Cut((11, 13, 9), 0), Cut((24,) * 3)])
def test_the_context_network_takes_any_volume(shape: Shape, cut: Cut | None) -> None:
    network = _network(NetworkConfig(NetworkName.UNET3D_CONTEXT, (2, 2, 2)))
    logits = volume_logits(TorchEngine(network, bf16=False), _volume(shape), cut)
    assert logits.shape == (4, *shape)
    assert np.isfinite(logits).all()
    assert logits.any()


def test_the_context_network_sees_the_volume_around_its_parts() -> None:
    network = _network(NetworkConfig(NetworkName.UNET3D_CONTEXT, (4, 4, 4)))
    images = _volume((24, 24, 24))
    part = images[:, 12:, :12, 12:]
    padded = np.pad(images, [(0, 0), *[(10, 10)] * 3])[:, 12:, :32, 12:]
    with torch.no_grad():
        wanted = network(torch.from_numpy(padded)[None])[0].numpy()
    engine = TorchEngine(network, bf16=False)
    found = volume_logits(engine, images, Cut((12, 12, 12), 20))[:, 12:, :12, 12:]
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    alone = volume_logits(engine, np.ascontiguousarray(part))
    assert abs(found - alone).max() > 1e-2


def test_the_network_is_left_in_the_mode_it_was_in() -> None:
    network = _network(NetworkConfig(NetworkName.UNET3D, (2, 2)))
    engine = TorchEngine(network, bf16=False)
    for training in (True, False):
        network.train(training)
        before = {name: value.clone() for name, value in network.state_dict().items()}
        volume_logits(engine, _volume((6, 6, 6)))
        assert network.training is training
        assert all(value.equal(before[name]) for name, value in network.state_dict().items())
