"""How shipped weights are made, from a user's material to scores on cases never learnt from."""

from minicube.recipe.plan import Recipe
from minicube.recipe.run import RecipeRequest, RecipeRun, follow
from minicube.recipe.table import accuracy
from minicube.recipe.trainings import SHIPPED, Row, Training, trainings

__all__ = [
    "SHIPPED",
    "Recipe",
    "RecipeRequest",
    "RecipeRun",
    "Row",
    "Training",
    "accuracy",
    "follow",
    "trainings",
]
