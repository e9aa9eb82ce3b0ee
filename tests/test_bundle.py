"""Offline installs: what pip fetches is made up here, so that no network is asked."""

from __future__ import annotations

import csv
import hashlib
import io
import subprocess
import sys
import zipfile
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import get_args

import pytest
from packaging.requirements import Requirement

import minicube
from minicube import InputError
from minicube._bundle import PLATFORMS, BundleRequest, make_bundle, own_wheel
from minicube.cli.bundle import PlatformName

pytestmark = pytest.mark.skipif(find_spec("pip") is None, reason="pip is not installed here")


def _wheel(
    folder: Path,
    name: str,
    requires: Iterable[str] = (),
    tag: str = "py3-none-any",
    version: str = "99.0",
) -> None:
    """A package that is empty but for what it says of itself."""
    plain = name.replace("-", "_")
    described = f"{plain}-{version}.dist-info"
    told = "".join(f"Requires-Dist: {need}\n" for need in requires)
    with zipfile.ZipFile(folder / f"{plain}-{version}-{tag}.whl", "w") as archive:
        archive.writestr(
            f"{described}/METADATA",
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{told}",
        )
        archive.writestr(f"{described}/WHEEL", f"Wheel-Version: 1.0\nTag: {tag}\n")
        archive.writestr(f"{described}/RECORD", "")


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All that pip can find: each package of the base install."""
    folder = tmp_path / "index"
    folder.mkdir()
    needs = [Requirement(text) for text in metadata.requires("minicube") or []]
    for need in needs:
        if need.marker is None and need.name != "rich":
            fitting = (f"{major}.99" for major in (9999, *range(99, 0, -1)))
            version = next(v for v in fitting if v in need.specifier)
            _wheel(folder, need.name, version=version)
    _wheel(
        folder,
        "rich",
        ["first-extra[more]; sys_platform == 'win32'", "here; sys_platform != 'win32'"],
    )
    _wheel(folder, "first-extra", ["second; extra == 'more'"])
    _wheel(folder, "second", tag="cp313-cp313-win_amd64")
    _wheel(folder, "here")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null" if sys.platform != "win32" else "nul")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    for name in ("PIP_CONSTRAINT", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    return folder


def test_platforms_written_out_are_those_there_are() -> None:
    assert set(get_args(PlatformName)) == set(PLATFORMS)


def test_the_wheel_is_the_minicube_that_runs_here(tmp_path: Path) -> None:
    wheel = own_wheel(tmp_path)
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (record,) = (name for name in names if name.endswith(".dist-info/RECORD"))
        rows = list(csv.reader(io.StringIO(archive.read(record).decode())))
        assert sorted(row[0] for row in rows) == sorted(names)
        for name, checksum, size in rows:
            if name != record:
                data = archive.read(name)
                digest = urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
                assert (checksum, size) == (f"sha256={digest}", str(len(data)))
    package = Path(minicube.__file__).parent
    assert f"minicube/{next(package.rglob('*.onnx')).relative_to(package).as_posix()}" in names
    assert own_wheel(tmp_path).read_bytes() == wheel.read_bytes()
    installed = tmp_path / "installed"
    _pip("install", "--no-index", "--no-deps", "--target", str(installed), str(wheel))
    code = f"import sys; sys.path.insert(0, {str(installed)!r}); import minicube as m; "
    code += "print(m.__file__, m.__version__)"
    shown = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True)
    assert shown.stdout.split() == [str(installed / "minicube/__init__.py"), minicube.__version__]


def test_a_bundle_for_this_computer_installs_from_itself_alone(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make_bundle(BundleRequest(tmp_path / "out" / "bundle"))
    assert {"README.txt", "install.bat", "install.sh", "requirements.txt", "wheels"} == {
        path.name for path in made.path.iterdir()
    }
    assert any(name.startswith("here-") for name in made.wheels) == (sys.platform != "win32")
    assert not list((tmp_path / "out").glob(".part-*"))
    monkeypatch.delenv("PIP_FIND_LINKS")
    words = ["install", "--dry-run", "--ignore-installed", "--no-index", "--find-links"]
    words += [str(made.path / "wheels"), "--require-hashes", "-r"]
    _pip(*words, str(made.path / "requirements.txt"))
    damaged = next((made.path / "wheels").glob("rich-*"))
    _wheel(damaged.parent, "rich", ["here"])
    with pytest.raises(subprocess.CalledProcessError) as refused:
        _pip(*words, str(made.path / "requirements.txt"))
    assert b"HASH" in refused.value.stderr.upper()


def test_a_bundle_for_another_computer_has_what_that_one_needs(index: Path, tmp_path: Path) -> None:
    out = tmp_path / "bundle.zip"
    made = make_bundle(BundleRequest(out, "3.13", "windows"))
    names = {name.partition("-")[0] for name in made.wheels}
    assert {"minicube", "first_extra", "second"} <= names
    assert "here" not in names  # asked for by this computer only
    with zipfile.ZipFile(out) as archive:
        assert "bundle/install.bat" in archive.namelist()
        assert b"py -3.13 " in archive.read("bundle/install.bat")
    with pytest.raises(InputError, match="already exists"):
        make_bundle(BundleRequest(out, "3.13", "windows", overwrite=False))


def test_what_pip_cannot_find_leaves_nothing_behind(index: Path, tmp_path: Path) -> None:
    next(index.glob("numpy-*")).unlink()
    with pytest.raises(InputError, match="could not fetch") as refused:
        make_bundle(BundleRequest(tmp_path / "out" / "bundle"))
    assert "numpy" in refused.value.found
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("python", ["3", "3.x", "2.7", "3.10", "x"])
def test_a_python_that_is_none_is_refused(python: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no version of Python"):
        BundleRequest(tmp_path / "x", python)


def _pip(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", *words], capture_output=True, check=True)
