"""Who may import whom, forbidden words and size limits: the design's rules over the syntax tree.

Every `check_*` takes a path from the root ("engine/ops/fir.py") and the text of that file, and
returns its complaints, [] if there are none. test_architecture.py shows each what it must catch.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from .import_rules import (
    ABSENT_WHEN_TRAINING,
    INSTALLED_AS,
    MAY_IMPORT,
    MAY_IMPORT_OUTSIDE,
    OPTIONAL,
    OURS,
)

ROOT = Path(__file__).resolve().parents[1]
CUDA_HOMES = ("engine/runtime.py", "engine/ops/")
PRINTING_FILES = ("app.py", "demo/", "tests/")
# Elsewhere the functions that are a command line: run_recipe is the one all recipes share.
PRINTING_FUNCTIONS = {
    "train/": "main",
    "train/config.py": "run_recipe",
}
MAX_LINES, MAX_MODEL_LINES, MAX_FUNCTION_LINES = 300, 500, 80
NAMELESS = {"utils", "util", "misc", "common", "helpers", "helper", "tools"}

Function = ast.FunctionDef | ast.AsyncFunctionDef
Checker = Callable[[str, str], list[str]]


def module_name(path: str) -> str:
    """'engine/ops/__init__.py' -> 'engine.ops'."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def under(name: str, prefix: str) -> bool:
    """Whether a dotted name is a prefix itself or lies below it."""
    return name == prefix or name.startswith(prefix + ".")


def at(path: str, node: ast.AST) -> str:
    """Where a complaint belongs, as path:line."""
    return f"{path}:{getattr(node, 'lineno', 1)}"


