"""What `--send` costs, and what arrives: random faces at a rate, read back by our receivers.

python -m tests.bench.bench_send --rate 60 --seconds 10
"""

from __future__ import annotations

import argparse
import time
from collections import deque

import numpy as np

from avatar.driving.live.samples import Sample
from avatar.head.arkit import ARKIT_52
from capture.live.protocols import PROTOCOLS, UdpSender, UdpSource

_WAIT = 0.0005  # seconds between two looks for a sample
_LAST = 120  # samples among which the one that was received is looked for: on a busy machine one arrives late
_END = 0.5  # seconds for the last packets


def measure(protocol: str, rate: float, seconds: float) -> str:
    """A line on one protocol: samples sent and received a second, largest error, cost and latency of a sample."""
    receiver = UdpSource(PROTOCOLS[protocol], port=0)
    receiver.start()
    sender = UdpSender(PROTOCOLS[protocol], "127.0.0.1", receiver.port)
    random = np.random.default_rng(0)
    costs, latencies, errors = [], [], []
    recent: deque[tuple[float, np.ndarray]] = deque(maxlen=_LAST)
    start = time.monotonic()
    count = round(rate * seconds)
    for k in range(count):
        time.sleep(max(start + k / rate - time.monotonic(), 0))
        joints = np.zeros((5, 3), np.float32)
        joints[0] = random.normal(0, 0.3, 3)
        weights = random.random(52).astype(np.float32)
        recent.append((time.monotonic(), weights))
        sample = Sample(recent[-1][0], ARKIT_52, "arkit52", weights, joints, np.zeros(3, np.float32), 1.0)
        began = time.thread_time()
        sender.send(sample)
        costs.append(time.thread_time() - began)
        while (found := receiver.latest()) is None and time.monotonic() < start + (k + 1) / rate:
            time.sleep(_WAIT)
        if found is not None:
            error, sent = min((float(np.abs(found.weights - each).max()), sent) for sent, each in recent)
            errors.append(error)
            latencies.append(found.stamps["decoded"] - sent)
    elapsed = time.monotonic() - start
    time.sleep(_END)
    stats = receiver.stats()
    sender.close()
    receiver.stop()
    return (
        f"{protocol:13} {sender.stats.sent / elapsed:6.1f} sent a second, {stats['samples']} of {count} decoded, "
        f"{stats['malformed']} malformed, largest error of a weight {max(errors, default=np.nan):.2g}, "
        f"{1e3 * np.median(costs):.2f} ms of processor time a sample, latency {1e3 * np.median(latencies):.1f} ms "
        f"(95 %: {1e3 * np.percentile(latencies, 95):.1f} ms)"
    )


def main() -> None:
    """Print a line for each protocol that is sent."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=60.0, help="samples a second")
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    for name, protocol in PROTOCOLS.items():
        if protocol.make_encoder is not None:
            print(measure(name, options.rate, options.seconds))


if __name__ == "__main__":
    main()
