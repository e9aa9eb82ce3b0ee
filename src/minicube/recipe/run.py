"""Make a recipe's trainings, one after another; what is done already is left alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from minicube._errors import InputError
from minicube._files import locked, read_json, write_json
from minicube.evaluation.splits import fold_of_each
from minicube.phantom import PhantomSpec, make_phantom
from minicube.recipe.outlined import find_outlined_cases
from minicube.recipe.plan import Recipe
from minicube.recipe.trainings import Row, Training, trainings
from minicube.scans import CaseFiles, LabelScheme, Region, find_cases
from minicube.simulator import Source, cases_named, patients_of
from minicube.training import (
    Listener,
    Material,
    RunFolder,
    SilentListener,
    find_labelled_cases,
    fit,
)
from minicube.training.data import prepare_cases
from minicube.volumes import PREPARATION, Origin, Prepared, StoredCase, prepare
from minicube.volumes.stream import Stream, made

__all__ = ["RecipeRequest", "RecipeRun", "follow"]

_PHANTOMS = PhantomSpec(seed=9001)  # not one that anything else is made with


@dataclass(frozen=True)
class RecipeRequest:
    """What to make, from what, and where.

    Args:
        recipe: The recipe.
        data: Folder that its material lies in.
        out: Where runs and results are kept.
        only: Names of trainings, or what they begin with; empty makes all.
    """

    recipe: Recipe
    data: Path
    out: Path
    only: tuple[str, ...] = ()


class RecipeRun:
    """What the trainings of a recipe share: prepared cases, folds, files.

    Args:
        request: What is asked for.
        prepared: Called with how many cases are prepared, and of how many.
    """

    def __init__(
        self, request: RecipeRequest, prepared: Callable[[int, int], None] = lambda done, of: None
    ) -> None:
        self.request = request
        self._prepared = prepared

    @cached_property
    def cases(self) -> Mapping[str, StoredCase]:
        """The real cases that trainings are judged on, by name, prepared."""
        recipe = self.request.recipe
        return self._prepare(find_labelled_cases(self.request.data / recipe.cases), recipe.labels)

    @cached_property
    def more_names(self) -> list[str]:
        """Names of those that are only learnt from; nothing but names is read."""
        recipe, data = self.request.recipe, self.request.data
        labelled = [find_labelled_cases(data / name, incomplete=True) for name in recipe.more]
        outlined = [find_cases(data / name) for name in recipe.outlined]
        names = [files.identity for some in (*labelled, *outlined) for files in some]
        if twice := [name for name, n in Counter([*self.cases, *names]).items() if n > 1]:
            raise InputError(
                "Cases are there twice, to be judged on or to be learnt from: "
                f"{', '.join(sorted(twice))}."
            )
        return sorted(names)

    @cached_property
    def more(self) -> Mapping[str, StoredCase]:
        """Those that are only learnt from, by name, prepared."""
        recipe, data, home = self.request.recipe, self.request.data, self.request.out / "outlined"
        found: dict[str, StoredCase] = {}
        for name in recipe.more:
            files = find_labelled_cases(data / name, incomplete=True)
            found |= self._prepare(files, recipe.labels)
        shapes = data / recipe.simulated.shapes
        for name in recipe.outlined:
            files = find_outlined_cases(data / name, shapes, home, leave_out=self._left_out)
            found |= self._prepare(files)
        return found

    def learnt_by(self, training: Training) -> dict[str, StoredCase]:
        """The real cases that a training learns from, by name, prepared."""
        more = self.more if {*training.learns} & {*self.more_names} else {}
        return {name: {**self.cases, **more}[name] for name in training.learns}

    def turns(self, name: str) -> int:
        """How often a real case is seen in an epoch."""
        recipe = self.request.recipe
        if name not in self.cases:
            return recipe.turns.more
        return recipe.turns.low_grade if name in recipe.low_grade else recipe.turns.high_grade

    def _prepare(
        self, files: list[CaseFiles], labels: LabelScheme | None = None
    ) -> dict[str, StoredCase]:
        home = self.request.out / "prepared"
        stored = prepare_cases(files, home, labels=labels, done=self._prepared)
        return {case.identity: case for case in stored}

    @cached_property
    def phantoms(self) -> list[StoredCase]:
        """The phantoms that every training is scored on along the way."""
        home = self.request.out / "phantoms"
        return [made(_Phantoms(), number, home) for number in range(self.request.recipe.phantoms)]

    @cached_property
    def folds(self) -> Mapping[str, int]:
        """Of each real case the fold that it is judged in; kept in a file."""
        path = self.request.out / "folds.json"
        if path.exists():
            kept: dict[str, int] = read_json(path)
            if kept.keys() != self.cases.keys():
                raise InputError(
                    f"The real cases are not those that {path} was made for.",
                    hint="bring them back, or begin in another folder",
                )
            return kept
        counts = {name: case.labels.counts() for name, case in self.cases.items()}
        tumours = [(name, n[Region.ET] > 0, n[Region.WT]) for name, n in counts.items()]
        dealt = fold_of_each(tumours, self.request.recipe.folds, always=True)
        folds = {name: fold for name, fold in dealt.items() if fold is not None}
        write_json(path, folds)
        return folds

    @cached_property
    def trainings(self) -> Mapping[str, Training]:
        """All trainings of the recipe by name."""
        return trainings(self.request.recipe, self.folds, self.more_names)

    def run_of(self, name: str) -> RunFolder:
        """Where a training is kept."""
        return RunFolder(self.request.out / name)

    def wanted(self) -> list[Training]:
        """The trainings that are asked for and those they go on from, in order.

        Raises:
            InputError: A name is none of a training.
        """
        only = self.request.only
        if not only:
            return [*self.trainings.values()]
        folds = {str(fold): fold for fold in range(self.request.recipe.folds)}
        known = trainings(self.request.recipe, folds)  # names alone, before cases are prepared
        for word in only:
            if not any(name.startswith(word) for name in known):
                raise InputError(f"The recipe has no training {word!r}.", expected=", ".join(known))
        names = {name for name in self.trainings if name.startswith(only)}
        for name in [*names]:
            while name := self.trainings[name].start:
                names.add(name)
        return [training for name, training in self.trainings.items() if name in names]

    def source(self, training: Training) -> Source:
        """What a training's simulated cases are made by."""
        simulated, data = self.request.recipe.simulated, self.request.data
        has_shapes = training.row is not Row.NOTHING
        has_patches = training.row is Row.PATCHES
        return Source(
            shapes=data / simulated.shapes if has_shapes else None,
            patches=data / simulated.patches if has_patches else None,
            leave_out=self._left_out,
            seed=self._stream_seed(training),
        )

    @cached_property
    def _left_out(self) -> frozenset[str]:
        """Each real case judges somebody: nothing of its patient may be learnt from before."""
        table = self.request.data / self.request.recipe.simulated.leave_out
        unnamed = sorted(self.cases.keys() - cases_named(table))
        if unnamed:
            raise InputError(
                f"{table} does not name every real case, so that its patient could be left out.",
                found=f"not there: {', '.join(unnamed)}",
                hint="add a row for each, with its `case` and its `BraTS20 id`",
            )
        return patients_of(table)

    def _stream_seed(self, training: Training) -> int:
        """Another for each seed and for each training that goes on from another: no case twice."""
        before, start = 0, training.start
        while start:
            before, start = before + 1, self.trainings[start].start
        return 10 * training.config.seed + before


