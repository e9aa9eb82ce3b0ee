"""The page in a browser: a case is drawn with its labels, corrected, and nothing goes elsewhere."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from minicube.scans import LabelScheme, Layout, write_case
from server_process import Process, running, start_job, until
from small_cases import small_case

pytest.importorskip("fastapi", reason="the server needs the extra 'serve'")
playwright: Any = pytest.importorskip("playwright.sync_api", reason="needs playwright")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")

WEBGL = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--no-sandbox"]
REAL = Path(__file__).parents[2] / "shared" / "data" / "real" / "brats21_01476"
PATIENCE = 300_000  # milliseconds: drawing is done by the processor here


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    with running(tmp_path_factory.mktemp("page") / "data") as server:
        yield server


@pytest.fixture
def page() -> Iterator[Any]:
    with playwright.sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=CHROMIUM, args=WEBGL)
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.set_default_timeout(PATIENCE)
        yield page
        browser.close()


def test_a_case_is_drawn_corrected_and_stays_here(
    server: Process, page: Any, tmp_path: Path
) -> None:
    asked: list[str] = []
    faults: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: faults.append(str(error)))
    write_case(small_case(3), tmp_path, Layout.BRATS2023, LabelScheme.BRATS2023)
    job = start_job(server, tmp_path)
    until(server, job, "done")
    page.goto(f"http://127.0.0.1:{server.port}/#/job/{job}")
    page.wait_for_selector("canvas[data-ready=yes]")
    assert page.get_by_text("Research use only").is_visible()

    seen = page.locator("canvas").screenshot()
    page.get_by_label("Opacity").fill("0")
    without = page.locator("canvas").screenshot()
    assert seen != without  # the labels lay over the scan
    page.get_by_role("button", name="FLAIR").focus()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")  # T2, without a mouse
    page.get_by_role("button", name="T2", exact=True, pressed=True).wait_for()

    page.get_by_role("button", name="Correct the labels").click()
    page.get_by_role("button", name="Save").click()
    page.get_by_text("0 voxels differ").wait_for()
    assert server.call("GET", f"/jobs/{job}")["correction"]["changed_voxels"] == 0

    page.get_by_role("button", name="Go on correcting").click()
    box = page.locator("canvas").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + box["height"] * 0.2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.3, steps=5)
    page.mouse.up()
    page.get_by_role("button", name="Save").click()
    page.get_by_text("Fill what the line encloses").wait_for(state="detached")
    assert server.call("GET", f"/jobs/{job}")["correction"]["changed_voxels"] > 0
    assert not faults
    here = f"http://127.0.0.1:{server.port}/"
    assert all(address.startswith((here, "blob:", "data:")) for address in asked)


@pytest.mark.parametrize("scans", ["made up", "real"])
def test_a_dropped_case_gives_the_labels_of_the_command_line(
    server: Process, page: Any, tmp_path: Path, scans: str
) -> None:
    folder = _made_up_or_real(scans, tmp_path)
    page.goto(f"http://127.0.0.1:{server.port}/")
    _drop(page, folder)
    page.get_by_text("All four sequences are there.").wait_for()
    page.get_by_role("button", name="Segment").click()
    if scans == "real":  # its reference is a bare map of numbers
        page.get_by_text("Nothing in the reference says what its numbers mean.").wait_for()
        page.get_by_label("What the reference's values mean").select_option("brats2021")
        page.get_by_role("button", name="Segment").click()
    page.wait_for_selector("canvas[data-ready=yes]")
    with page.expect_download() as download:
        page.get_by_role("button", name="Labels found").click()
    own = tmp_path / "own.nii.gz"
    command = [sys.executable, "-m", "minicube", "segment", str(folder), "-o", str(own)]
    subprocess.run(command, check=True, capture_output=True)
    given = shutil.copy(download.value.path(), tmp_path / "given.nii.gz")
    ours, theirs = (nib.Nifti1Image.from_filename(path) for path in (own, given))
    assert np.array_equal(theirs.affine, ours.affine)
    assert np.asanyarray(ours.dataobj).any()
    assert np.array_equal(np.asanyarray(theirs.dataobj), np.asanyarray(ours.dataobj))


def _made_up_or_real(scans: str, into: Path) -> Path:
    if scans == "made up":
        write_case(small_case(5), into, Layout.BRATS2023, LabelScheme.BRATS2023)
        return into / "small-005"
    if not REAL.is_dir():
        pytest.skip("scans (../shared/data) not present")
    return REAL


def _drop(page: Any, folder: Path) -> None:
    """Drops a folder on the page as a file manager would."""
    box = page.get_by_text("Drop the scans of one case here").bounding_box()
    place = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
    data = {"items": [], "files": [str(folder)], "dragOperationsMask": 1}
    session = page.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "data": data, **place})


def test_a_study_is_taken_as_a_folder(server: Process, page: Any, tmp_path: Path) -> None:
    pydicom = pytest.importorskip("pydicom")
    pytest.importorskip("highdicom")
    from minicube.dicom import write_study

    write_study(small_case(4), tmp_path / "study")
    (tmp_path / "study" / "README.TXT").write_text("how to open the viewer", encoding="utf-8")
    page.goto(f"http://127.0.0.1:{server.port}/")
    page.get_by_label("Folder of a case").set_input_files(tmp_path / "study")
    page.get_by_text("All four sequences are there.").wait_for()
    assert page.get_by_text("named “t1”; named as after contrast").is_visible()
    page.get_by_role("button", name="Segment").click()
    page.wait_for_selector("canvas[data-ready=yes]")
    with page.expect_download() as download:
        page.get_by_role("button", name="Labels (DICOM)").click()
    assert pydicom.dcmread(download.value.path()).Modality == "SEG"
