# docker build -t headsplat .                        all on the CPU; where the machine has an NVIDIA GPU and its container toolkit:
# docker build -t headsplat:cuda --target cuda .     then docker run --gpus all ... headsplat:cuda train ... --device cuda
# See docs/install.md. tests/support/bare_root.py runs the steps of the last stage where no container engine is.

FROM python:3.12-slim-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends g++ make && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/headsplat
COPY . .
RUN make .venv/.installed && .ci/container-extras

FROM nvidia/cuda:13.0.1-devel-ubuntu24.04 AS cuda-build
RUN apt-get update && apt-get install -y --no-install-recommends g++ make python3-dev python3-venv && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/headsplat
COPY . .
RUN make .venv/.installed TORCH_LOCK=torch.lock TORCH_INDEX= WITHOUT_CUDA= && .ci/container-extras

FROM ubuntu:24.04 AS cuda
RUN apt-get update && apt-get install -y --no-install-recommends python3 && rm -rf /var/lib/apt/lists/*
COPY --from=cuda-build /opt/headsplat /opt/headsplat
ENV PATH=/opt/headsplat/.venv/bin:/usr/bin:/bin HEADSPLAT_CACHE=/tmp/headsplat NVIDIA_VISIBLE_DEVICES=all
WORKDIR /data
ENTRYPOINT ["headsplat"]
CMD ["--help"]

FROM python:3.12-slim-bookworm AS cpu
COPY --from=build /opt/headsplat /opt/headsplat
ENV PATH=/opt/headsplat/.venv/bin:/usr/local/bin:/usr/bin:/bin HEADSPLAT_CACHE=/tmp/headsplat
WORKDIR /data
ENTRYPOINT ["headsplat"]
CMD ["--help"]
