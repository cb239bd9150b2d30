"""Gradients, textures and landscapes: what photographs consist of, as far as a formula gives it."""

import cv2
import numpy as np
from numpy.typing import NDArray

from qwen3vl_edge.images import Pixels
from qwen3vl_edge.quant.calibration.drawing.canvas import COLORS

__all__ = ["gradient", "landscape", "rough", "still_life", "texture"]


def rough(rng: np.random.Generator, height: int, width: int, slope: float) -> NDArray[np.float64]:
    """Give noise whose amplitude falls as frequency ** -slope, shape (height, width), 0 to 1.

    About 1 is what the spectra of natural pictures have (Field, J. Opt. Soc. Am. A 4, 1987).
    """
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    frequency[0, 0] = 1.0
    phases = np.exp(2j * np.pi * rng.random(frequency.shape))
    noise: NDArray[np.float64] = np.fft.irfft2(phases * frequency**-slope, (height, width))
    low, high = float(noise.min()), float(noise.max())
    return (noise - low) / max(high - low, 1e-12)


def gradient(rng: np.random.Generator, height: int, width: int) -> Pixels:
    """Draw colors that run into each other, along a line or around a point, a little noisy."""
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    if rng.random() < 0.5:
        angle = rng.random() * 2 * np.pi
        along = x * np.cos(angle) + y * np.sin(angle)
    else:
        along = np.hypot(x - rng.random(), y - rng.random())
    share = ((along - along.min()) / np.ptp(along))[..., None]
    first, second = (np.array(COLORS[i], float) for i in rng.choice(len(COLORS), 2, replace=False))
    return _pixels(first + (second - first) * share + rng.normal(0, 2, (height, width, 1)))


def texture(rng: np.random.Generator, height: int, width: int) -> Pixels:
    """Draw grass, stone, cloth or water: rough noise, stretched, folded or in stripes."""
    noise = np.stack([rough(rng, height, width, rng.uniform(0.7, 1.6)) for _ in range(3)], -1)
    base = np.array(COLORS[int(rng.integers(len(COLORS)))], float)
    kind = int(rng.integers(4))
    if kind == 0:
        return _pixels(base * (0.35 + 0.9 * noise))
    y, x = np.mgrid[0:height, 0:width] / 32.0
    if kind == 1:  # marble, wood
        waves = np.sin(2 * np.pi * (x * rng.uniform(0.1, 1) + y * 0.2 + 4 * noise[..., 0]))
        return _pixels(base * (0.7 + 0.3 * waves[..., None]) + 40 * noise)
    if kind == 2:  # cloth
        threads = np.sign(np.sin(2 * np.pi * x)) * np.sign(np.sin(2 * np.pi * y))
        return _pixels(base * (0.75 + 0.2 * threads[..., None]) + 60 * (noise - 0.5))
    grain = rng.normal(0, 60, (height, width, 3))  # sand
    return _pixels(0.7 * base + 90 * noise[..., :1] + cv2.GaussianBlur(grain, (0, 0), 0.7))


def landscape(rng: np.random.Generator, height: int, width: int) -> Pixels:
    """Draw a sky with clouds and a sun, ridges one behind another, each hazier, and rough ground."""
    top, low = np.array([70.0, 120, 190]), np.array([235.0, 215, 190])
    share = np.linspace(0, 1, height)[:, None, None]
    clouds = np.clip(rough(rng, height, width, 1.3) * 2 - 1.1, 0, 1)[..., None]
    sky = top + (low - top) * share
    sheet = sky + (255 - sky) * clouds
    cv2.circle(sheet, (int(rng.integers(width)), height // 5), max(height // 14, 3), (255, 240, 190), -1)
    ground = rough(rng, height, width, 1.0)[..., None]
    for layer in range(4):
        ridge = height * (0.4 + 0.14 * layer) - height * 0.22 * rough(rng, 2, width, 1.4 - 0.15 * layer)[0]
        below = np.arange(height)[:, None] > ridge[None, :]
        haze = 0.75 - 0.2 * layer
        tone = np.array([60.0 + 20 * layer, 110 - 12 * layer, 60 + 8 * (3 - layer)])
        sheet = np.where(below[..., None], (tone * (0.6 + 0.8 * ground)) * (1 - haze) + low * haze, sheet)
    return _pixels(sheet + rng.normal(0, 3, sheet.shape))


def still_life(rng: np.random.Generator, height: int, width: int) -> Pixels:
    """Draw balls with light and shadow on a table before a wall, out of focus at the back."""
    table = height * 3 // 5
    sheet = np.empty((height, width, 3))
    sheet[:table] = texture(rng, table, width)
    sheet[table:] = texture(rng, height - table, width)
    sheet[:table] = cv2.GaussianBlur(sheet[:table], (0, 0), max(height / 60, 1))
    y, x = np.mgrid[0:height, 0:width].astype(float)
    for _ in range(int(rng.integers(2, 6))):
        radius = height * rng.uniform(0.06, 0.16)
        cx, cy = rng.random() * width, table + rng.uniform(0, 0.3) * height
        shadow = np.exp(-(((x - cx - radius) / radius) ** 2 + ((y - cy - radius) / (0.4 * radius)) ** 2))
        sheet *= 1 - 0.6 * shadow[..., None]
        u, v = (x - cx) / radius, (y - cy) / radius
        inside = u**2 + v**2 < 1
        light = np.clip(-0.5 * u - 0.6 * v + 0.6 * np.sqrt(np.clip(1 - u**2 - v**2, 0, 1)), 0, 1)
        tone = np.array(COLORS[int(rng.integers(len(COLORS)))]) * (0.25 + 0.75 * light[..., None])
        sheet = np.where(inside[..., None], tone + 200 * light[..., None] ** 12, sheet)
    return _pixels(sheet + rng.normal(0, 4, sheet.shape))


def _pixels(values: NDArray[np.float64]) -> Pixels:
    return np.clip(np.round(values), 0, 255).astype(np.uint8)
