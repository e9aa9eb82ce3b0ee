"""Parts that give the answer of the whole: every network, any shape, any cut."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from minicube.engines import volume_logits
from minicube.engines.torch_engine import TorchEngine, load_network
from minicube.inference import shipped_model
from minicube.networks import (
    LeveledNetwork,
    Network,
    NetworkConfig,
    NetworkName,
    Normalisation,
    build_network,
    cost_of,
)
from minicube.networks.fields import Interval
from minicube.planning import LevelCut, NetworkCost, Partition, Task, least_bytes, plan_partition

SAME_LOGITS, CLEAR_MARGIN = 1e-4, 2e-4
WIDTHS = {
    NetworkName.UNET3D: (4, 6, 8, 8),
    NetworkName.UNET3D_FAST: (6, 8, 8),
    NetworkName.UNET3D_REPORT: (4, 6, 8),
    NetworkName.VNET: (4, 6, 8),
    NetworkName.SEGNET: (6, 6),
    NetworkName.UNET2D: (4, 6, 8),
}
LEVELED = (
    NetworkName.UNET3D,
    NetworkName.UNET3D_FAST,
    NetworkName.UNET3D_REPORT,
    NetworkName.VNET,
)


def _network(
    name: NetworkName,
    normalisation: Normalisation = Normalisation.BATCH,
    widths: tuple[int, ...] | None = None,
) -> Network:
    """Weights large enough for the far end of a halo to matter; statistics of a training."""
    torch.manual_seed(7)
    network = build_network(NetworkConfig(name, widths or WIDTHS[name], normalisation))
    with torch.no_grad():
        for key, value in network.state_dict().items():
            if key.endswith("running_var"):
                value.uniform_(0.5, 2)
            elif key.endswith("running_mean"):
                value.uniform_(-0.5, 0.5)
            elif value.ndim > 1:
                value.mul_(1.5)
    return network.eval()


ENGINES = {name: TorchEngine(_network(name), bf16=False) for name in WIDTHS}
TRAINED = TorchEngine(load_network(shipped_model()), bf16=False)


def _images(shape: tuple[int, ...], seed: int = 0) -> NDArray[np.float32]:
    images = np.random.default_rng(seed).normal(size=(4, *shape)).astype(np.float32)
    images[:, : shape[0] // 4] = 0  # air on one side
    return images


def _unlike(engine: TorchEngine, images: NDArray[np.float32], cut: Partition) -> tuple[float, int]:
    """Largest difference of logits; labels that differ although the whole run was sure."""
    whole, parts = volume_logits(engine, images), volume_logits(engine, images, cut)
    first, second = np.sort(whole, axis=0)[::-1][:2]
    sure = first - second > CLEAR_MARGIN
    differ = whole.argmax(axis=0) != parts.argmax(axis=0)
    return float(np.abs(whole - parts).max()), int(np.count_nonzero(differ & sure))


@st.composite
def _chains(draw: st.DrawFn, depth: int) -> tuple[LevelCut, ...]:
    """Cuts one below the other, with parts of any size."""
    cuts: list[LevelCut] = []
    first = 0
    while first < depth - 1 and (not cuts or draw(st.booleans())):
        last = draw(st.integers(first + 1, depth - 1))
        sides = [draw(st.integers(1, 5)) * 2 ** (last - first) for _ in range(3)]
        cuts.append(LevelCut(first, last, (sides[0], sides[1], sides[2])))
        first = last
    return tuple(cuts)


SHAPES = st.tuples(st.integers(3, 29), st.integers(3, 29), st.integers(3, 29))


@pytest.mark.parametrize("name", LEVELED)
@given(data=st.data(), shape=SHAPES)
@settings(deadline=None, max_examples=12)
def test_levels_in_parts_give_the_whole(
    name: NetworkName, data: st.DataObject, shape: tuple[int, int, int]
) -> None:
    cuts = data.draw(_chains(len(WIDTHS[name])))
    apart, differing = _unlike(ENGINES[name], _images(shape), Partition(cuts))
    assert apart < SAME_LOGITS
    assert differing == 0


@pytest.mark.parametrize("name", WIDTHS)
@given(data=st.data(), shape=SHAPES)
@settings(deadline=None, max_examples=6)
def test_tiles_give_the_whole(
    name: NetworkName, data: st.DataObject, shape: tuple[int, int, int]
) -> None:
    engine = ENGINES[name]
    x, y, z = (data.draw(st.integers(1, 4)) * stride for stride in engine.stride)
    apart, differing = _unlike(engine, _images(shape), Partition(tile=(x, y, z)))
    assert apart < SAME_LOGITS
    assert differing == 0


@given(data=st.data(), shape=st.tuples(*[st.integers(17, 70)] * 3))
@settings(deadline=None, max_examples=4)
def test_trained_weights_in_parts_give_the_whole(
    data: st.DataObject, shape: tuple[int, int, int]
) -> None:
    depth = len(shipped_model().description.widths)
    first = data.draw(st.integers(1, depth - 1))
    sides = [data.draw(st.integers(2, 4)) * 8 * 2**first for _ in range(3)]
    cuts = Partition((LevelCut(0, first, (sides[0], sides[1], sides[2])),))
    apart, differing = _unlike(TRAINED, _images(shape), cuts)
    assert apart < SAME_LOGITS
    assert differing == 0


def _learnt(name: NetworkName) -> TorchEngine:
    """A few steps towards saying where an image is bright."""
    network = _network(name)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-2)
    generator = torch.Generator().manual_seed(3)
    for _ in range(6):
        images = torch.randn(2, 4, 16, 16, 16, generator=generator)
        truth = images.mean(dim=1).mul(3).round().clamp(0, 3).long()
        loss = torch.nn.functional.cross_entropy(network.train()(images), truth)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return TorchEngine(network.eval(), bf16=False)


@pytest.mark.parametrize("name", WIDTHS)
def test_what_was_learnt_in_parts_gives_the_whole(name: NetworkName) -> None:
    engine = _learnt(name)
    x, y, z = (2 * s for s in engine.stride)
    cuts = [Partition(tile=(x, y, z))]
    cuts += [Partition((LevelCut(0, 1, (8, 6, 10)),))] if name in LEVELED else []
    for cut in cuts:
        apart, differing = _unlike(engine, _images((33, 26, 19)), cut)
        assert apart < SAME_LOGITS
        assert differing == 0


@pytest.mark.parametrize("way", ["encode_halo", "decode_halo"])
def test_a_shorter_halo_is_noticed_by_trained_weights(way: str) -> None:
    model = shipped_model()
    levels = TRAINED.cost.levels
    top = next(level for level in levels if (level.first, level.last) == (0, 2))
    shorter = _with_halos(TRAINED.cost, **{way: getattr(top, way) - top.factor})
    engine = TorchEngine(load_network(model), bf16=False, cost=shorter)
    cut = Partition((LevelCut(0, 2, (16, 16, 16)),))
    apart, _ = _unlike(engine, _images((48, 48, 32)), cut)
    assert apart > 10 * SAME_LOGITS


def _with_halos(cost: NetworkCost, **changed: int) -> NetworkCost:
    levels = [level.model_copy(update=changed) for level in cost.levels]
    return cost.model_copy(update={"levels": tuple(levels)})


@pytest.mark.parametrize("name", LEVELED)
@pytest.mark.parametrize("way", ["encode_halo", "decode_halo"])
def test_a_shorter_halo_is_noticed(name: NetworkName, way: str) -> None:
    network = _network(name)
    last = 2 if name is NetworkName.UNET3D_FAST else 1  # its top level alone needs no halo
    cut = Partition((LevelCut(0, last, (8, 8, 8)),))
    levels = cost_of(network.config).levels
    top = next(level for level in levels if (level.first, level.last) == (0, last))
    shorter = _with_halos(cost_of(network.config), **{way: getattr(top, way) - top.factor})
    engine = TorchEngine(network, bf16=False, cost=shorter)
    apart, _ = _unlike(engine, _images((24, 24, 24)), cut)
    assert apart > 10 * SAME_LOGITS


@pytest.mark.parametrize("name", [NetworkName.SEGNET, NetworkName.UNET2D])
def test_a_shorter_halo_of_tiles_is_noticed(name: NetworkName) -> None:
    network = _network(name, widths=(6, 6))  # of a deeper network the last voxels hardly count
    cost = cost_of(network.config)
    halo = tuple(max(0, h - s) for h, s in zip(cost.halo, cost.stride, strict=True))
    engine = TorchEngine(network, bf16=False, cost=cost.model_copy(update={"halo": halo}))
    x, y, z = (4 * s for s in cost.stride)
    apart, _ = _unlike(engine, _images((40, 40, 8)), Partition(tile=(x, y, z)))
    assert apart > 10 * SAME_LOGITS


@pytest.mark.parametrize("name", LEVELED)
@pytest.mark.parametrize("last", [1, 2])
def test_reach_is_what_a_part_depends_on_and_no_voxel_more(name: NetworkName, last: int) -> None:
    network = _network(name, Normalisation.NONE).double()
    assert isinstance(network, LeveledNetwork)
    reach = network.reach(0, last)
    f = reach.factor
    period = network.period
    far = -(-(max(reach.encode, reach.decode) + 2) // period) * period
    core = slice(far, far + f)
    x = torch.randn(1, 4, 2 * far + period, period, period, dtype=torch.double)
    below = network.run_below(network.encode_between(x, 0, last), last)

    def down(images: torch.Tensor) -> torch.Tensor:
        return network.encode_between(images, 0, last)[:, :, far // f]

    def up(images: torch.Tensor) -> torch.Tensor:
        return network.decode_between(images, below, 0, last)[:, :, core]

    for run, halo in ((down, reach.encode), (up, _images_alone(network, last))):
        with torch.no_grad():
            before = run(x)
            for distance, matters in ((halo, True), (halo + 1, False)):
                ends = [(far - distance), (far + f - 1 + distance)]
                moved = [not torch.equal(run(_poked(x, place)), before) for place in ends]
                assert any(moved) is matters


def _images_alone(network: LeveledNetwork, last: int) -> int:
    """Of what the way up needs, what it needs of the images: by looking at the skips alone."""
    f = 2**last
    images, _ = network._before_decoding(Interval(0, f - 1), 0, last)
    images = network.before_entering(images)
    beyond: int = max(-images.first, images.last - (f - 1))
    return beyond


def _poked(x: torch.Tensor, place: int) -> torch.Tensor:
    changed = x.clone()
    changed[:, :, place] += 100
    return changed


TASKS = st.builds(
    Task,
    cost=st.sampled_from([engine.cost for engine in ENGINES.values()]),
    shape=st.tuples(*[st.integers(20, 120)] * 3),
)


@given(task=TASKS, share=st.floats(0.02, 1.5))
@settings(deadline=None, max_examples=40)
def test_a_plan_stays_within_its_budget(task: Task, share: float) -> None:
    budget = int(share * task.whole_bytes)
    plan = plan_partition(task, budget)
    if plan is None:
        assert budget < task.whole_bytes + task.labels
        return
    assert plan.bytes <= budget + 1
    assert 1 <= plan.overhead <= 4
    for cut in plan.partition.cuts:
        assert all(side % 2 ** (cut.last - cut.first) == 0 for side in cut.part)
    for above, below in itertools.pairwise(plan.partition.cuts):
        assert above.last == below.first


@given(task=TASKS)
@settings(deadline=None, max_examples=5)
def test_the_least_budget_is_the_least(task: Task) -> None:
    least = least_bytes(task)
    assert plan_partition(task, least) is not None
    assert plan_partition(task, least - (3 << 20)) is None


@given(task=TASKS, share=st.floats(0.1, 1.0))
@settings(deadline=None, max_examples=10)
def test_more_memory_is_never_slower(task: Task, share: float) -> None:
    little = plan_partition(task, int(share * task.whole_bytes))
    more = plan_partition(task, int(1.3 * share * task.whole_bytes))
    if little is not None:
        assert more is not None
        assert more.flops <= little.flops


def test_statistics_of_the_part_are_refused() -> None:
    config = NetworkConfig(NetworkName.UNET3D, (4, 6), Normalisation.INSTANCE)
    task = Task(cost_of(config), (64, 64, 64))
    assert plan_partition(task, int(task.whole_bytes) + task.labels + 1) is not None
    assert plan_partition(task, int(task.whole_bytes) // 2) is None
    assert "InstanceNorm" in str(task.cost.whole_only)
