"""An offline install: minicube, all it needs, and what installs it on a PC without internet.

This is the one place in minicube that uses a network: pip fetches the packages.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email.parser import BytesParser
from importlib import metadata
from pathlib import Path
from typing import Final

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

import minicube
from minicube._errors import InputError
from minicube._files import replacing

__all__ = ["PLATFORMS", "Bundle", "BundleRequest", "Platform", "make_bundle"]

_NAME: Final = "minicube"
_OF_THIS_INSTALL: Final = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"}
_FIRST_PYTHON: Final = (3, 11)
_ROUNDS: Final = 5
_GLIBC: Final = (28, 27, 24, 17, 12, 5)  # 2.28 is Debian 10, Ubuntu 18.10, RHEL 8


@dataclass(frozen=True)
class Platform:
    """A kind of computer.

    Args:
        tags: Wheels that run there, by what their names end in.
        environment: What requirements ask about it (PEP 508).
    """

    tags: tuple[str, ...]
    environment: Mapping[str, str]


def _platform(tags: Iterable[str], system: str, name: str, machine: str) -> Platform:
    told = {"sys_platform": name, "platform_system": system, "platform_machine": machine}
    return Platform(tuple(tags), told | {"os_name": "nt" if name == "win32" else "posix"})


PLATFORMS: Final = {
    "linux": _platform((f"manylinux_2_{n}_x86_64" for n in _GLIBC), "Linux", "linux", "x86_64"),
    "windows": _platform(["win_amd64"], "Windows", "win32", "AMD64"),
    "macos": _platform(
        (f"macosx_{n}_0_arm64" for n in (14, 13, 12, 11)), "Darwin", "darwin", "arm64"
    ),
}


@dataclass(frozen=True)
class BundleRequest:
    """What to make.

    Args:
        out: A folder that does not exist yet, or a file that ends in ``.zip``.
        python: Of the other PC, such as ``3.12``; this one's by default.
        platform: A name in :data:`PLATFORMS`; this computer's by default.
        overwrite: False refuses to replace a zip file.

    Raises:
        InputError: Python is not a version that minicube runs in.
    """

    out: Path
    python: str = ""
    platform: str | None = None
    overwrite: bool = True

    def __post_init__(self) -> None:
        major, _, minor = self.version.partition(".")
        if not (major.isdigit() and minor.isdigit()) or (int(major), int(minor)) < _FIRST_PYTHON:
            raise InputError(
                f"{self.python} is no version of Python that minicube runs in.",
                expected="3.11 or later, as two numbers",
            )

    @property
    def version(self) -> str:
        """Python's, two numbers."""
        return self.python or f"{sys.version_info.major}.{sys.version_info.minor}"

    @property
    def environment(self) -> dict[str, str]:
        """What requirements ask about the other PC."""
        here = {name: str(value) for name, value in default_environment().items()}
        there = {} if self.platform is None else PLATFORMS[self.platform].environment
        version = {"python_version": self.version, "python_full_version": f"{self.version}.0"}
        return {**here, **there, **version}

    @property
    def wheels_for(self) -> list[str]:
        """How pip is told about the other PC; nothing when it is like this one."""
        version = ["--python-version", self.version] if self.python or self.platform else []
        tags = () if self.platform is None else PLATFORMS[self.platform].tags
        return version + [word for tag in tags for word in ("--platform", tag)]


@dataclass(frozen=True)
class Bundle:
    """What was made.

    Args:
        path: The folder or the file.
        wheels: Names of the packages' files.
        size: Of them all, bytes.
    """

    path: Path
    wheels: tuple[str, ...]
    size: int


def make_bundle(request: BundleRequest) -> Bundle:
    """Fetch all packages of the base install and write what installs them; whole or not at all.

    The folder holds ``wheels/``, ``requirements.txt`` with a checksum of each, a script for Linux
    and macOS, one for Windows, and a text that says what to do.

    Args:
        request: What to make.

    Raises:
        InputError: pip is missing or cannot fetch a package, or the output cannot be written.
    """
    out = request.out
    packed = out.suffix == ".zip"
    if out.exists() and not (packed and request.overwrite):
        raise InputError(f"{out} already exists.", hint="choose another output")
    try:
        metadata.version("pip")
    except metadata.PackageNotFoundError as error:
        raise InputError(
            "pip, which fetches the packages, is missing.", hint="python -m ensurepip"
        ) from error
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".part-", dir=out.parent) as temporary:
            folder = Path(temporary) / (out.stem if packed else out.name)
            wheels = folder / "wheels"
            wheels.mkdir(parents=True)
            own_wheel(wheels)
            _fetch(wheels, request)
            files = sorted(wheels.iterdir())
            made = Bundle(out, tuple(f.name for f in files), sum(f.stat().st_size for f in files))
            _write_instructions(folder, files, request.version)
            if packed:
                _pack(folder, out)
            else:
                folder.rename(out)
    except OSError as error:
        raise InputError(f"{out} cannot be written.", found=error.strerror or str(error)) from error
    return made


