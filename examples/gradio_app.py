"""A small web app: train an avatar from a video, move it, and render it along a motion or a voice.

    pip install "headsplat[gradio]"
    python examples/gradio_app.py                  # prints an address of this machine; open it in a browser

Videos, avatars and renderings are in a folder that is deleted when the app ends (Ctrl-C). Nothing is sent anywhere.
"""

from __future__ import annotations

import argparse
import html
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from avatar import HeadsplatError, jobs
from avatar.jobs.training import CONSENT
from avatar.jobs.web_page import web_page
from viewer.web.notebook import container_of

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--port", type=int, default=7860)
parser.add_argument("--seconds", type=float, default=60, help="longest training")
arguments = parser.parse_args()
folder = tempfile.TemporaryDirectory(prefix="headsplat-app-")
# Before the import, which reads them: no reports about the use, and no copies of videos elsewhere.
os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1", "GRADIO_TEMP_DIR": f"{folder.name}/uploads"}
try:
    import gradio as gr
    from starlette.middleware import Middleware
    from starlette.middleware.base import BaseHTTPMiddleware
except ImportError:
    raise SystemExit("the app needs Gradio; install it with `pip install 'headsplat[gradio]'`") from None

#: Keeps the browser from asking anybody else, for fonts or scripts.
POLICY = "default-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; worker-src 'self' blob:; "
POLICY += "script-src 'self' 'unsafe-inline' 'unsafe-eval'"


class Policy(BaseHTTPMiddleware):
    """Adds the header of POLICY to every answer."""

    async def dispatch(self, request: Any, call_next: Any) -> Any:
        answer = await call_next(request)
        answer.headers["Content-Security-Policy"] = POLICY
        return answer


def reporting(progress: gr.Progress) -> Any:
    """The `notify` of a job that moves Gradio's bar."""
    words = "{0.stage} {0.text}".format
    return lambda notice: isinstance(notice, jobs.Progress) and progress(notice.fraction, desc=words(notice))


@contextmanager
def sentences() -> Any:
    """Errors of a job as one sentence in the page."""
    try:
        yield
    except HeadsplatError as error:
        raise gr.Error(str(error), duration=None, title="headsplat", print_exception=False) from error


def train(video: str | None, agreed: bool, progress: gr.Progress = gr.Progress()) -> tuple[str, str, str]:  # noqa: B008
    """The avatar of a video: its file, a page in a frame that shows it, and figures of the training."""
    with sentences():
        if video is None or not agreed:
            raise HeadsplatError("a video is needed, and the tick that its person has agreed; add them, then train")
        out = Path(tempfile.mkdtemp(dir=folder.name)) / "me.avatar"
        options = jobs.TrainOptions(preset="fast", max_seconds=arguments.seconds)
        trained = jobs.train(video, out, options, notify=reporting(progress))
        page = html.escape(web_page(container_of(out), "avatar"))
        frame = f'<iframe srcdoc="{page}" style="width: 100%; height: 560px; border: 0"></iframe>'
        return str(out), frame, trained.report.to_text()


def render(avatar: str | None, motion: str | None, voice: str | None, progress: gr.Progress = gr.Progress()) -> str:  # noqa: B008
    """A video of the avatar along an expression file, or speaking a sound."""
    with sentences():
        if avatar is None:
            raise HeadsplatError("there is no avatar yet; train one first")
        if bool(motion) == bool(voice):
            raise HeadsplatError("a motion or a voice moves the avatar, one of them; add it, or remove the other")
        out = Path(tempfile.mkdtemp(dir=folder.name)) / "take.mp4"
        moved_by = (motion and Path(motion), voice and Path(voice))
        options = jobs.RenderOptions(*moved_by, image=jobs.ImageOptions(size="512"))
        jobs.render(avatar, out, options, notify=reporting(progress))
        return str(out)


with gr.Blocks(title="headsplat", analytics_enabled=False) as app:
    avatar = gr.State()
    gr.Markdown("# headsplat\nA video of a face becomes an avatar. Everything stays on this machine.")
    with gr.Row():
        with gr.Column():
            video = gr.Video(elem_id="video", label="Video: half a minute of one face", sources=["upload", "webcam"])
            agreed = gr.Checkbox(
                elem_id="agreed", label="The person has agreed to this avatar and its use", info=CONSENT
            )
            start = gr.Button("Train", variant="primary", interactive=False)
            report = gr.Textbox(elem_id="report", label="Training", lines=5, interactive=False)
        with gr.Column(scale=2):
            shown = gr.HTML(label="Avatar", min_height=560)
    with gr.Row():
        motion = gr.File(elem_id="motion", label="Motion: CSV or JSON with ARKit's names, or a film", type="filepath")
        voice = gr.Audio(elem_id="voice", label="or a voice", sources=["upload", "microphone"], type="filepath")
        film = gr.Video(elem_id="film", label="Rendering", interactive=False)
    begin = gr.Button("Render")
    agreed.change(lambda agreed: gr.Button(interactive=agreed), agreed, start)
    start.click(train, [video, agreed], [avatar, shown, report], concurrency_id="work")
    begin.click(render, [avatar, motion, voice], film, concurrency_id="work")

font = gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"])
where = {"server_name": "127.0.0.1", "server_port": arguments.port, "share": False, "ssr_mode": False}
app.launch(**where, theme=font, footer_links=[], app_kwargs={"middleware": [Middleware(Policy)]})
