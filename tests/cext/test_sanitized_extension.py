"""The fuzzing and refusal tests on the extension built with AddressSanitizer and UBSan: nothing is overrun.

The extension, with contract checks, lies in a virtual environment of its own with a copy of he_core: an editable
installation's import hook would come first anywhere else. Memory comes from malloc alone, so that every array and
every bytes object ends at a red zone.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

import pytest

native = pytest.importorskip("he_core._native", reason="installed without a C compiler", exc_type=ImportError)

ROOT = Path(__file__).parents[2]
TESTS = [
    *(ROOT / "tests" / "he_core" / f"test_{name}.py" for name in ("fuzz", "corrupt_frames", "rlwe")),
    *sorted((ROOT / "tests" / "cext").glob("test_*arguments*.py")),
]
# What has no C code in it: numba takes minutes to compile here, and a sealed key's derivation seconds.
LEFT_OUT = "not numba and not sealed and not nesting"
LEAST_PASSED = 400  # so that a wrong file or a wrong -k shows


def runtime_library(name: str) -> Path | None:
    """gcc's shared library `name`, if it has one."""
    gcc = shutil.which("gcc")
    if gcc is None:
        return None
    printed = subprocess.run([gcc, f"-print-file-name={name}"], capture_output=True, text=True, check=False).stdout
    path = Path(printed.strip())
    return path if path.is_absolute() and path.exists() else None


ASAN, UBSAN = runtime_library("libasan.so"), runtime_library("libubsan.so")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc on PATH"),
    pytest.mark.skipif(ASAN is None or UBSAN is None, reason="gcc has no libasan.so or no libubsan.so"),
    pytest.mark.skipif(not (Path(sysconfig.get_path("include")) / "Python.h").exists(), reason="no Python headers"),
]
every_target = pytest.mark.parametrize("target", native.targets())


@dataclass(frozen=True)
class SanitizedPython:
    """An interpreter whose he_core._native is sanitised, and where its sanitizers leave their reports."""

    interpreter: Path
    extension: Path
    reports: Path

    def run(self, code: str, *arguments: object, target: str) -> subprocess.CompletedProcess[str]:
        changes = {
            "LD_PRELOAD": str(ASAN),
            "ASAN_OPTIONS": f"detect_leaks=0:log_path={self.reports / 'asan'}",
            "UBSAN_OPTIONS": f"halt_on_error=1:print_stacktrace=1:log_path={self.reports / 'ubsan'}",
            "PYTHONMALLOC": "malloc",
            "DCSFL_CPU_TARGET": target,
        }
        own = f"import he_core._native as native; assert native.__file__ == {str(self.extension)!r}, native\n"
        return subprocess.run(
            [str(self.interpreter), "-c", own + code, *map(str, arguments)],
            cwd=self.reports.parent,
            env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | changes,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )

    def take_reports(self) -> str:
        """What sanitizers have reported since the last time."""
        found = ""
        for path in sorted(self.reports.iterdir()):
            found += path.read_text(encoding="utf-8", errors="replace")
            path.unlink()
        return found


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory: pytest.TempPathFactory) -> SanitizedPython:
    folder = tmp_path_factory.mktemp("sanitized")
    build, environment, reports = folder / "build", folder / "environment", folder / "reports"
    reports.mkdir()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    options = ["-Dcheck=true", "-Dbuildtype=debugoptimized", "-Db_sanitize=address,undefined", "-Db_lundef=false"]
    for command in (["meson", "setup", str(build), *options], ["meson", "compile", "-C", str(build)]):
        made = subprocess.run(
            command,
            cwd=ROOT,
            env=os.environ | {"CC": "gcc", "PATH": path},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        assert made.returncode == 0, made.stdout

    venv.create(environment, symlinks=True)
    (packages,) = (environment / "lib").glob("python*/site-packages")
    # Folders named in a .pth file are searched, but the .pth files in them, the editable installation's too, are not.
    installed = [entry for entry in sys.path if Path(entry).name in ("site-packages", "dist-packages")]
    (packages / "installed.pth").write_text("".join(f"{entry}\n" for entry in installed), encoding="utf-8")
    ignored = shutil.ignore_patterns("__pycache__", "*.so")
    shutil.copytree(ROOT / "he_core", packages / "he_core", ignore=ignored)
    (extension,) = (build / "cext").glob("_native*.so")
    copy = Path(shutil.copy2(extension, packages / "he_core"))
    return SanitizedPython(environment / "bin" / "python", copy, reports)


def test_the_extension_in_use_calls_both_sanitizers(sanitized: SanitizedPython) -> None:
    code = sanitized.extension.read_bytes()
    assert b"__asan_report_store8" in code
    assert b"__ubsan_handle_" in code
    run = sanitized.run("print(*native.targets())", target="portable")
    assert run.returncode == 0, run.stdout
    assert run.stdout.split() == list(native.targets())
    assert sanitized.take_reports() == ""


COVER_INTO_TOO_LITTLE = """
import numpy
count = 9
out = numpy.zeros(count - {missing}, numpy.uint64)
claimed = numpy.lib.stride_tricks.as_strided(out, (count,))
mask, errors = numpy.zeros(count, numpy.uint64), numpy.zeros(count, numpy.int8)
native.cover(claimed, mask, errors, numpy.zeros(count, numpy.uint64), 20, 4)
print("covered")
"""


@every_target
def test_a_word_written_past_an_array_is_reported(sanitized: SanitizedPython, target: str) -> None:
    """The control: an array that claims a word more than its memory has. Without the lie nothing is reported."""
    run = sanitized.run(COVER_INTO_TOO_LITTLE.format(missing=0), target=target)
    assert (run.returncode, run.stdout.split(), sanitized.take_reports()) == (0, ["covered"], "")
    run = sanitized.run(COVER_INTO_TOO_LITTLE.format(missing=1), target=target)
    report = sanitized.take_reports()
    assert run.returncode != 0
    assert "covered" not in run.stdout
    assert "heap-buffer-overflow" in report, report
    assert re.search(rf"WRITE of size \d+[^#]*#0 .* dcsfl_ring_cover_{target} ", report), report


RUN_PYTEST = "import sys, pytest; sys.exit(pytest.main(sys.argv[1:]))"


@every_target
def test_refusals_and_mutants_overrun_nothing(sanitized: SanitizedPython, target: str) -> None:
    options = ["-q", "-x", "-p", "no:cacheprovider", "-c", ROOT / "pyproject.toml", "--rootdir", ROOT, "-k", LEFT_OUT]
    run = sanitized.run(RUN_PYTEST, *options, *TESTS, target=target)
    assert sanitized.take_reports() == ""
    assert run.returncode == 0, run.stdout
    (passed,) = re.findall(r"^(\d+) passed", run.stdout, re.MULTILINE)
    assert int(passed) >= LEAST_PASSED, run.stdout
