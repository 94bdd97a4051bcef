"""From the grey levels of a scene to what the microscope stores: light, blur, streaks, noise."""

import cv2
import numpy as np

from trainables.datasets.simulate.paint import Picture
from trainables.datasets.simulate.spec import Camera


def expose(scene: Picture, camera: Camera, rng: np.random.Generator) -> Picture:
    """Grey levels (H, W) with uneven light, defocus, charging and noise; may leave 0 to 255."""
    picture: Picture = scene * _light(scene.shape[0], scene.shape[1], camera, rng)
    sigma = rng.uniform(*camera.blur_px)
    if sigma > 0:
        blurred = cv2.GaussianBlur(picture, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
        picture = np.asarray(blurred, dtype=np.float32)
    picture = picture + _streaks(picture, camera, rng)
    shot = rng.poisson(np.maximum(picture, 0) * camera.dose) / camera.dose
    detector = rng.normal(0, 1, picture.shape) * camera.noise
    lines = rng.normal(0, 1, (picture.shape[0], 1)) * camera.line_noise
    return np.asarray(shot + detector + lines, dtype=np.float32)


def _light(height: int, width: int, camera: Camera, rng: np.random.Generator) -> Picture:
    """Relative illumination: a slope in a random direction, and darker corners."""
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    angle = rng.uniform(0, 2 * np.pi)
    slope = camera.uneven / 2 * (x * np.cos(angle) + y * np.sin(angle))
    return np.asarray(1 + slope - camera.vignette * (x**2 + y**2) / 2, dtype=np.float32)


def _streaks(picture: Picture, camera: Camera, rng: np.random.Generator) -> Picture:
    """Charging: bright or dark lines along the scan that start somewhere and fade to the right."""
    height, width = picture.shape
    added = np.zeros_like(picture)
    for _ in range(int(rng.integers(camera.streaks[0], camera.streaks[1] + 1))):
        row, start = int(rng.integers(height)), int(rng.integers(-width // 3, width * 3 // 4))
        along = np.arange(width) - start
        fading = np.where(along >= 0, np.exp(-along / (width * rng.uniform(0.1, 0.5))), 0)
        strength = camera.streak_grey * rng.uniform(0.4, 1) * (1 if rng.random() < 0.65 else -1)
        added[row : row + int(rng.integers(1, 3))] += strength * fading
    return added
