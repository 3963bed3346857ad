"""What a run ran on: versions of the packages, the machine, and the exact state of lampbench's own code."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path

from lampbench.version import __version__

# What can change a number. numpy draws the random samples, tokenizers cuts the prompts, and so on.
PACKAGES = (
    "numpy",
    "peft",
    "pyarrow",
    "rank-bm25",
    "rouge-score",
    "safetensors",
    "sentence-transformers",
    "tokenizers",
    "torch",
    "transformers",
)

# What lampbench is made of; anything else in its checkout (results, notes) does not make it another program.
_SOURCES = ("lampbench", "methods", "pyproject.toml")


@dataclass(frozen=True)
class Environment:
    """What a run ran on. It names neither the machine nor its user.

    Attributes:
        lampbench: version of lampbench.
        git_commit: its commit, when it runs from a git checkout of its own; else None.
        git_dirty: whether its sources there differ from that commit (None without a commit).
        python: version of Python.
        system: operating system and architecture, such as `Linux x86_64`.
        packages: version per package that can change a number; packages that are not installed are left out.
        cpu: model of the processor, as far as the system tells.
        cores: processors that this process may use.
        threads: threads that torch computes an operation with; they decide the order of its sums, and so the
            last digits (None as long as torch is not loaded).
        memory_bytes: main memory of the machine.
        gpus: name of each GPU that torch sees (empty as long as torch is not loaded).
    """

    lampbench: str = __version__
    git_commit: str | None = None
    git_dirty: bool | None = None
    python: str = ""
    system: str = ""
    packages: dict[str, str] = field(default_factory=dict)
    cpu: str = ""
    cores: int = 0
    threads: int | None = None
    memory_bytes: int | None = None
    gpus: list[str] = field(default_factory=list)


def environment() -> Environment:
    """The environment of this process. It never fails: what cannot be found out is empty or None."""
    commit, dirty = own_state()
    return Environment(
        git_commit=commit,
        git_dirty=dirty,
        python=platform.python_version(),
        system=f"{platform.system()} {platform.machine()}",
        packages=_packages(),
        cpu=_cpu(),
        cores=_cores(),
        threads=threads(),
        memory_bytes=_memory_bytes(),
        gpus=_gpus(),
    )


def own_state() -> tuple[str | None, bool | None]:
    """(commit, dirty) of the code that is running; see `git_state`."""
    return git_state(Path(__file__).resolve().parents[2])


def threads() -> int | None:
    """Threads that torch computes an operation with; None as long as it is not loaded."""
    torch = sys.modules.get("torch")
    return torch.get_num_threads() if torch is not None else None


def git_state(root: Path) -> tuple[str | None, bool | None]:
    """(commit, dirty) of the lampbench checkout whose top folder is `root`; (None, None) for anything else.

    An installed lampbench may well lie inside the repository of somebody's own project (in its virtual
    environment, say). The commit of that project says nothing about lampbench, so it is not taken.
    """
    top = _git(root, "rev-parse", "--show-toplevel")
    if not top or not _same(Path(top.strip()), root) or not _is_lampbench(root):
        return None, None
    commit = _git(root, "rev-parse", "HEAD")
    changes = _git(root, "status", "--porcelain", "--", *_SOURCES)
    if commit is None or changes is None:
        return None, None
    return commit.strip(), bool(changes.strip())


def reset_peaks() -> None:
    """Forget the peaks of memory until now, as far as the system can (main memory: Linux only)."""
    with suppress(OSError):
        # 5 resets the peak resident set size: proc_pid_clear_refs(5). getrusage then starts from there, too.
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        for i in range(torch.cuda.device_count()):
            torch.cuda.reset_peak_memory_stats(i)


def peak_rss_bytes() -> int | None:
    """Most main memory that this process has held at once since `reset_peaks`, in bytes; None where the system
    does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux counts in KiB, macOS in bytes (their getrusage manual pages).
    return peak if sys.platform == "darwin" else peak * 1024


def peak_gpu_bytes() -> int | None:
    """Most GPU memory that torch has allocated at once on one GPU since `reset_peaks`, in bytes; None without a
    GPU in use."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available() or not torch.cuda.is_initialized():
        return None
    return max(torch.cuda.max_memory_allocated(i) for i in range(torch.cuda.device_count()))


def _git(root: Path, *args: str) -> str | None:
    # Inside a git hook these variables point git at another repository.
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *args],
            env=clean,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout if done.returncode == 0 else None


def _same(a: Path, b: Path) -> bool:
    try:
        return a.samefile(b)
    except OSError:
        return False


def _is_lampbench(root: Path) -> bool:
    try:
        return 'name = "lampbench"' in (root / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return False


@cache
def _packages() -> dict[str, str]:
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    except OSError:
        pass
    return platform.processor()


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        return os.cpu_count() or 0


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def _gpus() -> list[str]:
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return []
    return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
