"""docs/threat-model.md, line by line: what a lab may not give to others, nor others to it."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.fabric import registry
from tests.e2e.lab import ROOT, environment, lab, lab_up, start
from tests.e2e.test_rootless import BECOME, UNPRIVILEGED

pytestmark = pytest.mark.e2e

NOBODY = 65534


@pytest.fixture(name="entry", scope="module")
def _entry() -> Iterator[registry.Entry]:
    """A lab of root's that these tests look at from outside."""
    name = f"threat-{os.getpid()}"
    with lab_up(name, "nginx-service"):
        yield registry.pick(name)


def _below(pid: int) -> list[int]:
    try:
        children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
    return children + [one for child in children for one in _below(child)]


# --- files and sockets ------------------------------------------------------------------------------------------------------------


def test_state_files_and_sockets_are_private_to_their_owner(entry: registry.Entry) -> None:
    places = [registry.root(), *[path for path in entry.directory.rglob("*")], entry.directory]
    assert {"lab.json", "control.sock", "log", "lab.log", "zenlin.etcd.log"} <= {path.name for path in places}
    open_to_others = [str(path) for path in places if not path.name.startswith(".tests-") and path.lstat().st_mode & 0o077]
    assert open_to_others == []
    assert stat.S_ISSOCK(entry.socket.stat().st_mode)


# --- another user -----------------------------------------------------------------------------------------------------------------

INTRUDER = """
    import json, os, signal, socket, sys
    uid, pid, place = (*map(int, sys.argv[1:3]), sys.argv[3])
    os.setgroups([]); os.setresgid(uid, uid, uid); os.setresuid(uid, uid, uid)

    def attempt(what):
        try:
            what()
        except OSError as error:
            return type(error).__name__
        return "it worked"

    def connect():
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as door:
            door.connect(place + "/control.sock")

    print(json.dumps({
        "list the lab's files": attempt(lambda: os.listdir(place)),
        "read its state": attempt(lambda: open(place + "/lab.json").read()),
        "read its log": attempt(lambda: open(place + "/log/lab.log").read()),
        "connect to it": attempt(connect),
        "enter its network": attempt(lambda: os.close(os.open(f"/proc/{pid}/ns/net", os.O_RDONLY))),
        "look at its files": attempt(lambda: os.listdir(f"/proc/{pid}/root/run")),
        "see its environment": attempt(lambda: open(f"/proc/{pid}/environ", "rb").read()),
        "kill it": attempt(lambda: os.kill(pid, signal.SIGKILL)),
        "stop it": attempt(lambda: os.kill(pid, signal.SIGSTOP)),
        "make a lab in its place": attempt(lambda: os.mkdir(place + "-2")),
    }))
"""


def test_another_user_can_neither_see_nor_enter_a_lab_nor_take_it_down(entry: registry.Entry) -> None:
    argv = [sys.executable, "-c", textwrap.dedent(INTRUDER), str(NOBODY), str(entry.pid), str(entry.directory)]
    ran = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False, cwd="/")
    assert ran.returncode == 0, ran.stderr
    assert {what: came for what, came in json.loads(ran.stdout).items() if came != "PermissionError"} == {}
    assert entry.running


def test_another_users_commands_find_their_own_labs_only(entry: registry.Entry) -> None:
    own = environment({"LAB_ROOT": str(ROOT), "HOME": "/", "XDG_RUNTIME_DIR": ""})
    enter = ["exec", "-n", entry.name, "zenlin", "--", "id"]
    for words, status, said in ((["ps"], 0, "NAME"), (["down", entry.name], 2, "no lab is named"), (enter, 2, "no lab is named")):
        argv = [sys.executable, "-c", textwrap.dedent(BECOME), str(NOBODY), sys.executable, "-m", "lab", *words]
        ran = subprocess.run(argv, env=own, capture_output=True, text=True, timeout=60, check=False)
        assert ran.returncode == status and said in ran.stdout + ran.stderr and "Traceback" not in ran.stderr, ran
        assert entry.name not in ran.stdout
    assert entry.running


# --- the host's network -----------------------------------------------------------------------------------------------------------


