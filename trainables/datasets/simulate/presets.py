"""Simulated sets by name."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from trainables.datasets.simulate.spec import (
    AgglomerateForm,
    Background,
    Camera,
    DataBar,
    DiscForm,
    EllipseForm,
    FacetedForm,
    Lognormal,
    Normal,
    PairForm,
    ParticleClass,
    RingForm,
    RodForm,
    SimulationSpec,
    Uniform,
)

_DEMO: Final = SimulationSpec(
    name="demo",
    images=64,
    width=160,
    height=160,
    um_per_px=(0.0125, 0.02, 0.025),
    classes=(
        ParticleClass(
            name="sphere",
            form=DiscForm(),
            size=Normal(mean=30, std=5, low=20, high=42),
            number=(4, 7),
            grey=135,
            edge=80,
            texture=0.12,
        ),
        ParticleClass(
            name="rod",
            form=RodForm(aspect=(2.6, 3.6)),
            size=Normal(mean=50, std=7, low=36, high=64),
            number=(3, 5),
            grey=175,
            edge=50,
            texture=0.05,
        ),
    ),
    background=Background(grey=45, texture=0.2),
    camera=Camera(tilt=0.35, streaks=(0, 1), streak_grey=25),
    bar=DataBar(height_px=22),
    max_hidden_fraction=0.06,
    min_visible_px=150,
)

_SEM_POWDER: Final = SimulationSpec(
    name="sem_powder",
    images=40,
    width=512,
    height=512,
    um_per_px=(0.25, 0.2),
    classes=(
        ParticleClass(
            name="Powder",
            form=EllipseForm(aspect=(1.0, 1.2)),
            size=Lognormal(median=14, sigma=0.55, low=5, high=45, unit="um"),
            area_fraction=0.6,
            grey=150,
            grey_spread=12,
            edge=45,
            texture=0.27,
            grain_px=8,
        ),
        ParticleClass(
            name="Satellite",
            form=DiscForm(),
            size=Lognormal(median=3.8, sigma=0.3, low=2.5, high=8, unit="um"),
            number=(8, 25),
            on="Powder",
            grey=165,
            edge=50,
            texture=0.15,
        ),
    ),
    background=Background(grey=22, texture=0.35, grain_px=60),
    camera=Camera(
        halo=-0.65,
        depth=0.5,
        tilt=0.55,
        blur_px=(0.3, 0.7),
        dose=4,
        streaks=(0, 3),
        uneven=0.2,
        line_noise=0.8,
    ),
    bar=DataBar(height_px=36),
    max_hidden_fraction=0.35,
)

_TEM: Final = SimulationSpec(
    name="tem_nanoparticles",
    images=40,
    width=384,
    height=384,
    um_per_px=(0.0005, 0.0004),
    mode="tem",
    classes=(
        ParticleClass(
            name="particle",
            form=DiscForm(),
            size=Lognormal(median=0.009, sigma=0.22, low=0.005, high=0.016, unit="um"),
            area_fraction=0.12,
            grey=75,
            grey_spread=14,
            texture=0.25,
            grain_px=3,
        ),
        ParticleClass(
            name="rod",
            form=RodForm(aspect=(2.2, 4.0)),
            size=Normal(mean=0.024, std=0.005, low=0.014, high=0.036, unit="um"),
            area_fraction=0.06,
            grey=65,
            grey_spread=10,
            texture=0.2,
            grain_px=3,
        ),
    ),
    background=Background(grey=150, texture=0.1, grain_px=70, fine=0.6),
    camera=Camera(
        halo=0.1, depth=0, blur_px=(0.6, 1.2), dose=0.6, noise=4, line_noise=0, uneven=0.2
    ),
    bar=DataBar(height_px=32, dark=False, kv=200, detector="BF", ticks=False),
    max_hidden_fraction=0.1,
)

_MIXED: Final = SimulationSpec(
    name="mixed_forms",
    images=12,
    width=320,
    height=320,
    um_per_px=(0.005, 0.01),
    classes=(
        ParticleClass(
            name="crystal",
            form=FacetedForm(),
            size=Uniform(low=24, high=48),
            number=(4, 8),
            grey=130,
            edge=30,
            texture=0.05,
        ),
        ParticleClass(
            name="agglomerate",
            form=AgglomerateForm(),
            size=Uniform(low=9, high=16),
            number=(3, 6),
            grey=165,
        ),
        ParticleClass(
            name="capsule",
            form=RingForm(),
            size=Uniform(low=22, high=44),
            number=(3, 5),
            grey=120,
            edge=80,
        ),
        ParticleClass(
            name="twin",
            form=PairForm(),
            size=Uniform(low=14, high=24),
            number=(2, 4),
            grey=185,
        ),
    ),
    background=Background(grey=70, texture=0.15),
    camera=Camera(tilt=0.35, streaks=(0, 2)),
    bar=DataBar(height_px=30),
)

_CRYO_EM: Final = SimulationSpec(
    name="cryo_em",
    images=20,
    width=512,
    height=512,
    um_per_px=(0.0005,),
    mode="tem",
    classes=(
        ParticleClass(
            name="particle",
            form=EllipseForm(aspect=(1.0, 1.35)),
            size=Normal(mean=20, std=1.5, low=16, high=24),
            number=(60, 180),
            grey=112,
            grey_spread=4,
            texture=0.35,
            grain_px=5,
        ),
    ),
    background=Background(grey=128, texture=0.1, grain_px=60, fine=0.7),
    camera=Camera(
        halo=0.06, depth=0, blur_px=(1.2, 1.8), dose=0.3, noise=22, line_noise=0, uneven=0.25
    ),
    bar=None,
    max_hidden_fraction=0.1,
)

SPECS: Final[Mapping[str, SimulationSpec]] = MappingProxyType(
    {spec.name: spec for spec in (_DEMO, _SEM_POWDER, _TEM, _MIXED, _CRYO_EM)}
)
