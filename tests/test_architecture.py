"""The arrows between rooms, read off the imports, and the rules every file keeps."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from he_core import registry

ROOT = Path(__file__).parents[1]
ROOMS = ("he_core", "trainer", "tests", "bench")
MAX_LINES = 400
FILES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))


def name_of(path: Path) -> str:
    """`he_core/arith/fields.py` -> `he_core.arith.fields`."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {name_of(path): ast.parse(path.read_text(encoding="utf-8"), str(path)) for path in FILES}


def imports_of(module: str) -> set[str]:
    """Every module that `module` imports anywhere, functions and type-checking blocks included."""
    found = set()
    for node in ast.walk(MODULES[module]):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} uses a relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module or ""}
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("importlib.import_module", "__import__"):
            found |= {argument.value for argument in node.args if isinstance(argument, ast.Constant)}
    return found


def modules_of(*rooms: str) -> list[str]:
    return [name for name in MODULES if any(name == room or name.startswith(room + ".") for room in rooms)]


def offences(importers: list[str], *forbidden: str) -> list[str]:
    """Imports of `forbidden` packages by `importers`, each as `who -> what`."""
    return [
        f"{importer} -> {imported}"
        for importer in importers
        for imported in sorted(imports_of(importer))
        if any(imported == name or imported.startswith(name + ".") for name in forbidden)
    ]


@pytest.mark.parametrize(
    ("importers", "forbidden"),
    [
        pytest.param(["he_core"], ["torch", "monai", "trainer", "bench", "tests"], id="engine-stands-alone"),
        pytest.param(
            ["he_core"], ["socket", "http", "urllib", "ssl", "requests", "grpc"], id="engine-has-no-network"
        ),
        pytest.param(["he_core", "trainer"], ["pickle", "shelve", "marshal", "dill"], id="no-pickle"),
        pytest.param(["trainer"], ["tests", "bench", "cext"], id="trainer-needs-no-tests"),
        pytest.param(
            ["trainer"],
            ["he_core.schemes", "he_core.arith", "he_core._native"],
            id="trainer-reaches-schemes-through-the-registry",
        ),
        pytest.param(
            ["trainer.networks"],
            ["he_core", "trainer.parties", "trainer.transport", "trainer.methods", "trainer.rounds", "trainer.cli"],
            id="networks-know-no-parties",
        ),
        pytest.param(
            ["trainer.transport"],
            ["he_core", "trainer.networks", "trainer.methods", "trainer.rounds", "trainer.cli"],
            id="transport-knows-only-messages",
        ),
        pytest.param(
            ["trainer.parties"],
            ["trainer.rounds", "trainer.cli", "trainer.methods", "trainer.report"],
            id="parties-know-no-loop",
        ),
        pytest.param(["trainer.rounds", "trainer.config"], ["trainer.cli"], id="nothing-knows-the-command-line"),
        pytest.param(
            ["trainer.config", "trainer.errors"],
            ["torch", "trainer.parties", "trainer.rounds", "trainer.networks"],
            id="config-knows-no-machinery",
        ),
        pytest.param(
            ["trainer.planning"],
            ["torch", "trainer.networks", "trainer.parties", "trainer.rounds", "trainer.report", "trainer.cli"],
            id="planning-needs-no-network",
        ),
        pytest.param(
            ["he_core.frame", "he_core.codec", "he_core.packing", "he_core.scheme", "he_core.keys"],
            ["he_core.schemes", "he_core.registry", "he_core.arith.paillier_gmpy2", "gmpy2"],
            id="engine-interfaces-know-no-scheme",
        ),
        pytest.param(
            ["he_core.aggregation", "he_core.encryptor", "he_core.decryptor"],
            ["he_core.schemes", "he_core.arith", "he_core.registry", "he_core.keystore"],
            id="roles-know-only-the-interface",
        ),
    ],
)
def test_arrows_point_one_way(importers: list[str], forbidden: list[str]) -> None:
    checked = modules_of(*importers)
    assert checked, f"no module of {importers} was found: the test checks nothing"
    assert offences(checked, *forbidden) == []


def test_only_the_choice_of_kernels_reaches_for_the_c_extension() -> None:
    users = [name for name in modules_of("he_core", "trainer") if offences([name], "he_core._native")]
    assert users == ["he_core.arith.kernels"]


