"""Commands on URLs: moto's S3 server for `s3://`, a small web server for the rest."""

from __future__ import annotations

import gzip
import hashlib
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow.json as pa_json
import pyarrow.parquet as pq
import pytest

from tests.cli.test_adaptive import WORDS, written
from tests.conftest import CLEAN, Result, Start, at, check_item, datapoint, jsonl, write_jsonl
from tests.support.fault_server import FaultServer
from tests.support.s3_server import S3Server
from tests.support.web_files import WebFiles

Cli = Callable[..., Result]
REFINE = ["refine", "--seed", "3", "--max-iterations", "3", "--set", "refine.learn=false"]


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with S3Server() as server:
        yield server


def rows(count: int, **more: Any) -> list[dict[str, Any]]:
    return [
        datapoint(
            id=f"row {n}",
            convo=[{"role": "user", "content": f"Say something about {n}."}],
            rubric_items=[check_item(word) for word in WORDS],
            **more,
        )
        for n in range(count)
    ]


def test_objects_packed_or_not_are_graded_as_files_are(
    cli: Cli, tmp_path: Path, s3: S3Server
) -> None:
    write_jsonl(tmp_path / "in.jsonl", rows(40, response="red and blue"))
    content = (tmp_path / "in.jsonl").read_bytes()
    pq.write_table(pa_json.read_json(tmp_path / "in.jsonl"), tmp_path / "in.parquet")
    s3.put("in.jsonl.gz", gzip.compress(content))
    s3.put("in.parquet", (tmp_path / "in.parquet").read_bytes())
    rubric = b'[[rubric_items]]\nname = "short"\ncheck = {kind = "words", max = 2}\n'
    (tmp_path / "rubric.toml").write_bytes(rubric)
    s3.put("rubric.toml", rubric)
    for name in ("in.jsonl.gz", "in.parquet"):
        (tmp_path / name).write_bytes(s3.get(name))
        local = cli("grade", name, "--rubric", "rubric.toml")
        graded = ["grade", f"s3://data/{name}", "--rubric", "s3://data/rubric.toml"]
        result = cli(*graded, "-o", f"s3://data/out-{name}", "--cache", "c.db", env=s3.env)
        assert result.returncode == 0, result.stderr
        assert f"output: s3://data/out-{name}" in result.stderr
    scores = [json.loads(line)["score"] for line in local.stdout.splitlines()]
    table = pq.read_table(BytesIO(s3.get("out-in.parquet")))
    assert table["score"].to_pylist() == scores
    assert gzip.decompress(s3.get("out-in.jsonl.gz")).decode() == local.stdout
    assert not list(tmp_path.glob("*.partial"))
    assert not s3.unfinished_uploads()


def test_a_killed_or_interrupted_run_leaves_no_object_and_continues_from_its_cache(
    cli: Cli, start: Start, tmp_path: Path, s3: S3Server
) -> None:
    write_jsonl(tmp_path / "in.jsonl", rows(30))
    s3.put("kill.jsonl", (tmp_path / "in.jsonl").read_bytes())
    run = [*REFINE, "s3://data/kill.jsonl", "-o", "s3://data/killed.jsonl", "--cache", "c.db"]
    with FaultServer(written, latency=0.01) as server:
        whole = cli(*REFINE, "in.jsonl", *at(server))
        requests = len(server.seen)
        server.forget()
        run += [*at(server), "--concurrency", "4"]
        for number, calls in ((signal.SIGKILL, 15), (signal.SIGINT, 40)):
            first = server.count_of_next()
            process = start(*run, env=s3.env, stdin=subprocess.DEVNULL)
            server.wait_for_requests(max(calls, first))
            process.send_signal(number)
            said = process.communicate(timeout=60)[1].decode()
            assert "killed.jsonl" not in s3.names()
        assert process.returncode == 130
        assert "every reply is kept in c.db" in said
        assert f"  refinecli {' '.join(run)}" in said
        result = cli(*run, env=s3.env)
        assert result.returncode == 0, result.stderr
        assert len(server.seen) <= requests + 4  # those in flight at the kill
    assert s3.get("killed.jsonl").decode() == whole.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"in.jsonl", "c.db"}
    assert b"hunter2" not in (tmp_path / "c.db").read_bytes()


def test_parts_in_a_bucket_are_merged_there(cli: Cli, tmp_path: Path, s3: S3Server) -> None:
    write_jsonl(tmp_path / "in.jsonl", rows(11, response="red"))
    s3.put("parts.jsonl", (tmp_path / "in.jsonl").read_bytes())
    parts = [f"s3://data/part-{n}.jsonl" for n in (1, 2)]
    for n, part in enumerate(parts, start=1):
        shard = ["--shard", f"{n}/2", "-o", part, "--cache", f"{n}.db"]
        result = cli("grade", "s3://data/parts.jsonl", *shard, env=s3.env)
        assert result.returncode == 0, result.stderr
    alone = cli("merge", parts[1], "-o", "s3://data/merged.jsonl", env=s3.env)
    assert alone.returncode == 2
    assert "1/2 missing" in alone.stderr
    merged = cli("merge", *parts, "-o", "s3://data/merged.jsonl", env=s3.env)
    assert merged.returncode == 0, merged.stderr
    assert s3.get("merged.jsonl").decode() == cli("grade", "in.jsonl").stdout
    assert "part-1.jsonl.part.json" in s3.names()


