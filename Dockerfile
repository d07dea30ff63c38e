# The lab in an ordinary container, as an ordinary user. docs/how-to/use-in-ci.md tells what `docker run` has to be told, and why.
#
#   docker build -t lab .
#   docker run --rm --security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined \
#       --device /dev/net/tun lab run nginx-service
FROM debian:12-slim

WORKDIR /opt/lab
COPY . .
RUN ./lab.sh setup && rm -rf /var/lib/apt/lists/* /root/.cache

RUN useradd --create-home --uid 1000 lab && install -d -o lab -g lab /reports
VOLUME /reports
USER 1000:1000
ENV LANG=C.UTF-8

ENTRYPOINT ["/opt/lab/lab.sh"]
CMD ["run", "--all", "--jobs", "4", "--junit", "/reports/lab.xml", "--html", "/reports/lab.html"]
