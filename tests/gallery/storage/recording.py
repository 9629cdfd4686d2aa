"""A disk that remembers what was written and what was synced, and one that fails."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np

from sanreid.gallery.storage.files.disk import Disk


class RecordingDisk(Disk):
    """Writes for real, and keeps the list of events; callers add ("ack", state)."""

    def __init__(self):
        self.events = []
        self._paths = {}
        self._files = 0
        self._numbers = {}

    def create(self, folder, name):
        fd = super().create(folder, name)
        path = str(folder.path / name)
        self._files += 1
        self._paths[fd] = self._numbers[path] = self._files
        self.events.append(("create", path, self._files))
        return fd

    def open(self, folder, name, *, write):
        fd = super().open(folder, name, write=write)
        self._paths[fd] = self._numbers.get(str(folder.path / name))
        return fd

    def write(self, fd, data, offset):
        super().write(fd, data, offset)
        self.events.append(("write", self._paths[fd], bytes(data), offset))

    def sync(self, fd):
        super().sync(fd)
        self.events.append(("sync", self._paths[fd]))

    def truncate(self, fd, size):
        super().truncate(fd, size)
        self.events.append(("truncate", self._paths[fd], size))

    def replace(self, folder, source, target):
        super().replace(folder, source, target)
        source, target = str(folder.path / source), str(folder.path / target)
        self._numbers[target] = self._numbers.pop(source)
        self.events.append(("replace", source, target))

    def move_folder(self, source, target):
        super().move_folder(source, target)
        inside = [name for name in self._numbers if Path(name).is_relative_to(source)]
        for old in inside:
            self._numbers[str(target / Path(old).relative_to(source))] = self._numbers.pop(old)
        self.events.append(("replace", str(source), str(target)))

    def link(self, folder, source, target):
        super().link(folder, source, target)
        source, target = str(folder.path / source), str(folder.path / target)
        self._numbers[target] = self._numbers[source]
        self.events.append(("link", source, target))

    def remove(self, folder, name):
        super().remove(folder, name)
        self._numbers.pop(str(folder.path / name), None)
        self.events.append(("remove", str(folder.path / name)))

    def sync_folder(self, folder):
        super().sync_folder(folder)
        self.events.append(("sync_folder", str(folder.path)))

    def sync_parent(self, path):
        super().sync_parent(path)
        self.events.append(("sync_folder", str(path.parent)))


class Medium:
    """What a power cut may leave: synced bytes surely, the rest by chance."""

    def __init__(self):
        self.synced = {}  # file number -> bytes on the medium
        self.pending = {}  # file number -> writes and cuts since its last sync
        self.names = {}  # path -> file number, as the medium has it
        self.pending_names = []  # (folder, operation) since the folder's last sync

    def take(self, event):
        kind = event[0]
        if kind == "create":
            self.synced[event[2]], self.pending[event[2]] = b"", []
            self.pending_names.append((str(Path(event[1]).parent), event))
        elif kind in ("write", "truncate"):
            self.pending[event[1]].append(event)
        elif kind == "sync":
            for change in self.pending[event[1]]:
                self.synced[event[1]] = changed(self.synced[event[1]], change)
            self.pending[event[1]] = []
        elif kind in ("replace", "link"):
            self.pending_names.append((str(Path(event[2]).parent), event))
        elif kind == "remove":
            self.pending_names.append((str(Path(event[1]).parent), event))
        elif kind == "sync_folder":
            for folder, operation in self.pending_names:
                if folder == event[1]:
                    rename(self.names, operation)
            self.pending_names = [one for one in self.pending_names if one[0] != event[1]]

    def after_a_cut(self, rng):
        """Return path -> bytes: unsynced changes dropped, torn or applied out of order."""
        names, mode = dict(self.names), rng.integers(0, 3)  # drop all, keep all, or by chance
        for _, operation in self.pending_names:
            if mode == 1 or (mode == 2 and rng.random() < 0.5):
                rename(names, operation)
        files = {}
        for path, number in names.items():
            data, changes = self.synced[number], list(self.pending[number])
            if mode == 2:
                rng.shuffle(changes)
            for change in changes:
                if mode == 0 or (mode == 2 and rng.random() < 0.4):
                    continue
                if mode == 2 and change[0] == "write" and rng.random() < 0.6:
                    torn = int(rng.integers(0, len(change[2]) + 1))
                    change = ("write", change[1], change[2][:torn], change[3])  # noqa: PLW2901
                data = changed(data, change)
            files[path] = data
        return files


def changed(data, change):
    if change[0] == "truncate":
        return data[: change[2]].ljust(change[2], b"\0")
    _, _, new, offset = change
    return data[:offset].ljust(offset, b"\0") + new + data[offset + len(new) :]


def rename(names, operation):
    if operation[0] == "create":
        names[operation[1]] = operation[2]
    elif operation[0] == "remove":
        names.pop(operation[1], None)
    elif operation[0] == "link":
        names[operation[2]] = names[operation[1]]
    else:
        _, source, target = operation
        for old in list(names):
            if Path(old) == Path(source):
                names[target] = names.pop(old)
            elif Path(old).is_relative_to(source):
                names[str(Path(target) / Path(old).relative_to(source))] = names.pop(old)


class FailingDisk(Disk):
    """Refuses the n-th write, sync, cut or rename from now on, after a part of it."""

    def __init__(self):
        self.left = None
        self.failing_for = 1
        self.calls = 0

    def fail_at(self, number, *, failing_for=1):
        self.left, self.failing_for, self.calls = number, failing_for, 0

    def _count(self):
        self.calls += 1
        if self.left is not None:
            self.left -= 1
            if -self.failing_for < self.left + 1 <= 0:
                raise OSError(errno.ENOSPC, "No space left on device")

    def write(self, fd, data, offset):
        try:
            self._count()
        except OSError:
            super().write(fd, memoryview(data).cast("B")[: max(1, np.size(data) // 2)], offset)
            raise
        super().write(fd, data, offset)

    def sync(self, fd):
        self._count()
        super().sync(fd)

    def truncate(self, fd, size):
        self._count()
        super().truncate(fd, size)

    def link(self, folder, source, target):
        self._count()
        super().link(folder, source, target)

    def replace(self, folder, source, target):
        self._count()
        super().replace(folder, source, target)

    def move_folder(self, source, target):
        self._count()
        super().move_folder(source, target)

    def sync_folder(self, folder):
        self._count()
        super().sync_folder(folder)

    def sync_parent(self, path):
        self._count()
        super().sync_parent(path)
