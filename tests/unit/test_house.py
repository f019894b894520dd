"""The house stays one that a newcomer can draw: its files, classes and functions have bounds."""

import ast
import functools
import re
import statistics
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOREIGN = {".venv", "node_modules"}
MODULES = sorted(path for package in ("app", "jobs") for path in (ROOT / package).rglob("*.py"))
EVERY_MODULE = MODULES + sorted(
    path
    for folder in ("tests", "scripts")
    for path in (ROOT / folder).rglob("*.py")
    if FOREIGN.isdisjoint(path.parts[len(ROOT.parts) :])
)
DOCUMENTS = [*MODULES, ROOT / "README.md", *ROOT.glob("app/**/README.md"), *ROOT.glob("jobs/**/README.md")]
NAMES = [path.relative_to(ROOT).as_posix() for path in MODULES]


@functools.cache
def tree(path):
    return ast.parse(path.read_text())


def lengths(path, *kinds):
    return {n.name: n.end_lineno - n.lineno + 1 for n in ast.walk(tree(path)) if isinstance(n, kinds)}


@pytest.mark.parametrize("path", MODULES, ids=NAMES)
def test_a_file_is_read_at_a_sitting(path):
    classes = lengths(path, ast.ClassDef)
    functions = lengths(path, ast.FunctionDef, ast.AsyncFunctionDef)

    assert len(path.read_text().splitlines()) <= 300
    assert {name: lines for name, lines in classes.items() if lines > 200} == {}
    assert {name: lines for name, lines in functions.items() if lines > 60} == {}


def test_a_function_has_seven_lines_in_the_median():
    every = [n for path in MODULES for n in lengths(path, ast.FunctionDef, ast.AsyncFunctionDef).values()]

    assert statistics.median(every) <= 7


@pytest.mark.parametrize("path", MODULES, ids=NAMES)
def test_each_module_says_in_a_sentence_what_lives_there(path):
    assert (ast.get_docstring(tree(path)) or "").count(" ") >= 2


@pytest.mark.parametrize("path", EVERY_MODULE, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_exception_from_a_rule_has_its_reason_beside_it(path):
    excused = re.findall(r"#\s*(?:noqa: [A-Z]+\d+(?:, [A-Z]+\d+)*|type: ignore\[[a-z, -]+\])(.*)", path.read_text())

    assert [reason for reason in excused if not re.match(r"\s*# \S", reason)] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=str)
def test_every_document_that_is_named_is_in_the_repository(path):
    named = set(re.findall(r"\b(?:[\w./]+/)?[A-Z]{4,}\.md\b", path.read_text()))

    assert {name for name in named if not ((ROOT / name).exists() or (path.parent / name).exists())} == set()
