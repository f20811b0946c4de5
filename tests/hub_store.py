"""What the local Hub remembers: repositories, their commits, and content by its hash. No HTTP in here."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import PurePosixPath

# The Hub keeps binary and large files in LFS; which ones, it tells the client before an upload ("preupload").
LFS_SUFFIXES = {".arrow", ".bin", ".gif", ".mp4", ".onnx", ".parquet", ".png", ".pose", ".safetensors", ".zip"}
LARGEST_REGULAR_FILE = 10 * 1024 * 1024  # bytes


class NotFound(Exception):
    """Something the client asked for does not exist; `code` is what huggingface_hub reads from X-Error-Code."""

    def __init__(self, code: str, what: str):
        super().__init__(what)
        self.code = code


@dataclass(frozen=True)
class StoredFile:
    """One file of one commit."""

    content: bytes
    lfs: bool

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def git_oid(self) -> str:
        """Git's name for the blob; for LFS that is the pointer's, not the content's."""
        blob = self.pointer if self.lfs else self.content
        return hashlib.sha1(b"blob %d\0" % len(blob) + blob).hexdigest()

    @property
    def etag(self) -> str:
        return self.sha256 if self.lfs else self.git_oid

    @property
    def pointer(self) -> bytes:
        lines = f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {len(self.content)}\n"
        return lines.encode()


@dataclass(frozen=True)
class Commit:
    """A whole tree with its name, message and time."""

    oid: str
    title: str
    message: str
    date: datetime
    files: dict[str, StoredFile]
    parent: Commit | None = None

    def history(self) -> list[Commit]:
        """This commit and what came before it, newest first."""
        chain: list[Commit] = []
        commit: Commit | None = self
        while commit is not None:
            chain.append(commit)
            commit = commit.parent
        return chain


@dataclass
class Repository:
    """Branches and tags, each the name of a commit."""

    kind: str  # model | dataset | space
    id: str
    branches: dict[str, Commit] = field(default_factory=dict)
    tags: dict[str, Commit] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)  # of a Space
    counter: itertools.count = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.branches["main"] = self._commit("initial commit", "", {}, None)

    def find(self, revision: str) -> Commit:
        """The commit that a branch, a tag or a (shortened) hash names."""
        for names in (self.branches, self.tags):
            if revision in names:
                return names[revision]
        for tip in [*self.branches.values(), *self.tags.values()]:
            for commit in tip.history():
                if len(revision) >= 7 and commit.oid.startswith(revision):
                    return commit
        raise NotFound("RevisionNotFound", f"Invalid rev id: {revision}")

    def file(self, revision: str, path: str) -> tuple[Commit, StoredFile]:
        commit = self.find(revision)
        if path not in commit.files:
            raise NotFound("EntryNotFound", f"{path} not found in {self.id}@{revision}")
        return commit, commit.files[path]

    def commit(self, branch: str, title: str, message: str, changes: dict[str, StoredFile | None]) -> Commit:
        """Move `branch` on by one commit; a change of None removes a file, or everything below a folder."""
        parent = self.find(branch)
        files = dict(parent.files)
        for path, change in changes.items():
            for old in [name for name in files if change is None and (name == path or name.startswith(f"{path}/"))]:
                del files[old]
            if change is not None:
                files[path] = change
        self.branches[branch] = self._commit(title, message, files, parent)
        return self.branches[branch]

    def _commit(self, title: str, message: str, files: dict[str, StoredFile], parent: Commit | None) -> Commit:
        listing = "".join(f"{path} {file.git_oid}\n" for path, file in sorted(files.items()))
        identity = f"{self.kind} {self.id} {next(self.counter)} {parent and parent.oid} {title}\n{listing}"
        oid = hashlib.sha1(identity.encode()).hexdigest()
        return Commit(oid, title, message, datetime.now(UTC), files, parent)


def folders_of(paths: list[str]) -> list[str]:
    """Every folder that the paths imply, without the root."""
    return sorted({str(parent) for path in paths for parent in PurePosixPath(path).parents} - {"."})


def goes_to_lfs(path: str, sample: bytes, size: int) -> bool:
    return PurePosixPath(path).suffix in LFS_SUFFIXES or size > LARGEST_REGULAR_FILE or b"\0" in sample
