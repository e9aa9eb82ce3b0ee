"""A recipe: nobody is judged on what was learnt, and a stopped one goes on."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minicube._errors import InputError
from minicube.recipe import SHIPPED, Recipe, RecipeRequest, RecipeRun, accuracy, follow, trainings
from minicube.scans import Layout, Sequence, load_case, write_case
from minicube.training import Material, RunFolder, TrainingConfig, find_labelled_cases
from minicube.volumes import Box
from small_cases import small_case, write_small_dataset
from small_material import write_patches, write_shapes

ROOT = Path(__file__).parents[1]
STAGE: dict[str, Any] = {
    "network": "unet3d-fast",
    "widths": [4, 4],
    "window": [16, 16, 16],
    "simulated": 1.0,
    "steps": 2,
    "validations": 1,
}
MATERIAL = {"shapes": "shapes.npz", "patches": "patches.npz"}


def small_recipe(**changes: Any) -> Recipe:
    return Recipe.model_validate(
        {
            "cases": "cases",
            "low_grade": ["small-000"],
            "folds": 2,
            "few": [1],
            "phantoms": 1,
            "simulated": MATERIAL | {"leave_out": "left_out.tsv", "pool": 1},
            "ladder": STAGE,
            "stages": {"first": STAGE, "second": STAGE | {"steps": 1}},
            "real": STAGE | {"simulated": 0.0},
            **changes,
        }
    )


def test_nobody_is_judged_on_what_a_training_or_one_before_it_has_seen() -> None:
    recipe = Recipe.read(ROOT / "recipes" / "shipped.toml")
    folds = {f"case-{i:02d}": i % recipe.folds for i in range(12)}
    found = trainings(recipe, folds)
    judged: dict[tuple[str, int], list[str]] = {}
    for name, training in found.items():
        seen: set[str] = set()
        before = training
        while True:
            seen |= set(before.learns)
            if not before.start:
                break
            assert [*found].index(before.start) < [*found].index(before.name)
            before = found[before.start]
        assert not seen & set(training.judged_on), name
        if training.table_row:
            row = (training.table_row, training.config.seed)
            judged.setdefault(row, []).extend(training.judged_on)
    assert len(judged) == len(recipe.seeds) * (3 + 1 + 1 + 1 + len(recipe.few))
    assert all(sorted(cases) == sorted(folds) for cases in judged.values())
    few = found["real-4/fold-1-seed-0"]
    assert len(few.learns) == 4
    assert few.config.steps == recipe.few_steps
    assert found["real-all/fold-1-seed-0"].config.steps == recipe.real.steps
    more = trainings(recipe, folds, ["another"])
    for name, training in found.items():
        knows = "real-all" in name or "tiny" in name or name == SHIPPED
        assert more[name].learns == (*training.learns, *["another"] * knows), name
    for name in (SHIPPED, "tiny/shipped"):
        assert set(found[name].learns) == set(folds)
        assert not found[name].judged_on


def test_stages_learn_from_simulated_cases_alone(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="simulated = 1"):
        small_recipe(stages={"first": STAGE | {"simulated": 0.5}})
    with pytest.raises(ValueError, match="simulated = 1"):
        small_recipe(ladder=STAGE | {"simulated": 0.5})
    with pytest.raises(ValueError, match="one network"):
        small_recipe(real=STAGE | {"widths": [4, 8]})
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("folds = 1\ncases = 3\n")
    with pytest.raises(InputError, match=r"folds: .*simulated: Field required") as caught:
        Recipe.read(wrong)
    assert "wrong.toml" in str(caught.value)


def test_a_base_holds_what_trainings_have_in_common() -> None:
    own = {"first": {"steps": 2}, "second": {"steps": 1}}
    base = {key: value for key, value in STAGE.items() if key != "steps"}
    two = {"steps": 2}
    short = small_recipe(base=base, stages=own, ladder=two, real=two | {"simulated": 0.0})
    assert short == small_recipe()
    narrow = small_recipe(base=base, stages=own, ladder=two, real=two, tiny={"widths": [2, 2]})
    assert narrow.tiny == narrow.real.model_copy(update={"widths": (2, 2)})
    with pytest.raises(ValueError, match="base"):
        small_recipe(base=3)
    with pytest.raises(ValueError, match="wdiths"):
        small_recipe(base=base | {"wdiths": [4]}, stages=own, real={"steps": 2})


def test_no_simulated_case_comes_twice(tmp_path: Path) -> None:
    write_small_dataset(tmp_path / "cases", 2)
    table = "case\tBraTS20 id\nsmall-000\t001\nsmall-001\t002\n"
    (tmp_path / "left_out.tsv").write_text(table)
    followed = RecipeRun(RecipeRequest(small_recipe(), tmp_path, tmp_path / "out"))
    seeds: dict[str, int] = {}
    for name, training in followed.trainings.items():
        seed = followed.source(training).seed
        before = training
        while before.start:
            before = followed.trainings[before.start]
            assert seeds[before.name] != seed, name
        seeds[name] = seed
    of_seed = [{s for n, s in seeds.items() if f"seed-{seed}" in n} for seed in (0, 1)]
    assert all(of_seed)
    assert not of_seed[0] & of_seed[1]


def test_a_recipe_is_followed_judged_and_gone_on_with(tmp_path: Path) -> None:
    write_small_dataset(tmp_path / "data" / "cases", 3)
    table = tmp_path / "data" / "left_out.tsv"
    lines = [f"small-{number:03d}\t{number + 1:03d}\n" for number in range(4)]
    table.write_text("case\tBraTS20 id\n" + "".join(lines[:2]))
    write_patches(tmp_path / "data" / "patches.npz", write_shapes(tmp_path / "data" / "shapes.npz"))
    only = ("patches/seed-0",)
    request = RecipeRequest(small_recipe(), tmp_path / "data", tmp_path / "out", only)
    with pytest.raises(InputError, match="does not name every real case"):
        follow(request)
    table.write_text("case\tBraTS20 id\n" + "".join(lines[:3]))
    patches = tmp_path / "data" / "patches.npz"
    patches.rename(tmp_path / "away.npz")
    with pytest.raises(InputError, match=r"patches\.npz cannot be read"):
        follow(request)
    assert not (tmp_path / "out" / "patches").exists()
    (tmp_path / "away.npz").rename(patches)
    followed = follow(request)
    runs = [followed.run_of(f"patches/seed-0/{stage}") for stage in ("first", "second")]
    weights = [(run.path / "weights.safetensors").read_bytes() for run in runs]
    assert weights[0] != weights[1]
    assert not (tmp_path / "out" / SHIPPED).exists()

    everything = RecipeRun(replace(request, only=()))
    everything.run_of("ladder/shapes/seed-0").write_config(small_recipe().ladder)
    rows = accuracy(everything)  # a training that was stopped before it had weights is not judged
    assert [*rows] == ["patches"]
    assert [*rows["patches"]] == ["0"]
    found = rows["patches"]["0"]
    assert {part: found[part]["WT"]["n"] for part in ("all", "low grade", "high grade")} == {
        "all": 3,
        "low grade": 1,
        "high grade": 2,
    }
    wt = [dice["WT"] for dice in found["cases"].values()]
    assert found["all"]["WT"]["mean"] == pytest.approx(np.mean(wt))

    less = accuracy(followed, without=[Sequence.T1C])["patches"]["0"]
    assert [*less["all"]] == ["WT", "TC"]  # enhancement cannot be told
    assert accuracy(followed) == rows  # kept apart

    # Another reference is another question, and a training with other settings is none of these.
    judged = json.loads((runs[1].path / "accuracy.json").read_text())
    assert {*judged["cases"]} == {*found["cases"]}
    judged["dice"] = {name: dict.fromkeys(dice, 0.5) for name, dice in judged["dice"].items()}
    (runs[1].path / "accuracy.json").write_text(json.dumps(judged))
    assert accuracy(followed)["patches"]["0"]["all"]["WT"]["mean"] == 0.5  # not judged again
    judged["cases"]["small-000"]["reference"] = "another"
    (runs[1].path / "accuracy.json").write_text(json.dumps(judged))
    assert accuracy(followed) == rows
    slower = STAGE | {"steps": 1, "learning_rate": 1e-5}
    other = small_recipe(stages={"first": STAGE, "second": slower})
    assert accuracy(RecipeRun(replace(request, recipe=other))) == {}

    # Gone on with: nothing is made anew, other settings are refused, so are other cases.
    follow(request)
    assert [(run.path / "weights.safetensors").read_bytes() for run in runs] == weights
    table.write_text("case\tBraTS20 id\n" + "".join(lines))
    with pytest.raises(InputError, match="other material"):
        follow(request)
    table.write_text("case\tBraTS20 id\n" + "".join(lines[:3]))
    other = small_recipe(stages={"first": STAGE, "second": STAGE | {"steps": 3}})
    with pytest.raises(InputError, match="other settings"):
        follow(RecipeRequest(other, request.data, request.out, only))
    write_small_dataset(tmp_path / "data" / "cases", 4)
    with pytest.raises(InputError, match="not those"):
        follow(RecipeRequest(small_recipe(), request.data, request.out, (SHIPPED,)))


def test_more_cases_are_learnt_from_and_never_judged_on(tmp_path: Path) -> None:
    write_small_dataset(tmp_path / "cases", 2)
    recipe = small_recipe(more=["other"])
    for name in ("more-a", "more-b"):
        case = small_case(7)
        absent = [Sequence.T1N]
        left = {s: image for s, image in case.images.items() if s not in absent}
        less = replace(case, identity=name, images=left)
        write_case(less, tmp_path / "other", Layout.BRATS2023)
        last = RecipeRun(RecipeRequest(recipe, tmp_path, tmp_path / "out")).more_names
        assert last[-1] == name  # one alone will do
    followed = RecipeRun(RecipeRequest(recipe, tmp_path, tmp_path / "out"))
    assert [*followed.more] == ["more-a", "more-b"]
    stored = followed.more["more-a"]
    images, _ = stored.read(Box((0, 0, 0), stored.shape))
    assert [bool(image.any()) for image in images] == [False, True, True, True]
    assert {"more-a", "more-b"} < set(followed.trainings["real-all/fold-0-seed-0"].learns)
    assert not {"more-a", "more-b"} & {n for t in followed.trainings.values() for n in t.judged_on}
    same = RecipeRequest(small_recipe(more=["cases"]), tmp_path, tmp_path / "other out")
    with pytest.raises(InputError, match="to be learnt from: small-000, small-001"):
        RecipeRun(same).wanted()


def test_cases_are_seen_as_often_as_their_kind_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_small_dataset(tmp_path / "data" / "cases", 2)
    for number, name in enumerate(("more-a", "more-b")):
        other = replace(small_case(7 + number), identity=name)
        write_case(other, tmp_path / "data" / "other", Layout.BRATS2023)
    write_patches(tmp_path / "data" / "patches.npz", write_shapes(tmp_path / "data" / "shapes.npz"))
    table = "case\tBraTS20 id\nsmall-000\t001\nsmall-001\t002\n"
    (tmp_path / "data" / "left_out.tsv").write_text(table)
    seen: dict[str, Counter[str]] = {}

    def count(run: RunFolder, config: Any, material: Material, **_: Any) -> None:
        seen[run.path.name] = Counter(case.identity for case in material.train)

    monkeypatch.setattr("minicube.recipe.run.fit", count)
    half = STAGE | {"simulated": 0.5}
    turns = {"high_grade": 2, "low_grade": 3}
    recipe = small_recipe(more=["other"], turns=turns, real=half)
    request = RecipeRequest(recipe, tmp_path / "data", tmp_path / "out", (SHIPPED,))
    follow(request)
    assert seen[SHIPPED] == {"small-000": 3, "small-001": 2, "more-a": 1, "more-b": 1}
    every = {
        name: json.loads((tmp_path / "out" / name / "material.json").read_text())["every"]
        for name in ("patches/seed-0/first", SHIPPED)
    }
    assert every == {"patches/seed-0/first": 8, SHIPPED: 16}  # as many new cases a window of them
    with pytest.raises(InputError, match="other material"):
        follow(replace(request, recipe=small_recipe(more=["other"], real=half)))


def test_unknown_trainings_are_refused_by_name(tmp_path: Path) -> None:
    write_small_dataset(tmp_path / "cases", 2)
    request = RecipeRequest(small_recipe(), tmp_path, tmp_path / "out", ("paches",))
    with pytest.raises(InputError, match="no training 'paches'") as caught:
        RecipeRun(request).wanted()
    assert "patches/seed-0/first" in str(caught.value)
    assert not request.out.exists()  # it is said before cases are prepared
    cases = [load_case(files).identity for files in find_labelled_cases(tmp_path / "cases")]
    assert sorted(RecipeRun(request).folds) == cases


def test_the_recipe_of_the_shipped_weights_makes_one_network() -> None:
    recipe = Recipe.read(ROOT / "recipes" / "shipped.toml")
    assert isinstance(recipe.real, TrainingConfig)
    assert {c.network_config for c in recipe.stages.values()} == {recipe.real.network_config}
