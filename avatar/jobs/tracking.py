"""A face tracked before a camera, or received from an app, and sent to other programs; there is no avatar."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Annotated, Literal

from avatar.common.files import path_text
from avatar.errors import HeadsplatError
from avatar.jobs.live_run import LiveRun, TrackReport
from avatar.jobs.live_sources import FaceOptions
from avatar.jobs.notices import Notices, Notify, Stop, cause_of, ignore, stoppable
from avatar.jobs.option_types import DURATION, OptionalFloat, OptionalPath, OptionalText, Send, checked
from avatar.jobs.outputs import Output, reserved
from avatar.jobs.sending import Senders

if TYPE_CHECKING:
    from avatar.driving.live.pose_source import PoseSource
    from avatar.driving.live.samples import SourceStats

#: Seconds between two looks for a new sample, between two sentences on the state, and on the rate.
_PERIOD = 0.002
_STATE_PERIOD = 1.0
_RATE_PERIOD = 10.0
_CLOSING = "sending ends"


@dataclass(frozen=True)
class TrackOptions:
    """where the face is sent, and how long"""

    send: Send = ()
    """send the face to a program on this machine, or at HOST; may be given several times"""
    neutral: Literal["resting", "as-is"] = "resting"
    """resting: of a camera, the resting face is sent as zero, and the resting pose as one that looks ahead; as-is: as
    the tracker measures them"""
    host: OptionalText = None
    """address of this machine to listen on; default: only this machine can send"""
    phone: OptionalText = None
    """address of the phone, for iFacialMocap: it sends after a greeting"""
    seconds: Annotated[OptionalFloat, DURATION] = None
    """end after this time"""
    json: OptionalPath = None
    """write statistics of the run to this file"""
    overwrite: bool = False
    """replace existing files"""


def track(
    source: FaceOptions | None = None,
    options: TrackOptions | None = None,
    *,
    notify: Notify = ignore,
    stop: Stop = None,
) -> LiveRun:
    """Track a face and send it to other programs, until the file has ended, the time is over, `stop` or Ctrl-C.

    Args:
        source: where the face comes from; None: the first camera.
        options: where it is sent.
        notify: receives messages.
        stop: what ends it, as Ctrl-C does.

    Raises:
        HeadsplatError: no receiver, an option that is not valid, a source that cannot start, or a file without a face.
    """
    source = source or FaceOptions()
    options = checked(options or TrackOptions())
    notices = Notices(notify)
    if not options.send:
        raise HeadsplatError("--send is missing: give a protocol, such as --send vmc, or several of these options")
    outputs = [] if options.json is None else [Output(options.json, "--json", (".json",))]
    inputs = (source.microphone, source.webcam)
    with reserved(outputs, inputs, overwrite=options.overwrite), Senders(options.send, notices) as senders:
        run = _Tracking(_opened(source, options), senders, options, notices).run(stop)
        if options.json is not None:
            run.save(options.json, notices)
        return run


def _opened(source: FaceOptions, options: TrackOptions) -> PoseSource:
    from capture.live.open import LOOPBACK, open_pose_source

    given = (source.webcam, source.listen, source.microphone)
    return open_pose_source(
        "0" if given == (None, None, None) else source.webcam,
        source.listen,
        source.microphone,
        host=LOOPBACK if options.host is None else options.host,
        phone=options.phone or "",
        loop=source.loop,
        torso=False,
    )


@dataclass
class _Tracking:
    """One run."""

    source: PoseSource
    senders: Senders
    options: TrackOptions
    notices: Notices
    samples: int = 0
    with_face: int = 0
    state: str = ""  # that was reported last
    counted: int = 0  # samples at the last report of the rate
    reported: dict[str, float] = field(default_factory=dict)  # kind of report -> seconds, time.monotonic()

    def run(self, stop: Stop) -> LiveRun:
        """Send samples until the end."""
        self.notices.say(f"{path_text(self.source.name)}: starting ...")
        self.source.start()
        began = time.monotonic()
        try:
            finished = self._send(began, stop)
            source = self.source.stats()
        finally:
            self.source.stop()
        if finished and source.get("ended") and not self.with_face:
            raise HeadsplatError(f"{source['ended']}; no face was found, so that nothing was sent")
        sent = {str(sender): asdict(sender.stats) for sender in self.senders}
        report = TrackReport(time.monotonic() - began, self.samples, self.with_face, sent, source)
        return LiveRun(report, not finished, self.senders.summaries())

    def _send(self, began: float, stop: Stop) -> bool:
        """Returns False once `stop` or Ctrl-C ends it, True at the end of the file or the time."""
        from avatar.driving.live.sample_stream import SampleStream

        stream = SampleStream(self.source, resting=self.options.neutral == "resting")
        end = float("inf") if self.options.seconds is None else began + self.options.seconds
        state = ""
        with stoppable(stop, _CLOSING) as stopped:
            with suppress(KeyboardInterrupt):  # the second Ctrl-C, or the first one where nothing handles it
                while not stopped.is_set():
                    now = time.monotonic()
                    if now >= end:
                        return True
                    stats = self.source.stats()  # before the sample: the last one comes before the end is known
                    sample = stream.latest()
                    if sample is not None:
                        self.senders.send(sample)
                        self.samples += 1
                        self.with_face += sample.confidence > 0
                        state = "face found" if sample.confidence > 0 else "no face"
                    elif stats.get("ended"):
                        self.notices.say(str(stats["ended"]))
                        return True
                    self._report(now, state or _before(stats), stream.note or stats.get("hidden", ""))
                    if sample is None:
                        time.sleep(_PERIOD)
            self.notices.say(f"stopped by {cause_of(stopped)}")
            return False

    def _report(self, now: float, state: str, note: str) -> None:
        """Say what changed, at most once a second, and the rate every ten seconds."""
        text = f"{state}; {note}" if note else state
        if text != self.state and now - self.reported.get("state", -_STATE_PERIOD) >= _STATE_PERIOD:
            self.state = text
            self.reported["state"] = now
            self.notices.say(text)
        since = self.reported.setdefault("rate", now)
        if now - since >= _RATE_PERIOD:
            rate = (self.samples - self.counted) / (now - since)
            self.notices.say(f"{rate:.1f} samples a second, {state}")
            self.reported["rate"] = now
            self.counted = self.samples


def _before(stats: SourceStats) -> str:
    """The state of a source that has not produced a sample."""
    if "received" in stats and "phase" not in stats:
        return stats.get("unused") or "nothing was received yet"
    return "learning the face" if stats.get("phase") == "learning" else "no face yet"
