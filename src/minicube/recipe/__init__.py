"""How shipped weights are made, from a user's material to scores on cases never learnt from."""

from minicube.recipe.plan import Recipe
from minicube.recipe.run import Kitchen, RecipeRequest, follow
from minicube.recipe.table import accuracy, judge, mean_dice
from minicube.recipe.trainings import SHIPPED, Row, Training, trainings

__all__ = [
    "SHIPPED",
    "Kitchen",
    "Recipe",
    "RecipeRequest",
    "Row",
    "Training",
    "accuracy",
    "follow",
    "judge",
    "mean_dice",
    "trainings",
]
