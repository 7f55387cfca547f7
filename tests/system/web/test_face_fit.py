"""The live fit of the page: the same landmarks through its modules and through the native pipeline."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from avatar.geometry.numpy_rotations import exp_rotation, log_rotation
from avatar.head import load_head
from avatar.head.model import HeadModel
from capture.live.camera import Lens
from capture.live.fit import Fit, Fitter
from capture.live.identity import LandmarkFrame, Learner, LearnOptions
from capture.live.web_model import landmark_model_pack
from capture.tracker.camera import focal_prior
from capture.tracker.clip import Person, TrackerOptions
from capture.tracker.frame import initial_state
from capture.tracker.identity import shared_jacobian
from capture.tracker.landmark_model import LandmarkModel
from capture.tracker.problem import Pinhole, State, linearize
from tests.capture.faces.landmark_fixture import observe, with_outliers
from tests.support.browser import Page
from viewer.web.bundle import module

LENS, CAMERA = Lens(640, 480), Pinhole(620.0, 320.0, 240.0)
RATE, GAZE = 30.0, (0.15, -0.05)  # frames per second; yaw and pitch, radians
#: Half a step of the pack's int16 for the largest range, that of mouthLeft: 22 mm either way.
STEP = 0.023 / 32767 / 2
_HELPERS = """
globalThis.decoded = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer;
globalThis.encoded = (values) => {
  let text = "";
  for (const byte of new Uint8Array(Float64Array.from(values).buffer)) text += String.fromCharCode(byte);
  return btoa(text);
};
globalThis.framesOf = (text) => {
  const all = new Float32Array(decoded(text)), out = [];
  for (let at = 0; at < all.length; at += 1434) out.push(all.slice(at, at + 1434));
  return out;
};
globalThis.problemOf = (model, identity, [focal, cx, cy], interOcular) =>
  ({ model, shape: model.shapeOf(Float64Array.from(identity)), camera: { focal, cx, cy }, unit: interOcular / 100 });
