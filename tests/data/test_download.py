"""Downloading, against a server on this machine that misbehaves on request."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from lamp_files import question

from lampbench.data import open_task
from lampbench.data.download import BASE_URL, download, official_url
from lampbench.errors import RequestError, RunError
from lampbench.tasks import get_task

QUESTIONS = json.dumps([question("LaMP-3", f"q{i}") for i in range(50)]).encode()
OUTPUTS = json.dumps(
    {"task": "LaMP_3", "golds": [{"id": f"q{i}", "output": "4"} for i in range(50)]}
).encode()
DEV = "/LaMP_3/dev/dev_questions.json"


@dataclass
class Host:
    """What the server has and how it behaves.

    Attributes:
        files: path to content.
        cut: number of bytes after which the connection ends, once per entry, first entry first.
        statuses: status codes to answer with before any content, first entry first.
        ranges: whether it can resume.
        tag: the ETag.
        page: answer unknown paths with a web page and status 200, as the official host does.
        asked: (path, Range header) of every request.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    cut: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    ranges: bool = True
    tag: str | None = '"1"'
    page: bytes | None = None
    lengths: bool = True
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    url: str = ""


class Handler(BaseHTTPRequestHandler):
    host: Host

    def do_GET(self) -> None:
        host, wanted = self.host, self.headers.get("Range")
        host.asked.append((self.path, wanted))
        if host.statuses:
            self.send_error(host.statuses.pop(0))
            return
        body = host.files.get(self.path)
        kind = "application/json"
        if body is None:
            if host.page is None:
                self.send_error(404)
                return
            body, kind = host.page, "text/html; charset=utf-8"
        start = 0
        if wanted and host.ranges and self.headers.get("If-Range", host.tag) == host.tag:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(body):
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        if host.tag:
            self.send_header("ETag", host.tag)
        self.send_header("Content-Type", kind)
        if host.lengths:
            self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        end = min(len(body), start + host.cut.pop(0)) if host.cut else len(body)
        self.wfile.write(body[start:end])

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    files = {f"/LaMP_3/{s}/{s}_questions.json": QUESTIONS for s in ("train", "dev", "test")}
    files |= {f"/LaMP_3/{s}/{s}_outputs.json": OUTPUTS for s in ("train", "dev")}
    host = Host(files)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"host": host}))
    host.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield host
    server.shutdown()
    thread.join()
    server.server_close()


def fetch(host: Host, folder: Path, splits: tuple[str, ...] = ("dev",), **options: Any) -> list[Any]:
    return download("LaMP-3", folder, "user", splits, base_url=host.url, **{"backoff": 0.0, **options})


def path_of(folder: Path, name: str = "dev_questions.json") -> Path:
    return folder / "user" / "LaMP_3" / name


def test_addresses_are_those_of_the_official_page() -> None:
    three, two = get_task("LaMP-3"), get_task("LaMP-2")
    assert official_url(three, "user", "dev", "outputs") == f"{BASE_URL}/LaMP_3/dev/dev_outputs.json"
    assert official_url(three, "time", "dev", "outputs") == f"{BASE_URL}/time/LaMP_3/dev/dev_outputs.json"
    # Without new/ the host serves the deprecated news task.
    assert (
        official_url(two, "user", "train", "questions") == f"{BASE_URL}/LaMP_2/new/train/train_questions.json"
    )
    assert (
        official_url(two, "time", "test", "questions")
        == f"{BASE_URL}/time/LaMP_2/new/test/test_questions.json"
    )


def test_what_is_downloaded_can_be_opened(host: Host, tmp_path: Path) -> None:
    done = fetch(host, tmp_path, ("train", "dev", "test"))
    # The golds of test are hidden: nobody asks for them.
    assert [(d.path.name, d.status) for d in done] == [
        ("train_questions.json", "downloaded"),
        ("train_outputs.json", "downloaded"),
        ("dev_questions.json", "downloaded"),
        ("dev_outputs.json", "downloaded"),
        ("test_questions.json", "downloaded"),
    ]
    assert [path for path, _ in host.asked] == [d.url.removeprefix(host.url) for d in done]
    assert done[0].size == len(QUESTIONS)
    assert path_of(tmp_path).read_bytes() == QUESTIONS
    assert sorted(p.name for p in path_of(tmp_path).parent.iterdir()) == sorted(d.path.name for d in done)
    assert open_task(tmp_path, "LaMP-3").splits == ("train", "dev", "test")


