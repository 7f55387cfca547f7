"""What makes the stored weights, each program named after the file it writes: `python -m tools.weights.prior`.

| program | writes | from |
|---|---|---|
| `prior` | `avatar/model/prior.npz` | random synthetic people |
| `acoustic` | `avatar/performance/speech/acoustic.npz` | speech of eSpeak NG and Flite |
| `pixels` | `capture/pixels/pixels.npz` | images of random synthetic people, tracked |

The head itself comes from `tools/head`.
"""
