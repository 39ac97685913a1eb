"""How a face reaches the encoder: the bundle's template, and FER+ faces levelled and scaled onto it by five points."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edge.bundle import ImageSpec
from edge.cv import cv2
from edge.vision.crop import crop_matrix, pixel_matrix
from training.augment import SIZE
from training.cues import FIVE, five_points, mean_five_points
from training.data import FerPlus, resized

_DETAIL = 2
"""FER+ is enlarged so many times first, so that turning it costs no sharpness."""


def crop_spec(faces: FerPlus) -> ImageSpec:
    """The crop rule: the five points where the training faces have them in the mean."""
    five = mean_five_points(faces.landmarks * (SIZE / faces.images.shape[1]), faces.point_index)
    return ImageSpec(SIZE, 1, 1 / 255, [[round(float(v), 3) for v in point] for point in five], list(map(list, FIVE)))


def levelled(faces: FerPlus) -> FerPlus:
    """Each face turned, scaled and shifted as the runtime crops it; one without landmarks stays as it is. Crops are twice as large."""
    size = faces.images.shape[1] * _DETAIL
    template = mean_five_points(faces.landmarks, faces.point_index)
    five, images = five_points(faces.landmarks, faces.point_index), resized(faces.images, size)
    landmarks = faces.landmarks * _DETAIL
    for i in np.flatnonzero(np.isfinite(faces.landmarks).all((1, 2))):
        matrix = crop_matrix(five[i] * _DETAIL, template * _DETAIL)
        images[i] = cv2.warpAffine(images[i], pixel_matrix(matrix), (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        moved = landmarks[i].copy()
        moved[:, :2] = landmarks[i, :, :2] @ matrix[:, :2].T + matrix[:, 2]
        moved[:, 2] *= np.sqrt(abs(np.linalg.det(matrix[:, :2])))
        landmarks[i] = moved
    return replace(faces, images=images, landmarks=landmarks.astype(np.float32))
