#!/bin/sh
# Runs the lab from this checkout, and sets up what it needs the first time: Debian packages (packages.txt) and .venv.
#
#   ./lab.sh run nginx-service    as `lab run nginx-service`; any verb of the lab
#   ./lab.sh test [ARGS]          the whole test suite; ARGS go to pytest
#   ./lab.sh check                ruff, mypy, import-linter
#   ./lab.sh setup                only the set-up
#
# Later calls find everything there and start the lab at once. Nothing outside the checkout changes except installed packages:
# no service is started, stopped, enabled or reconfigured.
set -eu

here=$0
while [ -L "$here" ]; do
    link=$(readlink "$here")
    case $link in /*) here=$link ;; *) here=$(dirname "$here")/$link ;; esac
done
here=$(CDPATH='' cd -- "$(dirname -- "$here")" && pwd -P)
venv=$here/.venv
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export PATH

say() { printf 'lab.sh: %s\n' "$*" >&2; }

# --- what is there -------------------------------------------------------------------------------------------------------------

# The stamp holds what .venv was made from. A changed setup.py makes it anew; an interrupted set-up has no stamp.
fingerprint() { cksum < "$here/setup.py" | tr ' ' -; }
ready() { [ -x "$venv/bin/python" ] && [ "$(cat "$venv/stamp-$1" 2>/dev/null)" = "$(fingerprint)" ]; }

# need|package|programs of this distribution family, without the blanks.
wanted() { sed -e '/^#/d' -e 's/ *| */|/g' "$here/packages.txt" | grep -E "^($1)\|" || true; }

missing_packages() {
    wanted 'run|extra' | while IFS='|' read -r need debian fedora arch programs why; do
        for program in $programs; do
            command -v "$program" >/dev/null 2>&1 || { printf '%s\n' "$debian"; break; }
        done
    done
}

has_venv_module() { python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; }

# --- packages ------------------------------------------------------------------------------------------------------------------

explain_missing() {
    say "these programs are missing, and this machine has no apt-get to install them with:"
    wanted 'run|extra' | while IFS='|' read -r need debian fedora arch programs why; do
        for program in $programs; do
            command -v "$program" >/dev/null 2>&1 ||
                printf '  %-18s %s. Package: %s (Debian), %s (Fedora), %s (Arch)\n' "$program" "$why" "$debian" "$fedora" "$arch" >&2
        done
    done
    has_venv_module || printf '  %-18s %s\n' python3 "3.10 or later, with the venv module. Package: python3-venv (Debian), python3 (Fedora), python (Arch)" >&2
}

# Services that the machine knows, by the names of their unit files and init scripts.
known_services() { ls /lib/systemd/system /usr/lib/systemd/system /etc/init.d 2>/dev/null | sort -u; }

# A package's service must not run because the lab was set up: not now (policy-rc.d, asked by every Debian package's scripts), and not
# after the next boot (units that were not there before are disabled again). Services that were there before stay as they are.
install_packages() {
    say "installing Debian packages: $*"
    policy=/usr/sbin/policy-rc.d
    ours=''
    before=$(mktemp)
    known_services > "$before"
    if [ ! -e "$policy" ]; then
        ours=$policy
        # shellcheck disable=SC2064 # the path as it is now
        trap "rm -f '$policy' '$before'" EXIT
        trap 'exit 130' INT
        trap 'exit 143' TERM HUP
        printf '#!/bin/sh\nexit 101\n' > "$policy"
        chmod 755 "$policy"
    else
        # shellcheck disable=SC2064
        trap "rm -f '$before'" EXIT
    fi
    DEBIAN_FRONTEND=noninteractive
    export DEBIAN_FRONTEND
    if ! apt-get install -y -q --no-install-recommends "$@" >&2; then
        apt-get update -q >&2 && apt-get install -y -q --no-install-recommends "$@" >&2 || {
            say "apt-get could not install them (see above); is there network?"
            exit 3
        }
    fi
    disable_new_services "$before"
    [ -z "$ours" ] || rm -f "$ours"
    rm -f "$before"
    trap - EXIT INT TERM HUP
}

disable_new_services() {
    known_services | comm -13 "$1" - | while read -r unit; do
        case $unit in
            etcd*.service | nginx*.service)
                if command -v systemctl >/dev/null 2>&1; then systemctl disable "$unit" >/dev/null 2>&1 || true; fi ;;
            etcd | nginx)
                if command -v update-rc.d >/dev/null 2>&1; then update-rc.d "$unit" disable >/dev/null 2>&1 || true; fi ;;
        esac
    done
}

ensure_packages() {
    packages=$(missing_packages)
    has_venv_module || packages="$packages python3-venv"
    # shellcheck disable=SC2086 # one word a package
    set -- $packages
    [ $# -gt 0 ] || return 0
    if ! command -v apt-get >/dev/null 2>&1; then
        explain_missing
        exit 3
    fi
    if [ "$(id -u)" != 0 ]; then
        say "these Debian packages are missing: $*"
        say "run this once with sudo, or: sudo apt-get install --no-install-recommends $*"
        exit 3
    fi
    install_packages "$@"
    has_venv_module || { say "Python 3.10 or later with the venv module is needed; this machine's python3 is not"; exit 3; }
}

# --- .venv ---------------------------------------------------------------------------------------------------------------------

ensure_venv() {
    extra=$1
    rm -f "$venv"/stamp-*
    if ! "$venv/bin/python" -c 'import pip' >/dev/null 2>&1; then
        say "making $venv"
        rm -rf "$venv"
        python3 -m venv "$venv"
    fi
    say "installing Python packages into $venv"
    case $extra in
        run) what=$here ;;
        *) what="$here[$extra]" ;;
    esac
    "$venv/bin/python" -m pip install -q --disable-pip-version-check -e "$what" >&2 || {
        say "pip could not install the Python packages (see above); is there network?"
        exit 3
    }
    fingerprint > "$venv/stamp-run"
    [ "$extra" = run ] || fingerprint > "$venv/stamp-$extra"
    # Under sudo the checkout stays its owner's.
    if [ "$(id -u)" = 0 ]; then chown -R "$(stat -c %u:%g "$here")" "$venv" "$here"/*.egg-info 2>/dev/null || true; fi
}

# One set-up at a time; a second call waits for the first and finds its work done.
ensure() {
    ready "$1" && return 0
    if command -v flock >/dev/null 2>&1; then
        exec 9< "$here/lab.sh"
        flock 9
        ready "$1" || { ensure_packages && ensure_venv "$1"; }
        exec 9<&-
    else
        ensure_packages && ensure_venv "$1"
    fi
}

# --- verbs ---------------------------------------------------------------------------------------------------------------------

case ${1-} in
    setup)
        ensure run
        say "ready: $venv/bin/python -m lab"
        ;;
    test)
        shift
        ensure dev
        cd "$here"
        exec "$venv/bin/python" -m pytest "$@"
        ;;
    check)
        ensure dev
        cd "$here"
        "$venv/bin/ruff" check .
        "$venv/bin/mypy"
        "$venv/bin/lint-imports"
        ;;
    *)
        ensure run
        exec "$venv/bin/python" -m lab "$@"
        ;;
esac
