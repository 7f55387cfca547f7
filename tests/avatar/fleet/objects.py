"""An object store in this process, at objects://: no folders, no rename, an entity tag for each object."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, ClassVar

from fsspec.implementations.memory import MemoryFileSystem


class ObjectStore(MemoryFileSystem):  # type: ignore[misc]
    """The file system of fsspec for objects://, whose objects exist for the process; `puts` has what was stored."""

    protocol = "objects"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    puts: ClassVar[list[str]] = []
    #: Called with the name before an object is stored; a test may let it fail.
    before_put: Any = None
    #: Bytes of each object that get lost.
    cut = 0

    @classmethod
    def _strip_protocol(cls, path: Any) -> str:
        return str(MemoryFileSystem._strip_protocol(str(path).removeprefix("objects://")))

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Nothing: an object store has no folders."""

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        """As of S3: with an entity tag of the content."""
        found = dict(super().info(path, **options))
        if found["type"] == "file":
            found["ETag"] = hashlib.md5(self.cat_file(path), usedforsecurity=False).hexdigest()
        return found

    def put_file(self, source: str, path: str, *arguments: Any, **options: Any) -> None:
        """Store a file."""
        content = Path(source).read_bytes()
        self.pipe_file(path, content[: len(content) - self.cut])

    def pipe_file(self, path: str, value: bytes, *arguments: Any, **options: Any) -> None:
        """Store bytes."""
        name = self._strip_protocol(path)
        if self.before_put is not None:
            self.before_put(name)
        self.puts.append(name)
        super().pipe_file(path, value)
