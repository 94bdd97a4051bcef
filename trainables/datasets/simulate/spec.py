"""Description of a simulated set of micrographs: frozen, checked, printable as JSON.

Grey levels are on the scale 0 to 255 whatever the depth of the files. Sizes are given in px or um.
"""

import math
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from trainables.datasets.simulate import shapes, unions
from trainables.datasets.simulate.shape import Shape

Grey = Annotated[float, Field(ge=0, le=255)]

Fraction = Annotated[float, Field(ge=0, le=1)]


def _ordered(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError(f"expected (lowest, highest), got {pair}")
    return pair


_in_order = AfterValidator(_ordered)

Aspect = Annotated[tuple[Annotated[float, Field(ge=1)], Annotated[float, Field(ge=1)]], _in_order]

Share = Annotated[
    tuple[Annotated[float, Field(gt=0, lt=1)], Annotated[float, Field(gt=0, lt=1)]], _in_order
]

Count = Annotated[tuple[NonNegativeInt, NonNegativeInt], _in_order]

Length = Annotated[tuple[NonNegativeFloat, NonNegativeFloat], _in_order]


class FrozenSpec(BaseModel):
    """Base of all parts of a description: unknown keys refused, values frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class _Size(FrozenSpec):
    unit: Literal["px", "um"] = "px"

    def px(self, value: float, um_per_px: float) -> float:
        """A drawn value in pixels."""
        return value / um_per_px if self.unit == "um" else value


class Uniform(_Size):
    """Every size between two bounds is as likely."""

    kind: Literal["uniform"] = "uniform"
    low: PositiveFloat
    high: PositiveFloat

    @model_validator(mode="after")
    def _bounds_in_order(self) -> Self:
        _ordered((self.low, self.high))
        return self

    def draw_px(self, rng: np.random.Generator, um_per_px: float) -> float:
        """A size in px."""
        return self.px(rng.uniform(self.low, self.high), um_per_px)


class _Cut(_Size):
    low: PositiveFloat
    high: PositiveFloat

    @model_validator(mode="after")
    def _bounds_in_order(self) -> Self:
        _ordered((self.low, self.high))
        return self

    def cut(self, values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
        """The first value within the bounds; the last, moved to the nearer bound, if none is."""
        inside = values[(values >= self.low) & (values <= self.high)]
        return float(inside[0] if len(inside) else np.clip(values[-1], self.low, self.high))


class Normal(_Cut):
    """Normal distribution, cut at two bounds by drawing again."""

    kind: Literal["normal"] = "normal"
    mean: PositiveFloat
    std: PositiveFloat

    def draw_px(self, rng: np.random.Generator, um_per_px: float) -> float:
        """A size in px."""
        return self.px(self.cut(rng.normal(self.mean, self.std, 32)), um_per_px)


class Lognormal(_Cut):
    """Log-normal distribution, cut at two bounds by drawing again.

    Attributes:
        median: Median size in `unit`.
        sigma: Standard deviation of the natural logarithm.
    """

    kind: Literal["lognormal"] = "lognormal"
    median: PositiveFloat
    sigma: PositiveFloat

    def draw_px(self, rng: np.random.Generator, um_per_px: float) -> float:
        """A size in px."""
        draws = rng.lognormal(math.log(self.median), self.sigma, 32)
        return self.px(self.cut(draws), um_per_px)


Size = Annotated[Uniform | Normal | Lognormal, Field(discriminator="kind")]


class DiscForm(FrozenSpec):
    """Circles; the size is the diameter."""

    kind: Literal["disc"] = "disc"

    def draw(self, size_px: float, rng: np.random.Generator) -> Shape:
        """A disc."""
        del rng
        return shapes.Disc(size_px / 2)


class EllipseForm(FrozenSpec):
    """Ellipses at any angle; the size is the longer axis."""

    kind: Literal["ellipse"] = "ellipse"
    aspect: Aspect = (1.1, 1.8)

    def draw(self, size_px: float, rng: np.random.Generator) -> Shape:
        """An ellipse."""
        width = size_px / rng.uniform(*self.aspect)
        return shapes.Ellipse(size_px / 2, width / 2, rng.uniform(0, math.pi))


class RodForm(FrozenSpec):
    """Rods with round ends at any angle; the size is the length."""

    kind: Literal["rod"] = "rod"
    aspect: Aspect = (2.5, 5.0)

    def draw(self, size_px: float, rng: np.random.Generator) -> Shape:
        """A rod."""
        return shapes.Rod(size_px, size_px / rng.uniform(*self.aspect), rng.uniform(0, math.pi))


class FacetedForm(FrozenSpec):
    """Convex polygons; the size is the longer axis of the ellipse their corners lie on."""

    kind: Literal["faceted"] = "faceted"
    corners: Annotated[
        tuple[Annotated[int, Field(ge=3)], Annotated[int, Field(le=24)]], _in_order
    ] = (5, 8)
    aspect: Aspect = (1.0, 1.4)

    def draw(self, size_px: float, rng: np.random.Generator) -> Shape:
        """A convex polygon, its corners at uneven distances."""
        n = int(rng.integers(self.corners[0], self.corners[1] + 1))
        steps = (np.arange(n) + rng.uniform(-0.3, 0.3, n)) * 2 * math.pi / n
        aspect, angle = rng.uniform(*self.aspect), rng.uniform(0, math.pi)
        u, v = np.cos(steps) * size_px / 2, np.sin(steps) * size_px / 2 / aspect
        cos, sin = math.cos(angle), math.sin(angle)
        return shapes.facets(np.stack([u * cos - v * sin, u * sin + v * cos], axis=1))


class AgglomerateForm(FrozenSpec):
    """Chains and clumps of discs grown together; the size is a disc's mean diameter.

    Attributes:
        parts: Lowest and highest number of discs.
        overlap: By how much of the smaller radius neighbours overlap.
    """

    kind: Literal["agglomerate"] = "agglomerate"
    parts: Annotated[tuple[PositiveInt, PositiveInt], _in_order] = (4, 10)
    overlap: Fraction = 0.35

    def draw(self, size_px: float, rng: np.random.Generator) -> Shape:
        """A connected union of discs."""
        n = int(rng.integers(self.parts[0], self.parts[1] + 1))
        radii = size_px / 2 * rng.uniform(0.75, 1.25, n)
        parts = [(0.0, 0.0, float(radii[0]))]
        for r in radii[1:]:
            x, y, neighbour = parts[int(rng.integers(len(parts)))]
            angle = rng.uniform(0, 2 * math.pi)
            distance = neighbour + r - self.overlap * min(neighbour, r)
            parts.append((x + distance * math.cos(angle), y + distance * math.sin(angle), float(r)))
        return unions.discs(parts)


class RingForm(FrozenSpec):
    """Hollow discs; the size is the outer diameter.

    Attributes:
        hole: Lowest and highest diameter of the hole as a share of the outer one.
    """

    kind: Literal["ring"] = "ring"
    hole: Share = (0.4, 0.6)

    def draw(self, size_px: float, rng: np.random.Generator) -> Shape:
        """A ring."""
        return shapes.Ring(size_px / 2, size_px / 2 * rng.uniform(*self.hole))


class PairForm(FrozenSpec):
    """One object of two discs that do not touch; the size is a disc's mean diameter.

    Attributes:
        gap: Lowest and highest gap between the discs as a share of the size.
    """

    kind: Literal["pair"] = "pair"
    gap: Share = (0.2, 0.4)

    def draw(self, size_px: float, rng: np.random.Generator) -> Shape:
        """Two discs."""
        first, second = (float(r) for r in size_px / 2 * rng.uniform(0.8, 1.2, 2))
        distance = first + second + size_px * rng.uniform(*self.gap)
        angle = rng.uniform(0, 2 * math.pi)
        other = (distance * math.cos(angle), distance * math.sin(angle), second)
        return unions.discs([(0.0, 0.0, first), other])


Form = Annotated[
    DiscForm | EllipseForm | RodForm | FacetedForm | AgglomerateForm | RingForm | PairForm,
    Field(discriminator="kind"),
]


class ParticleClass(FrozenSpec):
    """One class of objects: how many, what they are like, how they look.

    Attributes:
        name: Its label in every annotation format.
        form: Shape; what the size means stands with each form.
        size: Distribution of the size.
        number: Lowest and highest number an image; give this or `area_fraction`.
        area_fraction: Objects are placed until their areas add up to this share of the picture.
        on: Name of a class on whose outlines these objects sit (satellites), always in front.
        grey: Mean grey level of a body (SEM: facing the beam; TEM: where it is thickest).
        grey_spread: Standard deviation from object to object.
        edge: SEM only: grey levels added where the surface falls away from the beam.
        texture: Relative amplitude of the surface's texture.
        grain_px: Size of its cells in px.
    """

    name: str = Field(min_length=1)
    form: Form
    size: Size
    number: Count | None = None
    area_fraction: Annotated[float, Field(gt=0, le=0.9)] | None = None
    on: str | None = None
    grey: Grey = 150
    grey_spread: NonNegativeFloat = 8
    edge: NonNegativeFloat = 60
    texture: NonNegativeFloat = 0.05
    grain_px: PositiveFloat = 5

    @model_validator(mode="after")
    def _one_amount(self) -> Self:
        if (self.number is None) == (self.area_fraction is None):
            raise ValueError(
                f"class {self.name}: expected number or area_fraction, got "
                f"number={self.number} and area_fraction={self.area_fraction}"
            )
        return self


class Background(FrozenSpec):
    """Ground behind the objects.

    Attributes:
        grey: Mean grey level.
        texture: Relative amplitude of its texture.
        grain_px: Size of the texture's coarsest grains in px.
        fine: Share in [0, 1] of the texture that is fine: 0 clouds, 1 speckle.
    """

    grey: Grey = 60
    texture: NonNegativeFloat = 0.1
    grain_px: PositiveFloat = 24
    fine: Fraction = 0.4


class Camera(FrozenSpec):
    """Optics and detector that make a picture of the scene.

    Attributes:
        halo: Relative brightness around an object's outline: below 0 the shadow of SEM, above 0
            the bright fringe of an underfocused TEM.
        depth: Share of brightness that the object farthest at the back has lost.
        tilt: Share of brightness that a slope towards or away from the detector changes.
        blur_px: Lowest and highest standard deviation of the (de)focus blur; one an image.
        uneven: Relative change of the illumination across the picture.
        vignette: Relative loss of illumination in the corners.
        dose: Electrons an image grey level: the variance of the shot noise is grey / dose.
        noise: Standard deviation of the detector's noise in grey levels.
        line_noise: Standard deviation from scan line to scan line in grey levels.
        streaks: Lowest and highest number of charging streaks.
        streak_grey: Grey levels a streak adds or takes away at its start.
    """

    halo: Annotated[float, Field(ge=-1, le=1)] = -0.4
    depth: Fraction = 0.2
    tilt: Fraction = 0.25
    blur_px: Length = (0.4, 0.8)
    uneven: Fraction = 0.15
    vignette: Fraction = 0.1
    dose: PositiveFloat = 2.0
    noise: NonNegativeFloat = 3.0
    line_noise: NonNegativeFloat = 0.5
    streaks: Count = (0, 0)
    streak_grey: NonNegativeFloat = 40


class DataBar(FrozenSpec):
    """The strip below the picture with the scale bar and the microscope's settings.

    Attributes:
        height_px: Height of the strip. Objects that reach below it are cut.
        dark: White on black, or black on white.
        ticks: Whether the scale bar has end ticks.
        kv: Accelerating voltage in kV, as written.
        detector: Name of the detector, as written.
    """

    height_px: Annotated[int, Field(ge=18)] = 24
    dark: bool = True
    ticks: bool = True
    kv: PositiveFloat = 15
    detector: str = "SEI"


class SimulationSpec(FrozenSpec):
    """A set of simulated micrographs. Image i depends on the spec without `images`, and on i.

    Attributes:
        name: Names the files.
        seed: Seed of every random number.
        images: Number of micrographs.
        width: Width of an image in px.
        height: Height of an image in px, data bar included.
        um_per_px: Pixel sizes; each image has one of them.
        mode: "sem" bodies reflect and hide each other, "tem" bodies darken what is behind.
        classes: Later classes `on` others stand in front of them.
        background: Behind the objects.
        camera: Optics and noise.
        bar: The data bar, or None.
        max_hidden_fraction: No object is hidden by others by more than this share of what of it
            lies in the picture.
        border: "cut" lets objects reach over the border, "inside" does not.
        min_visible_px: No object shows fewer pixels.
        bits: 8 for PNG, 16 for TIFF.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    seed: NonNegativeInt = 0
    images: PositiveInt = 40
    width: Annotated[int, Field(ge=32, le=8192)] = 192
    height: Annotated[int, Field(ge=32, le=8192)] = 192
    um_per_px: Annotated[tuple[PositiveFloat, ...], Field(min_length=1)] = (0.01,)
    mode: Literal["sem", "tem"] = "sem"
    classes: Annotated[tuple[ParticleClass, ...], Field(min_length=1)]
    background: Background = Background()
    camera: Camera = Camera()
    bar: DataBar | None = DataBar()
    max_hidden_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.2
    border: Literal["cut", "inside"] = "cut"
    min_visible_px: PositiveInt = 12
    bits: Literal[8, 16] = 8

    @property
    def field_height(self) -> int:
        """Rows above the data bar."""
        return self.height - (self.bar.height_px if self.bar else 0)

    @model_validator(mode="after")
    def _classes_fit_together(self) -> Self:
        names = [item.name for item in self.classes]
        if len(set(names)) != len(names):
            raise ValueError(f"expected every class name once, got {', '.join(names)}")
        hosts = {item.name for item in self.classes if item.on is None}
        for item in self.classes:
            if item.on is not None and item.on not in hosts:
                raise ValueError(
                    f"class {item.name}: expected `on` to name a class that stands on no other "
                    f"({', '.join(sorted(hosts)) or 'there is none'}), got {item.on}"
                )
        return self

    @model_validator(mode="after")
    def _has_a_field(self) -> Self:
        if self.field_height < 16:
            raise ValueError(
                f"expected at least 16 rows above the data bar, got {self.field_height}; "
                "make the image higher or the bar lower"
            )
        return self
