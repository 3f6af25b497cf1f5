"""`package:NAME`: the model folder that an installed package carries, found without importing the package."""

from __future__ import annotations

import importlib.util
from contextlib import suppress
from itertools import islice
from pathlib import Path

from npbert.checks import brief, listed, show
from npbert.files.names import CONFIG_FILE, MODULES_FILE

DEPTH = 4  # folders below the package's own
MOST = 1000  # entries of a folder that are looked at


def package_folder(package: str) -> Path:
    """The package's own folder, or the one in it with a config.json or modules.json: of several the uppermost.

    Raises:
        OSError: no such package, or it holds no such folder.
        ValueError: that is no package's name, or there are several of such folders beside each other.
    """
    name = f"package:{brief(package)}"
    # A dotted name is refused, since its parents would be imported in order to find it.
    if not package.isidentifier():
        wanted = "wanted the name by which a package is imported"
        raise ValueError(f"{name}: {wanted}, found {show(package)}{_meant(package)}")
    places = _places(package)
    if not places:
        raise FileNotFoundError(f"{name}: no package {show(package)} is installed{_meant(package)}")
    level = places
    for _ in range(DEPTH + 1):
        if found := [
            folder for folder in level if any((folder / file).is_file() for file in (CONFIG_FILE, MODULES_FILE))
        ]:
            break
        level = [inner for folder in level for inner in _folders(folder)][:MOST]
    if not found:
        where = listed([str(place) for place in places])
        raise FileNotFoundError(f"{name}: wanted a folder with a {CONFIG_FILE}, found none in {where}")
    if len(found) > 1:
        folders = listed([str(folder) for folder in found])
        raise ValueError(f"{name}: wanted one folder with a {CONFIG_FILE}, found {folders}")
    return found[0]


def _places(package: str) -> list[Path]:
    try:
        spec = importlib.util.find_spec(package)
    except ValueError:  # a module in sys.modules without a spec, such as __main__
        spec = None
    return [Path(place) for place in (spec and spec.submodule_search_locations) or ()]


def _folders(folder: Path) -> list[Path]:
    try:
        inner = sorted(path for path in islice(folder.iterdir(), MOST) if path.is_dir())
    except OSError:
        return []
    return [path for path in inner if not path.name.startswith((".", "__"))]


def _meant(name: str) -> str:
    """The package that was meant, to be added to the error, where the name is a distribution's."""
    from importlib.metadata import PackageNotFoundError, files

    names = [name.replace("-", "_").replace(".", "_")]
    with suppress(PackageNotFoundError, ValueError):
        names += [file.parts[0] for file in files(name) or () if len(file.parts) == 2 and file.name == "__init__.py"]
    known = [other for other in dict.fromkeys(names) if other != name and other.isidentifier() and _places(other)]
    return f"; there is package:{listed(known[:3])}" if known else ""
