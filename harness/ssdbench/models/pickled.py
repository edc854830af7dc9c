"""What a file of ``torch.save`` says it holds: its pickle walked without torch, and without anything of it being run.

Nothing that the pickle names is imported or called. Tensors become :class:`Outline`, plain containers themselves, and
every other object a placeholder that remembers its name. The opcodes are those that ``torch.load`` with
``weights_only=True`` takes.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any

from ssdbench.models.headers import ITEM_BYTES

# Names beside tensors whose values nobody needs, of classes that hold data and do nothing, by their modules.
_HARMLESS = {
    "argparse": "Namespace",
    "types": "SimpleNamespace",
    "collections": "defaultdict deque",
    "builtins": "bool dict float frozenset int list str tuple",
    "datetime": "date datetime time timedelta timezone",
    **dict.fromkeys(("pathlib", "pathlib._local"), "PosixPath WindowsPath PurePosixPath PureWindowsPath"),
    **dict.fromkeys(("numpy.core.multiarray", "numpy._core.multiarray"), "scalar _reconstruct"),
    **dict.fromkeys(("numpy.core.numeric", "numpy._core.numeric"), "_frombuffer"),
    "numpy": "dtype ndarray",
    "torch.torch_version": "TorchVersion",
}


def is_harmless(name: str) -> bool:
    """Whether objects of the class or function ``name`` may lie beside tensors; numpy.dtypes are numpy's types."""
    module, _, own = name.rpartition(".")
    return module == "numpy.dtypes" or own in _HARMLESS.get(module, "").split()


@dataclass(frozen=True)
class Storage:
    """Memory of ``count`` numbers of one type, under the name by which a file stores it."""

    key: str
    dtype: str
    count: int


@dataclass(frozen=True)
class Outline:
    """A tensor without its numbers. ``offset`` and ``stride`` count numbers; ``layout`` is None for a plain tensor."""

    storage: Storage | None
    dtype: str
    shape: tuple[int, ...]
    offset: int = 0
    stride: tuple[int, ...] = ()
    layout: str | None = None


@dataclass
class Pickled:
    """``content`` as it is nested, the names that it has beyond torch's, and the storages of its tensors by key."""

    content: Any
    names: set[str]
    storages: dict[str, Storage]


class Placeholder(dict[Any, Any]):
    """Stands for an object, or the class or function of the ``name`` itself; keeps what is put into it by key."""

    name = ""

    def __init__(self, *_: Any) -> None:
        super().__init__()

    def __hash__(self) -> int:  # type: ignore[override]
        """By itself: a pickle may have it for a key."""
        return id(self)

    def __call__(self, *_: Any) -> Placeholder:
        """What a call makes is not known either."""
        return self

    def append(self, _: Any) -> None:
        """What it is given as a list is passed over."""

    extend = append


class PickleError(ValueError):
    """A pickle that is malformed, or of more than tensors need."""


def read_pickle(file: IO[bytes]) -> Pickled:
    """Walk one pickle; the file is left behind it.

    Raises:
        PickleError: it is malformed, or uses what ``torch.save`` does not.
    """
    reader = _Reader(file)
    try:
        content = reader.load()
    except KeyError as error:
        raise PickleError(
            f"its pickle uses the operation or entry {error}, which torch.save does not"
        ) from error
    except RecursionError as error:
        raise PickleError("its pickle is nested too deeply") from error
    except Exception as error:  # a spoilt pickle makes any operation fail in its own way
        raise PickleError(f"its pickle is malformed: {error or type(error).__name__}") from error
    return Pickled(content, reader.names, reader.storages)


_TAKEN = """
    PROTO STOP MARK NONE NEWTRUE NEWFALSE GLOBAL REDUCE BUILD NEWOBJ BINPERSID APPEND APPENDS SETITEM SETITEMS
    EMPTY_DICT EMPTY_LIST EMPTY_TUPLE EMPTY_SET TUPLE TUPLE1 TUPLE2 TUPLE3 BININT BININT1 BININT2 BINFLOAT BINUNICODE
    SHORT_BINSTRING LONG1 BINGET LONG_BINGET BINPUT LONG_BINPUT
"""
_OPERATIONS: dict[int, Callable[[Any], None]] = {
    operation[0]: pickle._Unpickler.dispatch[operation[0]]
    for operation in (getattr(pickle, name) for name in _TAKEN.split())
}


# What an object is to be filled with is not needed.
_OPERATIONS[pickle.BUILD[0]] = lambda reader: reader.stack.pop()