def follow(request: RecipeRequest, listener: Listener | None = None) -> RecipeRun:
    """Make the trainings that are asked for; each goes on where it was stopped.

    Raises:
        InputError: The material cannot be used, or a run was begun with other settings.
    """
    heard = listener or SilentListener()
    recipe = RecipeRun(request, heard.preparing)
    wanted = recipe.wanted()
    for training in wanted:
        # What is wrong with a file or a case is said before hours are spent.
        _ = recipe.source(training).origin
        recipe.learnt_by(training)
    for training in wanted:
        _make(recipe, training, heard)
    return recipe


def _make(recipe: RecipeRun, training: Training, heard: Listener) -> None:
    run, simulated = recipe.run_of(training.name), recipe.request.recipe.simulated
    share = training.config.simulated or 1.0
    every = round(simulated.every / share)
    start = recipe.run_of(training.start).path if training.start else None
    source = recipe.source(training)
    stream = Stream(source, run.path / "simulated", simulated.pool, every)
    with locked(run.path), stream:  # another command may want the same training
        if not run.is_started():
            run.write_config(training.config)
        elif run.read_config() != training.config:
            raise InputError(
                f"{run.path} was begun with other settings than the recipe's.",
                hint="bring the recipe back, or begin in another folder",
            )
        learnt = recipe.learnt_by(training)
        turns = {name: recipe.turns(name) for name in learnt}
        _keep_material(run, stream, learnt, turns)
        material = Material(
            train=[case for name, case in learnt.items() for _ in range(turns[name])],
            held_out=recipe.phantoms,
            source=_in_words(training),
            stream=stream,
        )
        fit(run, training.config, material, start=start, listener=heard)


def _keep_material(
    run: RunFolder, stream: Stream, real: Mapping[str, StoredCase], turns: Mapping[str, int]
) -> None:
    """Note what a run learns from, or refuse to go on with anything else."""
    material = {
        "simulated": dict(stream.maker.origin),
        "pool": stream.pool,
        "every": stream.every,
        "real": {name: dict(case.origin) for name, case in real.items()},
        "turns": dict(turns),
    }
    path = run.path / "material.json"
    if not path.exists():
        write_json(path, material)
    elif read_json(path) != material:
        raise InputError(
            f"{path.parent} was begun with other material.",
            hint="bring back what it began with, or begin in another folder",
        )


class _Phantoms:
    """Makes the phantoms that trainings are scored on."""

    @property
    def origin(self) -> Origin:
        """What they are made from."""
        return {**PREPARATION, "phantom": repr(_PHANTOMS)}

    def begin(self) -> None:
        """Nothing: they are made in this process."""

    def __call__(self, number: int) -> Prepared:
        return prepare(make_phantom(_PHANTOMS, number))


def _in_words(training: Training) -> str:
    made_with = {
        Row.NOTHING: "made up from nothing real",
        Row.SHAPES: "with expert tumour shapes",
        Row.PATCHES: "with expert tumour shapes and patches of real tumours",
    }[training.row]
    real = f"{len(training.learns)} real cases and " if training.learns else ""
    return f"{real}simulated cases {made_with}"
