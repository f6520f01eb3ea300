# The same steps as `make setup`, in an image. CPU by default; see compose.yaml for the GPU profile.
FROM python:3.11-slim-bookworm
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1 \
    GRADIO_ANALYTICS_ENABLED=False HF_HUB_DISABLE_TELEMETRY=1
RUN apt-get update \
    && apt-get install -y --no-install-recommends make fonts-dejavu-core libegl1 libgl1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 studio
WORKDIR /home/studio/app
# The default index carries CUDA builds of torch; the CPU image takes the CPU one of the same version.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
COPY requirements.txt .
RUN pip install --index-url "${TORCH_INDEX}" --extra-index-url https://pypi.org/simple "$(grep '^torch==' requirements.txt)" \
    && pip install -r requirements.txt
# The Manim engine: docker build --build-arg MANIM=1. Its parts are built here and need a compiler.
ARG MANIM=0
COPY requirements-manim.txt .
RUN if [ "$MANIM" = 1 ]; then \
        apt-get update \
        && apt-get install -y --no-install-recommends gcc pkg-config libcairo2-dev libpango1.0-dev \
        && pip install -r requirements-manim.txt \
        && apt-get purge -y gcc && apt-get autoremove -y && rm -rf /var/lib/apt/lists/*; \
    fi
COPY --chown=studio . .
RUN pip install --no-deps -e . && mkdir -p /home/studio/work && chown -R studio /home/studio
USER studio
ENV T2V_HOME=/home/studio/work
EXPOSE 7860
VOLUME /home/studio/work
CMD ["t2v", "doctor"]
