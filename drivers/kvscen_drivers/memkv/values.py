"""What a server keeps: values by their keys, in memory or in a file with direct I/O. For one thread."""

from __future__ import annotations

import os
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import attrs
import numpy as np

from kvscen.plugin import show_bytes
from kvscen_drivers.memkv.memory import Pool, Region, Slot
from kvscen_drivers.memkv.protocol import Limits, Status

#: Direct I/O begins, ends and lies in memory at multiples of this.
_SECTOR = 4096


class Refused(Exception):
    """A request that cannot be served."""

    def __init__(self, status: Status, why: str) -> None:
        super().__init__(why)
        self.status = status


class Piece(NamedTuple):
    """Bytes of a value. `holder` is what keeps them from being used for something else, `place` where they lie in the
    memory that is shared with clients."""

    view: memoryview
    holder: object
    value_bytes: int
    place: int


@attrs.define(eq=False)
class Incoming:
    """A value, or a range of one, on its way in: `view` is where its bytes go, then comes `keep` or `drop`. `into` is
    the value that a range is written into, `place` where its bytes lie in the memory that is shared with clients."""

    view: memoryview
    keep: Callable[[], None]
    drop: Callable[[], None]
    slot: Slot
    place: int
    into: Kept | None = None


@attrs.define(eq=False)
class Kept:
    """One value: its bytes are in `place`, a slot of memory or of the file; it takes `room_bytes`. `lent` counts the
    clients that move its bytes themselves, right now; it may be `gone` for everybody else."""

    nbytes: int
    room_bytes: int
    place: object
    lent: int = 0
    gone: bool = False


class Values:
    """Values in memory. A value that is written anew is replaced at once, when all of it has arrived; whoever is being
    sent the old one gets the old one. A range is written into the value as it arrives."""

    grain = 1

    def __init__(self, capacity_bytes: int, limits: Limits, evict: bool, region: Region | None = None) -> None:
        self.capacity_bytes = capacity_bytes
        self.limits = limits
        self.used_bytes = 0
        self.evicted = 0
        self.pool = Pool(capacity_bytes, region)
        self._evict = evict
        self._promised_bytes = 0
        self._kept: OrderedDict[bytes, Kept] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    # ---- in

    def receive(self, key: bytes, offset: int, length: int, value_bytes: int) -> Incoming:
        """Room for the bytes [offset, offset + length) of a value. Raises Refused."""
        if value_bytes > self.limits.value_bytes:
            raise Refused(
                Status.TOO_LARGE,
                f"a value of {show_bytes(value_bytes)} is more than the {show_bytes(self.limits.value_bytes)} that "
                "this server takes",
            )
        if offset + length > value_bytes:
            raise Refused(Status.RANGE, f"the range ends at {offset + length}, beyond a value of {value_bytes} bytes")
        if length == value_bytes:
            return self._receive_whole(key, length)
        if offset % self.grain or (length % self.grain and offset + length != value_bytes):
            raise Refused(Status.RANGE, f"ranges begin and end at multiples of {self.grain} bytes here")
        return self._receive_range(key, offset, length, value_bytes)

    def _receive_whole(self, key: bytes, length: int) -> Incoming:
        room = self._promise(key, length)
        slot = self.pool.take(length)
        if slot is None:
            self._promised_bytes -= room
            raise Refused(Status.FULL, self._no_memory(length))

        def keep() -> None:
            self._promised_bytes -= room
            self._replace(key, Kept(length, Pool.rounded(length), self._store(slot, length)))

        def drop() -> None:
            self._promised_bytes -= room

        return Incoming(slot.view, keep, drop, slot, slot.place)

    def _receive_range(self, key: bytes, offset: int, length: int, value_bytes: int) -> Incoming:
        kept = self._kept.get(key)
        if kept is None or kept.nbytes != value_bytes:
            whole = self._receive_whole(key, value_bytes)
            np.frombuffer(whole.view, np.uint8)[:] = 0
            whole.keep()
            kept = self._kept[key]
        return self._into(key, kept, offset, length)

    def _promise(self, key: bytes, length: int) -> int:
        """Make room for a value in place of the one of its key; how much more it takes. Raises Refused."""
        room = Pool.rounded(length)
        old = self._kept.get(key)
        if old is not None and not old.lent:
            room = max(0, room - old.room_bytes)
        while self._evict and self.used_bytes + self._promised_bytes + room > self.capacity_bytes:
            oldest = next((each for each, kept in self._kept.items() if not kept.lent and each != key), None)
            if oldest is None:
                break
            self._remove(oldest)
            self.evicted += 1
        if self.used_bytes + self._promised_bytes + room > self.capacity_bytes:
            raise Refused(
                Status.FULL,
                f"{show_bytes(self.used_bytes)} of {show_bytes(self.capacity_bytes)} are used, and a value of "
                f"{show_bytes(length)} is to come",
            )
        self._promised_bytes += room
        return room

    def _replace(self, key: bytes, kept: Kept) -> None:
        self._remove(key)
        self._kept[key] = kept
        self.used_bytes += kept.room_bytes

    def _remove(self, key: bytes) -> bool:
        kept = self._kept.pop(key, None)
        if kept is None:
            return False
        if kept.lent:
            kept.gone = True  # its room is free when whoever has it gives it back
        else:
            self.used_bytes -= kept.room_bytes
        self._free(kept)
        return True

    def _no_memory(self, nbytes: int) -> str:
        return f"{self.pool.whose} has no {show_bytes(nbytes)} of memory left"

    # ---- out

    def find(self, key: bytes, offset: int, length: int | None) -> Piece:
        """The bytes [offset, offset + length) of a value; to its end where `length` is None. Raises Refused."""
        kept = self._kept.get(key)
        if kept is None:
            raise Refused(Status.MISSING, "there is no such key")
        if self._evict:
            self._kept.move_to_end(key)
        end = kept.nbytes if length is None else offset + length
        if offset > kept.nbytes or end > kept.nbytes:
            raise Refused(Status.RANGE, f"the range ends at {max(offset, end)}, beyond a value of {kept.nbytes} bytes")
        return self._out_of(kept, offset, end - offset)

    def lend(self, key: bytes, offset: int, length: int | None) -> tuple[Piece, Kept]:
        """The same for a client that moves the bytes itself: the value is not evicted until `take_back`. Raises
        Refused."""
        piece, kept = self.find(key, offset, length), self._kept[key]
        kept.lent += 1
        return piece, kept

    def take_back(self, kept: Kept) -> None:
        kept.lent -= 1
        if kept.gone and not kept.lent:
            self.used_bytes -= kept.room_bytes

    def size(self, key: bytes) -> int | None:
        kept = self._kept.get(key)
        return None if kept is None else kept.nbytes

    def delete(self, key: bytes) -> bool:
        return self._remove(key)

    def purge(self, prefix: bytes) -> int:
        """Delete all whose keys begin so; how many."""
        keys = [key for key in self._kept if key.startswith(prefix)]
        for key in keys:
            self._remove(key)
        return len(keys)

    # ---- where values are kept

    def _store(self, slot: Slot, length: int) -> object:
        return slot

    def _out_of(self, kept: Kept, offset: int, length: int) -> Piece:
        slot = kept.place
        assert isinstance(slot, Slot)
        return Piece(slot.view[offset : offset + length], slot, kept.nbytes, slot.place + offset)

    def _into(self, key: bytes, kept: Kept, offset: int, length: int) -> Incoming:
        slot = kept.place
        assert isinstance(slot, Slot)
        return Incoming(slot.view[offset : offset + length], _nothing, _nothing, slot, slot.place + offset, kept)

    def _free(self, kept: Kept) -> None:
        """A slot of memory frees itself."""

    def close(self) -> None:
        self._kept.clear()


