"""Links out of a model's folder: which are followed.

Whoever serves models of others may get a folder with a link to a file that is no model's, whose lines would then stand
in messages, or as tokens in answers. Links within the folder are followed, as are those of the hub's cache to its
blobs. Of others that lead out of the folder those are that people and tools make: to a file whose name ends with the
same name, as on a shared disk, in Bazel's and Nix's stores; and to one that is named by what it holds, as in DVC's and
git-annex's. Weights may lie anywhere: nothing of theirs is told but numbers.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from npbert.checks import brief

_WEIGHTS = ".safetensors"
_DIGEST = re.compile("[0-9a-f]{30}")  # the least that a store leaves of one in a name: MD5 without its first byte


def check_link(path: Path, root: Path) -> None:
    """Checks that a file of a model's folder is no link to one that is no model's.

    Args:
        path: of a file that is there.
        root: the folder, itself or by a link.

    Raises:
        OSError: it is such a link, or a folder on the way is one and the file there has no such name.
    """
    if path.suffix == _WEIGHTS or not _is_linked(path, root):
        return
    target = Path(os.path.realpath(path))
    named = target.name.endswith(path.name) or _DIGEST.search(target.name)
    if named or any(map(target.is_relative_to, _places(root))) or not target.is_file():
        return  # what is no file is for its reader to refuse
    wanted = "wanted a file of the same name there, or one that a store named by what it holds"
    raise OSError(f"{path}: a link that leads out of the model's folder: {wanted}, found {brief(target)}")


def _is_linked(path: Path, root: Path) -> bool:
    """Whether it is a link, or one of the folders is that lead to it from `root`."""
    way = os.fspath(root)
    for name in path.relative_to(root).parts:
        way = os.path.join(way, name)
        if os.path.islink(way):
            return True
    return False


def _places(root: Path) -> list[Path]:
    """Where the files of a model's folder lie: there, or in the blobs beside the hub's snapshots."""
    place = Path(os.path.realpath(root))
    snapshots = [folder.parent for folder in (place, *place.parents) if folder.parent.name == "snapshots"]
    return [place, *(folder.parent / "blobs" for folder in snapshots[:1])]
