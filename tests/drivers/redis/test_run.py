"""`kvscen run` with a Redis server, and with what is none."""

import os
import signal
import subprocess
import sys
import time

import pytest
import redis

from kvscen_drivers.private import free_port
from tests.drivers.redis.support import named_server, needs_server
from tests.e2e.support import command, environment, kvscen, scenario, trials

SCENARIO = """kvs 1
tier dram : memory { }
tier kv   : redis { @more@ }
pattern pages : transfer { block = 256 KiB; batch = 4; depth = 2 }
sweep stores {
  pattern = pages
  tier in [dram, kv]
  pages.op in [write, read]
  trials = 1; warmup = 20 ms; operations = 200; seed = 1
  expect errors == 0
}
"""


def text(more=""):
    return SCENARIO.replace("@more@", more)


@needs_server
def test_a_private_server(tmp_path):
    done = kvscen(tmp_path, "run", scenario(tmp_path, text()), "--out", "out")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [row for row in trials(tmp_path / "out") if row["driver"] == "redis"]
    assert [row["status"] for row in rows] == ["ok"] * 2
    for row in rows:
        assert row["verified_bytes"] == 4 * 256 << 10
        assert row["path"] == "tcp" and "the kernel counts the same bytes" in row["path_evidence"]
        assert "private to this worker" in row["server"] and row["server_cpu_ns"] > 0
        assert row["wire_bytes"] > row["logical_bytes"]


@needs_server
def test_a_password_is_in_no_table_plan_or_log(tmp_path):
    with named_server(tmp_path) as (server, where):
        path = scenario(
            tmp_path, text(f'endpoint = "{where["endpoint"]}"; password = secret("password"); prefix = "e2e:"')
        )
        done = kvscen(tmp_path, "run", path, "--out", "out")
        assert done.returncode == 0, done.stdout + done.stderr
        rows = trials(tmp_path / "out")
        assert [row["status"] for row in rows] == ["ok"] * 4
        assert dict(rows[-1]["settings"])["kv.password"] == 'secret("password")'
        kept = [file.read_bytes() for file in (tmp_path / "out").rglob("*") if file.is_file()]
        assert kept and not any(server.password.encode() in data for data in kept)
        assert server.password not in done.stdout + done.stderr


@needs_server
def test_a_wrong_password_is_an_error_of_these_points_alone(tmp_path):
    with named_server(tmp_path) as (_, where):
        (tmp_path / "password").write_text("hunter2")
        path = scenario(tmp_path, text(f'endpoint = "{where["endpoint"]}"; password = secret("password")'))
        done = kvscen(tmp_path, "run", path, "--out", "out")
        assert done.returncode == 3
        rows = trials(tmp_path / "out")
        assert {(row["driver"], row["status"]) for row in rows} == {("memory", "ok"), ("redis", "error")}
        assert "does not take the password" in rows[-1]["reason"]
        assert "hunter2" not in done.stdout + done.stderr + str(rows)


def test_no_server_is_unavailable_which_is_no_failure(tmp_path):
    path = scenario(tmp_path, text(f'endpoint = "127.0.0.1:{free_port()}"'))
    done = kvscen(tmp_path, "run", path, "--out", "out")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [row for row in trials(tmp_path / "out") if row["driver"] == "redis"]
    assert {row["status"] for row in rows} == {"unavailable"}
    assert "cannot be reached: Connection refused; start it, or name another `endpoint`" in rows[0]["reason"]


@needs_server
@pytest.mark.parametrize(("how", "said"), [(signal.SIGKILL, "is gone"), (signal.SIGSTOP, "has said nothing for 2 s")])
def test_a_server_that_fails_during_a_load_ends_its_point_and_not_the_run(tmp_path, how, said):
    """The point's reason names the server and a key; the other tier's points are measured."""
    with named_server(tmp_path) as (server, where):
        more = f'endpoint = "{where["endpoint"]}"; password = secret("password"); patience = 2 s'
        path = scenario(tmp_path, text(more).replace("operations = 200", "time = 20 s"))
        child = subprocess.Popen(
            command("run", path, "--out", "out", "--set", "pages.op=read", "--set", "stores.tier=kv"),
            cwd=tmp_path,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            client = redis.Redis(server.address.host, server.address.port, password=server.password)
            deadline = time.monotonic() + 60
            before = None
            # The load has begun when reads go on beyond those that verify.
            while time.monotonic() < deadline:
                done = client.info("commandstats").get("cmdstat_get", {}).get("calls", 0)
                if done > 200 and before is not None and done > before:
                    break
                before = done
            os.kill(server.pid, how)
            out, _ = child.communicate(timeout=60)
        finally:
            child.kill()
            if how == signal.SIGSTOP:
                os.kill(server.pid, signal.SIGCONT)
        assert child.returncode == 3, out.decode()
        [row] = trials(tmp_path / "out")
        assert row["status"] == "error"
        assert said in row["reason"] and where["endpoint"] in row["reason"] and "`kvscen:262144:" in row["reason"]


def test_checking_a_scenario_imports_no_client(tmp_path):
    path = scenario(tmp_path, text())
    code = "import sys\nfrom kvscen.cli.main import main\ntry: main()\nfinally: assert 'redis' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code, "lint", str(path)], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


#: Of values, and of settings beside each other.
MISTAKES = (
    {
        'endpoint = "host:99999"': '"host:99999": this is no `host:port`',
        'endpoint = "redis://host"': '"redis://host": this is no `host:port`',
        'endpoint = "unix:"': "the path of the socket is missing",
        'endpoint = "h"; password = "hunter2"': "expected a secret, found a text",
    },
    {
        'endpoint = "h"; user = "u"': "a `user` needs a `password`",
        'password = secret("p")': "a private server has a password of its own",
        'prefix = ""': "without a prefix every key of the server would be ours",
    },
)


@pytest.mark.parametrize("mistakes", MISTAKES, ids=["values", "settings"])
def test_mistakes_are_told_before_anything_runs(tmp_path, mistakes):
    tiers = [f"tier t{number} : redis {{ {more} }}" for number, more in enumerate(mistakes)]
    used = SCENARIO.replace("tier kv   : redis { @more@ }", "\n".join(tiers))
    used = used.replace("tier in [dram, kv]", f"tier in [{', '.join(f't{n}' for n in range(len(tiers)))}]")
    done = kvscen(tmp_path, "lint", scenario(tmp_path, used))
    assert done.returncode == 2
    found = " ".join((done.stdout + done.stderr).split())
    assert [said for said in mistakes.values() if said not in found] == []


def test_more_than_the_capacity_and_processes_without_an_endpoint(tmp_path):
    done = kvscen(tmp_path, "lint", scenario(tmp_path, text("capacity = 1 KiB").replace("depth = 2", "processes = 2")))
    assert done.returncode == 2
    assert "do not fit in the tier's 1 KiB" in done.stdout + done.stderr
    assert "a private server belongs to one worker, and there are 2 processes" in done.stdout + done.stderr
