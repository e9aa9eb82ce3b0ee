"""What was fitted on labelled cases, written into the description of a model that is there."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from minicube._errors import InputError
from minicube._files import replacing, write_json
from minicube.engines import DESCRIPTION, Model, ModelDescription, load_model
from minicube.engines.portable import METADATA

__all__ = ["write_fitted"]


def write_fitted(
    model: Model, *, temperature: float | None = None, least_enhancing_ml: float | None = None
) -> Model:
    """Write what was fitted; what is not given, and the weights, stay as they are.

    Args:
        model: A run folder's, or an exported one.
        temperature: What logits are to be divided by, above 0:
            :func:`minicube.evaluation.fit_temperature`.
        least_enhancing_ml: Enhancing tumour of less than this in all becomes core, millilitres:
            :func:`minicube.evaluation.fit_least_enhancing`.

    Returns:
        The model as it is now.

    Raises:
        InputError: A value cannot be used, or the file cannot be written.
    """
    given = {"temperature": temperature, "least_enhancing_ml": least_enhancing_ml}
    new: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    try:
        description = ModelDescription.model_validate({**dict(model.description), **new})
    except ValidationError as error:
        raise InputError(
            "What was fitted cannot be used.",
            expected="a temperature above 0; 0 or more millilitres",
            found=", ".join(f"{name} {value:g}" for name, value in new.items()),
        ) from error
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