class _Reader(pickle._Unpickler):
    """Python's own unpickler, which builds nothing but what this module has."""

    dispatch = _OPERATIONS

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file, encoding="utf-8", errors="replace")
        self.names: set[str] = set()
        self.storages: dict[str, Storage] = {}
        self._made: dict[str, Any] = {}

    def find_class(self, module: str, name: str) -> Any:
        """What stands for a global."""
        full = f"{'builtins' if module == '__builtin__' else module}.{name}"
        if full not in self._made:
            self._made[full] = _of_torch(full) or self._placeholder(full)
        return self._made[full]

    def persistent_load(self, pid: Any) -> Storage:
        """A storage: ('storage', its type, its key, the device, its number of elements, which part of it)."""
        kind, dtype, key, _, count, *view = pid
        sound = kind == "storage" and isinstance(dtype, _StorageType) and type(count) is int and count >= 0
        if not sound or view not in ([], [None]):
            raise PickleError(f"a storage is described as {pid!r:.200}")
        return self.storages.setdefault(str(key), Storage(str(key), dtype.dtype, count))

    def _placeholder(self, full: str) -> Any:
        self.names.add(full)
        return type("_Placeholder", (Placeholder,), {"name": full})


@dataclass(frozen=True)
class _StorageType:
    dtype: str


STORAGES = {
    **{"Double": "float64", "Float": "float32", "Half": "float16", "BFloat16": "bfloat16", "Long": "int64"},
    **{"Int": "int32", "Short": "int16", "Char": "int8", "Byte": "uint8", "Bool": "bool"},
    **{"ComplexDouble": "complex128", "ComplexFloat": "complex64", "Untyped": "uint8"},
}
# Of quantised tensors, which are refused as no plain ones.
_QUANTISED = frozenset({"qint8", "qint32", "quint8", "quint4x2", "quint2x4"})


def _outline(storage: Any, offset: Any, size: Any, stride: Any, *, dtype: str | None = None) -> Outline:
    numbers = (offset, *size, *stride)
    if not isinstance(storage, Storage) or any(type(n) is not int or n < 0 for n in numbers):
        raise PickleError(f"a tensor is described as {(storage, *numbers)!r:.200}")
    if len(size) != len(stride):
        raise PickleError(
            f"a tensor has the sides {tuple(size)!r:.100} and the strides {tuple(stride)!r:.100}"
        )
    layout = storage.dtype if storage.dtype in _QUANTISED else None
    return Outline(storage, dtype or storage.dtype, tuple(size), offset, tuple(stride), layout)


def _itself(inner: Any, *_: Any) -> Any:
    return inner


def _odd(layout: str) -> Callable[..., Outline]:
    return lambda *_: Outline(None, "", (), layout=layout)


def _subclass(function: Any, _: Any, arguments: Any, *__: Any) -> Any:
    if function not in _REBUILD.values():
        raise PickleError("a tensor's class is made by something else than torch")
    return function(*arguments)


_REBUILD: dict[str, Callable[..., Any]] = {
    "_rebuild_tensor": lambda *given: _outline(*given[:4]),
    "_rebuild_tensor_v2": lambda *given: _outline(*given[:4]),
    "_rebuild_tensor_v3": lambda *given: _outline(*given[:4], dtype=str(given[6])),
    "_rebuild_parameter": _itself,
    "_rebuild_parameter_with_state": _itself,
    "_rebuild_sparse_tensor": _odd("sparse"),
    "_rebuild_qtensor": _odd("quantised"),
    "_rebuild_nested_tensor": _odd("nested"),
    "_rebuild_meta_tensor_no_storage": _odd("meta"),
    "_rebuild_wrapper_subclass": _odd("wrapped"),
    "_rebuild_device_tensor_from_numpy": _odd("of another device"),
    "_rebuild_device_tensor_from_cpu_tensor": _itself,
}
_OTHERS: dict[str, Any] = {
    "collections.OrderedDict": OrderedDict,
    "collections.Counter": OrderedDict,
    "_codecs.encode": lambda *_: b"",
    "builtins.set": lambda *_: set(),
    "builtins.bytearray": lambda *_: b"",
    "builtins.complex": lambda *_: 0j,
    "torch.Size": lambda *sides: sides[0] if sides else (),
    "torch.device": lambda *_: "device",
    "torch.serialization._get_layout": lambda name: name,
    "torch.nn.parameter.Parameter": _itself,
    "torch._tensor._rebuild_from_type_v2": _subclass,
    **{f"torch._utils.{name}": function for name, function in _REBUILD.items()},
}


def _of_torch(full: str) -> Any:
    """What stands for a name that torch itself knows; None for any other."""
    if full in _OTHERS:
        return _OTHERS[full]
    module, _, name = full.rpartition(".")
    if module in ("torch", "torch.storage", "torch.cuda") and name.endswith("Storage"):
        stored = name.removesuffix("Storage")
        dtype = STORAGES.get(stored) or (stored.lower() if stored.lower() in _QUANTISED else None)
        return None if dtype is None else _StorageType(dtype)
    dtypes = (*ITEM_BYTES, *_QUANTISED, "float4_e2m1fn_x2")
    schemes = ("per_tensor_", "per_channel_", "strided", "sparse_")
    if module == "torch" and (name in dtypes or name.startswith(schemes)):
        return name
    return None
