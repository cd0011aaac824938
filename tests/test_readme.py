"""The README and the guides in docs/ cannot rot: their commands are parsed, their names exist."""

import ast
import importlib
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]
RUN = "pip install -r requirements.txt && python app.py"
TEST = "pip install -r requirements-dev.txt && pytest -n 2"

# Runs each program up to the point where its argument parser has accepted the command line.
PROBE = """
import argparse, contextlib, io, json, runpy, sys

class Accepted(BaseException):
    pass

parse_args = argparse.ArgumentParser.parse_args

def parse_and_stop(*args, **options):
    parse_args(*args, **options)
    raise Accepted

def verdict(program, arguments):
    sys.argv[1:] = arguments
    run = runpy.run_path if program.endswith(".py") else runpy.run_module
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            run(program, run_name="__main__")
    except Accepted:
        return "accepted"
    except SystemExit as error:
        return f"exit {error.code}: {said.getvalue()}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "read no arguments"

argparse.ArgumentParser.parse_args = parse_and_stop
commands = json.loads(sys.stdin.read())
print(json.dumps([verdict(program, arguments) for program, arguments in commands]))
"""


def blocks(text: str, language: str) -> list[str]:
    """The contents of the fenced blocks in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def commands(text: str) -> list[list[str]]:
    """Every command of the bash blocks as a list of words: lines joined at \\, split at &&."""
    script = "".join(blocks(text, "bash")).replace("\\\n", " ")
    parts = [part for line in script.splitlines() for part in line.split("&&")]
    return [words for part in parts if (words := shlex.split(part, comments=True))]


def program_of(command: list[str]) -> tuple[str, list[str]] | None:
    """('demo.photo' or 'app.py', its arguments) of a Python command of ours, None for others."""
    match command:
        case ["python", "-m", module, *arguments]:
            return module, arguments
        case ["python", script, *arguments]:
            return script, arguments
    return None


def check_install(command: list[str]) -> str:
    """'accepted', or what is wrong with a command that is not one of our programs."""
    match command:
        case ["pip", "install", "-r", file]:
            return "accepted" if (ROOT / file).is_file() else f"{file} does not exist"
        case ["pytest", "-n", "2"] | ["pytest", "-n", "2", "-m", "slow"]:
            return "accepted"
    return "unknown to the README test"


def check_programs(programs: list[tuple[str, list[str]]]) -> list[str]:
    """For each program with arguments 'accepted', or what it said; nothing is carried out."""
    probe = subprocess.run(
        [sys.executable, "-c", PROBE],
        input=json.dumps(programs),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(probe.stdout.splitlines()[-1])


def listed_files(tree: str) -> list[str]:
    """Paths in a tree: two blanks a level, folders end in /, comment after blanks.

    Files that belong together share a line: a.py, b.py  what they do. A folder is a path of its own
    where nothing of it is listed: its line speaks for all of its files.
    """
    folders: list[str] = []
    files: list[str] = []
    for line in tree.splitlines():
        names, comment = re.split(r"\s{2,}", line.strip(), maxsplit=1)
        assert comment
        folders = folders[: (len(line) - len(line.lstrip())) // 2]
        if files and files[-1] == "".join(folders):
            files.pop()
        files += ["".join(folders) + name for name in names.split(", ")]
        if names.endswith("/"):
            folders.append(names)
    return files


def test_readme_is_short_and_shows_the_two_commands():
    text = README.read_text("utf-8")
    assert len(text.splitlines()) <= 150
    shown = [line.split("#")[0].strip() for b in blocks(text, "bash") for line in b.splitlines()]
    assert RUN in shown and TEST in shown
    assert TEST in (ROOT / ".ci" / "run").read_text("utf-8")


def test_every_command_is_accepted():
    shown = [command for page in PAGES for command in commands(page.read_text("utf-8"))]
    assert len(shown) >= 10
    others = {shlex.join(c): check_install(c) for c in shown if program_of(c) is None}
    ours = [c for c in shown if program_of(c) is not None]
    verdicts = check_programs([program_of(c) for c in ours])
    refused = {
        **{command: why for command, why in others.items() if why != "accepted"},
        **{shlex.join(c): why for c, why in zip(ours, verdicts, strict=True) if why != "accepted"},
    }
    assert refused == {}


def test_wrong_commands_are_noticed():
    text = "```bash\npip install -r \\\n  absent.txt && make  # all\n\npython -m json.tool -h\n```"
    shown = commands(text)
    assert shown == [
        ["pip", "install", "-r", "absent.txt"],
        ["make"],
        ["python", "-m", "json.tool", "-h"],
    ]
    assert [check_install(c) for c in shown[:2]] == [
        "absent.txt does not exist",
        "unknown to the README test",
    ]
    right, flag, number, missing, silent = check_programs(
        [
            ("train.prepare", ["a", "b", "--size", "64"]),
            ("train.prepare", ["a", "b", "--no-such-flag"]),
            ("train.prepare", ["a", "b", "--size", "large"]),
            ("train.nowhere", []),
            ("engine.errors", []),
        ]
    )
    assert right == "accepted"
    assert "unrecognized arguments: --no-such-flag" in flag
    assert "invalid int value: 'large'" in number
    assert "No module named train.nowhere" in missing
    assert silent == "read no arguments"


@pytest.mark.parametrize(
    "code", [code for page in PAGES for code in blocks(page.read_text("utf-8"), "python")]
)
def test_python_examples_import_what_exists(code: str):
    imported = [n for n in ast.walk(ast.parse(code)) if isinstance(n, ast.ImportFrom)]
    assert imported
    for node in imported:
        module = importlib.import_module(node.module)
        assert [a.name for a in node.names if not hasattr(module, a.name)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page: Path):
    links = re.findall(r"\]\(([^)#]+)\)|src=\"([^\"]+)\"", page.read_text("utf-8"))
    local = [a or b for a, b in links if not (a or b).startswith("http")]
    assert page != README or local
    assert [link for link in local if not (page.parent / link).exists()] == []


def test_file_tree_is_complete_and_true():
    example = "a/  -\n  b/  -\n    c.py  some words\n  d.py, e.py  x\n  g/  x\nf.py  x"
    assert listed_files(example) == ["a/b/c.py", "a/d.py", "a/e.py", "a/g/", "f.py"]
    [tree] = blocks(README.read_text("utf-8"), "text")
    listed = listed_files(tree)
    packages = [ROOT / name for name in ("demo", "engine", "motion", "train")]
    files = [*ROOT.glob("*.py"), *(p for package in packages for p in package.rglob("*.py"))]
    named = {p.relative_to(ROOT).as_posix() for p in files if p.name != "__init__.py"}
    folders = tuple(path for path in listed if path.endswith("/"))
    missing = [path for path in named - set(listed) if not path.startswith(folders)]
    assert sorted(missing) == [], "missing in the README's file tree"
    assert [path for path in listed if not (ROOT / path).exists()] == []