def _sockets_of_the_host() -> dict[int, str]:
    """Of every socket in the host's network namespace that others may reach: its inode -> its table. Unix sockets: only abstract ones."""
    found = {}
    for table in ("tcp", "tcp6", "udp", "udp6", "raw", "raw6"):
        path = Path("/proc/net") / table
        for line in path.read_text().splitlines()[1:] if path.exists() else ():
            found[int(line.split()[9])] = table
    for line in Path("/proc/net/packet").read_text().splitlines()[1:]:
        found[int(line.split()[8])] = "packet"
    for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
        words = line.split()
        if words[-1].startswith("@"):
            found[int(words[6])] = f"unix {words[-1]}"
    return found


def _sockets(pid: int) -> set[int]:
    found = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = os.readlink(descriptor)
        except OSError:
            continue
        if target.startswith("socket:["):
            found.add(int(target[8:-1]))
    return found


def test_nothing_of_a_lab_is_on_the_hosts_network(entry: registry.Entry) -> None:
    processes = [entry.pid, *_below(entry.pid)]
    assert len(processes) > 15
    theirs = {inode for pid in processes for inode in _sockets(pid)}
    assert len(theirs) > 20, "the lab's daemons have sockets"
    hosts = _sockets_of_the_host()
    assert {inode: hosts[inode] for inode in theirs if inode in hosts} == {}
    own = os.stat("/proc/self/ns/net").st_ino
    assert [pid for pid in processes if os.stat(f"/proc/{pid}/ns/net").st_ino == own] == []


# --- an ordinary user's lab -------------------------------------------------------------------------------------------------------

INSIDE = """
    import json, os, signal
    def attempt(what):
        try:
            what()
        except OSError as error:
            return type(error).__name__
        return "it worked"
    def write(path, text):
        with open(path, "w") as file:
            file.write(text)
    print(json.dumps({
        "become somebody else": attempt(lambda: os.setuid(1)),
        "read what root alone may read": attempt(lambda: open("/etc/shadow").read()),
        "write to the host's files": attempt(lambda: write("/usr/lab-was-here", "x")),
        "change the whole machine's settings": attempt(lambda: write("/proc/sys/fs/file-max", "1000")),
        "let the kernel run something": attempt(lambda: write("/proc/sys/kernel/core_pattern", "|/bin/true")),
        "make a device": attempt(lambda: os.mknod("/tmp/lab-device", 0o600 | 0o060000, os.makedev(8, 0))),
        "give a file away": attempt(lambda: os.chown("/usr/bin/env", 0, 0)),
        "set the clock": attempt(lambda: __import__("time").clock_settime(0, 0)),
    }))
"""


