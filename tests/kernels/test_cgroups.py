"""The quota of the process's own cgroup and of those around it, in trees of files like those of real machines."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from npbert_kernels.cpu.cgroups import quota

V2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = "33 32 0:30 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
V1_MEMORY = "34 32 0:31 / /sys/fs/cgroup/memory rw,nosuid shared:10 - cgroup cgroup rw,memory\n"
OTHERS = "22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n23 22 0:21 / /proc rw,nosuid - proc proc rw\n"
DOCKER = V1.replace("0:30 / ", "0:30 /docker/0123 ")
PODMAN = "30 23 0:26 /user.slice/pod\\134x2d1 /sys/fs/cgroup ro - cgroup2 cgroup rw\n"


def v1(folder: str, quota_us: str = "50000", period_us: str = "100000") -> dict[str, str]:
    folder = f"sys/fs/cgroup/cpu,cpuacct/{folder}".rstrip("/")
    return {f"{folder}/cpu.cfs_quota_us": f"{quota_us}\n", f"{folder}/cpu.cfs_period_us": f"{period_us}\n"}


def v2(folder: str, text: str) -> dict[str, str]:
    return {f"sys/fs/cgroup/{folder}/cpu.max".replace("//", "/"): text}


CASES = {
    "nothing can be read": (None, None, {}, math.inf),
    "no cgroups": ("", OTHERS, {}, math.inf),
    "what is this": ("x\n1:2\n\n", "- cgroup2\n1 2 - cgroup\n", {}, math.inf),
    # version 2
    "no limit": ("0::/\n", V2, v2("", "max 100000\n"), math.inf),
    "of a namespace's own root": ("0::/\n", V2, v2("", "150000 100000\n"), 1.5),
    "nested, its own": (
        "0::/system.slice/npbert.service\n",
        V2,
        v2("system.slice/npbert.service", "100000 100000\n"),
        1,
    ),
    "nested, of the one around it": (
        "0::/kubepods.slice/pod1/container2\n",
        V2,
        v2("kubepods.slice/pod1/container2", "max 100000\n") | v2("kubepods.slice/pod1", "50000 100000\n"),
        0.5,
    ),
    "nested, the least": (
        "0::/a/b\n",
        V2,
        v2("a/b", "400000 100000\n") | v2("a", "300000 100000\n") | v2("", "200000 100000\n"),
        2,
    ),
    "of a neighbour": ("0::/a/b\n", V2, v2("a/c", "100000 100000\n") | v2("b", "100000 100000\n"), math.inf),
    "mounted from its own on": ("0::/user.slice/pod\\x2d1\n", OTHERS + PODMAN, v2("", "100000 100000\n"), 1),
    "below what is mounted": ("0::/user.slice/pod\\x2d1/init\n", PODMAN, v2("init", "100000 100000\n"), 1),
    "of another namespace": ("0::/../../elsewhere\n", V2, v2("", "100000 100000\n"), 1),
    "not below what is mounted": ("0::/user.slice/pod\\x2d12\n", PODMAN, v2("", "100000 100000\n"), 1),
    "removed since": ("0::/a (deleted)\n", V2, v2("", "200000 100000\n"), 2),
    "an empty file": ("0::/\n", V2, v2("", ""), math.inf),
    "no numbers": ("0::/\n", V2, v2("", "what is this"), math.inf),
    "a period of 0": ("0::/\n", V2, v2("", "1 0"), math.inf),
    # version 1
    "version 1": ("4:cpu,cpuacct:/\n", V1_MEMORY + V1, v1(""), 0.5),
    "version 1, no limit": ("4:cpu,cpuacct:/\n", V1, v1("", "-1"), math.inf),
    "version 1, a period of 0": ("4:cpu,cpuacct:/\n", V1, v1("", "50000", "0"), math.inf),
    "version 1, nested": (
        "5:memory:/other\n4:cpu,cpuacct:/a/b\n",
        V1,
        v1("a/b", "300000") | v1("a", "100000") | v1("", "-1"),
        1,
    ),
    "version 1, in a container": ("4:cpu,cpuacct:/docker/0123\n", DOCKER, v1("", "100000"), 1),
    "version 1, the path of another controller": ("5:memory:/a\n4:cpu,cpuacct:/\n", V1, v1("a"), math.inf),
    # both
    "both, and version 1 has the limit": (
        "4:cpu,cpuacct:/a\n0::/a\n",
        V1 + V2.replace("/sys/fs/cgroup", "/sys/fs/cgroup/unified"),
        v1("a", "200000"),
        2,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_quota(case: str, tmp_path: Path) -> None:
    own, mounts, files, wanted = CASES[case]
    for name, text in {"proc/self/cgroup": own, "proc/self/mountinfo": mounts, **files}.items():
        if text is not None:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
    assert quota(tmp_path) == wanted


def test_of_this_process() -> None:
    assert quota() > 0