def test_the_same_command_replaces_its_own_object_and_no_other(
    cli: Cli, tmp_path: Path, s3: S3Server
) -> None:
    s3.put("twice.jsonl", jsonl([*rows(2, response="red"), {"convo": "no rubric"}]).encode())
    run = ["grade", "s3://data/twice.jsonl", "-o", "s3://data/twice-out.jsonl", "--keep-going"]
    first = cli(*run, "--cache", "c.db", env=s3.env)
    assert first.returncode == 3
    assert cli(*run, "--cache", "c.db", env=s3.env).returncode == 3
    s3.put("twice-out.jsonl", b"another's\n")
    refused = cli(*run, "--cache", "c.db", env=s3.env)
    assert refused.returncode == 2
    assert "s3://data/twice-out.jsonl: exists already" in refused.stderr
    assert s3.get("twice-out.jsonl") == b"another's\n"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["none.jsonl"], "s3://data/none.jsonl: there is no such file"),
        (["bad.jsonl"], "s3://data/bad.jsonl:2: not JSON"),
        (["in.jsonl", "-o", "s3://data/x"], "nothing on this machine would keep the replies"),
        (["in.jsonl", "-o", "s3://data/in.jsonl", "--cache", "c"], "are the same file"),
        (["in.jsonl", "-o", "s3://none/x", "--cache", "c"], "s3://none/x: there is no such bucket"),
        (["in.jsonl", "-o", "https://h/x", "--cache", "c"], "https:// can only be read"),
        (["in.jsonl", "-o", "out", "--cache", "s3://data/c"], "--cache is a database"),
    ],
)
def test_what_cannot_work_is_exit_2_before_anything_is_sent(
    cli: Cli, tmp_path: Path, s3: S3Server, args: list[str], said: str
) -> None:
    s3.put("in.jsonl", jsonl(rows(1, response="red")).encode())
    s3.put("bad.jsonl", jsonl(rows(1, response="red")).encode() + b"{\n")
    result = cli("grade", f"s3://data/{args[0]}", *args[1:], env=s3.env)
    assert result.returncode == 2
    assert said in result.stderr
    assert "hint: " in result.stderr
    assert "hunter2" not in result.stderr
    assert not list(tmp_path.iterdir())


def test_no_credentials_is_exit_2_with_where_to_put_them(cli: Cli, s3: S3Server) -> None:
    env = {"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/none", "AWS_REGION": "x"}
    env |= {"AWS_ENDPOINT_URL": s3.env["AWS_ENDPOINT_URL"], "AWS_SHARED_CREDENTIALS_FILE": "/none"}
    result = cli("show", "s3://data/in.jsonl", env=env)
    assert result.returncode == 2
    assert "s3://data/in.jsonl: no credentials: " in result.stderr
    assert "hint: set AWS_ACCESS_KEY_ID" in result.stderr


def test_no_output_shows_the_credentials_of_an_address(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", rows(3, response="red"))
    graded = cli("grade", "in.jsonl").stdout.encode()
    with WebFiles({"/run.jsonl": graded}) as web:
        url = f"{web.url.replace('//', '//me:hunter2@')}/run.jsonl?X-Amz-Signature=hunter2"
        said = [
            cli("show", url),
            cli("report", url, "--html", "r.html", "--json", "r.json"),
            cli("export", url, "--to", "sft", "--min-score", "0", "-o", "sft"),
            cli("grade", url, "-o", "out.jsonl", "--cache", "c.db", "--summary", "s.json"),
        ]
        for result in said:
            assert result.returncode == 0, result.stderr
            assert "hunter2" not in result.stdout + result.stderr
        web.files["/run.jsonl"] = graded + b"{\n"
        bad = cli("grade", url)
        assert f"error: {web.url}/run.jsonl:4: not JSON" in bad.stderr
        assert "hunter2" not in bad.stderr
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or b"hunter2" not in file.read_bytes(), file
    source = json.loads((tmp_path / "sft" / "manifest.json").read_text())["sources"][0]
    assert source["file"] == f"{web.url}/run.jsonl"
    assert source["sha256"] == hashlib.sha256(graded).hexdigest()


def test_no_url_loads_no_library_for_them(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", rows(1, response="red"))
    code = """
import atexit, sys
heavy = {"fsspec", "s3fs", "aiobotocore", "botocore", "boto3"}
atexit.register(lambda: print(sorted(heavy & sys.modules.keys())))
sys.argv = ["refinecli", "grade", "in.jsonl", "-o", "out.jsonl", "-q"]
import refinecli.__main__
refinecli.__main__.main()
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=CLEAN
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout == "[]\n"
