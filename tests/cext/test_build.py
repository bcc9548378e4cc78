"""The build from source: C tests with contract checks, sanitizers and valgrind; the wheel with and without C."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("he_core", "trainer")

pytestmark = pytest.mark.slow

needs_compiler = pytest.mark.skipif(
    not any(shutil.which(name) for name in ("cc", "gcc", "clang")), reason="no C compiler on PATH"
)


def _environment(**changes: str) -> dict[str, str]:
    """The environment with this interpreter's scripts (meson, ninja) on PATH, and no cap on targets."""
    environment = {name: value for name, value in os.environ.items() if name != "DCSFL_CPU_TARGET"}
    return environment | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"} | changes


def _run(*command: str | Path, cwd: Path = ROOT, **environment: str) -> str:
    run = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=_environment(**environment),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    assert run.returncode == 0, run.stdout
    return run.stdout


@needs_compiler
@pytest.mark.parametrize(
    "options",
    [
        pytest.param(["-Dcheck=true", "-Db_sanitize=address,undefined", "-Db_lundef=false"], id="sanitizers"),
        pytest.param(["-Dcheck=true"], id="contract-checks"),
        pytest.param([], id="release-constant-time"),
    ],
)
def test_c_tests_pass_and_the_build_has_no_warning(options: list[str], tmp_path: Path) -> None:
    _run("meson", "setup", tmp_path / "build", "-Dwerror=true", *options)
    _run("meson", "compile", "-C", tmp_path / "build")
    output = _run("meson", "test", "-C", tmp_path / "build", "--print-errorlogs")
    for name in (
        "bigint",
        "bigint-powers",
        "codec",
        "coefficients",
        "pack",
        "ring-scale",
        "ring-transform",
        "rlwe",
        "sample",
    ):
        assert re.search(rf"dcsfl:{name}\s+OK", output), output


def _build_wheel(folder: Path, **environment: str) -> zipfile.ZipFile:
    _run(
        sys.executable,
        *("-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"),
        *("--wheel-dir", folder, ROOT),
        **environment,
    )
    (wheel,) = folder.glob("*.whl")
    return zipfile.ZipFile(wheel)


def _source_files() -> set[str]:
    return {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def _run_from(folder: Path, code: str) -> str:
    """Run `code` on the packages in `folder`; -S, or an editable installation would come first."""
    paths = [str(folder), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    return _run(sys.executable, "-S", "-c", f"import sys; sys.path[:0] = {paths!r}\n{code}", cwd=folder)


PACK_SOME = """
import numpy, he_core
from he_core.arith import fields, kernels
layout = fields.FieldLayout(19, 3, 8)
values = numpy.arange(100, dtype=numpy.uint32)
assert (layout.unpack(layout.pack(values), 100) == values).all()
print(he_core.__file__, kernels.choose_kernels().fields.__name__)
"""


@needs_compiler
def test_the_wheel_holds_every_package_file_and_the_extension_and_runs_elsewhere(tmp_path: Path) -> None:
    with _build_wheel(tmp_path / "wheel") as wheel:
        names = {name for name in wheel.namelist() if name.startswith(PACKAGES)}
        wheel.extractall(tmp_path / "unpacked")
    extensions = {name for name in names if name.endswith(".so")}
    assert names - extensions == _source_files()
    assert len(extensions) == 1
    file, kernels = _run_from(tmp_path / "unpacked", PACK_SOME).split()
    assert file.startswith(str(tmp_path))
    assert kernels == "he_core._native"


def test_without_a_compiler_the_wheel_still_builds_and_runs_on_numba(tmp_path: Path) -> None:
    with _build_wheel(tmp_path / "wheel", CC=str(tmp_path / "no-such-compiler")) as wheel:
        names = {name for name in wheel.namelist() if name.startswith(PACKAGES)}
        wheel.extractall(tmp_path / "unpacked")
    assert names == _source_files()
    output = _run_from(tmp_path / "unpacked", PACK_SOME)
    assert "RuntimeWarning: he_core._native is not built" in output
    assert output.split()[-1] == "he_core.arith.fields_numba"
