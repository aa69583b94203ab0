# presend's image: `docker build -t presend .`
#
# The first stage installs presend, with its mail path compiled (docs/decisions/compiled.md), and
# the dependencies locked in uv.lock into /opt/presend. The second stage copies only that directory, so
# the image contains no compiler, no uv and no pip, and presend itself is PID 1.
# The container runs as an unprivileged user and writes only to /var/lib/presend, so the root file
# system may be read-only.
#
# There is no HEALTHCHECK, since Kubernetes ignores it and probes :9100/livez and :9100/readyz.

ARG PYTHON=3.13

FROM docker.io/library/python:${PYTHON}-slim AS build
ENV UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_NO_CACHE=1 \
    UV_PROJECT_ENVIRONMENT=/opt/presend \
    UV_PYTHON_DOWNLOADS=never
RUN apt-get -qq update \
    && DEBIAN_FRONTEND=noninteractive apt-get -qq --no-install-recommends install gcc libc6-dev
WORKDIR /src
COPY pyproject.toml uv.lock ./
RUN python -m venv /opt/uv \
    && /opt/uv/bin/pip install --quiet --no-cache-dir --disable-pip-version-check \
        "uv==$(sed -n '/^name = "uv"$/{n;s/^version = "\(.*\)"$/\1/p;}' uv.lock)" \
    && /opt/uv/bin/uv sync --locked --no-dev --no-install-project
COPY README.md LICENSE ./
COPY deploy/compile.py deploy/
COPY validators validators
COPY relay relay
RUN HATCH_BUILD_HOOKS_ENABLE=1 /opt/uv/bin/uv sync --locked --no-dev --no-editable

FROM docker.io/library/python:${PYTHON}-slim
LABEL org.opencontainers.image.title="presend" \
      org.opencontainers.image.description="An SMTP relay that judges every recipient before a campaign's mail leaves the pod" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.source="https://github.com/presend/presend" \
      org.opencontainers.image.documentation="https://github.com/presend/presend/tree/main/docs"
RUN python -m pip uninstall --quiet --yes --root-user-action=ignore pip \
    && rm -rf /usr/local/lib/python3.*/ensurepip \
    && echo 'presend:x:65532:' >>/etc/group \
    && echo 'presend:x:65532:65532::/var/lib/presend:/usr/sbin/nologin' >>/etc/passwd \
    && install --directory --owner=65532 --group=65532 --mode=0750 /var/lib/presend
COPY --from=build /opt/presend /opt/presend
ENV PATH=/opt/presend/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
WORKDIR /var/lib/presend
VOLUME /var/lib/presend
EXPOSE 25 9100
STOPSIGNAL SIGTERM
ENTRYPOINT ["presend"]
CMD ["serve"]