def imports(path: str, tree: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """Every imported dotted name, relative ones resolved, also through importlib with a literal."""
    parts = path.removesuffix(".py").split("/")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = parts[: len(parts) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((node, f"{origin}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and node.args:
            name, first = ast.unparse(node.func).split(".")[-1], node.args[0]
            if name in ("import_module", "__import__") and isinstance(first, ast.Constant):
                yield node, str(first.value)


def check_imports(path: str, text: str) -> list[str]:
    """Imports of ours outside of MAY_IMPORT, and foreign ones outside of MAY_IMPORT_OUTSIDE."""
    module, complaints = module_name(path), []
    home = max((p for p in MAY_IMPORT if under(module, p)), key=len, default=None)
    if home is None:
        return [f"{path} is in none of the project's packages"]
    outside = next((v for p, v in MAY_IMPORT_OUTSIDE.items() if under(module, p)), None)
    for node, name in imports(path, ast.parse(text)):
        top = name.split(".")[0]
        if top in OURS:
            wrong = not any(under(name, allowed) for allowed in MAY_IMPORT[home])
        else:
            wrong = outside is not None and top not in outside | sys.stdlib_module_names
        if wrong:
            complaints.append(f"{at(path, node)} {module} must not import {name}")
    return complaints


def check_words(path: str, text: str) -> list[str]:
    """Forbidden anywhere: sys.path, star imports, bare except, unsafe torch.load, shells."""
    complaints = []
    for node in ast.walk(ast.parse(text)):
        word = None
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "sys.path":
            word = "sys.path"
        elif isinstance(node, ast.ImportFrom) and any(a.name == "*" for a in node.names):
            word = "a star import"
        elif isinstance(node, ast.ImportFrom) and (node.module, node.names[0].name) in (
            *(("sys", "path"), ("torch", "load"), ("os", "system")),
        ):
            word = f"from {node.module} import {node.names[0].name}"
        elif isinstance(node, ast.ExceptHandler) and node.type is None:
            word = "a bare except"
        elif isinstance(node, ast.Call):
            word = forbidden_call(node)
        if word:
            complaints.append(f"{at(path, node)} {word}")
    return complaints


def forbidden_call(node: ast.Call) -> str | None:
    """What is wrong with this call, if anything."""
    name = ast.unparse(node.func)
    values = {k.arg: k.value.value for k in node.keywords if isinstance(k.value, ast.Constant)}
    if name == "torch.load" and values.get("weights_only") is not True:
        return "torch.load without weights_only=True"
    if values.get("shell", False) is not False or name in ("os.system", "os.popen"):
        return "a command through a shell"
    if values.get("allow_pickle", False) is not False:
        return "allow_pickle=True"
    return None


def check_cuda(path: str, text: str) -> list[str]:
    """The device is decided once: no "cuda" literal, .cuda() or availability test elsewhere."""
    if path.startswith((*CUDA_HOMES, "tests/")):
        return []
    complaints = []
    for node in ast.walk(ast.parse(text)):
        literal = isinstance(node, ast.Constant) and isinstance(node.value, str)
        if (
            (literal and (node.value == "cuda" or node.value.startswith("cuda:")))
            or (isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".cuda"))
            or (isinstance(node, ast.Attribute) and node.attr == "is_available")
        ):
            complaints.append(f"{at(path, node)} decides about cuda: ask engine.runtime")
    return complaints


def check_print(path: str, text: str) -> list[str]:
    """Only front ends print, and elsewhere the functions that are a command line."""
    if path.startswith(PRINTING_FILES):
        return []
    tree = ast.parse(text)
    allowed: set[ast.AST] = set()
    names = {name for prefix, name in PRINTING_FUNCTIONS.items() if path.startswith(prefix)}
    for node in tree.body:
        if isinstance(node, Function) and node.name in names:
            allowed.update(ast.walk(node))
    return [
        f"{at(path, node)} print outside of a front end"
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "print" and node not in allowed
    ]


def check_size(path: str, text: str) -> list[str]:
    """Files stay within 300 lines (models 500), functions within 80."""
    limit = MAX_MODEL_LINES if path.startswith("engine/models/") else MAX_LINES
    lines = len(text.splitlines())
    complaints = [f"{path} has {lines} lines, at most {limit}"] if lines > limit else []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, Function):
            length = node.end_lineno - node.lineno + 1
            if length > MAX_FUNCTION_LINES:
                complaints.append(
                    f"{at(path, node)} {node.name} has {length} lines, at most {MAX_FUNCTION_LINES}"
                )
    return complaints


def check_purpose(path: str, text: str) -> list[str]:
    """A file is named after a thing and says in its first line what it is for."""
    complaints = []
    if Path(path).stem in NAMELESS:
        complaints.append(f"{path} is not the name of a thing")
    if not path.startswith("tests/") and not ast.get_docstring(ast.parse(text)):
        complaints.append(f"{path} has no module docstring")
    return complaints


def import_in_bare_process(modules: list[str], folder: Path) -> str:
    """Imports modules where ABSENT_WHEN_TRAINING cannot be imported; '' or the traceback."""
    script = (
        "import importlib, sys\n"
        f"sys.modules.update(dict.fromkeys({ABSENT_WHEN_TRAINING}))\n"
        f"for name in {modules}: importlib.import_module(name)\n"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    return done.stderr if done.returncode else ""


def required(*files: str) -> set[str]:
    """Names of the packages in requirement files, as pip writes them: lower case with dashes."""
    lines = "\n".join((ROOT / file).read_text("utf-8") for file in files).splitlines()
    names = (re.match(r"[A-Za-z0-9_.-]+", line) for line in lines if not line.startswith("-"))
    return {name[0].lower().replace("_", "-") for name in names if name}


def check_required(path: str, text: str) -> list[str]:
    """Every foreign package imported is in requirements.txt, or for tests in -dev.txt."""
    files = ["requirements.txt", *(["requirements-dev.txt"] * path.startswith("tests/"))]
    known, complaints = required(*files) | sys.stdlib_module_names | set(OURS), []
    for node, name in imports(path, ast.parse(text)):
        package = INSTALLED_AS.get(name.split(".")[0], name.split(".")[0]).replace("_", "-")
        if package not in known | OPTIONAL and name.split(".")[0] not in known:
            complaints.append(f"{at(path, node)} {package} is not in {' or '.join(files)}")
    return complaints


def project_files() -> list[str]:
    """The project's Python files, as paths from the root; not what runs and environments hold."""
    folders = [
        p
        for p in ROOT.iterdir()
        if p.is_dir() and not p.name.startswith(".") and not (p / "pyvenv.cfg").exists()
    ]
    found = [p for f in folders if f.name not in ("runs", "outputs") for p in f.rglob("*.py")]
    return sorted(p.relative_to(ROOT).as_posix() for p in [*found, *ROOT.glob("*.py")])
