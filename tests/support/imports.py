"""What each module of npbert and of its kernels imports, read from the source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import npbert_kernels

import npbert

PACKAGES = {package.__name__: Path(package.__file__).parent for package in (npbert, npbert_kernels)}


def _modules() -> dict[str, Path]:
    found = {}
    for package, folder in PACKAGES.items():
        for file in folder.rglob("*.py"):
            parts = (package, *file.relative_to(folder).with_suffix("").parts)
            found[".".join(parts).removesuffix(".__init__")] = file
    return found


MODULES = _modules()
"""Dotted name -> file, of every module of both packages."""


def imports(module: str, *, types: bool = False) -> set[str]:
    """The dotted names that a module imports, at any depth of nesting.

    Args:
        module: its dotted name.
        types: also those that only types need, and those that importlib is given as text.
    """
    file = MODULES[module]
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    found: set[str] = set()
    for node in _statements(ast.parse(file.read_text(encoding="utf-8")), types):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                up = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*up, base] if base else up)
            # `from package import module` imports the module
            inner = {f"{base}.{alias.name}" for alias in node.names} & set(MODULES)
            found |= inner or {base}
        elif types and isinstance(node, ast.Constant) and isinstance(node.value, str):
            found |= {node.value} & set(MODULES)  # a table of what importlib imports
    return found


def begun(module: str) -> set[str]:
    """What importlib is asked for by names that only begin in the source: f"npbert.cli.{verb}" -> "npbert.cli."."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.JoinedStr) and isinstance(node.values[0], ast.Constant):
            text = str(node.values[0].value)
            if text.startswith(tuple(f"{package}." for package in PACKAGES)) and " " not in text:
                found.add(text)
    return found


def roots(module: str) -> set[str]:
    """The packages that a module imports."""
    return {name.partition(".")[0] for name in imports(module)}


def _statements(node: ast.AST, types: bool) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        guarded = isinstance(child, ast.If) and ast.unparse(child.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
        if guarded and not types:
            continue
        yield child
        yield from _statements(child, types)