def test_the_engine_writes_files_in_the_key_store_alone() -> None:
    openers = {
        name
        for name in modules_of("he_core")
        for node in ast.walk(MODULES[name])
        if isinstance(node, ast.Call)
        and re.search(r"(^open$|\.open$|\.write_bytes$|\.write_text$|^os\.unlink$)", ast.unparse(node.func))
        and ast.unparse(node.func) != "self.open"
    }
    assert openers == {"he_core.keystore"}


def _c_files_that_include(header: str) -> set[str]:
    sources = [path for pattern in ("*.c", "*.h") for path in (ROOT / "cext").rglob(pattern)]
    pattern = rf'#\s*include\s*[<"]{re.escape(header)}[>"]'
    return {path.name for path in sources if re.search(pattern, path.read_text("utf-8"))}


def test_only_the_extensions_module_files_know_python() -> None:
    assert _c_files_that_include("Python.h") == {"module.h"}
    assert all(name.startswith("module") for name in _c_files_that_include("module.h"))


def _decisions(tree: ast.Module) -> Iterator[ast.AST]:
    """The parts of a module that choose by a value: comparisons, match cases, look-ups by a literal key."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare | ast.match_case):
            yield node
        elif isinstance(node, ast.Subscript):
            yield node.slice


@pytest.mark.parametrize("module", [name for name in modules_of("he_core") if name != "he_core.registry"])
def test_nothing_but_the_registry_decides_by_the_name_of_a_scheme_or_backend(module: str) -> None:
    names = {name for status in registry.default().statuses() for name in (status.scheme, status.backend)}
    deciding = [
        f"line {constant.lineno}: {constant.value!r}"
        for decision in _decisions(MODULES[module])
        for constant in ast.walk(decision)
        if isinstance(constant, ast.Constant) and constant.value in names
    ]
    assert deciding == []


@pytest.mark.parametrize("module", MODULES)
def test_a_file_says_what_it_is_and_stays_small(module: str) -> None:
    tree = MODULES[module]
    assert ast.get_docstring(tree), f"{module} has no docstring"
    path = ROOT / Path(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    assert len(file.read_text(encoding="utf-8").splitlines()) <= MAX_LINES


CATCHES_ALL = {"trainer.transport.remote"}  # answers another party whatever happens, and tells it the class alone


@pytest.mark.parametrize("module", [name for name in modules_of("he_core", "trainer") if name not in CATCHES_ALL])
def test_no_handler_swallows_every_exception(module: str) -> None:
    broad = [
        f"line {node.lineno}"
        for node in ast.walk(MODULES[module])
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or ast.unparse(node.type) in ("Exception", "BaseException"))
    ]
    assert broad == []


@pytest.mark.parametrize("module", modules_of("he_core", "trainer"))
def test_no_input_is_checked_by_an_assertion(module: str) -> None:
    assert [node.lineno for node in ast.walk(MODULES[module]) if isinstance(node, ast.Assert)] == []


def test_the_engine_runs_a_round_where_torch_cannot_be_imported() -> None:
    script = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "monai", "trainer"):
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Blocker())
try:
    import torch
except ImportError:
    pass
else:
    sys.exit("the blocker does not block")

import numpy as np
import he_core

for name in ("plain", "paillier", "rlwe"):
    scheme = he_core.create(name, parameters={"modulus_bits": 2048} if name == "paillier" else {})
    keys = scheme.generate_keys()
    codec = he_core.Codec(16, 2, (3,), (1.0,))
    aggregator = he_core.Aggregator(scheme, scheme.public_key(keys.public))
    aggregator.open(0, codec.shape)
    update = np.array([0.5, -0.25, 1.0], np.float32)
    encryptor = he_core.Encryptor(scheme, scheme.public_key(keys.public))
    aggregator.add(encryptor.encrypt(update, codec, round=0, client=0))
    mean = he_core.Decryptor(scheme, scheme.secret_key(keys)).decrypt(aggregator.result(), codec, round=0)
    print(name, bool(np.abs(mean - update).max() < 1e-4))
"""
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout == "plain True\npaillier True\nrlwe True\n"