globalThis.flat = (sample) => sample && [...sample.expression, ...sample.jointRot, ...sample.translation, sample.error];
0;
"""
ENTRIES = ("face_fitter", "landmark_model", "linearization", "initial_pose", "known_face", "person_fit", "focal_prior")


def coded(values: np.ndarray | bytes) -> str:
    """The bytes as base64, quoted for a script."""
    return json.dumps(base64.b64encode(values if isinstance(values, bytes) else values.tobytes()).decode())


def decoded(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), np.float64)


def numbered(head: HeadModel) -> HeadModel:
    """The head with pose correctives, and components that may be negative in the place of two expressions."""
    noise = torch.Generator().manual_seed(3)
    correctives = 1e-3 * torch.randn(len(head.v_template), 3, 36, generator=noise)
    names = {"mouthLeft": "expr0", "mouthRight": "expr1"}
    return replace(
        head,
        name="numbered",
        posedirs=correctives,
        expression_names=tuple(names.get(name, name) for name in head.expression_names),
    )


@pytest.fixture(scope="module")
def fitting(page: Page) -> Page:
    """A page with the modules as `fit`, and the models of both heads as `models`."""
    page.run(_HELPERS)
    for entry in ENTRIES:
        address = "data:text/javascript;base64," + base64.b64encode(module(f"face/{entry}.js").encode()).decode()
        page.run(f"import('{address}').then((found) => {{ globalThis.fit = {{ ...globalThis.fit, ...found }}; }})")
    page.run("globalThis.models = {}; 0")
    for head in (load_head(), numbered(load_head())):
        pack = coded(landmark_model_pack(head))
        page.run(f"models[{json.dumps(head.name)}] = new fit.LandmarkModel(decoded({pack})); 0")
    return page


def motion(model: LandmarkModel, frames: int, turn: float) -> list[State]:
    """A head that turns `turn` radians either way, nods, opens the jaw, blinks and smiles."""
    states = []
    for time in np.arange(frames) / RATE:
        waves = np.sin(2 * np.pi * time * np.array([0.5, 0.7, 0.32, 0.23]))
        weights = {"jawOpen": 0.5 - 0.5 * np.cos(2 * np.pi * 0.7 * time), "mouthSmileLeft": 0.8 * max(waves[3], 0)}
        weights["mouthSmileRight"] = weights["mouthSmileLeft"]
        weights["eyeBlinkLeft"] = weights["eyeBlinkRight"] = max(np.sin(2 * np.pi * 0.9 * time), 0) ** 4
        rotation = exp_rotation(np.array([0, turn * waves[0], 0])) @ exp_rotation(np.array([-0.12 * waves[1], 0, 0]))
        place = np.array([0.02 * waves[2], 0.01 * waves[1], -0.55 + 0.03 * waves[3]])
        expression = np.array([weights.get(name, 0.0) for name in model.names])
        states.append(State(exp_rotation(np.array([0, 0, 0.08 * waves[2]])) @ rotation, place, expression))
    return states


def film(model: LandmarkModel, identity: np.ndarray, states: list[State], noise: float = 0.3) -> np.ndarray:
    """Landmarks [T,478,3] float32 of a person whose eyes look aside."""
    times = np.arange(len(states)) / RATE
    return observe(model, identity, states, times, noise, GAZE, camera=CAMERA).points.astype(np.float32)


def a_person(seed: int = 0, size: float = 0.6) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=load_head().shapedirs.shape[2]) * size


# ----------------------------------------------------------------------------------------------- the problem of a frame


@pytest.mark.parametrize("change", [lambda head: head, numbered], ids=["embedded", "numbered"])
def test_residuals_and_jacobians_are_the_native_ones(fitting: Page, change: Callable[[HeadModel], HeadModel]) -> None:
    head = change(load_head())
    model, identity = LandmarkModel.from_head(head), a_person()
    state = motion(model, 40, 0.4)[17]
    expression = np.random.default_rng(1).uniform(0, 0.7, len(model.names))
    state = replace(state, expression=expression)
    target = film(model, identity, [replace(state, expression=0.5 * expression)], noise=2.0)[0]
    person = known(model, identity)
    problem = person.problem()
    native = linearize(problem, state, target[:468, :2].astype(np.float64), problem.weights(None))
    expected = np.column_stack([native.jacobian, shared_jacobian(problem, native), native.residual])
    found = decoded(
        fitting.run(
            f"(() => {{ const model = models[{json.dumps(head.name)}], all = new fit.Linearization(model, true); "
            f"all.at({problem_text(person, 'model')}, {state_text(state)}, "
            f"new Float64Array(decoded({coded(target[:468, :2].astype(np.float64))}))); "
            "return encoded(all.columns.subarray(0, (all.residual + 1) * 936)); })()"
        )
    ).reshape(-1, 936)
    pixels = CAMERA.focal / 0.5 / problem.unit  # per meter, in units of the residual
    # The quantized offsets of correctives, expressions and identity add up; landmarks have a weight of up to 2.5. The
    # Huber weight of a residual of a few units changes with it in proportion: 1e-4.
    np.testing.assert_allclose(found, expected.T, atol=40 * STEP * pixels * np.sqrt(2.5), rtol=1e-4)


def known(model: LandmarkModel, identity: np.ndarray) -> Person:
    """A person as `fit_person` returns it."""
    offset = exp_rotation(np.array([0.03, -0.02, 0.01]))
    keys = np.zeros(0, dtype=int)
    return Person(model, identity, CAMERA, 0.35, False, 110.0, keys, offset, TrackerOptions())


def problem_text(person: Person, model: str) -> str:
    camera = [person.camera.focal, person.camera.cx, person.camera.cy]
    return f"problemOf({model}, {person.identity.tolist()}, {camera}, {person.inter_ocular})"


def state_text(state: State) -> str:
    return (
        f"{{ rotation: {state.rotation.ravel().tolist()}, translation: {state.translation.tolist()}, "
        f"expression: Float64Array.from({state.expression.tolist()}) }}"
    )


# ------------------------------------------------------------------------------------------------------- a known person


def fits_of(fitting: Page, person: Person, name: str, points: np.ndarray) -> np.ndarray:
    """What the page fits to the frames of a known person, each from the one before: E weights, 15, 3, error."""
    text = fitting.run(
        f"(() => {{ const model = models[{json.dumps(name)}], problem = {problem_text(person, 'model')}; "
        f"const face = new fit.KnownFace({{ problem, offset: {person.attitude_offset.ravel().tolist()}, "
        f"interOcular: {person.inter_ocular} }}); let last = null; "
        f"return encoded(framesOf({coded(points)}).flatMap((points) => {{ last = face.fit(points, last); "
        "return flat({ ...face.parameters(last), error: last.error }); })); })()"
    )
    return decoded(text).reshape(len(points), -1)


def native_fits(fitter: Fitter, points: np.ndarray) -> np.ndarray:
    """The same of the native pipeline."""
    rows, fit = [], None
    for frame in points:
        fit = fitter(frame, fit)
        rows.append(row_of(fitter, fit))
    return np.array(rows)


def row_of(fitter: Fitter, fit: Fit) -> np.ndarray:
    weights, joint_rot, translation = fitter.parameters(fit)
    return np.concatenate([weights, joint_rot.ravel(), translation, [fit.error]])


@pytest.mark.parametrize("change", [lambda head: head, numbered], ids=["embedded", "numbered"])
def test_frames_of_a_known_person_are_fitted_as_natively(
    fitting: Page, change: Callable[[HeadModel], HeadModel]
) -> None:
    head = change(load_head())
    model, identity = LandmarkModel.from_head(head), a_person()
    person = known(model, identity)
    points = film(model, identity, motion(model, 60, 0.4)[::3])  # far apart: some take a second step
    found, expected = fits_of(fitting, person, head.name, points), native_fits(Fitter.of(person, head), points)
    # Weights that landmarks hardly determine amplify the quantization of the pack, a micrometer.
    np.testing.assert_allclose(found[:, :-19], expected[:, :-19], atol=5e-4)
    np.testing.assert_allclose(found[:, -19:], expected[:, -19:], atol=5e-5)  # radians, meters, error


@pytest.mark.parametrize("kind", ["scattered", "together", "missing"])
def test_outliers_and_missing_landmarks_are_left_out_as_natively(fitting: Page, kind: str) -> None:
    head = load_head()
    model, identity = LandmarkModel.from_head(head), a_person()
    person = known(model, identity)
    states = motion(model, 60, 0.4)[::3]
    points = film(model, identity, states)
    if kind == "missing":
        points[np.random.default_rng(0).random(points.shape[:2]) < 0.2] = np.nan
    else:
        points = with_outliers(points, model.base, 0.15, together=kind == "together")
    points[7] = np.nan  # a whole frame
    fitter = Fitter.of(person, head)
    found, expected = fits_of(fitting, person, head.name, points), native_fits(fitter, points)
    known_error = np.isfinite(expected[:, -1])
    np.testing.assert_array_equal(np.isfinite(found[:, -1]), known_error)
    assert known_error.sum() == len(points) - 1
    np.testing.assert_allclose(found[:, :-19], expected[:, :-19], atol=2e-3)
    np.testing.assert_allclose(found[known_error, -19:], expected[known_error, -19:], atol=2e-4)
    assert (expected[known_error, -1] < 0.02).all()


def test_the_first_pose_is_that_of_sqpnp(fitting: Page) -> None:
    model, identity = LandmarkModel.from_head(load_head()), a_person()
    problem, states = known(model, identity).problem(), motion(model, 60, 0.7)[::12]
    points = film(model, identity, states)
    text = fitting.run(
        f"(() => {{ const problem = {problem_text(known(model, identity), 'models.embedded')}; "
        f"return encoded(framesOf({coded(points)}).flatMap((points) => {{ "
        "const rotation = fit.networkRotation(problem.model, points, problem.camera); "
        "const found = fit.initialState(problem, fit.targetOf(points), rotation); "
        "return [...found.rotation, ...found.translation]; })); })()"
    )
    for found, frame in zip(decoded(text).reshape(-1, 12), points, strict=True):
        native = initial_state(problem, frame[:468, :2].astype(np.float64))
        # Both minimize the same cost; what remains is the quantization of the pack.
        np.testing.assert_allclose(found[:9].reshape(3, 3), native.rotation, atol=1e-5)
        np.testing.assert_allclose(found[9:], native.translation, atol=1e-5)


# ---------------------------------------------------------------------------------------------------- an unknown person


@dataclass(frozen=True)
class Run:
    """A film through the whole pipeline; rows have E weights, 15 angles, 3 meters and the error."""

    earlier: np.ndarray  # [n,E+19] the frames that identity was learned from
    after: np.ndarray  # [m,E+19]
    focal: float = 0.0


def page_run(fitting: Page, points: np.ndarray) -> Run:
    """The frames through the page's `FaceFitter`, which then remains as `fitter`."""
    found = fitting.run(
        f"(() => {{ globalThis.fitter = new fit.FaceFitter(models.embedded, {LENS.width}, {LENS.height}); "
        f"const after = framesOf({coded(points)}).map((points, k) => fitter.add(points, k / {RATE})).filter(Boolean); "
        "return [fitter.earlier, after].map((samples) => encoded(samples.flatMap(flat))); })()"
    )
    earlier, after = (decoded(text).reshape(-1, len(load_head().expression_names) + 19) for text in found)
    return Run(earlier, after)


