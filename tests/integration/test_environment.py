"""The functions of scripts/environment, with real pips and an index of made wheels."""

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pip
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path):
    """A checkout that has scripts/environment alone, which is also the index."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts/environment", tmp_path / "scripts")
    return tmp_path


@pytest.fixture
def environment(checkout):
    """An empty environment in the checkout's .venv. Its pip is borrowed, for making one takes seconds."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", checkout / ".venv"], check=True)
    (checkout / "borrowed").mkdir()
    (checkout / "borrowed/pip").symlink_to(Path(pip.__file__).parent)
    [packages] = checkout.glob(".venv/lib/python3*/site-packages")
    (packages / "borrowed.pth").write_text(f"{checkout}/borrowed\n")
    return packages


def test_a_lock_is_installed_as_it_is_though_the_index_has_newer_releases(checkout, environment):
    lock = [
        made(checkout, "asks", "1.0", "Requires-Dist: has[toml]>=1"),
        made(checkout, "has", "1.0", "Provides-Extra: toml", "Requires-Dist: toml>=1; extra == 'toml'"),
        made(checkout, "toml", "1.0"),
    ]
    made(checkout, "has", "2.0", "Requires-Dist: nothing-that-there-is")
    made(checkout, "toml", "2.0", "Requires-Dist: nothing-that-there-is")
    (checkout / "lock.txt").write_text("".join(lock))

    code, said = run(checkout, "install_lock lock.txt .venv && finish .venv lock.txt && holds .venv lock.txt")

    assert code == 0, said
    assert {info.stem for info in environment.glob("*.dist-info")} == {"asks-1.0", "has-1.0", "toml-1.0"}


@pytest.mark.usefixtures("environment")
def test_an_environment_whose_packages_do_not_fit_is_not_finished(checkout):
    (checkout / "lock.txt").write_text(made(checkout, "asks", "1.0", "Requires-Dist: nothing-that-there-is"))

    code, said = run(checkout, "install_lock lock.txt .venv && finish .venv lock.txt")

    assert code == 1
    assert "asks 1.0 requires nothing-that-there-is, which is not installed." in said
    assert said.splitlines()[-1].startswith("darkroom: failed: checking that they fit together")
    assert not (checkout / ".venv/.darkroom-lock").exists()


def test_what_a_step_says_is_shown_only_where_it_fails(checkout):
    well = run(checkout, "step 'going well' echo much")
    badly = run(checkout, "badly() { echo much; return 3; }; step 'going badly' badly")

    assert well == (0, "darkroom: going well\n")
    assert badly[0] == 1
    assert badly[1].startswith("darkroom: going badly\nmuch\ndarkroom: failed: going badly; all that was said is in /")


def test_an_environment_that_was_not_finished_is_made_anew(checkout, environment):
    torn = environment / "torn-1.0.dist-info"
    torn.mkdir()

    code, said = run(checkout, "begin .venv && runs .venv")

    assert code == 0, said
    assert not torn.exists()


def test_an_environment_that_was_finished_is_added_to(checkout, environment):
    (checkout / "lock.txt").write_text("")

    code, said = run(checkout, "finish .venv lock.txt && begin .venv && ! holds .venv lock.txt")

    assert code == 0, said
    assert (environment / "borrowed.pth").exists()


@pytest.mark.usefixtures("environment")
def test_a_copied_checkout_has_no_environment_though_one_was_copied_with_it(checkout, tmp_path_factory):
    (checkout / "lock.txt").write_text("")
    there = run(checkout, "finish .venv lock.txt && holds .venv lock.txt")

    copy = shutil.copytree(checkout, tmp_path_factory.mktemp("copied") / "checkout", symlinks=True)
    code, said = run(copy, "runs .venv && holds .venv lock.txt")

    assert (there[0], code, said) == (0, 1, "")


def test_a_folder_that_is_no_environment_is_left_alone(checkout):
    (checkout / "photos").mkdir()
    (checkout / "photos/fox.png").touch()

    code, said = run(checkout, "begin photos")

    assert (code, said) == (
        2,
        "darkroom: photos is there and is no Python environment: remove it, or name another folder in DARKROOM_VENV\n",
    )
    assert (checkout / "photos/fox.png").exists()


def test_one_run_installs_while_another_waits(checkout):
    first = bash(checkout, "alone eval 'echo in >&2; read -r'")
    assert first.stderr.readline() == "in\n"

    second = bash(checkout, "alone echo in >&2")
    waits = second.stderr.readline()
    first.communicate("go on\n")

    assert waits == "darkroom: waiting for another run, which is installing\n"
    assert second.communicate() == (None, "in\n")


def test_a_run_that_was_killed_holds_up_nobody(checkout):
    first = bash(checkout, "alone eval 'echo in >&2; read -r'")
    assert first.stderr.readline() == "in\n"

    first.kill()
    first.communicate()

    assert run(checkout, "alone echo in >&2") == (0, "in\n")


@pytest.mark.parametrize("python", ["/bin/false", "no-such-python"])
def test_a_python_that_is_none_is_refused_by_its_name(checkout, python):
    refused = run(checkout, "python_311", PYTHON=python)

    assert refused == (2, f"darkroom: PYTHON is {python}, and that is no Python 3.11 or newer\n")


@pytest.mark.usefixtures("environment")
def test_the_python_of_an_active_environment_is_not_what_a_new_one_is_made_with(checkout):
    child = bash(checkout, "python_311 >&2", PYTHON=str(checkout / ".venv/bin/python"))

    assert not Path(child.communicate()[1].strip()).is_relative_to(checkout)


def made(folder, name, version, *lines):
    """A wheel in `folder`, with `lines` in its METADATA; its line of a lock."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{info}/METADATA": "\n".join(["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *lines, ""]),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": "".join(f"{info}/{file},,\n" for file in ("METADATA", "WHEEL", "RECORD")),
    }
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for where, text in files.items():
            archive.writestr(where, text)
    return f"{name}=={version} --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


def run(checkout, command, **variables):
    """What became of `command`: its exit code, and what was said."""
    child = bash(checkout, command, **variables)
    said = child.communicate()[1]
    return child.returncode, said


def bash(checkout, command, **variables):
    """`command`, begun in `checkout` with the functions of scripts/environment; pip's one index is `checkout`."""
    index = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(checkout)}
    return subprocess.Popen(
        ["bash", "-c", f"source scripts/environment; {command}"],
        cwd=checkout,
        env=os.environ | index | {"PYTHON": sys.executable} | variables,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
