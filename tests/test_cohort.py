"""Many cases: one bad case stops no other, what is done is not done again, files are whole."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import subprocess
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import minicube as mc
from minicube import InputError
from minicube.cli import main
from minicube.cli._targets import Places, targets_of
from minicube.inference import VOLUMES, Stages, one_by_one, overlapped
from minicube.scans import (
    LabelScheme,
    Layout,
    Region,
    find_cases,
    read_labels,
    stated_scheme,
    write_case,
)
from small_cases import small_case, write_small_dataset
from small_models import write_small_model
from stoppable import STOPPABLE

CASES = 4
BAD = "small-001"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_model(tmp_path_factory.mktemp("model") / "run", 5)


@pytest.fixture
def cohort(tmp_path: Path) -> Path:
    return write_small_dataset(tmp_path / "cohort", CASES)


def _segment(cohort: Path, out: Path, *words: str | Path) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["segment", str(cohort), "-o", str(out), *map(str, words)])
    return int(ended.value.code or 0)


def _damage(cohort: Path) -> bytes:
    path = cohort / BAD / f"{BAD}-t2w.nii.gz"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    return whole


def _table(out: Path) -> dict[str, dict[str, str]]:
    with (out / VOLUMES).open(encoding="utf-8", newline="") as file:
        return {row["case"]: row for row in csv.DictReader(file)}


def _maps(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(out.glob("small-*_seg.nii.gz"))}


def _written(out: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in out.glob("small-*_seg.nii.gz")}


def test_a_bad_case_is_told_and_stops_no_other(
    cohort: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, out, rows = _damage(cohort), tmp_path / "out", tmp_path / "rows.json"
    assert _segment(cohort, out, "--model", model, "--json", rows) == 3
    assert f"1 of {CASES} cases failed" in capsys.readouterr().err
    assert len(_maps(out)) == CASES - 1
    table = _table(out)
    assert list(table) == [f"small-{i:03d}" for i in range(CASES)]
    assert "breaks off" in table[BAD]["error"]
    assert not table[BAD]["WT_ml"]
    assert "error" in json.loads(rows.read_text(encoding="utf-8"))[1]

    before = _written(out)
    (cohort / BAD / f"{BAD}-t2w.nii.gz").write_bytes(whole)
    assert _segment(cohort, out, "--model", model) == 0
    after = _written(out)
    assert len(after) == CASES
    assert {name: after[name] for name in before} == before
    assert not any(row["error"] for row in _table(out).values())


def test_the_table_holds_what_the_files_do(cohort: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert _segment(cohort, out, "--model", model, "--labels", "brats2021") == 0
    first = (out / VOLUMES).read_bytes()
    for case, row in _table(out).items():
        path = out / f"{case}_seg.nii.gz"
        assert stated_scheme(path) is mc.LabelScheme.BRATS2021
        labels, _ = read_labels(path, mc.LabelScheme.BRATS2021)
        for region in Region:
            ml = labels.region(region).sum() / 1000
            assert float(row[f"{region.value}_ml"]) == pytest.approx(ml, abs=1e-3)
        parts = sum(float(row[name]) for name in ("oedema_ml", "non_enhancing_ml", "enhancing_ml"))
        assert float(row["WT_ml"]) == pytest.approx(parts, abs=3e-3)
    assert _segment(cohort, out, "--model", model, "--labels", "brats2021") == 0
    assert (out / VOLUMES).read_bytes() == first


@pytest.mark.parametrize("words", [(), ("--jobs", "2")])
def test_overlapping_changes_nothing(
    cohort: Path, model: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    out = tmp_path / "out"
    assert _segment(cohort, out, "--model", model, *words) == 0
    for case in sorted(cohort.iterdir()):
        alone = tmp_path / "alone" / f"{case.name}_seg.nii.gz"
        assert _segment(case, alone, "--model", model) == 0
    assert _maps(out) == _maps(tmp_path / "alone")


def test_what_would_come_out_otherwise_is_made_anew(
    cohort: Path, model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"

    def changed(*words: str | Path) -> set[str]:
        before = _written(out)
        assert _segment(cohort, out, *words) == 0
        after = _written(out)
        return {name for name in after if before.get(name) != after[name]}

    every = {f"small-{i:03d}_seg.nii.gz" for i in range(CASES)}
    assert changed("--model", model) == every
    assert not changed("--model", model)
    one = out / "small-002_seg.nii.gz"
    one.write_bytes(one.read_bytes()[:-9])
    assert changed("--model", model) == {one.name}
    (out / "small-003_seg.json").write_text("{}", encoding="utf-8")
    assert changed("--model", model) == {"small-003_seg.nii.gz"}
    donor, heir = cohort / "small-000", cohort / "small-001"
    shutil.copy(donor / "small-000-t1c.nii.gz", heir / "small-001-t1c.nii.gz")
    assert changed("--model", model) == {"small-001_seg.nii.gz"}
    assert changed("--model", model, "--tta") == every
    assert changed("--model", model, "--tta", "--even") == every
    assert changed("--model", model, "--tta", "--largest") == every
    assert changed("--model", model, "--tta", "--largest", "--report", tmp_path / "r") == every
    assert changed("--model", model, "--model", model, "--tta", "--largest") == every


def test_no_clobber_goes_on_but_replaces_nothing(cohort: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert _segment(cohort, out, "--model", model, "--no-clobber") == 0
    (out / "small-000_seg.nii.gz").unlink()
    (out / "small-000_seg.json").unlink()
    assert _segment(cohort, out, "--model", model, "--no-clobber") == 0
    (out / "small-000_seg.nii.gz").write_bytes(b"precious")
    assert _segment(cohort, out, "--model", model, "--no-clobber") == 2
    assert (out / "small-000_seg.nii.gz").read_bytes() == b"precious"


def test_no_clobber_guards_the_json_of_a_cohort_that_is_done(
    cohort: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, rows = tmp_path / "out", tmp_path / "rows.json"
    words = ("--model", model, "--no-clobber", "--json", rows)
    assert _segment(cohort, out, *words) == 0
    rows.write_text('{"mine": 1}')
    assert _segment(cohort, out, *words) == 2
    assert "rows.json" in capsys.readouterr().err
    assert rows.read_text() == '{"mine": 1}'


def test_what_is_found_does_not_pass_for_a_scan_of_the_case(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_case(small_case(1), tmp_path / "in", Layout.PLAIN, LabelScheme.BRATS2023)
    (home,) = (tmp_path / "in").iterdir()
    (home / "t2f.nii.gz").unlink()
    for name in ("T1.nii.gz", "flair.nii.gz"):
        assert _segment(home, home / name, "--model", model) == 2
        assert "taken for a scan" in capsys.readouterr().err
        assert not (home / name).exists()
    assert _segment(home, tmp_path / "flair.nii.gz", "--model", model) == 0


def test_results_of_two_cases_never_share_a_name(cohort: Path, tmp_path: Path) -> None:
    cases = find_cases(cohort)
    twin = replace(cases[1], identity=cases[0].identity.upper())
    with pytest.raises(InputError, match="one name"):
        targets_of([*cases, twin], Places(tmp_path))


def test_scans_and_experts_labels_are_not_replaced(
    cohort: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case, taken = tmp_path / "b_00000", ("t1", "t1ce", "t2", "flair", "seg")
    case.mkdir()
    for old, new in zip(("t1n", "t1c", "t2w", "t2f", "seg"), taken, strict=True):
        shutil.copy(cohort / BAD / f"{BAD}-{old}.nii.gz", case / f"b_00000_{new}.nii.gz")
    before = {path.name: path.read_bytes() for path in case.iterdir()}
    for out in (case, case / "b_00000_t1.nii.gz"):
        assert _segment(case, out, "--model", model) == 2
        assert "would be replaced" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in case.iterdir()} == before
    (case / "b_00000_seg.nii.gz").unlink()
    assert _segment(case, case, "--model", model) == 0
    assert _segment(case, case, "--model", model) == 0  # its own label map it may replace


def test_one_case_goes_into_files_where_files_are_named(tmp_path: Path) -> None:
    cases = find_cases(write_small_dataset(tmp_path / "cohort", 2))
    page, doubt = tmp_path / "page.html", tmp_path / "doubt.nii.gz"
    for out in (tmp_path / "out", tmp_path / "out.nii.gz"):
        (one,) = targets_of(cases[:1], Places(out, page, None, doubt))
        assert (one.places.report, one.places.uncertainty) == (page, doubt)
    first, _ = targets_of(cases, Places(tmp_path / "out", tmp_path / "r", None, tmp_path))
    assert first.places.report == tmp_path / "r" / "small-000.html"
    assert first.places.uncertainty == tmp_path / "small-000_uncertainty.nii.gz"


def test_places_that_cannot_be_are_refused_before_anything_is_computed(tmp_path: Path) -> None:
    cases = find_cases(write_small_dataset(tmp_path / "cohort", 1))
    out, folder = tmp_path / "seg.nii.gz", tmp_path / "folder"
    folder.mkdir()
    for places in (
        Places(out, uncertainty=out),
        Places(out, uncertainty=tmp_path / "more" / ".." / "seg.nii.gz"),
    ):
        with pytest.raises(InputError, match="Two results"):
            targets_of(cases, places)
    (folder / "page.html").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        targets_of(cases, Places(out, report=folder / "page.html"))
    (tmp_path / "text").touch()
    for places in (
        Places(out, probabilities=tmp_path / "text"),
        Places(out, report=tmp_path / "text" / "page.html"),
        Places(out, json=tmp_path / "text" / "seg.json"),
    ):
        with pytest.raises(InputError, match=r"one file|cannot be written"):
            targets_of(cases, places)
    for places in (
        Places(tmp_path / "seg.mha"),
        Places(out, report=tmp_path / "page.txt"),
        Places(out, uncertainty=tmp_path / "doubt.nrrd"),
    ):
        with pytest.raises(InputError, match="neither a folder nor a file") as refused:
            targets_of(cases, places)
        assert "ends in" in refused.value.expected
    for places in (
        Places(folder, report=tmp_path / "all.html"),
        Places(folder, uncertainty=tmp_path / "all.nii.gz"),
        Places(tmp_path / "all.nii"),
    ):
        with pytest.raises(InputError, match="Several cases were found"):
            targets_of([*cases, *cases], places)
    with pytest.raises(InputError, match="Two results"):
        targets_of(cases, Places(out, json=tmp_path / "seg.json"))
    with pytest.raises(InputError, match="is a file of the case"):
        targets_of(cases, Places(out, json=cases[0].paths[0]))
    (one,) = targets_of(cases, Places(out, folder, None, folder))
    assert (one.out, one.places.report) == (out, folder / "small-000.html")
    assert one.places.uncertainty == folder / "small-000_uncertainty.nii.gz"


def test_one_file_is_not_two_sequences(
    cohort: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scan = str(cohort / BAD / f"{BAD}-t1c.nii.gz")
    words = ["--t1ce", scan, "--flair", scan, "-o", str(tmp_path / "seg.nii.gz")]
    with pytest.raises(SystemExit) as ended:
        main(["segment", *words, "--model", str(model)])
    assert ended.value.code == 2
    assert "T1 with contrast and as FLAIR" in " ".join(capsys.readouterr().err.split())


def test_json_of_scores_replaces_nothing_that_they_are_of(
    cohort: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = tmp_path / "seg.nii.gz"
    shutil.copy(cohort / BAD / f"{BAD}-seg.nii.gz", labels)
    beside = tmp_path / "seg.json"
    beside.write_text('{"label_scheme": "brats2023"}')
    words = ["--prediction", str(labels), "--reference", str(labels), "--json", str(beside)]
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", *words])
    assert ended.value.code == 2
    assert "says what is evaluated" in capsys.readouterr().err
    assert "label_scheme" in beside.read_text()


def test_one_case_says_what_it_was_made_from_and_no_clobber_guards_that(
    cohort: Path,
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "seg.nii.gz"
    assert _segment(cohort / BAD, out, "--model", model, "--no-clobber") == 0
    beside = json.loads((tmp_path / "seg.json").read_text(encoding="utf-8"))
    assert beside["made"]["volumes_ml"]["WT"] >= 0
    assert beside["files"].keys() == {out.name}
    assert beside["origin"]["labels"] == "brats2023"
    out.unlink()
    capsys.readouterr()
    monkeypatch.delattr("minicube.cli._segmenting.Work.compute")  # it is said before
    assert _segment(cohort / BAD, out, "--model", model, "--no-clobber") == 2
    assert "seg.json" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_after_a_blow_files_are_whole_and_the_rest_is_made(
    model: Path, tmp_path: Path, blow: signal.Signals
) -> None:
    cohort, out = write_small_dataset(tmp_path / "many", 12), tmp_path / "out"
    words = ["segment", str(cohort), "-o", str(out), "--model", str(model)]
    with subprocess.Popen([*STOPPABLE, *words], stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 120
        while not list(out.glob("small-*_seg.nii.gz")) and time.monotonic() < deadline:
            time.sleep(0.005)
        process.send_signal(blow)
        _, said = process.communicate(timeout=120)
    assert process.returncode == (-9 if blow is signal.SIGKILL else 130)
    before = _written(out)
    assert 0 < len(before) < 12
    if blow is not signal.SIGKILL:
        assert said.splitlines()[-1] == "stopped"
        assert not list(out.glob(".part-*"))
    assert not (out / VOLUMES).exists()
    assert _segment(cohort, out, "--model", model) == 0
    after = _written(out)
    kept = [name for name in before if before[name] == after[name]]
    assert len(kept) >= len(before) - 1  # of the last the note may be missing
    assert len(after) == len(_table(out)) == 12


def test_a_budget_and_jobs_contradict_each_other(
    cohort: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _segment(cohort, tmp_path / "out", "--memory", "1GB", "--jobs", "2") == 2
    assert "contradict" in capsys.readouterr().err


class Counting:
    """Stages that count the cases in memory."""

    def __init__(self) -> None:
        self.held = self.most = 0
        self.begun: list[int] = []
        self._lock = threading.Lock()

    def read(self, item: int) -> int:
        with self._lock:
            self.begun.append(item)
            self.held += 1
            self.most = max(self.most, self.held)
        return item

    def compute(self, item: int) -> int:
        time.sleep(0.002)
        if item % 5 == 3:
            self.held -= 1
            raise (mc.InputError("bad") if item % 2 else ValueError("ours"))
        return item * item

    def write(self, item: int, found: int) -> int:
        with self._lock:
            self.held -= 1
        return found

    @property
    def stages(self) -> Stages[int, int, int, int]:
        return Stages(self.read, self.compute, self.write)


@pytest.mark.parametrize("jobs", [0, 1, 3])
def test_cases_come_out_in_order_and_few_are_held(jobs: int) -> None:
    counting = Counting()
    run = overlapped(range(20), counting.stages, jobs) if jobs else None
    outcomes = list(run or one_by_one(range(20), counting.stages))
    assert [outcome.item for outcome in outcomes] == list(range(20))
    for outcome in outcomes:
        expected: Any = None if outcome.item % 5 == 3 else outcome.item**2
        assert outcome.result == expected
        assert bool(outcome.error) == (expected is None)
    assert outcomes[3].error == "bad"
    assert "ValueError: ours" in outcomes[8].error
    assert counting.most <= jobs + 2 if jobs else counting.most == 1


def test_what_was_not_begun_is_left_when_one_stops() -> None:
    counting = Counting()
    outcomes = overlapped(range(100), counting.stages)
    next(outcomes)
    outcomes.close()
    begun = list(counting.begun)
    time.sleep(0.05)
    assert len(begun) <= 4
    assert counting.begun == begun
