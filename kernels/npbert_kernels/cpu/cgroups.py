"""How many CPUs the process's cgroups grant it: cgroups(7), and proc(5) for /proc/self/cgroup and mountinfo."""

from __future__ import annotations

import math
import pathlib
import re
from collections.abc import Iterator

V1, V2 = "cgroup", "cgroup2"  # types of file systems


def quota(root: pathlib.Path = pathlib.Path("/")) -> float:
    """The least that the process's own cgroup and those around it grant, as far up as they are mounted.

    Infinity where none sets a limit, or none can be read. `root` is the folder that /proc and /sys are looked for in.
    """
    found = [math.inf]
    own = dict(_own(_lines(root / "proc/self/cgroup")))
    for version, top, point in _mounts(_lines(root / "proc/self/mountinfo")):
        for folder in _upwards(root / point.lstrip("/"), top, own.get(version, "/")):
            found.append(_limit(folder, version))
    return min(found)


def _lines(path: pathlib.Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []


def _own(lines: list[str]) -> Iterator[tuple[str, str]]:
    """(version, path) of the cgroups that limit the process's CPUs: `4:cpu,cpuacct:/path`, or `0::/path`."""
    for line in lines:
        controllers, _, path = line.partition(":")[2].partition(":")
        if not controllers:
            yield V2, path
        elif "cpu" in controllers.split(","):
            yield V1, path


def _mounts(lines: list[str]) -> Iterator[tuple[str, str, str]]:
    """(version, the cgroup that is mounted, where) for each mount that may hold limits of CPUs."""
    for line in lines:
        mount, _, system = line.partition(" - ")
        version, options = system.split(" ")[0], system.split(" ")[-1]
        if version == V2 or (version == V1 and "cpu" in options.split(",")):
            top, point = (_unescaped(name) for name in mount.split(" ")[3:5])
            yield version, top, point


def _unescaped(name: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), name)


def _upwards(point: pathlib.Path, top: str, own: str) -> Iterator[pathlib.Path]:
    """The folders of a cgroup and of those that it lies in, up to the one that is mounted.

    A path that does not begin with that one is of another namespace: then the mounted one alone is looked at.
    """
    top = top.rstrip("/")
    inside = f"{own}/".startswith(f"{top}/") and ".." not in own.split("/")
    below = own[len(top) :].strip("/").split("/") if inside else []
    for depth in range(len(below), -1, -1):
        yield point.joinpath(*below[:depth])


def _limit(folder: pathlib.Path, version: str) -> float:
    """CPUs that one cgroup grants."""
    try:
        if version == V2:
            quota, period = (folder / "cpu.max").read_text().split()
            return math.inf if quota == "max" else int(quota) / int(period)
        microseconds = int((folder / "cpu.cfs_quota_us").read_text())
        return microseconds / int((folder / "cpu.cfs_period_us").read_text()) if microseconds > 0 else math.inf
    except (OSError, ValueError, ZeroDivisionError):
        return math.inf
