"""Settings of a training; imports little, so that the command line starts fast."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from avatar.common.jsonable import shortened
from avatar.refine.options import RefineOptions
from avatar.rendering.backends import Rasterizer


@dataclass(frozen=True)
class LearningRates:
    """Initial learning rates of Adam; they decay exponentially to the fraction `final` of these values."""

    position: float = 6e-4  # meters
    log_scale: float = 0.05
    rotation: float = 0.03
    opacity: float = 0.1
    color: float = 0.03
    basis: float = 3e-3  # in avatar.model.blendshapes.UNITS
    mix: float = 2e-3
    network: float = 3e-3
    wrinkle: float = 0.03  # color per strain
    texel: float = 4e-3
    texel_gain: float = 0.01
    torso: float = 3e-4
    light: float = 0.05
    final: float = 0.05

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 <= value <= 1:
                raise ValueError(f"rates.{name}: expected 0 to 1, got {value:g}")


MAX_SECONDS = 31_536_000  # a year
#: Largest number of Gaussians times blendshapes: each takes about 100 bytes during a training.
MAX_BASIS = 20_000_000
#: Smallest and largest value of a setting.
RANGES = (
    ("size", 32, 4096),
    ("steps", 1, 10**8),
    ("seed", 0, 2**32 - 1),
    ("batch", 1, 1024),
    ("gaussians", 100, 2_000_000),
    ("extra_share", 0, 0.9),
    ("bases", 0, 256),
    ("hidden", 0, 1024),
    ("ssim", 0, 1),
    ("mask", 0, 100),
    ("fine_rate", 0, 1),
    ("coarse_share", 0, 1),
    ("refine_at", 0.01, 1),
    ("compile_at", 0.01, 1),
    ("filter", 0, 10),
    ("dilation", 0, 10),
    ("relocate", 0, 0.5),
    ("decay", 0, 0.1),
)


@dataclass(frozen=True)
class TrainConfig:
    """Settings of a training. The same settings give the same bits on one machine, unless `max_seconds` ends it."""

    size: int = 512  # longer side of the images, pixels
    steps: int = 3800
    max_seconds: float | None = None  # limit of the wall-clock time; a slower machine then makes fewer steps
    seed: int = 0
    batch: int = 1  # images per step
    gaussians: int = 30000
    extra_share: float = 0.3  # fraction of the Gaussians for hair, glasses and clothes, which the mesh does not cover
    mode: Literal["reduced", "expression", "local"] = "reduced"
    bases: int = 10  # K of the modes reduced and local
    hidden: int = 64  # units of the network that adds to the linear weights of the mode reduced; 0: no network
    offsets: Literal["bases", "hash", "uv"] = (
        "bases"  # learned per Gaussian, or at first by a network (hash grid, UV CNN)
    )
    compile_at: float = 0.7  # fraction of the schedule after which the network's bases are compiled and trained on
    ssim: float = 0.2  # weight of 1 - SSIM; L1 has 1 minus this weight
    mask: float = 0.02  # weight of the matte term
    perceptual: str = ""  # LPIPS network of a loss in the last third: alex, vgg, squeeze, or an ONNX file; empty: none
    coarse_share: float = 0.6  # fraction of the schedule at half size if `size` is above 256
    fine_rate: float = 0.5  # factor of the learning rates after the half-size part
    filter: float = 0.4  # standard deviation of the low-pass filter in space, pixels at the nearest training view
    dilation: float = 0.05  # pixels^2 added to the projected covariance
    stretch: bool = True  # Gaussians stretch with the triangles that expressions and the jaw move
    wrinkles: bool = False  # color and opacity of the face by the local strain of its mesh, too; needs stretch
    pose_blendshapes: bool = True  # position of hair and clothes, and all colors, follow the rotation of the head
    relocate: float = 0.02  # fraction of the Gaussians that each relocation moves; 0: none
    decay: float = 0.004  # fraction of the bases that a step takes away, times the factor of the learning rates
    layer: bool = True  # teeth, tongue and eyeballs as a textured mesh behind the Gaussians; gsplat cannot render it
    skin: bool = False  # the skin of the face in the layer, too: fewer Gaussians do
    prior: bool = True  # colors of skin and scalp that the frames hardly show from the prior of heads
    light: bool = False  # the light of the clip is learned, and shades the head as it turns
    rasterizer: Rasterizer = "native"
    rates: LearningRates = field(default_factory=LearningRates)
    refine_at: float = 0.2  # fraction of the schedule after which frames are refined against the avatar; 1: never
    refine: RefineOptions = field(default_factory=RefineOptions)

    def __post_init__(self) -> None:
        if self.max_seconds is not None and not 0 < self.max_seconds <= MAX_SECONDS:
            raise ValueError(
                f"max_seconds: expected more than 0 and at most {MAX_SECONDS}, got {shortened(self.max_seconds)}"
            )
        for name, low, high in RANGES:
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name}: expected {low} to {high}, got {shortened(value)}")
        if self.skin and not self.layer:
            raise ValueError("skin: it is a part of the layer; set layer = true, too")
        if self.offsets != "bases" and (self.mode != "reduced" or not self.bases):
            raise ValueError(
                'offsets: a network is compiled into reduced bases; set mode = "reduced" and bases above 0'
            )
        if self.wrinkles and not self.stretch:
            raise ValueError("wrinkles: they follow the stretch of the mesh; set stretch = true, too")
        if self.gaussians * self.bases > MAX_BASIS:
            raise ValueError(
                f"gaussians: {self.gaussians} times {self.bases} bases are {self.gaussians * self.bases}, "
                f"at most {MAX_BASIS} fit into memory; lower one of the two"
            )

    @property
    def has_weight_network(self) -> bool:
        """Whether a network adds to the weights of the blendshapes: local bases and compiled ones are linear."""
        return self.mode == "reduced" and self.offsets == "bases" and self.bases > 0 and self.hidden > 0

    @property
    def has_layer(self) -> bool:
        """Whether the avatar gets a mesh layer, where its head has the parts."""
        return self.layer and self.rasterizer != "gsplat"
