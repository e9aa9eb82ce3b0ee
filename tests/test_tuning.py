"""A search: what it may try, that it loses nothing when killed, and that processes share it."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen
from typing import Any

import numpy as np
import optuna
import pytest
import torch
from numpy.typing import NDArray
from optuna.trial import TrialState

from minicube import InputError
from minicube.engines import load_model
from minicube.reporting import search_report
from minicube.scans import Sequence
from minicube.training import Listener, SilentListener
from minicube.training.stepper import Stepper
from minicube.tuning import Found, SearchFolder, SearchRequest, Space, run_search, space_names
from minicube.tuning.storage import opened
from minicube.volumes import prepare
from small_cases import write_small_dataset, write_visits

BASE: dict[str, Any] = {
    "widths": [4, 4],
    "window": [16, 16, 16],
    "steps": 4,
    "warmup": 1,
    "validations": 2,
    "validation_share": 0.3,
    "loss": {"name": "focal-tversky"},
}
SHORT = BASE | {"steps": 1, "validations": 1}
SEARCH: dict[str, Any] = {
    "loss.alpha": {"low": 0.1, "high": 0.9},
    "learning_rate": {"low": 1e-3, "high": 1e-1, "log": True},
    "widths": {"choices": [[4, 4], [4, 4, 4]]},
}


class Silent:
    """Hears a search and does nothing."""

    def preparing(self, done: int, total: int) -> None:
        pass

    def counted(self, done: int, total: int) -> None:
        pass

    def beginning(self, number: int) -> Listener:
        return SilentListener()

    def ended(self, trial: Found, best: Found | None) -> None:
        pass


def space(**changes: Any) -> Space:
    values = {"search": SEARCH, "base": BASE, "trials": 3, "startup": 2, "seed": 3, **changes}
    return Space.checked(values, "test")


def search(data: Path, out: Path, **changes: Any) -> dict[str, Any]:
    """Make a search; returns its results without what depends on the machine."""
    folder = run_search(SearchRequest(data, out, **{"space": space(), **changes}), Silent())
    return results(folder)


def results(folder: SearchFolder) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(folder.results.read_text(encoding="utf-8"))
    for trial in found["trials"]:
        trial["seconds"] = None
    return found


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_dataset(tmp_path_factory.mktemp("data"), 3)


@pytest.fixture(scope="module")
def undisturbed(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("searches") / "undisturbed"
    search(data, out)
    return out


def test_shipped_spaces_can_be_read() -> None:
    assert space_names() == ["default", "focal-tversky"]
    for name in space_names():
        assert Space.read(name).trials >= 30


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"search": {"loss.alpa": {"low": 0, "high": 1}}}, "loss.alpa"),
        ({"search": {"loss.alpha": {"low": 0.5, "high": 2}}}, r"alpha must lie in \[0, 1\]"),
        ({"search": {"loss.alpha": {"low": 0.5, "hihg": 2}}}, "hihg"),
        ({"search": {"loss.alpha": {"low": 0.5, "high": 0.5}}}, "low must be less"),
        ({"search": {"widths": {"choices": [[4, 4], [4, 4]]}}}, "once"),
        ({"search": {"validations": {"low": 1, "high": 2, "integer": True}}}, "cannot be searched"),
        ({"first": [{"loss.alpha": 0.95}]}, "not in the search"),
        ({"base": BASE | {"window": [15, 16, 16]}}, "multiple"),
        ({"base": BASE | {"simulated": 0.5}}, "simulated must be 0"),
        ({"base": BASE | {"start_share": 0.5}}, "start_share must be 0"),
        ({"search": {"learning_rate": {"low": 1e-3, "high": math.inf}}}, "finite number"),
        ({"search": {"clip": {"choices": [1.0, math.inf]}}}, "finite number"),
        ({"search": {"denoise": {"choices": [False, True]}}}, "cannot be searched"),
        (
            {"search": {"loss.alpha": {"low": 0, "high": 1, "when": {"loss.name": ["dice"]}}}},
            "not searched before",
        ),
    ],
)
def test_what_could_never_be_trained_is_refused(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        space(**changes)


def test_a_key_that_does_not_matter_is_not_drawn() -> None:
    searched = Space.read("default")
    drawn = searched.draw(lambda key, one: one.ends()[0])
    assert drawn["loss.name"] == "dice+ce"
    assert not {"loss.alpha", "loss.gamma", "loss.delta"} & drawn.keys()
    tversky = searched.draw(lambda key, one: "tversky" if key == "loss.name" else one.ends()[-1])
    assert {"loss.alpha", "loss.beta"} <= tversky.keys()
    assert "loss.gamma" not in tversky
    config = searched.config(tversky)
    assert (config.loss.name, config.loss.alpha) == ("tversky", 0.9)
    assert config.widths == (16, 32, 64, 128, 160)


def test_a_search_keeps_all_trials_and_the_weights_of_the_best(
    data: Path, undisturbed: Path
) -> None:
    folder = SearchFolder(undisturbed)
    found = results(folder)
    assert [trial["number"] for trial in found["trials"]] == list(range(3))
    finished = {t["number"]: t["dice"] for t in found["trials"] if t["state"] == "finished"}
    assert found["best"] == max(finished, key=lambda number: finished[number])
    with_weights = {path.parent.name for path in undisturbed.glob("trials/*/weights.safetensors")}
    assert with_weights == {f"{found['best']:04d}"}
    assert not [*undisturbed.glob("trials/*/checkpoint.pt")]
    model = load_model(folder.run_of(found["best"]).path)
    values = found["trials"][found["best"]]["values"]
    assert model.description.widths == tuple(json.loads(values["widths"]))
    judged = found["cases"]["held out"]
    assert len(judged) == 1
    assert not set(judged) & set(found["cases"]["learnt from"])
    html = folder.report.read_text(encoding="utf-8")
    assert "Research use only" in html
    assert html.count("<svg") >= 4


def test_first_trials_have_the_values_given(data: Path, tmp_path: Path) -> None:
    first = [{"loss.alpha": 0.3, "learning_rate": 0.01, "widths": [4, 4, 4]}, {"loss.alpha": 0.7}]
    found = search(data, tmp_path / "out", space=space(first=first, trials=2, base=SHORT))
    values = [trial["values"] for trial in found["trials"]]
    assert values[0] == {"loss.alpha": 0.3, "learning_rate": 0.01, "widths": "[4, 4, 4]"}
    assert values[1]["loss.alpha"] == 0.7
    assert values[1]["learning_rate"] != 0.01


CODE = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[4])
from test_tuning import SearchRequest, Silent, Space, run_search
space = Space.model_validate_json(Path(sys.argv[3]).read_text())
run_search(SearchRequest(Path(sys.argv[1]), Path(sys.argv[2]), space), Silent())
"""