class FileValues(Values):
    """Values in one file of a folder, written and read by direct I/O through a buffer, one at a time."""

    grain = _SECTOR

    def __init__(
        self, folder: Path, capacity_bytes: int, limits: Limits, evict: bool, region: Region | None = None
    ) -> None:
        """Raises OSError where the folder cannot be used or does not do direct I/O."""
        super().__init__(capacity_bytes, limits, evict)
        self._path = folder / f"values-{os.getpid()}.data"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_DIRECT
        self._file = os.open(self._path, flags, 0o600)
        # Nobody else needs the name: the space is given back with the process, however it ends.
        self._path.unlink()
        self._end = 0
        self._holes: defaultdict[int, list[int]] = defaultdict(list)
        # Buffers are no values: those in use at a time are few.
        self.pool = Pool(64 << 20, region)

    def _store(self, slot: Slot, length: int) -> object:
        room = Pool.rounded(length)
        holes = self._holes[room]
        first = holes.pop() if holes else self._end
        if first == self._end:
            self._end += room
        try:
            self._write(slot.slab.view[slot.first : slot.first + room], first)
        except OSError as error:
            holes.append(first)
            raise Refused(Status.FAILED, f"the file of values cannot be written: {error.strerror}") from error
        return first

    def _out_of(self, kept: Kept, offset: int, length: int) -> Piece:
        assert isinstance(kept.place, int)
        start = offset // _SECTOR * _SECTOR
        room = Pool.rounded(offset + length - start)
        slot = self._buffer(room)
        done = 0
        try:
            while done < room and (count := os.preadv(self._file, [slot.view[done:]], kept.place + start + done)):
                done += count
        except OSError as error:
            raise Refused(Status.FAILED, f"the file of values cannot be read: {error.strerror}") from error
        if done < offset + length - start:
            raise Refused(Status.FAILED, "the file of values has become shorter")
        inside = offset - start
        return Piece(slot.view[inside : inside + length], slot, kept.nbytes, slot.place + inside)

    def _into(self, key: bytes, kept: Kept, offset: int, length: int) -> Incoming:
        slot, place = self._buffer(length), kept.place
        assert isinstance(place, int)

        def keep() -> None:
            if self._kept.get(key) is not kept:
                raise Refused(Status.FAILED, "the value was replaced while a range of it arrived")
            room = Pool.rounded(length)
            try:
                self._write(slot.slab.view[slot.first : slot.first + room], place + offset)
            except OSError as error:
                raise Refused(Status.FAILED, f"the file of values cannot be written: {error.strerror}") from error

        return Incoming(slot.view, keep, _nothing, slot, slot.place, kept)

    def _buffer(self, nbytes: int) -> Slot:
        slot = self.pool.take(nbytes)
        if slot is None:
            raise Refused(Status.FULL, self._no_memory(nbytes))
        return slot

    def _write(self, view: memoryview, first: int) -> None:
        done = 0
        while done < len(view):
            done += os.pwritev(self._file, [view[done:]], first + done)

    def _free(self, kept: Kept) -> None:
        assert isinstance(kept.place, int)
        self._holes[kept.room_bytes].append(kept.place)

    def close(self) -> None:
        super().close()
        os.close(self._file)


def _nothing() -> None:
    """The range is where it belongs."""
