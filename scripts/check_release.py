"""Build what would be released, install it into a new environment, and segment with it there.

python scripts/check_release.py

What `make release-check` runs. The sdist is made of the checkout and the wheel of the sdist; both
stay in dist/. The network serves pip alone: the installed program dies of touching a socket.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Final

from minicube import __version__

ROOT: Final = Path(__file__).resolve().parents[1]
DIST: Final = ROOT / "dist"
PACKAGE: Final = ROOT / "src" / "minicube"
NEEDED: Final = (
    "minicube/phantom/assets/icbm152.npz",
    "minicube/py.typed",
    "minicube/reporting/templates/case.html.j2",
    "minicube/server/page/index.html",
    "minicube/server/page/vendor/niivue.js",
    "minicube/training/presets/unet3d-fast.toml",
)
LICENCES: Final = ("LICENSE", "NOTICE.md", "LICENSES.txt", "LICENSE-niivue.txt")

# An exception could be swallowed, the end of the process cannot.
GUARD: Final = """
import os, sys
def hook(event, args):
    if event in ("socket.connect", "socket.sendto", "socket.getaddrinfo"):
        os.write(2, f"reached for the network: {event} {args}\\n".encode())
        os._exit(99)
sys.addaudithook(hook)
"""
CASE: Final = """
from pathlib import Path
from small_cases import write_small_dataset
write_small_dataset(Path("cases"), 1)
"""


def build() -> tuple[Path, Path]:
    """The sdist, and the wheel that was built from it."""
    for old in DIST.glob("minicube-*"):
        old.unlink()
    _run(sys.executable, "-m", "build", "--no-isolation", "--outdir", DIST, ROOT)
    sdist = DIST / f"minicube-{__version__}.tar.gz"
    wheel = DIST / f"minicube-{__version__}-py3-none-any.whl"
    return sdist, wheel


def check_contents(sdist: Path, wheel: Path) -> None:
    """The wheel holds the package, all of it and nothing else; the sdist what tests need, too."""
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
    about = {name for name in names if name.startswith(f"minicube-{__version__}.dist-info/")}
    source = {
        f"minicube/{path.relative_to(PACKAGE).as_posix()}"
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    _require(names - about == source, f"wheel and source differ: {(names - about) ^ source}")
    _require(set(NEEDED) <= names, f"not in the wheel: {set(NEEDED) - names}")
    _require(any(n.endswith("model.onnx") for n in names), "there is no model in the wheel")
    lost = set(LICENCES) - {name.rpartition("/")[2] for name in about}
    _require(not lost, f"licences that are not in the wheel: {lost}")
    with tarfile.open(sdist) as packed:
        parts = {name.split("/")[1] for name in packed.getnames() if "/" in name}
    _require({"src", "tests", "docs", "LICENSE"} <= parts, f"the sdist holds only {parts}")
    _require(not {".venv", "dist", "demo", "site"} & parts, f"the sdist holds {parts}")
    for path in (sdist, wheel):
        print(f"{path.name}: {path.stat().st_size / 2**20:.1f} MB")


def check_installed(wheel: Path, folder: Path) -> None:
    """The base install, and nothing of the checkout: what it says of itself, and a case."""
    home = folder / "env"
    _run(sys.executable, "-m", "venv", "--without-pip", home)
    programs = home / ("Scripts" if os.name == "nt" else "bin")
    python, minicube = programs / "python", programs / "minicube"
    install = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet")
    _run(*install, "-c", ROOT / "constraints.txt", wheel)
    (folder / "sitecustomize.py").write_text(GUARD, encoding="utf-8")
    alone = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    alone["PYTHONPATH"] = os.pathsep.join([str(folder), str(ROOT / "tests")])
    said = _run(minicube, "--version", cwd=folder, env=alone)
    _require(said.strip() == f"minicube {__version__}", f"--version says {said!r}")
    print(_run(minicube, "doctor", cwd=folder, env=alone))
    _run(python, "-c", CASE, cwd=folder, env=alone)
    (case,) = (folder / "cases").iterdir()
    out = folder / "seg.nii.gz"
    _run(minicube, "segment", case, "-o", out, "--report", "r.html", cwd=folder, env=alone)
    _require(out.is_file() and (folder / "r.html").is_file(), "segment wrote no label map")
    tried = "import socket; socket.create_connection(('localhost', 9))"
    _require(_code(python, "-c", tried, cwd=folder, env=alone) == 99, "the guard does not guard")


def _run(*words: object, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env=env,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )
    _require(done.returncode == 0, f"{' '.join(map(str, words))}: exit code {done.returncode}")
    return done.stdout


def _code(*words: object, cwd: Path, env: dict[str, str]) -> int:
    return subprocess.run(
        [str(word) for word in words], cwd=cwd, env=env, capture_output=True
    ).returncode


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        sys.exit(f"not fit for release: {otherwise}")


def main() -> None:
    """Build, look inside, install, segment."""
    sdist, wheel = build()
    check_contents(sdist, wheel)
    with tempfile.TemporaryDirectory() as folder:
        check_installed(wheel, Path(folder))
    print("fit for release")


if __name__ == "__main__":
    main()