@contextmanager
def another_process(data: Path, out: Path, given: Space, begun: int) -> Iterator[Popen[bytes]]:
    """A process that searches, as soon as it has begun to log that trial; killed at the end."""
    file = out.parent / f"{out.name}.json"
    file.write_text(given.model_dump_json())
    words = [str(data), str(out), str(file), str(Path(__file__).parent)]
    log = SearchFolder(out).run_of(begun).path / "metrics.csv"
    with Popen([sys.executable, "-c", CODE, *words], env=dict(os.environ)) as process:
        try:
            deadline = time.monotonic() + 600
            while not log.exists():
                assert process.poll() is None, "the search ended too early"
                assert time.monotonic() < deadline
                time.sleep(0.01)
            yield process
        finally:
            process.kill()


def _trials(folder: SearchFolder) -> list[optuna.trial.FrozenTrial]:
    with opened(folder.database) as storage:
        return optuna.load_study(study_name="search", storage=storage).get_trials()


def test_killed_and_gone_on_with_equals_undisturbed(
    data: Path, undisturbed: Path, tmp_path: Path
) -> None:
    folder = SearchFolder(tmp_path / "killed")
    with another_process(data, folder.path, space(), begun=1):
        pass
    assert [t.number for t in _trials(folder) if t.state is TrialState.RUNNING] == [1]
    found = search(data, folder.path, space=None)
    assert found == results(SearchFolder(undisturbed))
    assert len(_trials(folder)) == 4  # the second was put back


def test_two_processes_share_one_search(data: Path, tmp_path: Path) -> None:
    made_here: list[int] = []

    class Counting(Silent):
        def beginning(self, number: int) -> Listener:
            made_here.append(number)
            return SilentListener()

    folder, given = SearchFolder(tmp_path / "shared"), space(base=SHORT)
    with another_process(data, folder.path, given, begun=0) as process:
        run_search(SearchRequest(data, folder.path, given), Counting())
        assert process.wait(timeout=600) == 0
    trials = _trials(folder)
    assert [trial.number for trial in trials] == list(range(3))
    assert all(trial.state.is_finished() for trial in trials)
    assert len({trial.params["loss.alpha"] for trial in trials}) == 3
    assert 0 < len(made_here) < 3


