"""Values that are computed once and kept in RAM for all threads of a process."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Kept(Generic[T]):
    """Values by key, up to a total size; the least recently used goes first.

    Two threads that ask for the same key share one computation; a value that is there is returned without waiting.
    """

    def __init__(self, most: int, size: Callable[[T], int] = lambda value: 1):
        self._most, self._size = most, size
        self._values: OrderedDict[Hashable, T] = OrderedDict()
        self._making: dict[Hashable, threading.Lock] = {}
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The value of `key`, made if it is not there. Whatever `make` raises passes through and nothing is kept."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
            making = self._making.setdefault(key, threading.Lock())
        with making:
            with self._lock:
                if key in self._values:
                    return self._values[key]
            try:
                value = make()
            finally:
                with self._lock:
                    self._making.pop(key, None)
            with self._lock:
                self._values[key] = value
                while len(self._values) > 1 and sum(map(self._size, self._values.values())) > self._most:
                    self._values.popitem(last=False)
            return value
