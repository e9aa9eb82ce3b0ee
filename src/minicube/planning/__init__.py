"""What fits: a cost, a shape and a budget in, a plan out. Nothing here knows torch."""

from minicube.planning.budget import in_words, is_auto, parse_memory
from minicube.planning.cost import LevelsCost, NetworkCost, PieceCost
from minicube.planning.partition import LevelCut, Partition
from minicube.planning.plan import Plan, Task, least_bytes, plan_partition

__all__ = [
    "LevelCut",
    "LevelsCost",
    "NetworkCost",
    "Partition",
    "PieceCost",
    "Plan",
    "Task",
    "in_words",
    "is_auto",
    "least_bytes",
    "parse_memory",
    "plan_partition",
]
