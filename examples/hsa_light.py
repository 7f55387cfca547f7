"""Light on the mesh layer of a .hsa: what enters between the lips, and the shadow of the lids on the eyes.

hsa = hsa_reader.Hsa(data); hsa.light = layer_light

The formulas are those of avatar/reference/light.py.
"""

import numpy as np


def layer_light(hsa, vertices):
    """Factors [V] of the colors at vertices [V,3] of the skull frame, meters; `hsa` has a mesh layer."""
    light, points = np.ones(len(vertices)), 1e3 * vertices  # millimeters
    lips, lids = (hsa.header["layer"][name] for name in ("lips", "lids"))
    if lips["corners"]:
        light[hsa.blocks["layer.mouth_vertices"]] = mouth_light(hsa.blocks, points, landmarks(lips, points))
    if lids:
        edges = landmarks(lids, points).reshape(2, 2, -1, 3)
        for eye, rows in enumerate(hsa.blocks["layer.eyes"]):
            for lid in (0, 1):
                light[rows] *= lid_shadow(lids, points[rows], edges, eye, lid)
    return light


def landmarks(entry, points):
    """Landmarks [L,3] of an entry of the header, in the space of `points` [V,3]."""
    return np.einsum("lk,lkc->lc", entry["bary"], points[np.array(entry["corners"])])


def mouth_light(blocks, points, lips):
    """Factors [M] at the vertices inside the mouth; `lips` [4,3]: middle of the upper and lower one, and corners."""
    upper, lower, left, right = lips
    height, width = np.linalg.norm(upper - lower), np.linalg.norm(left - right)
    core, area = 0.3 * np.array([width, height, 0]), (height + 1) * width
    away = np.r_[lips.sum(0)[:2] / 4, max(upper[2], lower[2])] - points[blocks["layer.mouth_vertices"]]
    away -= np.clip(away, -core, core)
    distance = np.linalg.norm(away, axis=1)
    direction = away / np.maximum(distance, 1e-6)[:, None]
    facing = np.maximum((direction * blocks["layer.mouth_normals"]).sum(1) + 0.4, 0) / 1.4
    direct = area / (area + np.pi * np.maximum(distance - 6, 0) ** 2) * facing * np.maximum(direction[:, 2], 0.2)
    indirect = 0.1 * area / (area + 300)
    return np.sqrt(indirect + (1 - indirect) * direct)


def lid_shadow(lids, points, edges, eye, lid):
    """Factors [n] at points [n,3] of an eye under its upper (0) or lower (1) lid; `edges` [2,2,9,3] of both eyes."""
    low, high = edges[eye, ..., 0].min(), edges[eye, ..., 0].max()
    across = np.clip((points[:, 0] - (low + high) / 2) / max((high - low) / 2, 1), -1, 1)
    height = np.vander(across, 5, True) @ lids["fit"][eye][lid] @ edges[eye, lid, :, 1]
    depth = (-1e-3, 1e-3)[lid] * (height - points[:, 1]) / lids["reach"][lid]
    return 1 - lids["shadow"][lid] * np.exp(np.minimum(depth, 0))
