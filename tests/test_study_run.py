"""A whole study, small: killed in the middle, gone on with, written, and verified."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from minicube._errors import InputError
from minicube._files import locked
from minicube.cli import main
from minicube.scans import Geometry, read_labels, write_label_map
from minicube.study import Plan, Setting, Source, StudyFolder, verify_study
from minicube.study.folder import PREDICTION_SCHEME
from small_cases import write_small_dataset

SETTING = (
    *("--system", "segnet", "--minutes", "0.001"),
    *("--ablation-minutes", "0", "--phantoms", "0", "--unseen-phantoms", "0", "--folds", "2"),
)
UNITS = 5  # two folds, a second seed of the first, and two folds as reported


def _command(data: Path, out: Path) -> list[str]:
    words = ["study", "--data", str(data), "--out", str(out), *SETTING]
    return [sys.executable, "-m", "minicube", *words]


def _finished(out: Path) -> int:
    # What a killed process was writing has a name that begins with a dot.
    return len([*(out / "units").rglob("[!.]*.json")])


@pytest.fixture(scope="module")
def killed_and_resumed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, int]:
    if sys.platform == "win32":
        pytest.skip("a process and all it started are killed through their group")
    folder = tmp_path_factory.mktemp("study")
    data, out = write_small_dataset(folder / "data", 4), folder / "out"
    with subprocess.Popen(_command(data, out), start_new_session=True) as process:
        while _finished(out) == 0 and process.poll() is None:
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGKILL)
    before = _finished(out)
    done = subprocess.run(_command(data, out), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return data, out, before


def _results(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "results.json").read_text(encoding="utf-8"))
    return found


def test_it_goes_on_where_it_was_killed(killed_and_resumed: tuple[Path, Path, int]) -> None:
    _, out, before = killed_and_resumed
    assert 1 <= before < UNITS
    assert _finished(out) == UNITS
    assert _results(out)["finished"] is True
    assert (out / "report.html").stat().st_size > 10_000


def test_results_name_what_they_promise(killed_and_resumed: tuple[Path, Path, int]) -> None:
    results = _results(killed_and_resumed[1])
    assert set(results["systems"]) == {"segnet", "segnet-as-reported"}
    for system in results["systems"].values():
        for name in ("background", "edema", "non_enhancing", "enhancing"):
            scores = system["real"][name]
            assert set(scores) == {"precision", "recall", "f1", "n", "n_empty"}
            assert scores["n"] == 4
        assert system["cost"]["parameters"] > 60_000
        assert system["cost"]["peak_bytes"] > 100e6
        assert system["cost"]["seconds"] > 0
        assert {case["case"] for case in system["real"]["cases"]} == {
            f"small-{i:03d}" for i in range(4)
        }
    assert len(results["config_hash"]) == 64


def test_every_case_is_tested_by_a_training_that_never_saw_it(
    killed_and_resumed: tuple[Path, Path, int],
) -> None:
    _, out, _ = killed_and_resumed
    for split in (out / "work" / "runs").rglob("split.json"):
        names = json.loads(split.read_text(encoding="utf-8"))
        assert not set(names["train"]) & set(names["validation"])
        kept = out / "predictions" / split.parent.relative_to(out / "work" / "runs")
        predicted = {path.name.removesuffix(".nii.gz") for path in kept.glob("*.nii.gz")}
        assert predicted == set(names["validation"])


def test_verify_finds_what_was_tampered_with(killed_and_resumed: tuple[Path, Path, int]) -> None:
    data, out, _ = killed_and_resumed
    folder, plan = StudyFolder(out), Plan.read(out)
    source = Source(data, None, plan.setting)
    assert verify_study(folder, source) == []
    kept = folder.results.read_text(encoding="utf-8")
    values = json.loads(kept)
    values["systems"]["segnet"]["real"]["edema"]["f1"] = 0.99
    folder.results.write_text(json.dumps(values), encoding="utf-8")
    try:
        (line,) = verify_study(folder, source)
        assert line.startswith("systems.segnet.real.edema.f1: kept 0.99, recomputed")
        folder.results.write_text(kept, encoding="utf-8")
        note = folder.unit("segnet/fold-0-seed-0")
        written = note.read_text(encoding="utf-8")
        changed = json.loads(written)
        changed["config"]["learning_rate"] = 0.5
        note.write_text(json.dumps(changed), encoding="utf-8")
        (line,) = verify_study(folder, source)
        assert line.startswith("config_hash: kept")
        note.write_text(written, encoding="utf-8")
        folder.results.write_text(json.dumps(values), encoding="utf-8")
        with pytest.raises(SystemExit) as stopped:
            main(["study", "--verify", str(out), "--data", str(data)])
        assert stopped.value.code == 2
    finally:
        folder.results.write_text(kept, encoding="utf-8")


def test_a_prediction_that_was_swapped_is_found(
    killed_and_resumed: tuple[Path, Path, int],
) -> None:
    data, out, _ = killed_and_resumed
    folder = StudyFolder(out)
    unit = "segnet/fold-0-seed-0"
    first, second = sorted(folder.prediction(unit, "x").parent.glob("*.nii.gz"))[:2]
    kept = first.read_bytes(), second.read_bytes()
    try:
        first.write_bytes(kept[1])
        second.write_bytes(kept[0])
        found = verify_study(folder, Source(data, None, Plan.read(out).setting))
        assert any("segnet.real" in line for line in found)
    finally:
        first.write_bytes(kept[0])
        second.write_bytes(kept[1])


def test_a_prediction_on_another_grid_is_refused(
    killed_and_resumed: tuple[Path, Path, int],
) -> None:
    data, out, _ = killed_and_resumed
    folder = StudyFolder(out)
    path = min(folder.prediction("segnet/fold-0-seed-0", "x").parent.glob("*.nii.gz"))
    kept = path.read_bytes()
    labels, geometry = read_labels(path, PREDICTION_SCHEME)
    moved = geometry.affine.copy()
    moved[0, 3] += 2  # mm: the same shape, another place
    try:
        write_label_map(path, labels, Geometry(geometry.shape, moved))
        with pytest.raises(InputError, match="different grids") as caught:
            verify_study(folder, Source(data, None, Plan.read(out).setting))
        assert str(path) in caught.value.found
        assert path.name.removesuffix(".nii.gz") in caught.value.expected
    finally:
        path.write_bytes(kept)


def test_a_study_half_way_is_reported_as_such(
    killed_and_resumed: tuple[Path, Path, int], tmp_path: Path
) -> None:
    data, out, _ = killed_and_resumed
    copied = tmp_path / "out"
    shutil.copytree(out, copied, ignore=shutil.ignore_patterns("work", "results.json", "*.html"))
    for unit in ("segnet/fold-1-seed-0", "segnet-as-reported/fold-1-seed-0"):
        StudyFolder(copied).unit(unit).unlink()
    with pytest.raises(SystemExit) as stopped:
        main(["study", "--data", str(data), "--out", str(copied), "--report-only"])
    assert stopped.value.code == 0
    results = _results(copied)
    assert results["finished"] is False
    assert results["trainings"] == {"made": UNITS - 2, "planned": UNITS}
    assert {c["fold"] for c in results["systems"]["segnet"]["real"]["cases"]} == {0}
    assert results["systems"]["segnet"]["real"]["edema"]["n"] == 2
    page = (copied / "report.html").read_text(encoding="utf-8")
    assert f"{UNITS - 2} of {UNITS} trainings are made" in page
    with Image.open(copied / "pictures" / "predictions.png") as sheet:
        assert 2 * 200 < sheet.height < 3 * 200  # a row for each case predicted


def test_other_data_are_refused(killed_and_resumed: tuple[Path, Path, int], tmp_path: Path) -> None:
    _, out, _ = killed_and_resumed
    other = write_small_dataset(tmp_path / "other", 2)
    with pytest.raises(SystemExit) as stopped:
        main(["study", "--data", str(other), "--out", str(out), *SETTING])
    assert stopped.value.code == 2


def test_other_options_are_refused(
    killed_and_resumed: tuple[Path, Path, int], capsys: pytest.CaptureFixture[str]
) -> None:
    data, out, _ = killed_and_resumed
    with pytest.raises(SystemExit) as stopped:
        main(["study", "--data", str(data), "--out", str(out), *SETTING, "--minutes", "3"])
    assert stopped.value.code == 2
    assert "minutes 3.0, begun with 0.001" in " ".join(capsys.readouterr().err.split())


def test_a_second_process_is_refused(
    killed_and_resumed: tuple[Path, Path, int], capsys: pytest.CaptureFixture[str]
) -> None:
    data, out, _ = killed_and_resumed
    with locked(out), pytest.raises(SystemExit) as stopped:
        main(["study", "--data", str(data), "--out", str(out), *SETTING])
    assert stopped.value.code == 2
    assert "Another process" in capsys.readouterr().err


@pytest.mark.parametrize("what", ["voxels", "origin"])
def test_a_changed_case_is_noticed(
    killed_and_resumed: tuple[Path, Path, int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    what: str,
) -> None:
    data, out, _ = killed_and_resumed
    copied = tmp_path / "out"
    shutil.copytree(out, copied, ignore=shutil.ignore_patterns("work", "predictions"))
    next((copied / "units").rglob("fold-0*.json")).unlink()
    facts = json.loads((copied / "study.json").read_text(encoding="utf-8"))
    case = facts["cases"][0]
    case[what] = [case["voxels"][0] + 1, *case["voxels"][1:]] if what == "voxels" else "0" * 64
    (copied / "study.json").write_text(json.dumps(facts), encoding="utf-8")
    with pytest.raises(SystemExit) as stopped:
        main(["study", "--data", str(data), "--out", str(copied), *SETTING])
    assert stopped.value.code == 2
    assert facts["cases"][0]["case"] in capsys.readouterr().err


def test_a_study_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["study", "--out", str(tmp_path / "out"), "--phantoms", "0"])
    assert stopped.value.code == 2


def test_verify_without_results_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no results"):
        verify_study(StudyFolder(tmp_path), Source(None, None, _plan_setting()))
    (tmp_path / "results.json").write_text("{}")
    with pytest.raises(InputError, match="not the predictions that they are of"):
        verify_study(StudyFolder(tmp_path), Source(None, None, _plan_setting()))


def _plan_setting() -> Setting:
    return Setting.checked(minutes=1, as_reported=False, ablation_minutes=0)


def test_a_report_of_no_study_is_refused_before_any_work(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(SystemExit) as stopped:
        main(["study", "--out", str(out), "--report-only"])
    assert stopped.value.code == 2
    assert not out.exists()


def test_a_training_that_does_not_fit_is_refused_before_any(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = write_small_dataset(tmp_path / "data", 2), tmp_path / "out"
    words = ["study", "--data", str(data), "--out", str(out), *SETTING, "--memory", "300MB"]
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code == 2
    assert "does not fit" in capsys.readouterr().err
    assert not (out / "study.json").exists()