def test_a_trial_that_cannot_be_is_noted_and_the_search_goes_on(data: Path, tmp_path: Path) -> None:
    values = {
        "search": {
            "widths": {"choices": [[4, 4], [4, 4, 4, 4, 4]]},
            "window": {"choices": [[16, 16, 16], [24, 24, 24]]},
        },
        "first": [{"widths": [4] * 5, "window": [24] * 3}, {"widths": [4] * 2, "window": [24] * 3}],
        "trials": 2,
        "base": SHORT,
    }
    found = search(data, tmp_path / "out", space=space(**values))
    assert [trial["state"] for trial in found["trials"]] == ["failed", "finished"]
    assert "multiple of the network's stride" in found["trials"][0]["reason"]
    assert found["best"] == 1


def test_a_trial_without_room_is_not_tried_again(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Stepper.step

    def too_large(stepper: Stepper, number: int) -> tuple[float, float]:
        if stepper._config.batch == 3:
            raise torch.OutOfMemoryError("no room\nfor it")
        return step(stepper, number)

    monkeypatch.setattr(Stepper, "step", too_large)
    values = {
        "search": {
            "batch": {"low": 1, "high": 3, "integer": True},
            "window": {"choices": [[2, 2, 2], [16, 16, 16]]},
        },
        "first": [
            {"batch": 1, "window": [2] * 3},
            {"batch": 3, "window": [16] * 3},
            {"batch": 1, "window": [16] * 3},
        ],
        "base": SHORT,
    }
    found = search(data, tmp_path / "out", space=space(**values))
    assert [trial["state"] for trial in found["trials"]] == ["failed", "failed", "finished"]
    assert "one voxel" in found["trials"][0]["reason"]
    assert found["trials"][1]["reason"] == "no room"
    assert len(_trials(SearchFolder(tmp_path / "out"))) == 3


def test_an_interrupted_trial_is_gone_on_with(
    data: Path, undisturbed: Path, tmp_path: Path
) -> None:
    class Stop(SilentListener):
        def stepped(self, step: int, loss: float) -> None:
            if step == 3:
                raise KeyboardInterrupt

    class Impatient(Silent):
        def beginning(self, number: int) -> Listener:
            return Stop()

    request = SearchRequest(data, tmp_path / "stopped", space(trials=1))
    with pytest.raises(KeyboardInterrupt):
        run_search(request, Impatient())
    found = search(data, request.out, space=None)
    assert found["trials"] == results(SearchFolder(undisturbed))["trials"][:1]


def test_unpromising_trials_are_stopped_early(data: Path, tmp_path: Path) -> None:
    given = space(
        search={"learning_rate": {"low": 1e-6, "high": 0.1}},
        first=[{"learning_rate": rate} for rate in (0.03, 0.02, 1e-6)],
        trials=3,
        base=BASE | {"steps": 16, "loss": {"name": "dice+ce"}},
    )
    found = search(data, tmp_path / "out", space=given)
    states = [trial["state"] for trial in found["trials"]]
    assert states == ["finished", "finished", "stopped early"]
    assert [len(trial["validations"]) for trial in found["trials"]] == [2, 2, 1]
    assert found["best"] in (0, 1)


def test_a_damaged_file_makes_no_report(undisturbed: Path, tmp_path: Path) -> None:
    whole = results(SearchFolder(undisturbed))
    damaged = tmp_path / "results.json"
    damaged.write_text(json.dumps(whole | {"trials": [{"number": "first"}]}))
    with pytest.raises(InputError, match=r"not the file that a search writes.\n.*number"):
        search_report(damaged)


def test_tables_are_choices_too(undisturbed: Path, tmp_path: Path) -> None:
    whole = results(SearchFolder(undisturbed))
    tables = [{"name": "dice"}, {"name": "tversky", "alpha": 0.3}]
    whole["space"]["search"] = {"loss": {"choices": tables}}
    for trial in whole["trials"]:
        trial["values"] = {"loss": json.dumps(tables[trial["number"] % 2])}
    changed = tmp_path / "results.json"
    changed.write_text(json.dumps(whole))
    assert "tversky" in search_report(changed)


def test_a_search_that_did_not_begin_keeps_no_space(data: Path, tmp_path: Path) -> None:
    (tmp_path / "text").touch()
    with pytest.raises(InputError, match="cannot be written"):
        search(data, tmp_path / "text")
    with pytest.raises(InputError):
        search(tmp_path / "nowhere", tmp_path / "out")
    with pytest.raises(InputError, match="does not exist"):
        search(data, tmp_path / "out", held_out=tmp_path / "nowhere")
    assert not (tmp_path / "out" / "prepared").exists()
    with pytest.raises(InputError, match="enough to learn from") as refused:
        search(write_small_dataset(tmp_path / "one", 1), tmp_path / "out", space=space(seed=4))
    assert "space" not in str(refused.value)


def test_a_space_that_another_machine_brought_meanwhile_is_not_replaced(
    data: Path, tmp_path: Path
) -> None:
    request = SearchRequest(data, tmp_path / "out", space=space())
    first = space(seed=4).model_dump(mode="json")

    class Overtaken(Silent):
        def preparing(self, done: int, total: int) -> None:
            with opened(SearchFolder(request.out).database) as storage:
                study = optuna.load_study(study_name=request.name, storage=storage)
                study.set_user_attr("space", first)

    with pytest.raises(InputError, match="another space"):
        run_search(request, Overtaken())
    with opened(SearchFolder(request.out).database) as storage:
        study = optuna.load_study(study_name=request.name, storage=storage)
        assert study.user_attrs["space"] == first


def test_another_space_or_other_cases_do_not_join(
    data: Path, undisturbed: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="another space"):
        search(data, undisturbed, space=space(seed=4))
    with pytest.raises(InputError, match="other cases"):
        search(write_small_dataset(tmp_path, 2), undisturbed)
    with pytest.raises(InputError, match="judge what was learnt"):
        search(data, tmp_path / "out", held_out=data)


def test_no_trial_is_judged_by_a_patient_it_learnt_from(tmp_path: Path) -> None:
    data = write_visits(tmp_path / "data", "00002-000", "00002-001", "00003-000")
    found = search(data, tmp_path / "out", space=space(trials=1, base=SHORT))["cases"]
    patients = [{name[:15] for name in found[part]} for part in ("learnt from", "held out")]
    assert [len(part) for part in patients] == [1, 1]
    assert patients[0] != patients[1]
    later = write_visits(tmp_path / "later", "00004-000", "00005-000", "00003-002")
    with pytest.raises(InputError, match=r"other visits.*\n.*BraTS-GLI-00003-002\n"):
        search(data, tmp_path / "other", held_out=later)


def test_trials_learn_from_denoised_scans_where_the_base_says_so(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[int, ...]] = []

    def denoised(scan: NDArray[np.float32], brain: NDArray[np.bool_]) -> NDArray[np.float32]:
        made.append(scan.shape)
        return scan

    monkeypatch.setattr(sys.modules[prepare.__module__], "denoise_rician", denoised)
    given = space(trials=2, base=SHORT | {"denoise": True})
    found = search(data, tmp_path / "out", space=given)
    assert len(made) == 3 * len(Sequence)  # once for all trials
    model = load_model(SearchFolder(tmp_path / "out").run_of(found["best"]).path)
    assert model.description.denoise


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("no url", "cannot be read"),
        ("mysql+mysqldb://lab:secret@nowhere/x", "not installed"),
        ("sqlite:////no/such/folder/search.db", "cannot be used"),
    ],
)
def test_a_database_that_cannot_be_used_is_told_without_the_password(
    url: str, complaint: str
) -> None:
    with pytest.raises(InputError, match=complaint) as caught, opened(url):
        pass
    assert "secret" not in str(caught.value)


def test_trials_of_a_machine_that_fell_silent_are_put_back(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a server nobody sees another machine's locks: its beat tells."""
    url = f"sqlite:///{tmp_path / 'server.db'}"
    with opened(url) as storage:
        study = optuna.create_study(study_name="search", storage=storage, direction="maximize")
        with pytest.warns(UserWarning, match="supposed to be used with Study.optimize"):
            silent = study.ask()
        storage.record_heartbeat(silent._trial_id)
    time.sleep(2.1)
    monkeypatch.setattr("minicube.tuning.storage._DEAD_AFTER", 1)
    found = search(data, tmp_path / "here", storage=url, space=space(trials=1, base=SHORT))
    assert [trial["number"] for trial in found["trials"]] == [0]
    assert found["trials"][0]["state"] == "finished"
