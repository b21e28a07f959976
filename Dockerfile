# The gateway in one image: `docker run -v gateway-data:/data -v ./config:/etc/gateway:ro -p 8080:8080 IMAGE`.
# Runs as 65532 with a read-only root; what it writes is in /data (the journal), /tmp and /dev/shm (metrics in memory).

FROM python:3.11.13-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY gateway/ gateway/
RUN python -m venv /opt/gateway \
    && /opt/gateway/bin/pip install . \
    && /opt/gateway/bin/pip uninstall --yes pip setuptools

FROM python:3.11.13-slim-bookworm
LABEL org.opencontainers.image.title="webhook-gateway" \
      org.opencontainers.image.description="Takes every shop webhook once, keeps it, and delivers it at each vendor's pace." \
      org.opencontainers.image.licenses="MIT"
RUN install --directory --owner=65532 --group=65532 --mode=0750 /data \
    && install --directory --mode=0755 /etc/gateway
COPY --from=build /opt/gateway /opt/gateway
ENV PATH=/opt/gateway/bin:$PATH \
    GATEWAY_CONFIG=/etc/gateway \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 65532:65532
WORKDIR /data
VOLUME ["/data"]
EXPOSE 8080 8081
# SIGTERM: nothing new is taken, what is in flight is finished and settled, within 30 s.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-m", "gateway.admin.alive"]
ENTRYPOINT ["gateway"]
CMD ["serve"]