def native_run(points: np.ndarray) -> Run:
    """The frames through the native pipeline."""
    learner = Learner(load_head(), LENS, LearnOptions(), wait=True)
    for k, frame in enumerate(points):
        learned = learner.add(LandmarkFrame(frame, 1.0, k / RATE, None))
        if learned is not None:
            fitter = learned.fitter
            earlier = np.array([row_of(fitter, fit) for _, fit in learned.earlier])
            return Run(earlier, native_fits(fitter, points[k + 1 :]), fitter.person.camera.focal)
    raise AssertionError("too few frames")


@pytest.fixture(scope="module", params=[0.2, 0.6], ids=["facing the camera", "turning"])
def runs(request: pytest.FixtureRequest, fitting: Page) -> tuple[list[State], Run, Run]:
    """States of a person, and what the page and the native pipeline find; the focal length is learned when turning."""
    model = LandmarkModel.from_head(load_head())
    states = motion(model, 120, request.param)
    points = film(model, a_person(), states)
    return states, page_run(fitting, points), native_run(points)


def test_the_page_computes_what_the_native_pipeline_does(runs: tuple[list[State], Run, Run]) -> None:
    _, page, native = runs
    for found, expected in ((page.earlier, native.earlier), (page.after, native.after)):
        assert found.shape == expected.shape
        difference = np.abs(found - expected)
        # The identity fit stops after 8 steps, where noise of a thousandth of a pixel, as large as the quantization of
        # the pack, changes single weights of a head that turns by 0.02 in the native pipeline, too.
        assert difference[:, :-19].max() < 0.1 and difference[:, :-19].mean() < 2e-3
        assert difference[:, -19:-4].max() < 2e-3  # radians: a tenth of a degree
        assert difference[:, -4:].max() < 1e-3  # meters, and the error