@pytest.mark.xdist_group("the ordinary user's labs")
def test_an_ordinary_users_lab_has_no_capability_outside(tmp_path: Path) -> None:
    """Every process of it is in a user namespace where only the user exists, and what it tries on the host is refused."""
    name = f"powerless-{os.getpid()}"
    script = tmp_path / "inside.py"
    script.write_text(textwrap.dedent(INSIDE))
    shell = f"""
        set -e
        lab() {{ {sys.executable} -m lab "$@"; }}
        lab up zenlin --name {name} >&2
        trap 'lab down {name} >&2' EXIT
        lab ps --format json
        echo ready
        lab exec zenlin -- {sys.executable} -c "$SCRIPT"
        read word
    """
    own = environment({"LAB_ROOT": str(ROOT), "HOME": "/", "XDG_RUNTIME_DIR": "", "SCRIPT": textwrap.dedent(INSIDE)})
    argv = [sys.executable, "-c", textwrap.dedent(BECOME), str(UNPRIVILEGED), "/bin/sh", "-c", textwrap.dedent(shell)]
    user = subprocess.Popen(argv, env=own, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert user.stdout is not None
    before = ""
    while (line := user.stdout.readline()) not in ("ready\n", ""):
        before += line
    tried = json.loads(user.stdout.readline() or "null")
    (row,) = json.loads(before)
    processes = [int(row["pid"]), *_below(int(row["pid"]))]
    outside = os.readlink("/proc/self/ns/user")
    spaces = {pid: (os.readlink(f"/proc/{pid}/ns/user"), Path(f"/proc/{pid}/uid_map").read_text().split()) for pid in processes}
    users = {os.stat(f"/proc/{pid}").st_uid for pid in processes}
    _, stderr = user.communicate("go\n", timeout=60)
    assert user.returncode == 0, stderr
    assert len(processes) > 10
    assert {pid: space for pid, space in spaces.items() if space[0] == outside or space[1] != ["0", str(UNPRIVILEGED), "1"]} == {}
    assert users == {UNPRIVILEGED}
    assert {what: came for what, came in tried.items() if came not in ("PermissionError", "OSError")} == {}


# --- words and names --------------------------------------------------------------------------------------------------------------

NAMES = (
    *("../escape", "/tmp/escape", "a/b", "..", "$(touch CANARY)", "`touch CANARY`", "; touch CANARY"),
    *("-rf", "a\nb", "a b", "x" * 300, "\x1b[2J", "%s%n"),
)
TOPOLOGY = (ROOT / "topologies" / "zenlin.yaml").read_text()


def _all_names(script: str, where: Path) -> tuple[list[str], str]:
    """Run a script that ends in `print` for each of NAMES; the lines it prints with "> " before them, and what it said on standard error."""
    whole = f"for name in {NAMES!r}:\n" + textwrap.indent(textwrap.dedent(script), "    ")
    start = "import json, os, sys\nfrom lab.cli.main import main\nfrom lab.errors import InputError\nfrom lab.model.manifests import load_manifests\n"
    ran = subprocess.run(
        [sys.executable, "-c", start + whole], cwd=where, env=environment(), capture_output=True, text=True, timeout=120, check=False
    )
    assert "Traceback" not in ran.stderr, ran.stderr
    return [line[2:] for line in ran.stdout.splitlines() if line.startswith("> ")], ran.stderr


def test_a_name_from_the_command_line_is_no_path_and_no_command(tmp_path: Path) -> None:
    """All the words that become names: each is refused as wrong, nothing is made."""
    script = """
        statuses = []
        for words in (
            ["up", "zenlin", f"--name={name}"], ["challenge", f"--name={name}", "missing-route"], ["down", "--", name], ["logs", f"--name={name}"],
            ["exec", f"--name={name}", "zenlin", "--", "true"], ["check", f"--name={name}"], ["goto", f"--name={name}", "1"],
            ["run", "--", name], ["plan", "--", name], ["up", "--", name],
        ):
            try:
                statuses.append(main(words))
            except SystemExit as end:
                statuses.append(end.code)
        print(">", statuses)
    """
    said, stderr = _all_names(script, tmp_path)
    assert said == [str([2] * 10)] * len(NAMES), f"{said}\n{stderr}"
    assert list(tmp_path.iterdir()) == [] and not Path("/tmp/escape").exists()


def test_a_name_in_a_file_is_no_path_and_no_command(tmp_path: Path) -> None:
    """In a topology: of a machine and of itself. In a manifest: of everything that has one."""
    assert "zenlinnode1" in TOPOLOGY and "name: zenlin\n" in TOPOLOGY
    (tmp_path / "original.yaml").write_text(TOPOLOGY)
    script = """
        word = json.dumps(name)
        statuses = []
        for old in ("zenlinnode1", "name: zenlin\\n"):
            with open("original.yaml") as original, open("t.yaml", "w") as spoilt:
                spoilt.write(original.read().replace(old, word))
            statuses.append(main(["plan", "t.yaml"]))
        pod = "apiVersion: v1\\nkind: Pod\\nmetadata: {name: %s, namespace: %s}\\nspec: {nodeName: a, containers: [{name: %s, image: nginx}]}\\n"
        service = "apiVersion: v1\\nkind: Service\\nmetadata: {name: %s}\\nspec: {ports: [{name: %s, port: 80}]}\\n"
        texts = [pod % (word, "a", "a"), pod % ("a", word, "a"), pod % ("a", "a", word), service % (word, "a"), service % ("a", word)]
        for text in texts:
            try:
                load_manifests(text, "manifest.yaml")
                statuses.append("accepted " + text)
            except InputError as error:
                statuses.append(error.status)
        print(">", statuses)
    """
    said, stderr = _all_names(script, tmp_path)
    assert said == [str([2] * 7)] * len(NAMES), f"{said}\n{stderr}"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["original.yaml", "t.yaml"]


def test_the_users_own_kubeconfig_is_neither_used_nor_touched(entry: registry.Entry, tmp_path: Path) -> None:
    """kubectl in the lab finds the lab's cluster, whatever KUBECONFIG and HOME of the caller say; their files stay as they are."""
    config = tmp_path / ".kube" / "config"
    config.parent.mkdir()
    config.write_text("apiVersion: v1\nkind: Config\nclusters: [{name: prod, cluster: {server: 'http://127.0.0.1:9'}}]\n")
    before = config.read_bytes()
    env = {"HOME": str(tmp_path), "KUBECONFIG": str(config)}
    for words in (["kubectl", f"--lab={entry.name}", "get", "nodes"], ["exec", "-n", entry.name, "zenlin", "--", "kubectl", "get", "nodes"]):
        ran = lab(*words, env=env)
        assert ran.returncode == 0 and "zenlinnode1" in ran.stdout, ran
    assert config.read_bytes() == before and [path.name for path in tmp_path.rglob("*")] == [".kube", "config"]


def test_an_up_that_meets_a_link_in_the_place_of_its_directory_stops(tmp_path: Path) -> None:
    """An ordinary user's directory below /tmp, where others may have put one of that name first."""
    target = tmp_path / "target"
    target.mkdir(mode=0o700)
    (tmp_path / "runtime").mkdir(mode=0o700)
    os.symlink(target, tmp_path / "runtime" / "lab")
    code = "import os, sys; os.geteuid = lambda: 12345; from lab.cli.main import main; sys.exit(main(sys.argv[1:]))"
    argv = [sys.executable, "-c", code, "ps"]
    ran = subprocess.run(
        argv, env=environment({"XDG_RUNTIME_DIR": str(tmp_path / "runtime")}), capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 1 and "only you can enter" in ran.stderr and "Traceback" not in ran.stderr
    assert list(target.iterdir()) == []


def test_control_requests_of_any_shape_get_an_answer_and_change_nothing(entry: registry.Entry) -> None:
    import socket

    shapes = [b"", b"\xff\xfe", b"[]", b"null", b"0", b'"x"', b"{}", b'{"verb": []}', b'{"verb": {}}', b'{"verb": "enter"}']
    shapes += [b'{"verb": "enter", "who": {}}']
    shapes += [b'{"verb": "enter", "who": "../../etc"}', b'{"verb": "table"}', b'{"verb": "table", "path": "x y\\r\\nz"}']
    shapes += [b'{"verb": "table", "path": 7}', b"[" * 100_000]
    shapes += [b'{"verb": "daemon"}', b'{"verb": "daemon", "who": "zenlin", "daemon": "../x", "action": "restart"}']
    shapes += [b'{"verb": "goto"}', b'{"verb": "nan", "x": 1e999}']
    shapes += [b'{"verb": "daemon", "who": "zenlin", "daemon": "etcd", "action": ["stop"]}', b'{"verb": "goto", "step": {}}']
    for shape in shapes:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as door:
            door.settimeout(30)
            door.connect(str(entry.socket))
            if shape:
                door.sendall(shape)
                answer = json.loads(door.recv(1 << 20) or b"{}")
                assert answer.get("status") in (1, 2), (shape[:80], answer)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as door:
        door.connect(str(entry.socket))
        door.sendall(b'{"verb": "inspect"}')  # and does not wait for the answer
    assert lab("inspect", "-n", entry.name).returncode == 0
    assert "Traceback" not in entry.log.read_text()


def test_a_closed_terminal_does_not_end_a_lab_nor_its_followers_harm_it(entry: registry.Entry) -> None:
    following = start("logs", "-n", entry.name, "zenlin", "-f", start_new_session=True)
    assert following.stdout is not None and following.stdout.readline()
    following.kill()
    following.communicate(timeout=30)
    assert entry.running and lab("exec", "-n", entry.name, "zenlin", "--", "true").returncode == 0
