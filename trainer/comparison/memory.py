"""What memory there is, and what a process and its children have taken at most; read from /proc and the cgroup."""

from __future__ import annotations

from pathlib import Path

_KIB = 1024


def available_bytes(proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes that may still be taken: what the kernel reckons, or less where a cgroup (a container) allows less."""
    free = [_field(proc / "meminfo", "MemAvailable")]
    free += [room for room in (_cgroup_room(folder) for folder in _cgroup_folders(proc, cgroups)) if room is not None]
    return max(0, min(free))


def taken_bytes(session: int, proc: Path = Path("/proc")) -> tuple[int, int]:
    """(resident now, at most so far) of all living processes of a session, in bytes; (0, 0) where none lives."""
    now = most = 0
    for folder in proc.glob("[0-9]*"):
        try:
            # The name, in parentheses, may hold anything; state, parent, group and session follow it.
            if int((folder / "stat").read_text().rpartition(")")[2].split()[3]) != session:
                continue
            now += _field(folder / "status", "VmRSS")
            most += _field(folder / "status", "VmHWM")
        except (OSError, ValueError, IndexError):
            continue  # it has just ended
    return now, most


def _field(file: Path, name: str) -> int:
    """`NAME:   123 kB` in bytes. Raises ValueError where it is not there."""
    for line in file.read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * _KIB
    raise ValueError(f"{file} has no {name}")


def _cgroup_folders(proc: Path, cgroups: Path) -> list[Path]:
    """This process's cgroup (version 2) and those above it, each of which may set a limit."""
    try:
        lines = (proc / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return []
    inside = next((line.removeprefix("0::/") for line in lines if line.startswith("0::/")), None)
    if inside is None:
        return []
    folder = cgroups / inside
    return [folder, *(parent for parent in folder.parents if parent == cgroups or cgroups in parent.parents)]


def _cgroup_room(folder: Path) -> int | None:
    """Limit less use, the page cache that can be dropped not counted as use; None where there is no limit."""
    try:
        limit = (folder / "memory.max").read_text().strip()
        used = int((folder / "memory.current").read_text())
        stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        return None if limit == "max" else int(limit) - used + int(stat.get("inactive_file", 0))
    except (OSError, ValueError):
        return None
