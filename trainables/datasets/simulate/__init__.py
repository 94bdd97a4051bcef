"""Simulated micrographs with exact truth: a known answer for training and for measurement."""

from trainables.datasets.simulate.dataset import simulate
from trainables.datasets.simulate.micrograph import render
from trainables.datasets.simulate.presets import SPECS
from trainables.datasets.simulate.spec import SimulationSpec
from trainables.datasets.simulate.truth import SimulatedMicrograph

__all__ = ["SPECS", "SimulatedMicrograph", "SimulationSpec", "render", "simulate"]
