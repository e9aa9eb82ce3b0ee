"""A fitted temperature written into the description of a model that is there."""

from __future__ import annotations

from minicube._errors import InputError
from minicube._files import replacing, write_json
from minicube.engines import DESCRIPTION, Model, load_model
from minicube.engines.portable import METADATA

__all__ = ["write_temperature"]


def write_temperature(model: Model, temperature: float) -> Model:
    """Write what a model's logits are to be divided by; its weights stay as they are.

    Args:
        model: A run folder's, or an exported one.
        temperature: From :func:`minicube.evaluation.fit_temperature`, above 0.

    Returns:
        The model as it is now.

    Raises:
        InputError: The temperature is none, or the file cannot be written.
    """
    if not 0 < temperature < float("inf"):
        raise InputError(
            "A temperature must be a number above 0.", expected="about 1", found=f"{temperature:g}"
        )
    description = model.description.model_copy(update={"temperature": temperature})
    if not model.is_exported:
        write_json(model.place / DESCRIPTION, description.model_dump(mode="json"))
        return load_model(model.place)
    from onnx import load

    graph = load(model.place)
    for entry in graph.metadata_props:
        if entry.key == METADATA:
            entry.value = description.model_dump_json()
    with replacing(model.place) as temporary:
        temporary.write_bytes(graph.SerializeToString())
        load_model(temporary)  # the graph's checksum must still hold
    return load_model(model.place)