def test_visible_expressions_follow_the_truth(runs: tuple[list[State], Run, Run]) -> None:
    states, page, _ = runs
    names, columns = LandmarkModel.from_head(load_head()).names, load_head().expression_names
    truth = np.array([state.expression for state in states[-len(page.after) :]])
    for name in ("jawOpen", "eyeBlinkLeft", "eyeBlinkRight"):
        pair = truth[:, names.index(name)], page.after[:, columns.index(name)]
        assert np.corrcoef(*pair)[0, 1] > 0.99, name


def test_pose_and_gaze_follow_the_truth(runs: tuple[list[State], Run, Run]) -> None:
    states, page, _ = runs
    for state, row in zip(states[-len(page.after) :], page.after, strict=True):
        turn = log_rotation(exp_rotation(row[-19:-16]) @ state.rotation.T)
        assert np.linalg.norm(turn) < np.radians(3)
    left_eye = np.median(page.after[:, -10:-8], axis=0)
    np.testing.assert_allclose(left_eye, [-GAZE[1], GAZE[0]], atol=0.03)  # up is a negative angle about x


def test_a_restart_discards_the_person(fitting: Page, runs: tuple[list[State], Run, Run]) -> None:
    assert fitting.run("[fitter.progress, fitter.earlier.length]") == [1, 61]
    assert fitting.run("fitter.restart(), [fitter.progress, fitter.earlier.length]") == [0, 0]


