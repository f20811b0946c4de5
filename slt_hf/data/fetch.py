"""Fetch videos: plain downloads that resume where they broke off, and yt-dlp for pages; politely, each address once."""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from slt_hf.errors import PreparationError

MEDIA = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mpeg", ".flv", ".gif", ".pose", ".task")
BLOCK = 1 << 16  # bytes


@dataclass(frozen=True)
class FetchSettings:
    """How downloads behave."""

    requests_per_second: float = 1.0
    """Most requests to one host, over all workers and nodes that share the folder"""
    max_bytes: int = 4 << 30
    """Largest file"""
    timeout_seconds: float = 30.0
    """Longest silence of a server"""
    retries: int = 3
    """Tries of a request that breaks off or is answered with 429 or 5xx"""
    backoff_seconds: float = 2.0
    """Wait before the second try; doubled each time"""
    user_agent: str = "slt-hf (sign language research)"


@dataclass(frozen=True)
class Fetched:
    """Outcome of one address; `file` only where status is ok."""

    address: str
    status: str
    reason: str | None = None
    file: Path | None = None


class FetchError(Exception):
    """A download that ends here, with its ledger status."""

    def __init__(self, status: str, reason: str):
        super().__init__(reason)
        self.status, self.reason = status, reason


def is_address(name: str | None) -> bool:
    return bool(name) and urlsplit(str(name)).scheme in ("http", "https")


def file_for(address: str, folder: Path) -> Path:
    """Where an address is kept: the same place on every run."""
    ending = PurePosixPath(urlsplit(address).path).suffix.lower()
    return folder / (hashlib.sha256(address.encode()).hexdigest()[:24] + (ending if ending in MEDIA else ".mp4"))


def fetch(address: str, folder: str | Path, settings: FetchSettings | None = None) -> Fetched:
    """Fetch one address into `folder`, or find it there; never raises for what the other side does.

    A download that was killed continues with a Range request where the server knows it. Addresses that name no media
    file (YouTube and other pages) go through yt-dlp, from `slt_hf[fetch]`.
    """
    settings, folder = settings or FetchSettings(), Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    target = file_for(address, folder)
    try:
        if not is_address(address):
            raise FetchError("missing", f"expected an http(s) address, found {address!r}; correct the manifest")
        with locked(target.with_suffix(".lock")):
            if not target.exists():
                direct = PurePosixPath(urlsplit(address).path).suffix.lower() in MEDIA
                (_download if direct else _download_page)(address, target, settings)
    except FetchError as error:
        return Fetched(address, error.status, error.reason)
    except OSError as error:
        return Fetched(address, "unreachable", f"{address}: {error}")
    return Fetched(address, "ok", None, target)


def _download(address: str, target: Path, settings: FetchSettings) -> None:
    part = target.with_name(target.name + ".part")
    last = "no try was allowed"
    for attempt in range(settings.retries):
        if attempt:
            time.sleep(settings.backoff_seconds * 2 ** (attempt - 1))
        wait_for_turn(address, target.parent, settings.requests_per_second)
        try:
            _request(address, part, settings)
        except urllib.error.HTTPError as error:
            if error.code == 416 and part.exists():  # nothing left beyond what we have, or another file: once more
                part.unlink()
                last = f"HTTP {error.code} {error.reason}"
                continue
            if error.code not in (408, 429) and error.code < 500:
                raise FetchError(_status_of(error.code), f"{address}: HTTP {error.code} {error.reason}") from None
            last = f"HTTP {error.code} {error.reason}"
        except (OSError, HTTPException) as error:  # broke off, timed out, no such host
            last = str(error) or type(error).__name__
        else:
            os.replace(part, target)  # the name without .part means that the download is complete
            return
    raise FetchError("unreachable", f"{address}: {last} after {settings.retries} tries; run again later")


def _status_of(code: int) -> str:
    return "forbidden" if code in (401, 402, 403, 407, 451) else "dead"


