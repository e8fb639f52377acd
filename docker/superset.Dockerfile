# Apache Superset with the PostgreSQL driver, which the public image lacks, and this project's dashboards.
FROM apache/superset:6.1.0
USER root
# `make superset` installs the same version. A separate layer, so that a change of a dashboard does not fetch it again.
COPY superset/requirements.txt /app/tributary/requirements.txt
# Into the image's own virtual environment with its own uv: the image has no pip.
RUN . /app/.venv/bin/activate && uv pip install --no-cache "$(grep ^psycopg2-binary== /app/tributary/requirements.txt)"
COPY superset/ /app/tributary/
ENV SUPERSET_CONFIG_PATH=/app/tributary/superset_config.py
# Version and revision are labelled by scripts/images, as those of the programs are.
LABEL org.opencontainers.image.vendor="Tributary" \
      org.opencontainers.image.title="tributary/superset" \
      org.opencontainers.image.description="Apache Superset 6.1.0 with Tributary's dashboards and the PostgreSQL driver" \
      org.opencontainers.image.licenses="Apache-2.0 AND (MIT OR Apache-2.0) AND LGPL-3.0-or-later"
# The image's user `superset`, as a number: Kubernetes checks runAsNonRoot without reading /etc/passwd.
USER 1000:1000
