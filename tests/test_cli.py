"""The command line: help, versions, JSON, exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

import minicube.cli
from minicube.cli import VERBS, _with_json_target
from minicube.cli._shared import SchemeName
from minicube.cli.data import LayoutName
from minicube.cli.segment import WrittenScheme
from minicube.scans import NETWORK_SCHEME, LabelScheme, Layout, stated_scheme
from small_cases import write_small_dataset

GROUPS = {
    "data": ("list", "convert"),
    "dicom": ("list", "write"),
    "pacs": ("pull", "push", "watch"),
}
WORDS: list[tuple[str, ...]] = [(verb,) for verb in VERBS if verb not in GROUPS]
WORDS += [(group, verb) for group, verbs in GROUPS.items() for verb in verbs]


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "minicube", *words], capture_output=True, text=True, timeout=600
    )


def test_names_written_out_for_speed_are_those_of_the_types() -> None:
    assert set(get_args(SchemeName)) == {scheme.value for scheme in LabelScheme}
    told = {*NETWORK_SCHEME.tissues.values()}
    written = {scheme.value for scheme in LabelScheme if told <= {*scheme.tissues.values()}}
    assert set(get_args(WrittenScheme)) == written
    assert set(get_args(LayoutName)) == {layout.value for layout in Layout}


def test_each_verb_has_a_file_of_its_name() -> None:
    folder = Path(minicube.cli.__file__).parent
    assert {file.stem for file in folder.glob("[!_]*.py")} == set(VERBS)


@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_every_verb_has_help_with_an_example(words: tuple[str, ...]) -> None:
    shown = _run(*words, "--help")
    assert shown.returncode == 0
    assert f"Usage: minicube {' '.join(words)} " in shown.stdout
    assert f"Example: minicube {' '.join(words)} " in shown.stdout


def test_names_are_shown_as_they_are(tmp_path: Path) -> None:
    write_small_dataset(tmp_path / "[red]", 1)
    shown = _run("data", "list", str(tmp_path / "[red]"))
    assert shown.returncode == 0
    assert "[red]" in shown.stdout


def test_a_verb_that_was_stopped_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt("stopped after step 12; --resume goes on")

    monkeypatch.setattr("minicube.scans.find_cases", stop)
    with pytest.raises(SystemExit) as ended:
        minicube.cli.main(["data", "list", "."])
    assert ended.value.code == 130
    assert capsys.readouterr().err == "stopped after step 12; --resume goes on\n"


@pytest.mark.parametrize("words", [(), ("--help",), *((group,) for group in GROUPS)])
def test_verbs_are_listed(words: tuple[str, ...]) -> None:
    shown = _run(*words)
    listed = shown.stdout + shown.stderr
    verbs = GROUPS[words[0]] if words and words[0] in GROUPS else tuple(VERBS)
    for verb in verbs:
        assert f"\n  {verb} " in listed
    assert "…" not in listed
    assert "..." not in listed.split("Commands:")[1]
    assert "Traceback" not in listed


def test_a_misspelt_verb_is_told_the_nearest() -> None:
    refused = _run("segmet")
    assert refused.returncode == 2
    assert "Did you mean 'segment'?" in refused.stderr


NEVER = {"torch", "scipy", "nibabel", "pandas", "onnx", "openvino_telemetry", "urllib.request"}
NOT_TO_SEGMENT = NEVER | {"jinja2", "PIL", "edt", "platformdirs", "rich.markdown", "markdown_it"}
NOT_TO_SEGMENT |= {"multiprocessing.context", "concurrent.futures.process"}
NOT_FOR_HELP = NOT_TO_SEGMENT | {"numpy", "openvino", "rich"}
# Of a verb typer reads the options with pydantic.
NOT_AT_START = NOT_FOR_HELP | {"pydantic", "importlib.metadata"}


def _loaded_by(*words: str) -> set[str]:
    code = "import atexit, sys\n"
    there = "[name for name, module in sys.modules.items() if module]"  # None: refused
    code += f"atexit.register(lambda: print(*{there}, file=sys.stderr))\n"
    code += f"from minicube.cli import main; main({list(words)!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split())


def test_help_imports_nothing_heavy() -> None:
    loaded = _loaded_by("--help")
    assert not NOT_AT_START & loaded
    assert not {f"minicube.cli.{verb}" for verb in VERBS} & loaded
    assert not NOT_FOR_HELP & _loaded_by("segment", "--help")


def test_segmenting_imports_only_what_it_uses(tmp_path: Path) -> None:
    case = next(write_small_dataset(tmp_path / "data", 1).iterdir())
    loaded = _loaded_by("segment", str(case), "-o", str(tmp_path / "out.nii.gz"))
    assert {"numpy", "openvino"} <= loaded
    assert not NOT_TO_SEGMENT & loaded


def test_version() -> None:
    assert _run("--version").stdout.strip() == f"minicube {minicube.__version__}"


def test_doctor_speaks_json() -> None:
    found = json.loads(_run("doctor", "--json").stdout)
    assert found["machine"]["minicube"] == minicube.__version__


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["a", "--json"], ["a", "--json", "-"]),
        (["--json", "x.json", "a"], ["--json", "x.json", "a"]),
        (["--json", "folder", "-o", "b"], ["--json", "-", "folder", "-o", "b"]),
        (["--json", "-"], ["--json", "-"]),
        ([], []),
    ],
)
def test_json_may_stand_alone(words: list[str], expected: list[str]) -> None:
    assert _with_json_target(words) == expected


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("segment",), "Where to write is missing"),
        (("segment", "-o", "x.nii.gz"), "What to segment is missing"),
        (("segment", "nowhere", "-o", "x.nii.gz"), "nowhere"),
        (("data", "list", "nowhere"), "nowhere"),
        (("report", "nowhere"), "nowhere"),
        (("segment", "nowhere", "-o", "x.nii.gz", "--labels", "brats2015"), "brats2015"),
        (("recipe", "r.toml", "--data", "d", "--out", "o", "--json", "x.json"), "add --table"),
        (("train", "--data", "d", "--out", "o", "--steps", "1", "--minutes", "1"), "contradict"),
        (("train", "--data", "d", "--out", "o", "--network", "segnet"), "--config segnet"),
        (("train", "--data", "nowhere", "--out", "o"), "nowhere"),
        (("evaluate", "--prediction", "nowhere", "--reference", "nowhere"), "nowhere"),
    ],
)
def test_a_users_mistake_is_a_sentence_and_exit_code_2(
    words: tuple[str, ...], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    refused = _run(*words)
    assert refused.returncode == 2
    assert sentence in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not list(tmp_path.iterdir())


def test_report_and_file_of_a_segmentation_agree_on_the_scheme(tmp_path: Path) -> None:
    write_small_dataset(tmp_path / "data", 1)
    case = next((tmp_path / "data").iterdir())
    out, report = tmp_path / "seg.nii.gz", tmp_path / "report.html"
    done = _run(
        *("segment", str(case), "-o", str(out), "--report", str(report)),
        *("--labels", "brats2021", "--json", str(tmp_path / "result.json")),
    )
    assert done.returncode == 0, done.stderr
    assert stated_scheme(out) is LabelScheme.BRATS2021
    assert "label scheme brats2021" in report.read_text(encoding="utf-8")
    result = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert result["labels"]["4"] == "enhancing tumour"
    assert "not a medical device" in result["note"]


def test_a_plan_is_made_before_anything_runs() -> None:
    words = ("plan", "--network", "segnet", "--network", "default", "--shape", "160", "192", "144")
    done = _run(*words, "--memory", "8GB", "--memory", "250MB", "--json")
    assert done.returncode == 0, done.stderr
    plans = {(row["network"], row["memory"]): row for row in json.loads(done.stdout)["plans"]}
    assert len(plans) == 4
    roomy = plans["default", "8GB"]
    assert roomy["overhead"] == 1
    assert 2**29 < roomy["predicted_bytes"] < 8 * 2**30
    tight = plans["default", "250MB"]
    assert tight["cut"] is None
    assert "at least" in tight["least"]


def test_a_plan_for_an_unknown_network_is_refused() -> None:
    done = _run("plan", "--network", "resnet")
    assert done.returncode == 2
    assert "segnet" in done.stderr
