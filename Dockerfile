# The agent as a container: docker build -t smtpcheck . (podman and buildah: with --format docker, or the health check is
# dropped).
#
# BASE    any image with Python 3.11 or newer as python3, its venv module and the system's certificates. OpenSSL 3.5 or
#         newer costs a fifth to a third less CPU for each TLS handshake than 3.0, hence Debian 13.
# pip     a site's own package index: docker build --secret id=pip,src=pip.conf ...
#
#   docker run --read-only -v ./checks.yaml:/etc/smtpcheck/checks.yaml:ro -v smtpcheck:/var/lib/smtpcheck \
#     -p 127.0.0.1:9587:9587 smtpcheck
ARG BASE=docker.io/library/python:3.13-slim-trixie

FROM ${BASE} AS build
RUN python3 -m venv /opt/smtpcheck
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY smtpcheck smtpcheck
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    /opt/smtpcheck/bin/pip install --no-cache-dir --disable-pip-version-check ".[otlp,ses]" \
    && /opt/smtpcheck/bin/pip uninstall --yes pip

FROM ${BASE}
LABEL org.opencontainers.image.title="smtpcheck" \
      org.opencontainers.image.description="A monitoring agent for SMTP with OAuth2" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/smtpcheck /opt/smtpcheck
RUN install --directory --owner=65532 --group=65532 --mode=0700 /var/lib/smtpcheck \
    && install --directory /etc/smtpcheck
# The state is in $XDG_STATE_HOME/smtpcheck; nothing else is written, except the demo's servers in $TMPDIR.
ENV PATH=/opt/smtpcheck/bin:$PATH \
    HOME=/var/lib/smtpcheck \
    XDG_STATE_HOME=/var/lib \
    TMPDIR=/var/lib/smtpcheck \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 65532:65532
WORKDIR /etc/smtpcheck
VOLUME /var/lib/smtpcheck
EXPOSE 9587
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s CMD ["/opt/smtpcheck/bin/python", "-m", "smtpcheck.health"]
ENTRYPOINT ["/opt/smtpcheck/bin/smtpcheck"]
CMD ["run", "--config.file=/etc/smtpcheck/checks.yaml", "--web.listen-address=0.0.0.0:9587"]