def _request(address: str, part: Path, settings: FetchSettings) -> None:
    """One request; appends to `part` what it lacks."""
    have = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": settings.user_agent, **({"Range": f"bytes={have}-"} if have else {})}
    request = urllib.request.Request(address, headers=headers)
    with urllib.request.urlopen(request, timeout=settings.timeout_seconds) as answer:
        if not is_address(answer.url):
            raise FetchError("dead", f"{address}: leads to {answer.url!r}, not http(s)")
        resumed = answer.status == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        expected = answer.headers.get("Content-Length")
        total = (have if resumed else 0) + int(expected or 0)
        if total > settings.max_bytes:
            raise FetchError("too_large", f"{address}: {total} bytes, more than {settings.max_bytes}")
        with part.open("ab" if resumed else "wb") as file:
            while block := answer.read(BLOCK):
                file.write(block)
                if file.tell() > settings.max_bytes:
                    raise FetchError("too_large", f"{address}: more than {settings.max_bytes} bytes")
        if expected and part.stat().st_size < total:
            raise HTTPException(f"broke off after {part.stat().st_size} of {total} bytes")


def _download_page(address: str, target: Path, settings: FetchSettings) -> None:
    """A page that shows a video, through yt-dlp; it resumes its own partial files."""
    try:
        import yt_dlp
    except ImportError:
        raise PreparationError(
            f"{address} names no media file: expected yt-dlp to fetch it, found it not installed; "
            "pip install 'slt_hf[fetch]'"
        ) from None
    wait_for_turn(address, target.parent, settings.requests_per_second)
    options: dict[str, Any] = {
        "outtmpl": {"default": str(target.with_suffix("")) + ".%(ext)s"},
        "format": "bv*[ext=mp4][height<=720]/bv*[height<=720]/b",  # picture only: nothing here listens
        "quiet": True,
        "noprogress": True,
        "no_warnings": True,
        "noplaylist": True,
        "retries": settings.retries,
        "socket_timeout": settings.timeout_seconds,
        "max_filesize": settings.max_bytes,
        "http_headers": {"User-Agent": settings.user_agent},
        "cachedir": False,
        "logger": _Silent(),
    }
    try:
        with yt_dlp.YoutubeDL(options) as downloader:
            info = downloader.extract_info(address)
            found = Path(downloader.prepare_filename(info))
    except yt_dlp.utils.DownloadError as error:
        raise FetchError(_status_of_message(str(error)), f"{address}: {' '.join(str(error).split())}") from None
    if not found.exists():
        raise FetchError("dead", f"{address}: yt-dlp found no video there, or one over the size limit")
    os.replace(found, target)


class _Silent:
    """yt-dlp writes its errors to stderr even when told to be quiet; they are in the ledger."""

    def debug(self, message: str) -> None: ...

    def warning(self, message: str) -> None: ...

    def error(self, message: str) -> None: ...


# yt-dlp has one exception for everything; its message tells what happened. What is in neither list is dead.
_FORBIDDEN = ("403", "forbidden", "sign in", "log in", "login", "private video", "not available in your")
_UNREACHABLE = ("429", "timed out", "timeout", "http error 5", "connection", "resolve", "unreachable")


def _status_of_message(message: str) -> str:
    low = message.lower()
    if any(sign in low for sign in _FORBIDDEN):
        return "forbidden"
    return "unreachable" if any(sign in low for sign in _UNREACHABLE) else "dead"


def wait_for_turn(address: str, folder: Path, per_second: float) -> None:
    """Sleep until this host may be asked again; the hour of the last request is shared through a file."""
    host = hashlib.sha256((urlsplit(address).hostname or "").encode()).hexdigest()[:16]
    with locked(folder / f".turn-{host}") as file:
        last = float(file.read() or 0)
        now = time.time()
        wait = min(max(0.0, last + 1 / per_second - now), 1 / per_second)
        time.sleep(wait)
        file.seek(0)
        file.truncate()
        file.write(repr(now + wait))


@contextmanager
def locked(path: Path) -> Iterator[Any]:
    """The file, opened for reading and writing, held by one process at a time; a killed process lets go."""
    with path.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        yield file
