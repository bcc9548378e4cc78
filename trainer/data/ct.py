"""Low-dose CT, simulated: fan-beam projection of a slice, Poisson counts, filtered back-projection.

scikit-image projects (`radon`) and reconstructs (`iradon`), both in parallel beams. A fan ray is a parallel ray
of another name: source angle b and fan angle g measure the line at angle b + g, at distance R sin g from the
centre (Kak and Slaney, Principles of Computerized Tomographic Imaging, section 3.4.3). So the rays of the fan are
read from a fine parallel sinogram, counted in the fan's own detector cells, and sorted back into parallel ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from trainer.data.slices import Image
from trainer.errors import DataError

Sinogram = npt.NDArray[np.float64]

WATER_PER_MM = 0.0192  # linear attenuation at 70 keV, NIST XCOM (0.192 / cm)
FULL_SCALE_PER_MM = 1.25 * WATER_PER_MM  # what an image value of 1 stands for: 250 HU, where 0 is air

# Ranges of the DC-SFL group's simulation, there in decimetres and for images of GRID pixels.
GRID = 256
VIEWS_LOG2 = (5.0, 11.0)
PHOTONS_LOG10 = (4.6, 6.0)
PIXEL_MM = (0.4, 1.3)
PITCH_MM = (0.25, 1.55)
SOURCE_MM = (150.0, 550.0)
DETECTOR_MM = (150.0, 450.0)
WHOLE_RANGE = 0.5  # the heterogeneity, and the default of data.heterogeneity, that uses the ranges to their ends
CLEARANCE = 1.1  # of the source from the circle that is imaged, in radii of that circle

# Steps from one client to the next, modulo 1: views, photons, pixel, pitch, source, detector (see draw_scanner).
_STEPS = np.sqrt([2.0, 3.0, 5.0, 7.0, 11.0, 13.0])
_SPARE_CELLS = 2  # beyond the outermost ray on either side, so that interpolation never leaves the detector


@dataclass(frozen=True)
class CtScanner:
    """One client's scanner: a full turn of a fan beam with a flat detector, over images of `pixels` square.

    `photons`: mean count of a cell without anything in the beam. `pixel_mm`: of the image. `pitch_mm`: from one
    detector cell to the next. `source_mm`, `detector_mm`: distances to the centre of rotation. What is imaged is
    the circle inscribed in the square. Raises DataError where the source would be inside of it.
    """

    pixels: int
    views: int
    photons: float
    pixel_mm: float
    pitch_mm: float
    source_mm: float
    detector_mm: float

    def __post_init__(self) -> None:
        if self.source_mm <= self.radius_mm:
            raise DataError(
                f"the source, {self.source_mm} mm from the centre, is inside the imaged circle of {self.radius_mm} mm"
            )

    @property
    def radius_mm(self) -> float:
        """Radius of the imaged circle."""
        return self.pixels // 2 * self.pixel_mm

    @cached_property
    def cells(self) -> int:
        """Detector cells, an odd number: the middle one sees the centre of rotation."""
        edge_mm = self._on_detector(np.array(self.radius_mm))
        return 2 * (math.ceil(float(edge_mm) / self.pitch_mm) + _SPARE_CELLS) + 1

    def describe(self) -> str:
        """One line for people."""
        return (
            f"CT, fan beam: {self.views} views, 10^{math.log10(self.photons):.1f} photons a cell, "
            f"field {2 * self.radius_mm:.0f} mm, pixel {self.pixel_mm:.2f} mm, {self.cells} cells of "
            f"{self.pitch_mm:.2f} mm, source at {self.source_mm:.0f} mm, detector at {self.detector_mm:.0f} mm"
        )

    def project(self, image: Image) -> Sinogram:
        """Line integrals (no unit) float64[views, cells] of `image` float32[pixels, pixels] in FULL_SCALE_PER_MM.

        What lies outside the imaged circle counts as air.
        """
        centre = self.pixels // 2
        angles = max(180, math.ceil(math.pi * self.pixels))  # neighbours less than half a pixel apart at the rim
        attenuation = np.where(imaged_circle(self.pixels), image.astype(np.float64), 0.0) * FULL_SCALE_PER_MM
        parallel = _skimage().radon(attenuation, np.arange(angles) * (180 / angles), circle=True) * self.pixel_mm
        # A row more where the number is even, so that half a turn on is the same rays upside down.
        parallel = np.pad(parallel, ((0, 2 * centre + 1 - self.pixels), (0, 0)))
        turned = parallel[::-1]
        padded = np.hstack([turned[:, -2:], parallel, turned[:, :2]])
        rays_per_cell = max(1, round(self._cell_at_centre_mm / self.pixel_mm))  # a wide cell sees more than a line
        ray = (np.arange(self.cells * rays_per_cell) + 0.5) / rays_per_cell - 0.5
        fan = np.arctan((ray - self.cells // 2) * self.pitch_mm / (self.source_mm + self.detector_mm))
        angle = self._view_angles[:, None] + fan
        half_turns = np.floor(angle / math.pi)
        distance = self.source_mm * np.sin(fan) * np.where(half_turns % 2, -1.0, 1.0) / self.pixel_mm
        at = (distance + centre, (angle - math.pi * half_turns) * (angles / math.pi) + 2)
        lines = ndimage.map_coordinates(padded, np.broadcast_arrays(*at), order=3, mode="constant")
        return np.asarray(lines.reshape(self.views, self.cells, rays_per_cell).mean(axis=2))

    def count(self, integrals: Sinogram, rng: np.random.Generator) -> npt.NDArray[np.int64]:
        """Photons that reach each cell, Poisson: int64[views, cells]."""
        return rng.poisson(self.photons * np.exp(-integrals))

    def integrals(self, counts: npt.NDArray[np.int64]) -> Sinogram:
        """Line integrals as measured; a cell that no photon reached counts as if one had."""
        return np.log(self.photons / np.maximum(counts, 1)).astype(np.float64)

    def reconstruct(self, integrals: Sinogram) -> Image:
        """`project`'s inverse by filtered back-projection (ramp filter): float32[pixels, pixels], air outside."""
        # Cells narrower than a pixel are averaged, an odd number of them: an even one would shift by half a cell.
        per_pixel = 2 * max(0, round((self.pixel_mm / self._cell_at_centre_mm - 1) / 2)) + 1
        binned = ndimage.uniform_filter1d(integrals, per_pixel, axis=1)
        distance_mm = np.asarray((np.arange(self.pixels) - self.pixels // 2) * self.pixel_mm, dtype=np.float64)
        fan = np.arcsin(distance_mm / self.source_mm)[:, None]
        cell = self._on_detector(distance_mm)[:, None] / self.pitch_mm + self.cells // 2
        view = (self._view_angles - fan) * (self.views / (2 * math.pi))
        at = np.broadcast_arrays(view, cell)
        parallel = ndimage.map_coordinates(binned, at, order=3, mode="grid-wrap")
        attenuation = _skimage().iradon(parallel / self.pixel_mm, np.degrees(self._view_angles), circle=True)
        return np.asarray(attenuation / FULL_SCALE_PER_MM, dtype=np.float32)

    def scan(self, image: Image, rng: np.random.Generator) -> Image:
        """`image` float32[pixels, pixels] as this scanner shows it: projected, counted, reconstructed."""
        return self.reconstruct(self.integrals(self.count(self.project(image), rng)))

    @property
    def _view_angles(self) -> npt.NDArray[np.float64]:
        return np.linspace(0.0, 2 * math.pi, self.views, endpoint=False)

    @property
    def _cell_at_centre_mm(self) -> float:
        """Width of a cell, as projected back onto the centre of rotation."""
        return self.pitch_mm * self.source_mm / (self.source_mm + self.detector_mm)

    def _on_detector(self, distance_mm: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Where rays at `distance_mm` from the centre meet the detector, in mm from its middle."""
        fan = np.arcsin(distance_mm / self.source_mm)
        return np.asarray((self.source_mm + self.detector_mm) * np.tan(fan))


def draw_ct_scanner(seed: int, client: int, heterogeneity: float, pixels: int) -> CtScanner:
    """The scanner of client number `client` (from 0) for images of `pixels` square: a function of the arguments.

    At `heterogeneity` 0 every property is the middle of its range, at WHOLE_RANGE anywhere in it; above, more and
    more land at the ends. Views and photons are spread over their logarithms. The ranges of pixel and pitch are
    for images of GRID pixels: fewer pixels are larger ones, over the same field. The source stays outside the
    imaged circle. Clients are spread evenly, as `trainer.data.scanner.draw_scanner` spreads them.
    """
    starts = np.random.default_rng([seed, 3]).random(len(_STEPS))
    places = 0.5 + heterogeneity / WHOLE_RANGE * ((starts + client * _STEPS) % 1.0 - 0.5)
    views, photons, pixel, pitch, source, detector = np.clip(places, 0.0, 1.0).tolist()
    scale = GRID / pixels
    pixel_mm = _between(PIXEL_MM, pixel) * scale
    nearest_mm = max(SOURCE_MM[0], CLEARANCE * (pixels // 2) * pixel_mm)
    return CtScanner(
        pixels=pixels,
        views=round(2.0 ** _between(VIEWS_LOG2, views)),
        photons=10.0 ** _between(PHOTONS_LOG10, photons),
        pixel_mm=pixel_mm,
        pitch_mm=_between(PITCH_MM, pitch) * scale,
        source_mm=_between((nearest_mm, SOURCE_MM[1]), source),
        detector_mm=_between(DETECTOR_MM, detector),
    )


def photon_generator(seed: int, client: int, slice_index: int) -> np.random.Generator:
    """The photons of one slice of one client, independent of which other slices are made, and in what order."""
    return np.random.default_rng([seed, 4, client, slice_index])


def imaged_circle(pixels: int) -> npt.NDArray[np.bool_]:
    """bool[pixels, pixels]: the circle that `radon` and `iradon` take for the field of view."""
    rows, columns = (axis - pixels // 2 for axis in np.ogrid[:pixels, :pixels])
    return np.asarray(rows**2 + columns**2 <= (pixels // 2) ** 2)


def _between(limits: tuple[float, float], place: float) -> float:
    return limits[0] + (limits[1] - limits[0]) * place


def _skimage() -> ModuleType:
    try:
        from skimage import transform
    except ImportError:
        raise DataError('simulated CT needs scikit-image: pip install "dcsfl[demo]"') from None
    return transform
