"""Put a run's model into the package, weights in half precision.

python scripts/ship_model.py RUN src/minicube/weights/provisional
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from minicube._files import replacing, write_json
from minicube.engines import DESCRIPTION, WEIGHTS, checksum, load_model

LICENCE = "Apache-2.0 (trained on phantoms alone; anatomy: ICBM-152, see the phantom's NOTICE)"


def main() -> None:
    """Convert and describe."""
    run, target = Path(sys.argv[1]), Path(sys.argv[2])
    model = load_model(run)
    weights = {
        name: value.half() if value.dtype == torch.float32 else value
        for name, value in load_file(model.weights).items()
    }
    with replacing(target / WEIGHTS) as temporary:
        save_file(weights, temporary)
    description = model.description.model_copy(
        update={"name": target.name, "licence": LICENCE, "sha256": checksum(target / WEIGHTS)}
    )
    write_json(target / DESCRIPTION, description.model_dump(mode="json"))
    print(f"{target}: {(target / WEIGHTS).stat().st_size / 2**20:.1f} MB")


if __name__ == "__main__":
    main()
