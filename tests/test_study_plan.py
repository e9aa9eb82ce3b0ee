"""Which cases are tested where, and which trainings that makes."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicube import InputError
from minicube.evaluation.splits import fold_of_each, patient_of
from minicube.study import Plan, Setting
from minicube.study.contrasts import SUSPICIONS
from minicube.study.results import fingerprint, setting_of
from minicube.study.setting import CaseFacts
from minicube.study.systems import ABLATION_BASES, SYSTEMS, ablation_rows
from minicube.study.units import CONTEXT_SYSTEM, PHANTOM, REAL, Unit, steps_in, units_of
from minicube.study.verify import differences

Tumours = list[tuple[str, bool, int]]

ROWS = ablation_rows()
REPAIRED = [name for name in SYSTEMS if not SYSTEMS[name].as_reported]


def _tumours(flags: list[bool], volumes: list[int]) -> Tumours:
    return [(f"case-{i:03d}", *kind) for i, kind in enumerate(zip(flags, volumes, strict=True))]


def _some_tumours(low: int, high: int) -> st.SearchStrategy[Tumours]:
    one = st.tuples(st.booleans(), st.integers(0, 300_000))
    return st.lists(one, min_size=low, max_size=high).map(
        lambda kinds: _tumours([k[0] for k in kinds], [k[1] for k in kinds])
    )


@given(tumours=_some_tumours(2, 59), folds=st.integers(2, 7), order=st.randoms())
@settings(deadline=None)
def test_folds_share_cases_and_kinds_evenly(tumours: Tumours, folds: int, order: Any) -> None:
    found = fold_of_each(tumours, folds)
    assert set(found) == {name for name, _, _ in tumours}  # every case once
    used = set(found.values())
    assert used == set(range(min(folds, len(tumours))))
    for kinds in ({True, False}, {True}, {False}):
        sizes = Counter(found[name] for name, enhances, _ in tumours if enhances in kinds)
        counts = [sizes[fold] for fold in range(folds)]
        assert max(counts) - min(counts) <= 1
    order.shuffle(tumours)
    assert fold_of_each(tumours, folds) == found


def test_large_and_small_tumours_are_spread() -> None:
    volumes = [1000 * 2**i for i in range(12)]
    found = fold_of_each(_tumours([True] * 12, volumes), 3)
    for third in range(4):  # the three most alike are never tested together
        alike = {found[f"case-{i:03d}"] for i in range(3 * third, 3 * third + 3)}
        assert alike == {0, 1, 2}
    totals = Counter[int]()
    for i, volume in enumerate(volumes):
        totals[found[f"case-{i:03d}"] or 0] += volume
    dealt_in_turn = sum(volumes[2::3]) / sum(volumes[0::3])
    assert max(totals.values()) / min(totals.values()) < dealt_in_turn


@given(tumours=_some_tumours(60, 500))
@settings(deadline=None, max_examples=30)
def test_many_cases_are_split_once_as_in_the_report(tumours: Tumours) -> None:
    found = fold_of_each(tumours, 3)
    tested = [name for name, fold in found.items() if fold == 0]
    assert set(found.values()) == {0, None}
    assert len(found) == len(tumours)
    assert len(tested) == round(84 / 484 * len(tumours))
    assert set(fold_of_each(tumours, 3, always=True).values()) == {0, 1, 2}
    for kind in (True, False):
        names = {name for name, enhances, _ in tumours if enhances is kind}
        assert abs(len(names & set(tested)) - len(tested) * len(names) / len(tumours)) <= 1


def test_the_reports_484_cases_give_its_84() -> None:
    found = fold_of_each(_tumours([i % 4 > 0 for i in range(484)], list(range(484))), 5)
    assert Counter(found.values()) == {0: 84, None: 400}
    ranks = sorted(int(name[-3:]) for name, fold in found.items() if fold == 0)
    assert ranks[0] < 20  # from the smallest tumours to the largest
    assert ranks[-1] > 464
    one_kind = fold_of_each(_tumours([True] * 484, list(range(484))), 5)
    ranks = [int(name[-3:]) for name, fold in one_kind.items() if fold == 0]
    assert sum(ranks) / 84 == pytest.approx(483 / 2, abs=1)  # neither small ones nor large


@given(visits=st.lists(st.integers(1, 4), min_size=2, max_size=30), folds=st.integers(2, 5))
@settings(deadline=None, max_examples=40)
def test_visits_of_a_patient_are_tested_together(visits: list[int], folds: int) -> None:
    names = [f"BraTS-GLI-{i:05d}-{v:03d}" for i, count in enumerate(visits) for v in range(count)]
    found = fold_of_each([(name, True, 10 * i) for i, name in enumerate(names)], folds)
    assert set(found) == set(names)
    where: dict[str, set[int | None]] = {}
    for name, fold in found.items():
        where.setdefault(patient_of(name), set()).add(fold)
    assert len(where) == len(visits)
    assert all(len(used) == 1 for used in where.values())


def test_names_without_a_visit_are_patients() -> None:
    for name in ("brats20_001", "BraTS2021_01480", "case-001-002"):
        assert patient_of(name) == name
    assert patient_of("sub-07_ses-02") == "sub-07"


@given(real=st.integers(2, 12), phantoms=st.integers(1, 96), share=st.floats(0.2, 0.8))
@settings(deadline=None, max_examples=30)
def test_real_cases_and_phantoms_are_mixed_from_the_start(
    real: int, phantoms: int, share: float
) -> None:
    plan = _plan(real, phantoms, 2, real_share=share, ablation_minutes=0, systems=("segnet",))
    unit = next(unit for unit in units_of(plan) if unit.fold == 0)
    of_phantoms = [name.startswith("phantom") for name in unit.learns_from]
    expected = sum(of_phantoms) / len(of_phantoms)
    for seen in range(1, len(of_phantoms) + 1):
        assert abs(sum(of_phantoms[:seen]) - seen * expected) <= 1


def _case(name: str, group: str, fold: int | None) -> CaseFacts:
    return CaseFacts(
        case=name,
        group=group,
        fold=fold,
        voxels=(1000, 30, 20, 10),
        box_start=(0, 0, 0),
        box_stop=(9, 9, 9),
        millimetre=True,
    )


def _plan(real: int, phantoms: int, unseen: int, **asked: Any) -> Plan:
    setting = Setting.model_validate({"minutes": 10, "ablation_minutes": 2} | asked)
    folds = fold_of_each([(f"real-{i}", i % 3 > 0, 100 * i) for i in range(real)], setting.folds)
    count = max((fold for fold in folds.values() if fold is not None), default=0) + 1
    cases = [_case(name, REAL, fold) for name, fold in folds.items()]
    cases += [_case(f"unseen-{i}", PHANTOM, i % count) for i in range(unseen)]
    cases += [_case(f"phantom-{i}", PHANTOM, None) for i in range(phantoms)]
    seconds = {name: 0.5 + 0.25 * i for i, name in enumerate(SYSTEMS)}
    return Plan(
        setting=setting, cases=tuple(cases), seconds_a_step=seconds, processor="p", data="d"
    )


plans = st.builds(
    _plan,
    real=st.sampled_from([0, 2, 5, 12, 60]),
    phantoms=st.sampled_from([2, 10, 96]),
    unseen=st.integers(1, 6),
    pretraining_share=st.sampled_from([0.0, 0.6]),
    as_reported=st.booleans(),
    ablation_minutes=st.just(0.0),
    folds=st.integers(2, 4),
    seeds=st.sampled_from([(0,), (0, 1), (3, 1, 2)]),
    systems=st.sampled_from([tuple(REPAIRED), tuple(REPAIRED[1:3])]),
)


@given(plan=plans)
@settings(deadline=None, max_examples=40)
def test_units_of_any_plan_are_sound(plan: Plan) -> None:
    units = units_of(plan)
    by_name = {unit.name: unit for unit in units}
    assert len(by_name) == len(units)
    group = {case.case: case.group for case in plan.cases}
    unseen = {c.case for c in plan.cases if c.group == PHANTOM and c.fold is not None}
    for place, unit in enumerate(units):
        assert unit.learns_from
        assert not set(unit.learns_from) & {*unit.tests, *unseen}
        assert unit.config.seed in plan.setting.seeds
        assert unit.config.warmup <= unit.config.steps / 10
        if unit.fold is None:
            assert {group[name] for name in unit.learns_from} == {PHANTOM}
        else:
            assert unit.tests
        if unit.start is not None:
            before = by_name[unit.start]
            assert units.index(before) < place
            assert before.config.network_config == unit.config.network_config
            assert not set(before.learns_from) & set(unit.tests)


@given(plan=plans)
@settings(deadline=None, max_examples=20)
def test_every_system_tests_every_case_once(plan: Plan) -> None:
    units = units_of(plan)
    wanted = Counter(case.case for case in plan.cases if case.fold is not None)
    first = plan.setting.seeds[0]
    for name in plan.setting.systems:
        of_first = [u for u in units if u.system == name and u.seed == first and u.fold is not None]
        assert Counter(case for unit in of_first for case in unit.tests) == wanted
        for seed in plan.setting.seeds[1:]:
            more = [unit.fold for unit in units if unit.system == name and unit.seed == seed]
            assert more == [0]
    reported = {unit.system for unit in units if unit.system.endswith("-as-reported")}
    wanted_systems = {f"{name}-as-reported" for name in plan.setting.systems} & {*SYSTEMS}
    assert reported == (wanted_systems if plan.setting.as_reported else set())


@given(
    real=st.integers(2, 20),
    phantoms=st.integers(1, 120),
    share=st.floats(0.1, 0.9),
    folds=st.integers(2, 4),
)
@settings(deadline=None, max_examples=60)
def test_real_cases_make_up_the_share_asked_for(
    real: int, phantoms: int, share: float, folds: int
) -> None:
    asked = {"as_reported": False, "ablation_minutes": 0, "systems": ("segnet",)}
    plan = _plan(real, phantoms, 2, real_share=share, folds=folds, **asked)
    group = {case.case: case.group for case in plan.cases}
    for unit in units_of(plan):
        if unit.fold is None:
            continue
        often = Counter(unit.learns_from)
        times = {often[name] for name in often if group[name] == REAL}
        assert len(times) == 1  # all of them as often
        assert {often[name] for name in often if group[name] == PHANTOM} == {1}
        assert sum(group[name] == PHANTOM for name in often) == phantoms
        distinct = sum(group[name] == REAL for name in often)

        def off(n: int, of: int = distinct) -> float:
            return abs(n * of - share / (1 - share) * phantoms)

        n = times.pop()
        assert off(n) <= off(n + 1)
        assert n == 1 or off(n) <= off(n - 1)


def test_the_share_is_exact_where_numbers_allow() -> None:
    plan = _plan(12, 96, 6)
    fold = next(unit for unit in units_of(plan) if unit.fold == 0)
    real = sum(name.startswith("real") for name in fold.learns_from)
    assert real / len(fold.learns_from) == pytest.approx(2 / 3)


def test_phantoms_alone_are_a_study_too() -> None:
    plan = _plan(0, 20, 4)
    units = units_of(plan)
    assert plan.folds == [0]
    assert all(unit.start is None and unit.fold == 0 for unit in units)  # nothing to pre-train for
    for unit in units:
        assert set(unit.tests) == {f"unseen-{i}" for i in range(4)}
        assert set(unit.learns_from) == {f"phantom-{i}" for i in range(20)}


def test_minutes_become_steps_of_each_system() -> None:
    plan = _plan(12, 96, 6, minutes=10, pretraining_share=0.6)
    units = {unit.name: unit for unit in units_of(plan)}
    for name in SYSTEMS:  # in the report's own setting, too
        per_step = plan.seconds_a_step[name]
        assert units[f"{name}/pretraining"].config.steps == round(360 / per_step)
        assert units[f"{name}/fold-1-seed-0"].config.steps == round(240 / per_step)
        assert units[f"{name}/fold-2-seed-0"].start == f"{name}/pretraining"
    for name in REPAIRED:
        assert units[f"{name}/fold-0-seed-1"].start == f"{name}/pretraining"
    for row in ROWS:  # all of a side as many steps as its base
        per_step = plan.seconds_a_step[ABLATION_BASES[row.side]]
        assert units[row.name].config.steps == round(120 / per_step)
    assert steps_in(plan, CONTEXT_SYSTEM, 1e-9) == 1


def test_units_keep_the_systems_config_but_for_steps_and_seed() -> None:
    units = units_of(_plan(12, 10, 2))
    rows = {row.name: row.config for row in ROWS}
    assert [unit.name for unit in units if unit.system == "ablation"] == list(rows)
    for unit in units:
        if unit.system == "ablation":
            _same_but_for_steps(unit, rows[unit.name].model_dump())
            assert {name.split("-")[0] for name in unit.tests} == {"real"}
            assert not set(unit.learns_from) & set(unit.tests)
        else:
            _same_but_for_steps(unit, SYSTEMS[unit.system].config.model_dump())


def _same_but_for_steps(unit: Unit, wanted: dict[str, Any]) -> None:
    settled = {"steps", "seed", "warmup", "validations"}
    found = unit.config.model_dump(exclude=settled)
    assert found == {key: value for key, value in wanted.items() if key not in settled}


def test_every_ablation_row_changes_one_thing_of_its_base() -> None:
    bases = {row.side: row.config.model_dump() for row in ROWS if not row.change}
    assert set(bases) == {"repaired", "as_reported"}
    for row in ROWS:
        changed = {
            key for key, value in row.config.model_dump().items() if value != bases[row.side][key]
        }
        assert bool(changed) == bool(row.change)
        if "rate" not in row.what:  # several settings, and its words say so
            assert len(changed) <= 1, row
    words = [(row.side, row.what, row.change) for row in ROWS]
    assert len(set(words)) == len(words)


def test_every_row_of_the_ablation_stands_for_a_suspicion() -> None:
    assert {row.what for row in ROWS if row.change} == {*SUSPICIONS}


@pytest.mark.parametrize(
    ("values", "named"),
    [({"seeds": (0, 1, 0)}, r"seeds must differ; found \[0, 1, 0\]"), ({"seeds": ()}, "seeds")],
)
def test_seeds_are_runs_of_their_own(values: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError, match=named):
        Setting.checked(minutes=1, ablation_minutes=0, **values)


def test_the_setting_names_what_is_trained_and_how_it_begins() -> None:
    plan = _plan(12, 96, 6, minutes=10, systems=("segnet", "vnet"))
    found = setting_of(plan, units_of(plan))
    assert list(found["systems"]) == ["segnet", "vnet", "segnet-as-reported"]
    assert found["systems"]["vnet"] == "V-Net"
    assert found["pretraining_minutes"] == pytest.approx(6)
    assert found["real_share"] == pytest.approx(2 / 3)
    for lone in (_plan(0, 20, 4), _plan(12, 0, 6)):  # phantoms alone, none to learn from
        found = setting_of(lone, units_of(lone))
        assert found["pretraining_minutes"] == 0
        assert found["real_share"] is None


def test_a_key_that_is_missing_is_not_null() -> None:
    same: dict[str, Any] = {"a": [{"b": None, "c": 1.0}]}
    assert differences("", same, {"a": [{"b": None, "c": 1.0 + 1e-12}]}) == []
    assert differences("", same, {"a": [{"c": 1.0}]}) == ["a[0].b: kept, not recomputed"]
    assert differences("", {"a": [{"c": 1.0}]}, same) == ["a[0].b: recomputed, not kept"]
    assert differences("", same, {"a": []}) == [f"a: kept {same['a']}, recomputed []"]


def test_a_plan_is_read_back_and_identified(tmp_path: Any) -> None:
    plan = _plan(5, 2, 1)
    with pytest.raises(InputError, match="holds no study"):
        Plan.read(tmp_path)
    plan.write(tmp_path)
    assert Plan.read(tmp_path) == plan
    identified = fingerprint(units_of(plan))
    assert fingerprint(units_of(Plan.read(tmp_path))) == identified
    assert fingerprint(units_of(_plan(5, 2, 1, minutes=11))) != identified
    written = {unit.name: unit.config.model_dump(mode="json") for unit in units_of(plan)}
    assert fingerprint(units_of(plan), written) == identified
    written[units_of(plan)[0].name].pop("average")  # by a version that did not know it yet
    assert fingerprint(units_of(plan), written) != identified
    (tmp_path / "study.json").write_text('{"format": 1}')
    with pytest.raises(InputError, match="damaged"):
        Plan.read(tmp_path)