def own_wheel(folder: Path) -> Path:
    """Write the minicube that runs here as a wheel, weights and all.

    Reference: https://packaging.python.org/en/latest/specifications/binary-distribution-format.

    Raises:
        InputError: It is not installed, only imported.
    """
    try:
        installed = metadata.distribution(_NAME)
    except metadata.PackageNotFoundError as error:
        raise InputError("minicube is not installed here.", hint="pip install .") from error
    package = Path(minicube.__file__).parent
    contents = {
        f"{_NAME}/{path.relative_to(package).as_posix()}": path.read_bytes()
        for path in sorted(package.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
    described = f"{_NAME}-{installed.version}.dist-info"
    for listed in installed.files or []:
        inside = listed.as_posix().partition(f"{described}/")[2]
        if inside and inside not in _OF_THIS_INSTALL:
            contents[f"{described}/{inside}"] = Path(str(listed.locate())).read_bytes()
    rows = [f"{name},{_record(data)},{len(data)}" for name, data in contents.items()]
    record = f"{described}/RECORD"
    contents[record] = "\n".join([*rows, f"{record},,", ""]).encode()
    wheel = folder / f"{_NAME}-{installed.version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in contents.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return wheel


def _record(data: bytes) -> str:
    digest = urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=")
    return f"sha256={digest.decode()}"


def _fetch(wheels: Path, request: BundleRequest) -> None:
    """Let pip fetch what is needed, until nothing is missing, and drop what is not.

    pip chooses wheels for the other PC, but asks itself whether *this* one needs them.
    """
    wanted = [str(path) for path in wheels.iterdir()]
    for _ in range(_ROUNDS):
        _pip_download(wheels, wanted, request.wheels_for)
        needed, missing = _needed(wheels, request.environment)
        if not missing:
            break
        wanted += missing
    else:
        raise InputError("pip does not find everything.", found="no " + ", ".join(missing))
    for path in wheels.iterdir():
        if parse_wheel_filename(path.name)[0] not in needed:
            path.unlink()


def _pip_download(wheels: Path, wanted: list[str], target: list[str]) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--only-binary", ":all:", "--dest", str(wheels), "--find-links", str(wheels)]
    done = subprocess.run([*command, *target, *wanted], capture_output=True, text=True, check=False)
    if done.returncode:
        told = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise InputError(
            "pip could not fetch the packages.",
            found=" ".join(told or done.stderr.splitlines()[-3:]),
            hint="connect to the internet, or configure pip's package index; not every package "
            "exists for every Python and platform",
        )


def _needed(wheels: Path, environment: Mapping[str, str]) -> tuple[set[str], list[str]]:
    """Names of what minicube needs there, and requirements for which there is no wheel."""
    requires = {parse_wheel_filename(p.name)[0]: _requires(p) for p in wheels.glob("*.whl")}
    todo, done, missing = [(canonicalize_name(_NAME), "")], set(), set()
    while todo:
        package = todo.pop()
        if package in done:
            continue
        done.add(package)
        name, extra = package
        for need in requires[name]:
            if need.marker and not need.marker.evaluate({**environment, "extra": extra}):
                continue
            other = canonicalize_name(need.name)
            if other in requires:
                todo += [(other, extra) for extra in ("", *need.extras)]
            else:
                missing.add(f"{need.name}{need.specifier}")
    return {name for name, _ in done}, sorted(missing)


def _requires(wheel: Path) -> list[Requirement]:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        told = BytesParser().parsebytes(archive.read(name), headersonly=True)
    return [Requirement(text) for text in told.get_all("Requires-Dist", [])]


def _write_instructions(folder: Path, wheels: list[Path], python: str) -> None:
    lines = []
    for path in wheels:
        package, version, *_ = parse_wheel_filename(path.name)
        checksum = hashlib.sha256(path.read_bytes()).hexdigest()
        lines.append(f"{package}=={version} --hash=sha256:{checksum}")
    texts = {
        "requirements.txt": "\n".join([*lines, ""]),
        "install.sh": _SHELL.replace("PYTHON", python),
        "install.bat": _BATCH.replace("PYTHON", python).replace("\n", "\r\n"),
        "README.txt": _README.replace("PYTHON", python).replace("\n", "\r\n"),
    }
    for name, text in texts.items():
        (folder / name).write_bytes(text.encode())
    (folder / "install.sh").chmod(0o755)


def _pack(folder: Path, out: Path) -> None:
    with replacing(out) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():  # wheels are packed already
                archive.write(path, path.relative_to(folder.parent))


_SHELL: Final = """\
#!/bin/sh
# Installs minicube into the folder "minicube" beside this script, or into the one that is named.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
place=${1:-$here/minicube}
python=$(command -v pythonPYTHON || command -v python3)
if ! "$python" -c 'import sys; sys.exit("%d.%d" % sys.version_info[:2] != "PYTHON")'; then
    echo "Python PYTHON is needed; $python is another." >&2
    exit 2
fi
"$python" -m venv "$place"
"$place/bin/python" -m pip install --quiet --disable-pip-version-check --no-index \\
    --find-links "$here/wheels" --require-hashes -r "$here/requirements.txt"
echo "Done: $place/bin/minicube"
"""

_BATCH: Final = """\
@echo off
rem Installs minicube into the folder "minicube" beside this script, or into the one that is named.
setlocal
set "place=%~dp0minicube"
if not "%~1"=="" set "place=%~1"
py -PYTHON -m venv "%place%"
if errorlevel 1 (
    echo Python PYTHON is needed.
    exit /b 2
)
"%place%\\Scripts\\python" -m pip install --quiet --disable-pip-version-check --no-index ^
    --find-links "%~dp0wheels" --require-hashes -r "%~dp0requirements.txt"
if errorlevel 1 exit /b 1
echo Done: %place%\\Scripts\\minicube
"""

_README: Final = """\
minicube, to be installed without internet
==========================================

Research software. Not a medical device; nothing it writes may decide about a patient.

Needed on this PC: Python PYTHON, nothing else.

    Windows:        install.bat
    Linux, macOS:   sh install.sh

makes the folder "minicube" here, with the program in it (Scripts\\minicube or bin/minicube).
Name another folder behind the script to have it elsewhere. By hand, in any environment of
Python PYTHON:

    pip install --no-index --find-links wheels minicube

Then:

    minicube segment patient_07/ -o patient_07_seg.nii.gz

requirements.txt holds a checksum of every package; the scripts refuse what was damaged on its
way. The model is inside the package of minicube itself.
"""
