"""A search for settings that learn well: trainings that differ, judged on cases held out."""

from minicube.tuning.folder import SearchFolder
from minicube.tuning.results import Found
from minicube.tuning.search import SearchListener, SearchRequest, run_search
from minicube.tuning.space import Choices, Range, Space, space_names

__all__ = [
    "Choices",
    "Found",
    "Range",
    "SearchFolder",
    "SearchListener",
    "SearchRequest",
    "Space",
    "run_search",
    "space_names",
]
