"""The few calls of the CUDA runtime that running an engine takes, by ctypes: JetPack has the library, often without a Python package."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from edge.errors import BackendError

LIBRARIES = ("libcudart.so.13", "libcudart.so.12", "libcudart.so")
_TO_DEVICE, _TO_HOST = 1, 2
_MAJOR, _MINOR = 75, 76


class Cuda:
    """Memory and one stream of the first GPU."""

    def __init__(self, libraries: tuple[str, ...] = LIBRARIES) -> None:
        """Find the library and the GPU.

        Raises:
            BackendError: one of them is not there.
        """
        self.library = _load(libraries)
        count = ctypes.c_int()
        if self.library.cudaGetDeviceCount(ctypes.byref(count)) or not count.value:
            raise BackendError("device 'tensorrt': the CUDA runtime sees no GPU; check the driver (nvidia-smi, on a Jetson tegrastats)")
        self.stream = ctypes.c_void_p()
        self.check(self.library.cudaStreamCreate(ctypes.byref(self.stream)))

    @property
    def capability(self) -> str:
        """Compute capability, as `8.7`."""
        value, parts = ctypes.c_int(), []
        for attribute in (_MAJOR, _MINOR):
            self.check(self.library.cudaDeviceGetAttribute(ctypes.byref(value), attribute, 0))
            parts.append(str(value.value))
        return ".".join(parts)

    def allocate(self, size: int) -> int:
        """Address of `size` new bytes."""
        address = ctypes.c_void_p()
        self.check(self.library.cudaMalloc(ctypes.byref(address), ctypes.c_size_t(max(1, size))))
        return int(address.value or 0)

    def free(self, address: int) -> None:
        """Give memory back."""
        self.check(self.library.cudaFree(ctypes.c_void_p(address)))

    def upload(self, address: int, array: np.ndarray) -> None:
        """Copy an array to the device."""
        self._copy(address, array.ctypes.data, array.nbytes, _TO_DEVICE)

    def download(self, array: np.ndarray, address: int) -> None:
        """Copy from the device into an array."""
        self._copy(array.ctypes.data, address, array.nbytes, _TO_HOST)

    def wait(self) -> None:
        """Until all that was asked for is done."""
        self.check(self.library.cudaStreamSynchronize(self.stream))

    def close(self) -> None:
        """Give the stream back."""
        self.check(self.library.cudaStreamDestroy(self.stream))

    def check(self, code: int) -> None:
        """Raise `BackendError` for any other code than success."""
        if code:
            self.library.cudaGetErrorString.restype = ctypes.c_char_p
            said = self.library.cudaGetErrorString(code)
            raise BackendError(f"CUDA: {said.decode() if said else f'error {code}'}")

    def _copy(self, to: int, source: int, size: int, kind: int) -> None:
        code = self.library.cudaMemcpyAsync(ctypes.c_void_p(to), ctypes.c_void_p(source), ctypes.c_size_t(size), kind, self.stream)
        self.check(code)


def _load(names: tuple[str, ...]) -> Any:
    for name in names:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise BackendError(f"device 'tensorrt' needs the CUDA runtime, and none of {', '.join(names)} is installed")