def test_whole_files_are_not_fetched_again_and_broken_ones_are(host: Host, tmp_path: Path) -> None:
    fetch(host, tmp_path)
    host.asked.clear()
    assert [d.status for d in fetch(host, tmp_path)] == ["present", "present"]
    assert host.asked == []
    path_of(tmp_path).write_bytes(QUESTIONS[:100])
    path_of(tmp_path, "dev_outputs.json").write_bytes(b"<html></html>")
    assert [d.status for d in fetch(host, tmp_path)] == ["downloaded", "downloaded"]
    assert path_of(tmp_path).read_bytes() == QUESTIONS


def test_a_broken_connection_is_resumed_where_it_broke(host: Host, tmp_path: Path) -> None:
    host.cut = [1000, 500]
    done = fetch(host, tmp_path)
    assert [d.status for d in done] == ["resumed", "downloaded"]
    assert path_of(tmp_path).read_bytes() == QUESTIONS
    assert host.asked[:3] == [(DEV, None), (DEV, "bytes=1000-"), (DEV, "bytes=1500-")]


def test_a_later_command_goes_on_from_what_came(host: Host, tmp_path: Path) -> None:
    host.cut = [1000, 0]
    with pytest.raises(RunError) as caught:
        fetch(host, tmp_path, retries=0)
    message = str(caught.value)
    assert "\n" not in message
    assert f"the connection ended after 1,000 of {len(QUESTIONS):,} bytes" in message
    assert "the same command goes on from there" in message
    assert not path_of(tmp_path).exists()
    host.asked.clear()
    assert fetch(host, tmp_path)[0].status == "resumed"
    assert host.asked[0] == (DEV, "bytes=1000-")
    assert path_of(tmp_path).read_bytes() == QUESTIONS


def test_parts_of_two_versions_are_never_joined(host: Host, tmp_path: Path) -> None:
    host.cut = [1000, 0]
    with pytest.raises(RunError):
        fetch(host, tmp_path, retries=0)
    newer = QUESTIONS.replace(b"item", b"news")
    assert len(newer) == len(QUESTIONS)
    host.files[DEV], host.tag = newer, '"2"'
    assert fetch(host, tmp_path)[0].status == "downloaded"
    assert path_of(tmp_path).read_bytes() == newer


def test_without_a_tag_another_length_tells_another_version(host: Host, tmp_path: Path) -> None:
    host.cut, host.tag = [1000, 0], None
    with pytest.raises(RunError):
        fetch(host, tmp_path, retries=0)
    newer = json.dumps([question("LaMP-3", f"n{i}") for i in range(60)]).encode()
    host.files[DEV] = newer
    fetch(host, tmp_path)
    assert path_of(tmp_path).read_bytes() == newer


def test_a_part_that_is_longer_than_the_file_is_dropped(host: Host, tmp_path: Path) -> None:
    host.cut = [3000, 0]
    with pytest.raises(RunError):
        fetch(host, tmp_path, retries=0)
    host.files[DEV] = json.dumps([question("LaMP-3", "q")]).encode()
    fetch(host, tmp_path)
    assert path_of(tmp_path).read_bytes() == host.files[DEV]


def test_a_part_that_was_complete_needs_only_its_name(host: Host, tmp_path: Path) -> None:
    path = path_of(tmp_path)
    path.parent.mkdir(parents=True)
    path.with_name(f"{path.name}.part").write_bytes(QUESTIONS)
    note = {"url": host.url + DEV, "total": len(QUESTIONS), "version": host.tag}
    path.with_name(f"{path.name}.part.json").write_text(json.dumps(note))
    assert fetch(host, tmp_path)[0].status == "resumed"
    assert path.read_bytes() == QUESTIONS


def test_a_server_that_cannot_resume_starts_over(host: Host, tmp_path: Path) -> None:
    host.cut, host.ranges = [1000, 2000], False
    assert fetch(host, tmp_path)[0].status == "downloaded"
    assert path_of(tmp_path).read_bytes() == QUESTIONS


def test_a_server_that_cannot_resume_is_not_asked_forever(host: Host, tmp_path: Path) -> None:
    host.cut, host.ranges = [2000, 1000] * 20, False
    with pytest.raises(RunError, match="the connection ended after"):
        fetch(host, tmp_path, retries=3)
    assert len(host.asked) == 5