@pytest.mark.parametrize("size", [(640, 480), (480, 640), (1280, 720), (1920, 888), (512, 512), (1000, 400)])
def test_the_focal_length_starts_as_natively(fitting: Page, size: tuple[int, int]) -> None:
    found, native = fitting.run(f"fit.focalPrior({size[0]}, {size[1]})"), focal_prior(*size)
    assert (found["focal"], found["logSigma"]) == pytest.approx((native.focal, native.log_sigma))


# ------------------------------------------------------------------------------------------------------- awkward frames


@pytest.fixture(scope="module")
def tracking(fitting: Page) -> np.ndarray:
    """Frames that follow those from which the page's `FaceFitter`, kept as `tracked`, has learned the identity."""
    model = LandmarkModel.from_head(load_head())
    points = film(model, a_person(), motion(model, 100, 0.2))
    fitting.run(
        f"globalThis.tracked = new fit.FaceFitter(models.embedded, {LENS.width}, {LENS.height}); "
        f"framesOf({coded(points[:61])}).forEach((points, k) => tracked.add(points, k / {RATE})); tracked.progress"
    )
    return points[61:]


def added(fitting: Page, points: np.ndarray) -> np.ndarray | None:
    """What `tracked` returns for one frame."""
    text = fitting.run(
        f"(() => {{ const it = flat(tracked.add(framesOf({coded(points)})[0], 9)); return it && encoded(it); }})()"
    )
    return None if text is None else decoded(text)


def test_progress_names_and_earlier_samples_are_told(fitting: Page, tracking: np.ndarray) -> None:
    assert fitting.run("tracked.progress") == 1
    assert fitting.run("tracked.expressionNames") == list(load_head().expression_names)
    seconds = fitting.run("tracked.earlier.map((sample) => sample.seconds)")
    np.testing.assert_allclose(seconds, np.arange(61) / RATE)


@pytest.mark.parametrize(
    "frame",
    [
        "null",
        "points.fill(NaN)",
        "points.fill(200)",
        "points.slice(0, 1404)",
        "points.map((value, k) => (k % 7) * value)",
    ],
)
def test_frames_without_a_face_give_no_sample_and_the_next_one_does(
    fitting: Page, tracking: np.ndarray, frame: str
) -> None:
    found = fitting.run(
        f"(() => {{ const [points] = framesOf({coded(tracking[0])}); return tracked.add({frame}, 9); }})()"
    )
    assert found is None
    after = added(fitting, tracking[1])
    assert after is not None and after[-1] < 0.02


def test_a_face_that_jumps_is_fitted_at_once(fitting: Page, tracking: np.ndarray) -> None:
    assert added(fitting, tracking[0]) is not None
    far = (tracking[1] - [320, 240, 0]) * [0.5, 0.5, 0.5] + [500, 330, 0]
    after = added(fitting, far.astype(np.float32))
    assert after is not None and after[-1] < 0.04
    assert after[-4] > 0.1  # meters to the right


def test_frames_that_show_no_person_are_discarded(fitting: Page) -> None:
    scattered = np.random.default_rng(0).uniform(100, 300, (1, 478, 3)).astype(np.float32)
    found = fitting.run(
        f"(() => {{ const it = new fit.FaceFitter(models.embedded, {LENS.width}, {LENS.height}); "
        f"const [points] = framesOf({coded(scattered)}), seen = []; "
        "for (let k = 0; k <= 60; k++) { it.add(points, k / 30); seen.push(it.progress); } "
        "return [seen[59] > 0.9, seen[60], it.earlier.length]; })()"
    )
    assert found == [True, 0, 0]
