"""What a model family and a model declare of themselves. Free of torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from ssdbench import own
from ssdbench.declaration import Declaration
from ssdbench.errors import InputError
from ssdbench.models.own_shape import OwnShape

if TYPE_CHECKING:
    from pathlib import Path

    from ssdbench.models.files import Found
    from ssdbench.models.shapes import Shape

ROUNDED, CUT = 128.0, 127.5
"""What is added to 127.5 x, of pixels x in [-1, 1], before it is cut to uint8: with 128 that rounds."""


def usual_offset(flow: int | None) -> float:
    """How a model's decoded pixels become uint8 unless its family says otherwise: REPA's published sampler cuts."""
    return CUT if flow == 1 else ROUNDED


@dataclass(frozen=True, kw_only=True)
class Family(Declaration):
    """Denoisers of one kind: how they lie on disk, how they are made, and what they predict.

    By default a network is a ``torch.nn.Module`` of the user's own code; see :mod:`ssdbench.models.own_model`.

    ``body(path, shape, part, null)`` makes a denoiser in float32 on the CPU, a
    :class:`ssdbench.models.conditional.Conditional`. ``path`` is a file or folder of weights, or None for initial ones;
    ``part`` is which set of weights of a file that holds several; ``null`` is the embedded empty text (1, L, D) of a
    denoiser of texts.

    Args:
        shape: the class of its shapes, which say the size of a network, what it costs, and what it is conditioned on.
            A family of the user's own has :class:`ssdbench.models.own_shape.OwnShape`.
        find: ``package.module:name`` of ``find(path, shape, part)``, which looks at weights in any of the family's
            layouts without torch and returns a :class:`ssdbench.models.files.Found`. It raises InputError where they
            do not fit.
        save: ``package.module:name`` of ``save(denoiser, folder, **extra)``, which writes what ``body`` reads again.
        flow: the time of pure noise of models that predict v on the straight path from noise to data; None: they
            predict eps at timesteps.
        offset: how decoded pixels become uint8: :data:`ROUNDED` or :data:`CUT`.
        tokens: its blocks' outputs are tokens (B, N, D), which REPA's alignment needs.
        adapts: it can be trained by low-rank updates and with gradient checkpointing.
        second_time: its networks have room for a second time, as ``r``; ``shape.second_time`` says which have one.
    """

    KIND: ClassVar[str] = "model family"

    shape: type[Shape] = OwnShape
    body: str = field(default="ssdbench.models.own_denoiser:load_own", repr=False)
    find: str = field(default="ssdbench.models.own_model:find_own", repr=False)
    save: str = field(default="ssdbench.models.own_denoiser:save_own", repr=False)
    flow: Literal[0, 1] | None = None
    offset: float = ROUNDED
    tokens: bool = False
    adapts: bool = False
    second_time: bool = False

    def look(self, path: Path, shape: Shape, part: str) -> Found:
        """What lies at ``path``, once it is found to fit.

        Raises:
            InputError: it is missing, malformed, or something else.
        """
        found: Found = own.load(self.find)(path, shape, part)
        return found


@dataclass(frozen=True, kw_only=True)
class Model(Declaration):
    """A pretrained denoiser: its family, its shape at each resolution, and where its weights come from.

    A place of weights is ``package:PATH`` (shipped), ``file:NAME`` (the user's, in $SSDBENCH_DATA/weights) or
    ``path:PATH`` (as it is). A hint says how to get them, its commands in backticks, with ``{data}`` for the user's
    directory of data.

    Args:
        family: what it is.
        shapes: its shape by the resolution of images in pixels.
        weights: the place of its weights by resolution. One of the user's own code may do without.
        hint: how to get them.
        hints: the same, where it depends on the resolution.
        vae: the place of an ``AutoencoderKL`` in diffusers' layout; None: it denoises pixels in [-1, 1].
        vae_hint: how to get that, and ``text``.
        text: the place of the text encoder and tokenizer of a model that takes captions and no classes.
        dataset: what it was trained on, and what ``data: original`` means.
        body: of a model of the user's own code, ``package.module:name`` of a function from the shape to a
            ``torch.nn.Module``; see :mod:`ssdbench.models.own_model`.
        reads: files that the body reads; their content is part of the keys.
        build: the body itself, where it has no name.
        at: the function from a resolution to the model, where nothing is known before it is asked.
    """

    KIND: ClassVar[str] = "model"

    family: Family
    shapes: Mapping[int, Shape] = field(default_factory=dict)
    weights: Mapping[int, str] = field(default_factory=dict)
    hint: str = ""
    hints: Mapping[int, str] = field(default_factory=dict)
    vae: str | None = None
    vae_hint: str = ""
    text: str | None = None
    dataset: str
    reads: tuple[str, ...] = ()
    build: Callable[[Shape], Any] | None = field(default=None, repr=False)
    at: Callable[[int], Any] | None = field(default=None, repr=False)

    @property
    def flow(self) -> Literal[0, 1] | None:
        """As of the family."""
        return self.family.flow

    @property
    def prediction(self) -> Literal["eps", "v"]:
        """What the model predicts."""
        return "eps" if self.flow is None else "v"

    def hint_for(self, resolution: int) -> str:
        """How to get the weights."""
        return self.hints.get(resolution, self.hint)

    @property
    def resolutions(self) -> tuple[int, ...]:
        """Resolutions in pixels that the model exists for."""
        return tuple(self.shapes)

    @property
    def depth(self) -> int:
        """Number of blocks, hence of fusion points."""
        return max((shape.depth for shape in self.shapes.values()), default=0)

    @property
    def takes_texts(self) -> bool:
        """Whether it is conditioned on captions and not on classes."""
        return self.text is not None

    def found_as(self, name: str, resolution: int) -> Model:
        """The model that a suite names ``name``, once it is known to exist at a resolution.

        Raises:
            InputError: it does not, or its function fails or returns something else.
        """
        model = self if self.at is None else _called(self.at, name, resolution)
        shape = model.shapes.get(resolution)
        if shape is None:
            have = " or ".join(map(str, model.shapes)) or "no resolution"
            raise InputError(f"model {name!r} exists for {have}, not {resolution}")
        if isinstance(shape, OwnShape):
            shape = replace(shape, name=name, resolution=resolution)
        return replace(model, name=name, shapes={**model.shapes, resolution: shape})


def _called(function: Callable[[int], Any], name: str, resolution: int) -> Model:
    with own.running(f"{name} failed at {resolution} pixels"):
        found = function(resolution)
    if not isinstance(found, Model):
        raise InputError(
            f"{name} returned {type(found).__name__}: expected what ssdbench.models.own_model.OwnModel makes"
        )
    if resolution in found.shapes:
        return found
    [*shapes] = found.shapes.values()
    return replace(found, shapes=dict.fromkeys([resolution], *shapes[:1]))


def download(url: str, target: str) -> str:
    """The hint that gets one file from where it is published."""
    import shlex

    return f"download it: `curl -L --create-dirs -o {{data}}/{target} {shlex.quote(url)}`"
