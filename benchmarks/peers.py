"""What others do for a case, each in a process of its own: `benchmarks/speed.py` calls this.

    python benchmarks/peers.py WAY CASE [--model MODEL] [--engine NAME] [--precision fp32]
                               [--out FILE] [--threads 2] [--repeats 5]

- monai: four NIfTI files in, one out, with MONAI's transforms and sliding window (128³, overlap
  0.5, Gaussian weights), the given model's weights in torch.
- network: the given model's network alone; in one of our engines on the whole volume, or with
  --engine monai in MONAI's sliding window. --times 2, 4 or 8 lays as many of the volume together.
- shapes: OpenVINO given the network for any shape, as our engine does, and for this one alone:
  seconds to compile and to run.
- nnunet: nnU-Net's default 3d_fullres network (31 M parameters, random weights, which take as
  long as trained ones), one window of 128³ in torch: a case is 8 mirrorings of as many windows as
  its predictor lays with a step of half a window.
- nnunet-whole: that network on the whole volume in OpenVINO.

nnU-Net's need `pip install dynamic-network-architectures`.

Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from minicube._machine import peak_memory
from minicube.engines import EngineName, Precision, load_model, open_engine, volume_logits
from minicube.engines.torch_engine import load_network
from minicube.scans import Sequence, find_cases, load_case
from minicube.volumes import prepare

TIMES = {1: (1, 1, 1), 2: (2, 1, 1), 4: (2, 2, 1), 8: (2, 2, 2)}
WINDOW = (128, 128, 128)
OVERLAP = 0.5
MIRRORINGS = 8


def monai_case(given: argparse.Namespace) -> dict[str, Any]:
    """A case from files to a file, as MONAI's BraTS tutorials do it; classes are the network's."""
    from monai.inferers import sliding_window_inference
    from monai.transforms import (
        Compose,
        EnsureChannelFirstd,
        LoadImaged,
        NormalizeIntensityd,
        Orientationd,
        SaveImage,
        Spacingd,
    )

    (files,) = find_cases(given.folder)
    read = Compose(
        [
            LoadImaged("images"),
            EnsureChannelFirstd("images"),
            Orientationd("images", axcodes="RAS"),
            Spacingd("images", pixdim=(1.0, 1.0, 1.0), mode="bilinear"),
            NormalizeIntensityd("images", nonzero=True, channel_wise=True),
        ]
    )
    images = read({"images": [str(files.sequences[s]) for s in Sequence]})["images"]
    network = load_network(load_model(given.model)).eval()
    with torch.inference_mode():
        logits = sliding_window_inference(
            images.as_tensor()[None], WINDOW, 1, network, OVERLAP, mode="gaussian"
        )
    labels = logits.argmax(1).to(torch.uint8)
    SaveImage(
        given.out.parent,
        output_postfix="",
        separate_folder=False,
        print_log=False,
        output_dtype=np.uint8,
    )(labels, filename=given.out.parent / given.out.name.removesuffix(".nii.gz"))
    return {}


def network_alone(given: argparse.Namespace) -> dict[str, Any]:
    """The model's network on the whole volume of a case, in one engine or MONAI's windows."""
    model = load_model(given.model)
    images = _images(given.folder, model.description.normalisation)
    images = np.tile(images, (1, *TIMES[given.times]))
    if given.engine != "monai":
        engine = open_engine(
            model,
            engine=EngineName(given.engine),
            precision=Precision(given.precision),
            threads=given.threads,
        )
        return _timed(lambda: volume_logits(engine, images), given.repeats)
    from monai.inferers import sliding_window_inference

    network = load_network(model).eval()
    batch = torch.from_numpy(images)[None]
    bf16 = given.precision == "bf16"

    def slide() -> None:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            sliding_window_inference(batch, WINDOW, 1, network, OVERLAP, mode="gaussian")

    return _timed(slide, given.repeats)


def shapes(given: argparse.Namespace) -> dict[str, Any]:
    """What it would gain to compile the network for one shape."""
    import openvino

    model = load_model(given.model)
    images = _images(given.folder, model.description.normalisation)
    stride = 1 << (len(model.description.widths))
    room = [(0, 0), *((0, -n % stride) for n in images.shape[1:])]
    volume = np.pad(images, room)[None]
    core, found = openvino.Core(), {}
    for way, shape in (("any shape", [1, len(Sequence), -1, -1, -1]), ("one shape", volume.shape)):
        graph = core.read_model(model.weights)
        began = time.perf_counter()
        graph.reshape(shape)
        compiled = core.compile_model(graph, "CPU", _hints(given.threads))
        compiling = round(time.perf_counter() - began, 3)
        run = partial(compiled.create_infer_request().infer, [volume])
        found[way] = {"compiling": compiling, **_timed(run, given.repeats)}
    return found


def _hints(threads: int) -> dict[str, Any]:
    return {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
    }


def nnunet_window(given: argparse.Namespace) -> dict[str, Any]:
    """One window, and how many of them a case is."""
    network = _nnunet()
    shape = _images(given.folder, None).shape[1:]
    steps = [
        max(1, math.ceil((n - w) / (w * OVERLAP)) + 1) for n, w in zip(shape, WINDOW, strict=True)
    ]
    window = torch.zeros(1, len(Sequence), *WINDOW)
    with torch.inference_mode():
        found = _timed(lambda: network(window), given.repeats)
    return found | {"windows": math.prod(steps), "mirrorings": MIRRORINGS}


def nnunet_whole(given: argparse.Namespace) -> dict[str, Any]:
    """The same network in OpenVINO, in the settings of our engine, on the whole volume."""
    import openvino

    network = _nnunet()
    images = _images(given.folder, None)
    padded = [-(-n // 32) * 32 for n in images.shape[1:]]
    volume = np.zeros((1, len(Sequence), *padded), np.float32)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        torch.onnx.export(network, (torch.zeros(volume.shape),), path, dynamo=True, verbose=False)
        compiled = openvino.Core().compile_model(path, "CPU", _hints(given.threads))
        return _timed(lambda: compiled([volume]), given.repeats)


def _nnunet() -> torch.nn.Module:
    """nnU-Net's default for 1 mm brains: six levels, 32 to 320 channels, InstanceNorm."""
    from dynamic_network_architectures.architectures.unet import PlainConvUNet

    torch.manual_seed(0)
    network: torch.nn.Module = PlainConvUNet(
        input_channels=len(Sequence),
        n_stages=6,
        features_per_stage=(32, 64, 128, 256, 320, 320),
        conv_op=torch.nn.Conv3d,
        kernel_sizes=3,
        strides=(1, 2, 2, 2, 2, 2),
        n_conv_per_stage=2,
        num_classes=4,
        n_conv_per_stage_decoder=2,
        conv_bias=True,
        norm_op=torch.nn.InstanceNorm3d,
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=torch.nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
    )
    return network.eval()


def _images(folder: Path, intensities: Any) -> NDArray[np.float32]:
    prepared = prepare(load_case(folder, with_reference=False))
    return prepared.images if intensities is None else prepared.images_as(intensities)


def _timed(run: Callable[[], object], repeats: int) -> dict[str, Any]:
    """Seconds of each run after one that warms up, and the process's peak."""
    run()
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        run()
        seconds.append(round(time.perf_counter() - began, 3))
    return {"seconds": seconds, "peak_bytes": peak_memory()}


WAYS = {
    "monai": monai_case,
    "network": network_alone,
    "shapes": shapes,
    "nnunet": nnunet_window,
    "nnunet-whole": nnunet_whole,
}


def main() -> int:
    """Do it once, as asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--engine", default="openvino", help="Or monai, for its windows.")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--times", type=int, choices=TIMES, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    print(json.dumps(WAYS[given.way](given)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
