"""The meshes as other readers see them: three.js's loaders, Khronos's validator of glTF, trimesh."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from avatar.data.capture_folder import Capture
from avatar.export import posed, write_glb, write_lam, write_obj
from avatar.model.avatar import Avatar
from tests.support.browser import Page
from tests.support.three_js import glb_faults, install_three
from tests.support.web_site import serve, visit

_PAGE = """<!doctype html><script type="importmap">{"imports": {
"three": "./node_modules/three/build/three.module.js", "three/addons/": "./node_modules/three/examples/jsm/"}}</script>
<script type="module">
import { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";
import { OBJLoader } from "three/addons/loaders/OBJLoader.js";
const meshes = (root) => { const found = []; root.traverse((node) => node.isMesh && found.push(node)); return found; };
const gltf = await new GLTFLoader().loadAsync("me.glb");
const [glb] = meshes(gltf.scene), [obj] = meshes(await new OBJLoader().loadAsync("me.obj"));
const { map } = glb.material;
globalThis.found = {
  names: Object.keys(glb.morphTargetDictionary), bones: glb.skeleton.bones.map((bone) => bone.name),
  texture: [map.image.width, map.image.height], triangles: glb.geometry.index.count / 3,
  seconds: gltf.animations[0].duration, tracks: gltf.animations[0].tracks.length,
  corners: obj.geometry.attributes.position.count, hasColors: Boolean(obj.geometry.attributes.color),
};
</script>"""


@pytest.fixture(scope="module")
def folder(tiny: Capture, tiny_avatar: Avatar, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A moving mesh, the resting one as OBJ, Gaussians as glTF."""
    path = tmp_path_factory.mktemp("meshes")
    write_glb(path / "me.glb", tiny_avatar, tiny.params(range(6)), torch.from_numpy(tiny.track["time"][:6]))
    write_obj(path / "me.obj", tiny_avatar, posed(tiny_avatar))
    return path


@pytest.fixture(scope="module")
def found(page: Page, folder: Path) -> Iterator[dict[str, object]]:
    """What three.js finds in both files."""
    if reason := install_three(folder, "gltf-validator@2.0.0-dev.3.10"):
        pytest.skip(reason)
    (folder / "index.html").write_text(_PAGE, encoding="utf-8")
    with serve(folder) as address:
        visit(page, f"{address}/index.html")
        page.wait("globalThis.found")
        yield page.run("found")


def test_three_finds_expressions_joints_texture_and_motion(found: dict[str, object], tiny_avatar: Avatar) -> None:
    assert found["names"] == list(tiny_avatar.head.expression_names)
    assert found["bones"] == ["root", "neck", "jaw", "left_eye", "right_eye"]
    assert found["texture"] == [2048, 2048]
    assert found["triangles"] == len(tiny_avatar.head.faces)
    assert found["seconds"] == pytest.approx(5 / 30, abs=1e-3) and found["tracks"] >= 3


def test_three_finds_the_triangles_and_colors_of_an_obj(found: dict[str, object], tiny_avatar: Avatar) -> None:
    assert found["corners"] == 3 * len(tiny_avatar.head.faces) and found["hasColors"]


@pytest.mark.usefixtures("found")
def test_the_validator_of_khronos_finds_no_fault(folder: Path, tiny_avatar: Avatar) -> None:
    """In the mesh, and in the files of a bundle for LAM; it does not know KHR_gaussian_splatting's attributes yet."""
    assert glb_faults(folder, folder / "me.glb") <= {"NODE_EMPTY"}
    write_lam(folder / "me.zip", tiny_avatar)
    with zipfile.ZipFile(folder / "me.zip") as archive:
        archive.extractall(folder)
    for name in ("skin.glb", "animation.glb"):
        assert glb_faults(folder, folder / "avatar" / name) <= {"NODE_EMPTY"}


def test_trimesh_reads_the_obj_and_the_glb(folder: Path, tiny_avatar: Avatar) -> None:
    trimesh = pytest.importorskip("trimesh", reason="needs trimesh (pip install trimesh pillow)")
    pytest.importorskip("PIL", reason="needs Pillow (pip install trimesh pillow)")
    for name in ("me.obj", "me.glb"):
        mesh = trimesh.load(folder / name, force="mesh", process=False)
        assert len(mesh.faces) == len(tiny_avatar.head.faces), name
        assert np.isfinite(mesh.vertices).all() and 0.2 < np.ptp(mesh.vertices, axis=0)[1] < 0.6, name