def test_a_web_page_in_place_of_data_is_called_so(host: Host, tmp_path: Path) -> None:
    host.page = b"<!DOCTYPE html><html>" + b"x" * 16_000
    del host.files[DEV]
    with pytest.raises(RunError) as caught:
        fetch(host, tmp_path)
    message = str(caught.value)
    assert host.url + DEV in message
    assert "a web page (16,021 bytes) in place of JSON" in message
    assert len(host.asked) == 1  # asking again would bring the same page
    assert list(path_of(tmp_path).parent.iterdir()) == []


def test_a_web_page_that_claims_to_be_json_is_still_one(host: Host, tmp_path: Path) -> None:
    host.files[DEV] = b"\n <html>not here</html>"
    with pytest.raises(RunError, match="a web page"):
        fetch(host, tmp_path)
    assert list(path_of(tmp_path).parent.iterdir()) == []


def test_a_missing_file_is_reported_at_once(host: Host, tmp_path: Path) -> None:
    del host.files[DEV]
    with pytest.raises(RunError, match="the server answered 404"):
        fetch(host, tmp_path)
    assert len(host.asked) == 1


def test_a_server_in_trouble_is_asked_again(host: Host, tmp_path: Path) -> None:
    host.statuses = [503, 429, 500]
    assert fetch(host, tmp_path)[0].status == "downloaded"
    host.statuses = [503] * 10
    with pytest.raises(RunError, match="the server answered 503"):
        fetch(host, tmp_path, ("train",), retries=2)


def test_no_server_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(RunError, match=r"cannot download http://127\.0\.0\.1:9/.*: .*refused"):
        download("LaMP-3", tmp_path, base_url="http://127.0.0.1:9", retries=1, backoff=0.0)


@pytest.mark.parametrize("content", [b'{"error": "busy"}', QUESTIONS[:-5], b""])
def test_what_is_not_a_whole_list_is_not_kept(host: Host, tmp_path: Path, content: bytes) -> None:
    host.files[DEV] = content
    with pytest.raises(RunError, match="is not a whole JSON file"):
        fetch(host, tmp_path)
    assert list(path_of(tmp_path).parent.iterdir()) == []


def test_a_cut_without_a_known_length_is_noticed(host: Host, tmp_path: Path) -> None:
    host.lengths, host.cut = False, [1000]
    with pytest.raises(RunError, match="is not a whole JSON file"):
        fetch(host, tmp_path)


def test_offline_names_what_is_missing_and_asks_nobody(host: Host, tmp_path: Path) -> None:
    with pytest.raises(RequestError) as caught:
        fetch(host, tmp_path, offline=True)
    assert "offline" in str(caught.value)
    assert "lacks dev_questions.json, dev_outputs.json" in str(caught.value)
    assert host.asked == []
    assert list(tmp_path.iterdir()) == []
    fetch(host, tmp_path)
    assert [d.status for d in fetch(host, tmp_path, offline=True)] == ["present", "present"]


def test_wrong_names_are_refused_before_anything_is_asked(host: Host, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="unknown split 'tset': did you mean 'test'"):
        fetch(host, tmp_path, ("tset",))
    with pytest.raises(RequestError, match="unknown setting 'tmie': did you mean 'time'"):
        download("LaMP-3", tmp_path, "tmie", base_url=host.url)
    assert host.asked == []


def test_progress_is_told_in_megabytes(host: Host, tmp_path: Path) -> None:
    host.files[DEV] = b"[" + b" " * 5_000_000 + b"]"
    seen: list[tuple[int, int, str]] = []
    fetch(host, tmp_path, on_progress=lambda *at: seen.append(at))
    of_questions = [(done, total) for done, total, name in seen if name == "dev_questions.json"]
    assert of_questions[-1] == (5, 5)
    assert of_questions == sorted(of_questions)


def test_of_two_downloads_at_once_the_second_waits_and_asks_for_nothing(host: Host, tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as both:
        first, second = both.map(lambda _: fetch(host, tmp_path), range(2))
    assert {first[0].status, second[0].status} == {"downloaded", "present"}
    assert len(host.asked) == len({path for path, _ in host.asked})
    assert not [path for path in path_of(tmp_path).parent.iterdir() if path.name.startswith(".")]
