"""The promises of SECURITY.md that the source code or a small experiment can show."""

from __future__ import annotations

import ast
import contextlib
import inspect
import socket
from functools import cache
from pathlib import Path

import pytest

from avatar.errors import HeadsplatError
from capture.live.protocols.registry import PROTOCOLS, udp_source
from capture.networks import vision_library
from capture.video.decoding import open_video
from tests.support.import_graph import statements
from viewer.web.server import PageServer

ROOT = Path(__file__).parents[1]
#: Modules that open connections; those that open sockets and start programs are named in a test each.
NETWORK = {"ftplib", "http", "requests", "smtplib", "socketserver", "ssl", "urllib", "urllib3", "webbrowser"}
UNSAFE_READERS = {"cloudpickle", "dill", "joblib", "marshal", "shelve"}
#: What the module `pickle` offers besides reading and writing.
HARMLESS = {"pickle.UnpicklingError"}


@cache
def trees() -> dict[str, ast.Module]:
    """The syntax tree of every module of the packages, by its path below the root."""
    files = [path for package in ("avatar", "capture", "viewer", "cuda_ext") for path in (ROOT / package).rglob("*.py")]
    return {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text(encoding="utf-8")) for path in sorted(files)}


@cache
def imports() -> dict[str, set[str]]:
    """Absolute names that each module imports, "package.module" or "package.module.name"."""
    found: dict[str, set[str]] = {path: set() for path in trees()}
    for path, tree in trees().items():
        for node in statements(tree):
            if isinstance(node, ast.Import):
                found[path] |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found[path] |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@cache
def calls() -> list[tuple[str, str, ast.Call]]:
    """("path:line", dotted name, node) of every call by a plain or dotted name."""
    found = []
    for path, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                with contextlib.suppress(ValueError):
                    found.append((f"{path}:{node.lineno}", dotted(node.func), node))
    return found


def dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    raise ValueError("not a dotted name")


def keyword(call: ast.Call, name: str) -> object:
    """The constant passed for `name`, or None."""
    values = [item.value for item in call.keywords if item.arg == name]
    return values[0].value if values and isinstance(values[0], ast.Constant) else None


def importers(module: str) -> list[str]:
    return [path for path, names in imports().items() if any(name.split(".")[0] == module for name in names)]


def test_no_module_reads_pickles_with_pythons_unpickler() -> None:
    pickles = {name for names in imports().values() for name in names if name.split(".")[0] == "pickle"}
    assert pickles <= HARMLESS
    assert [path for module in UNSAFE_READERS for path in importers(module)] == []


@pytest.mark.parametrize(
    ("function", "option", "value"),
    [("np.load", "allow_pickle", False), ("torch.load", "weights_only", True)],
)
def test_loaders_that_could_unpickle_have_it_switched_off(function: str, option: str, value: bool) -> None:
    found = [(place, call) for place, name, call in calls() if name == function]
    assert found
    assert [place for place, call in found if keyword(call, option) is not value] == []


def test_no_module_evaluates_text_or_starts_a_shell() -> None:
    forbidden = {"eval", "exec", "compile", "os.system", "os.popen", "pty.spawn"}
    assert [place for place, name, call in calls() if name in forbidden or keyword(call, "shell") is not None] == []


#: What of asyncio opens connections or starts programs.
OPENING = ("open_connection", "start_server", "create_server", "create_subprocess_exec", "create_subprocess_shell")


