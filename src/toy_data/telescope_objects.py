"""The objects of sim_telarray that describe and calibrate a telescope.

The layouts are those of hessioxxx (``io_hess.c``); eventio documents them in its readers.
"""

import numpy as np

from .container import dump_object, floats, integers, shorts, varint
from .telescopes import Telescope

__all__ = ["calibration", "description"]

CAMERA_SETTINGS, CAMERA_ORGANIZATION, PIXEL_SETTINGS, DISABLED_PIXELS = 2002, 2003, 2004, 2005
SOFTWARE_SETTINGS, POINTING_CORRECTION, DRIVE_SETTINGS = 2006, 2007, 2008
CAMERA_MONITORING, LASER_CALIBRATION = 2022, 2023

REFERENCE_PULSE_STEP = 0.1
PEDESTAL_AND_NOISE = 0x04


def description(telescope: Telescope) -> list[bytes]:
    """What has to be known of a telescope before its first event."""
    return [
        _camera_settings(telescope),
        _camera_organization(telescope),
        _pixel_settings(telescope),
        _disabled_pixels(telescope),
        _software_settings(telescope),
        _drive_settings(telescope),
        _pointing_correction(telescope),
    ]


def calibration(telescope: Telescope, time: int) -> list[bytes]:
    """What makes ADC counts photoelectrons.

    Parameters
    ----------
    telescope : Telescope
        Whose.
    time : int
        When it was measured, in seconds since 1970.
    """
    return [_camera_monitoring(telescope, time), _laser_calibration(telescope)]


def _camera_settings(telescope: Telescope) -> bytes:
    kind, camera = telescope.type, telescope.type.camera
    flat, parallel, all_alike = 0, 1, 1
    rotation = 0
    return dump_object(
        CAMERA_SETTINGS,
        integers(camera.n_pixels),
        floats(kind.focal_length, kind.effective_focal_length),
        floats(camera.pixel_x, camera.pixel_y),
        *(varint(value) for value in (flat, parallel, all_alike, camera.pixel_shape)),
        floats(camera.pixel_area, camera.pixel_size),
        integers(kind.n_mirror_tiles),
        floats(kind.mirror_area, rotation),
        id_=telescope.id,
        version=5,
    )


def _camera_organization(telescope: Telescope) -> bytes:
    """All pixels are in one drawer, and in no sector of the trigger."""
    camera = telescope.type.camera
    n_drawers, n_sectors = 1, 0
    drawer = np.zeros(camera.n_pixels)
    card = chip = channel = np.zeros((camera.n_pixels, camera.n_gains))
    sectors_of_pixels = np.zeros(camera.n_pixels)
    return dump_object(
        CAMERA_ORGANIZATION,
        integers(camera.n_pixels, n_drawers, camera.n_gains, n_sectors),
        shorts(drawer, card, chip, channel, sectors_of_pixels),
        id_=telescope.id,
        version=1,
    )


def _pixel_settings(telescope: Telescope) -> bytes:
    camera = telescope.type.camera
    setup, trigger_mode, min_pixels, n_drawers = 0, 0, 0, 1
    high_voltage, threshold = np.zeros(camera.n_pixels), np.zeros(n_drawers)
    first_sample = np.zeros(n_drawers)
    half = round(5 * camera.pulse_width / REFERENCE_PULSE_STEP)
    pulse = camera.pulse(np.arange(-half, half + 1) * REFERENCE_PULSE_STEP)
    return dump_object(
        PIXEL_SETTINGS,
        integers(setup, trigger_mode, min_pixels, camera.n_pixels, high_voltage),
        integers(n_drawers, threshold, n_drawers),
        shorts(first_sample, np.full(n_drawers, camera.n_samples)),
        floats(camera.sample_width),
        integers(camera.n_samples),
        varint(camera.n_gains),
        varint(len(pulse)),
        floats(REFERENCE_PULSE_STEP),
        np.tile(pulse.astype("<f2"), camera.n_gains).tobytes(),
        id_=telescope.id,
        version=2,
    )


def _disabled_pixels(telescope: Telescope) -> bytes:
    n_without_trigger, n_without_voltage = 0, 0
    return dump_object(
        DISABLED_PIXELS, integers(n_without_trigger, n_without_voltage), id_=telescope.id
    )


def _software_settings(telescope: Telescope) -> bytes:
    """Neither data reduction nor zero suppression, which are 2 of the 15 settings."""
    return dump_object(SOFTWARE_SETTINGS, integers(np.zeros(15)), id_=telescope.id)


def _drive_settings(telescope: Telescope) -> bytes:
    drive_type, zero_point, sign, resolution = (0, 0), (0, 0), (1, 1), (0, 0)
    lowest, highest, parked = (0, 0), (2 * np.pi, np.pi / 2), (0, 0)
    return dump_object(
        DRIVE_SETTINGS,
        shorts(drive_type),
        floats(zero_point, sign, resolution, lowest, highest, parked),
        id_=telescope.id,
    )


def _pointing_correction(telescope: Telescope) -> bytes:
    no_function, n_parameters = 0, 0
    return dump_object(POINTING_CORRECTION, integers(no_function, n_parameters), id_=telescope.id)


def _camera_monitoring(telescope: Telescope, time: int) -> bytes:
    camera = telescope.type.camera
    number, nanoseconds = 0, 0
    n_sectors, n_drawers = 0, 1
    shape = camera.n_pixels, 1
    # The pedestal is the sum of as many samples as a waveform has, so is the noise.
    pedestal = np.tile(camera.pedestal * camera.n_samples, shape).T
    noise = np.tile(camera.noise * np.sqrt(camera.n_samples), shape).T
    return dump_object(
        CAMERA_MONITORING,
        shorts(PEDESTAL_AND_NOISE, PEDESTAL_AND_NOISE),
        integers(number, time, nanoseconds),
        shorts(n_sectors, camera.n_pixels, n_drawers, camera.n_gains),
        integers(time, nanoseconds),
        shorts(camera.n_samples),
        floats(pedestal, noise),
        id_=telescope.id | PEDESTAL_AND_NOISE << 8,
    )


def _laser_calibration(telescope: Telescope) -> bytes:
    camera = telescope.type.camera
    number = 0
    factors = np.tile(camera.photoelectrons_per_count, (camera.n_pixels, 1)).T
    # What of a pulse is in an interval around its maximum; sim_telarray's own analysis uses it.
    fractions = np.ones((camera.n_gains, 2))
    time_corrections = np.zeros_like(factors)
    return dump_object(
        LASER_CALIBRATION,
        shorts(camera.n_pixels, camera.n_gains),
        integers(number),
        floats(factors, fractions, time_corrections),
        id_=telescope.id,
        version=2,
    )