def test_two_modules_open_sockets_one_starts_pip_and_two_start_headsplat() -> None:
    udp = Path(inspect.getfile(type(udp_source("vmc")))).relative_to(ROOT).as_posix()
    names = {path: {name for name in imports()[path] if name.split(".")[0] == "socket"} for path in importers("socket")}
    options = {"socket.SO_SNDBUF", "socket.SOL_SOCKET"}
    sender = "capture/live/protocols/send.py"
    assert names == {udp: {"socket"}, sender: {"socket"}, "viewer/web/speech_server.py": options}
    assert [place for place, name, _ in calls() if name.rpartition(".")[2] in OPENING] == []
    fleet, packages, pip = sorted(importers("subprocess"))
    source = (ROOT / pip).read_text(encoding="utf-8")
    assert source.count("subprocess.run(") == 1 and '[sys.executable, "-m", "pip", "download"' in source
    source = (ROOT / fleet).read_text(encoding="utf-8")
    assert source.count("subprocess.Popen(") == 1 and '[sys.executable, "-m", "avatar.fleet.child_process"' in source
    source = (ROOT / packages).read_text(encoding="utf-8")
    assert source.count("subprocess.run(") == 1 and '[sys.executable, "-m", module, *arguments]' in source
    modules = [call.args[2] for _, name, call in calls() if name.rpartition(".")[2] == "run_check_of"]
    assert {ast.unparse(module) for module in modules} == {"'avatar.ops.package_check'", "'viewer.gui.shared_check'"}
    assert {path for module in NETWORK | {"websockets"} for path in importers(module)} == {
        "avatar/performance/speech/client.py",
        "capture/networks/vision_library.py",
        "viewer/web/server.py",
        "viewer/web/speech_server.py",
        "viewer/web/page.py",
    }
    for path in ("viewer/web/page.py", "viewer/web/speech_server.py", "avatar/performance/speech/client.py"):
        found = {name for name in imports()[path] if name.startswith("urllib")}
        assert found <= {f"urllib.parse.{name}" for name in ("quote", "urlsplit", "urlunsplit")}


def test_one_address_is_downloaded_from() -> None:
    found = [place for place, name, _ in calls() if name == "urllib.request.urlopen"]
    assert len(found) == 1 and found[0].startswith("capture/networks/vision_library.py")
    assert vision_library.ADDRESS.startswith("https://registry.npmjs.org/@mediapipe/tasks-vision/")


def test_the_page_of_a_live_source_is_served_to_this_machine_alone_unless_another_address_is_given() -> None:
    assert inspect.signature(PageServer).parameters["host"].default == "127.0.0.1"
    names = {name for name in imports()["viewer/web/server.py"] if name.partition(".")[0] in NETWORK | {"websockets"}}
    used = {f"websockets.asyncio.server.{name}" for name in ("serve", "ServerConnection")}
    used.add("websockets.http11.Response")
    assert names == used | {"http.HTTPStatus", "urllib.parse.parse_qs", "urllib.parse.urlsplit"}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_input_listens_to_this_machine_alone_unless_another_address_is_given(protocol: str) -> None:
    assert udp_source(protocol).host == "127.0.0.1"
    assert udp_source(protocol, host="0.0.0.0").host == "0.0.0.0"


def test_one_module_opens_media_files_for_reading() -> None:
    found = {place.rsplit(":", 1)[0] for place, name, call in calls() if name == "av.open" and len(call.args) < 2}
    assert found == {"avatar/common/media.py"}


PLAYLISTS = {
    "hls.mp4": "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{url}\n#EXT-X-ENDLIST\n",
    "hls.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{url}\n#EXT-X-ENDLIST\n",
    "list.ffconcat": "ffconcat version 1.0\nfile '{url}'\n",
    "dash.mpd": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'mediaPresentationDuration="PT5S" profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"><Period><AdaptationSet '
    'mimeType="video/mp4"><Representation id="1" bandwidth="1"><BaseURL>{url}</BaseURL></Representation>'
    "</AdaptationSet></Period></MPD>",
}


@pytest.mark.parametrize("name", PLAYLISTS)
def test_a_playlist_in_the_place_of_a_video_opens_no_connection(name: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/video.mp4"
        path = tmp_path / name
        path.write_text(PLAYLISTS[name].format(url=url), encoding="utf-8")
        with pytest.raises(HeadsplatError, match=r"is not a video|no permission"):
            open_video(path)
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()
    with pytest.raises(HeadsplatError, match="no such file"):
        open_video(Path(url))
