#!/bin/sh
# Runs the lab from this checkout, and sets up what it needs the first time: Debian packages (packages.txt) and .venv.
#
#   ./lab.sh run nginx-service    as `lab run nginx-service`; any verb of the lab
#   ./lab.sh test [ARGS]          the whole test suite, on several workers; ARGS go to pytest (-n 0: one test at a time)
#   ./lab.sh lint                 ruff, mypy, import-linter
#   ./lab.sh setup                only the set-up, looking at everything again
#
# Later calls find everything there and start the lab at once. Nothing outside the checkout changes except installed packages:
# no service is started, stopped, enabled or reconfigured. Whatever the set-up was doing when it was interrupted, the next call
# puts in order. docs/dependencies.md tells how.
set -eu

here=$0
while [ -L "$here" ]; do
    link=$(readlink "$here")
    case $link in /*) here=$link ;; *) here=$(dirname "$here")/$link ;; esac
done
here=$(CDPATH='' cd -- "$(dirname -- "$here")" && pwd -P)
venv=$here/.venv
policy=/usr/sbin/policy-rc.d
notes=/var/lib/kubernetes-network-lab    # exists only while packages are being installed
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export PATH

say() { printf 'lab.sh: %s\n' "$*" >&2; }
die() { say "$@"; exit 3; }
is_root() { [ "$(id -u)" = 0 ]; }

# --- what is there -------------------------------------------------------------------------------------------------------------

# What .venv was made from: a change of it makes the set-up run again. A stamp is the last thing that a set-up writes.
fingerprint() { { cat "$here/setup.py" "$here/packages.txt"; readlink -f "$venv/bin/python"; echo "$here"; } | cksum; }

ready() {
    [ -x "$venv/bin/python" ] && [ -r "$venv/stamp-$1" ] || return 1
    IFS= read -r stamp < "$venv/stamp-$1" && [ "$stamp" = "$(fingerprint)" ]
}

# need|Debian|Fedora|Arch|programs|why|... of the packages of these needs, without the blanks.
wanted() { sed -e '/^#/d' -e 's/ *| */|/g' "$here/packages.txt" | grep -E "^($1)\|"; }

missing_packages() {
    wanted "$1" | while IFS='|' read -r _ debian _ _ programs _; do
        for program in $programs; do
            command -v "$program" >/dev/null 2>&1 || { echo "$debian"; break; }
        done
    done
}

# The first Python that can make .venv: 3.10 or later, with the modules that Debian keeps in python3-venv.
python() {
    for python in python3 /usr/bin/python3 python3.13 python3.12 python3.11 python3.10; do
        if "$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
            echo "$python"
            return
        fi
    done
    return 1
}

list_missing() {
    python >/dev/null || say "missing: Python 3.10 or later with venv. Packages: python3-venv (Debian), python3 (Fedora), python (Arch)"
    wanted 'run|extra' | while IFS='|' read -r _ debian fedora arch programs why _; do
        for program in $programs; do
            command -v "$program" >/dev/null 2>&1 ||
                say "missing: $program ($why). Packages: $debian (Debian), $fedora (Fedora), $arch (Arch)"
        done
    done
}

# --- Debian packages -----------------------------------------------------------------------------------------------------------

# Services that this machine knows, running or not: unit files and init scripts.
services() {
    for service in /lib/systemd/system/* /usr/lib/systemd/system/* /etc/init.d/*; do
        case $service in
            /etc/init.d/* | *.service | *.socket | *.timer | *.path) [ ! -f "$service" ] || echo "${service##*/}" ;;
        esac
    done | sort -u
}

policy_is_ours() { grep -qs 'Written by lab.sh' "$policy"; }

# etcd's and nginx's packages start a daemon when they are installed, and at every boot from then on. Not because of the lab:
# - policy-rc.d, which every Debian package asks, says no while we install; a machine that has a policy of its own keeps it;
# - services that were not there before are disabled. Those that were there stay as they are.
# The notes outlive an interruption, so that the next set-up ends what this one began.
before_packages() {
    mkdir -p "$notes" || return
    if [ ! -e "$notes/services" ]; then
        services > "$notes/services.new" && mv "$notes/services.new" "$notes/services" || return
    fi
    if [ ! -e "$policy" ] && [ ! -L "$policy" ]; then
        printf '#!/bin/sh\n# Written by lab.sh for as long as it installs packages.\nexit 101\n' > "$notes/policy" &&
            chmod 755 "$notes/policy" && mv "$notes/policy" "$policy" || return
    fi
}

after_packages() {
    # After a signal some packages may be unpacked only: whoever configures them later must not start their services.
    [ $? -lt 128 ] || apt install -y -f --no-install-recommends || {
        say "interrupted; the next call finishes the set-up, and no service starts until then (${policy})"
        return 0
    }
    services | comm -13 "$notes/services" - | while IFS= read -r service; do disable "$service"; done
    if policy_is_ours; then rm -f "$policy"; fi
    rm -rf "$notes"
}

finish_packages() { DEBIAN_FRONTEND=noninteractive dpkg --force-confold --configure -a </dev/null >&2; }

disable() {
    case $1 in
        *.*)
            if command -v deb-systemd-helper >/dev/null 2>&1; then deb-systemd-helper disable "$1" >/dev/null 2>&1 || true; fi
            if command -v systemctl >/dev/null 2>&1; then systemctl disable "$1" >/dev/null 2>&1 || true; fi
            ;;
        *) if command -v update-rc.d >/dev/null 2>&1; then update-rc.d "$1" disable >/dev/null 2>&1 || true; fi ;;
    esac
}

# NEEDRESTART_SUSPEND: Ubuntu's needrestart would restart services that use an upgraded library. The lock time is for a machine
# that has booted this minute and updates itself.
apt() {
    DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 apt-get -q -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold \
        "$@" </dev/null >&2
}
install_from_lists() { apt install -y --no-install-recommends "$@"; }

install_packages() (
    # A directory can be locked as well as a file: one set-up of any checkout on this machine.
    if command -v flock >/dev/null 2>&1; then
        exec 8< "${policy%/*}"
        flock 8
    fi
    interrupted=no
    [ ! -e "$notes/services" ] || interrupted=yes
    trap after_packages EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    before_packages || exit 1
    if [ $interrupted = yes ]; then
        say "finishing an interrupted set-up"
        finish_packages
    fi
    [ $# -gt 0 ] || exit 0
    say "installing Debian packages: $*"
    if apt-get -s install --no-install-recommends "$@" >/dev/null 2>&1 && install_from_lists "$@"; then exit 0; fi
    apt update && install_from_lists "$@"
)

ensure_packages() {
    packages=$(missing_packages 'setup|run|extra')
    python >/dev/null || packages=$(printf '%s\npython3-venv\n' "$packages" | sort -u)
    # shellcheck disable=SC2086 # one word a package
    set -- $packages
    [ $# -gt 0 ] || [ -e "$notes/services" ] || return 0
    if command -v apt-get >/dev/null 2>&1 && is_root; then
        install_packages "$@" || say "apt-get could not install $* (see above); is there network?"
    fi
    if python >/dev/null && [ -z "$(missing_packages run)" ]; then return 0; fi
    list_missing
    command -v apt-get >/dev/null 2>&1 || die "this machine has no apt-get: install them as your distribution does it, then try again"
    is_root || die "run this once: sudo $here/lab.sh setup"
    python >/dev/null || die "this machine's Python is not 3.10 or later with the module venv"
    exit 3
}

# By themselves, because not every distribution that apt-get serves has them: Ubuntu has no kubectl. Nothing else fails for that.
ensure_optional_packages() {
    packages=$(missing_packages optional)
    [ -n "$packages" ] || return 0
    # shellcheck disable=SC2086 # one word a package
    set -- $packages
    if command -v apt-get >/dev/null 2>&1 && is_root; then
        if in_lists "$@" || { apt update && in_lists "$@"; }; then
            if install_packages "$@"; then return 0; fi
        fi
    fi
    say "not installed: kubectl, which some scenarios type. Everything else runs without it. Your distribution may have it as"
    say "kubernetes-client or kubectl; it is one program, and https://kubernetes.io/docs/tasks/tools/ tells how to put it on the PATH"
}
in_lists() { apt-cache show "$@" >/dev/null 2>&1; }

# By themselves for the same reason; a test that misses one says so.
ensure_test_packages() {
    packages=$(missing_packages test)
    [ -n "$packages" ] || return 0
    # shellcheck disable=SC2086 # one word a package
    set -- $packages
    if command -v apt-get >/dev/null 2>&1 && is_root && install_packages "$@"; then return 0; fi
    say "some tests will fail without: $*"
}

# --- .venv ---------------------------------------------------------------------------------------------------------------------

ensure_venv() {
    [ -w "$here" ] || die "cannot write to $here; run this once: sudo $here/lab.sh setup"
    clear_venv
    mkdir -p "$venv"
    : > "$venv/unfinished"
    [ -x "$venv/bin/python" ] || "$(python)" -m venv "$venv"
    say "installing Python packages into $venv"
    case $1 in
        run) extras='[cloud]' stamps=run ;;
        test) extras='[test]' stamps='run test' ;;
        *) extras='[dev]' stamps='run test dev' ;;
    esac
    "$venv/bin/python" -m pip install -q --disable-pip-version-check --no-input -e "$here$extras" </dev/null >&2 ||
        die "pip could not install the Python packages (see above); is there network?"
    "$venv/bin/python" -m compileall -q "$here/lab" >/dev/null || true
    rm -f "$venv/unfinished"
    give_back
    for stamp in $stamps; do fingerprint > "$venv/stamp-$stamp"; done
    give_back
}

# Takes away what an interrupted set-up left, which may be half of anything, and a .venv whose Python is gone.
clear_venv() {
    [ -e "$venv" ] || return 0
    ours=no
    for stamp in "$venv"/stamp-* "$venv/unfinished"; do [ ! -e "$stamp" ] || ours=yes; done
    if [ ! -e "$venv/unfinished" ] && "$venv/bin/python" -c 'import pip' >/dev/null 2>&1; then
        : > "$venv/unfinished"
        rm -f "$venv"/stamp-*
        return 0
    fi
    [ $ours = yes ] || die "$venv is not of lab.sh's making and has no pip; move it away, then try again"
    rm -rf "$venv"
}

in_anothers_checkout() { is_root && [ "$(stat -c %u "$here")" != 0 ]; }

# What root makes in somebody's checkout becomes that somebody's, so that they can update and delete it without sudo.
give_back() {
    in_anothers_checkout || return 0
    owner=$(stat -c %u:%g "$here")
    for made in "$venv" "$here"/*.egg-info "$here/.hypothesis" "$here/.mypy_cache" "$here/.ruff_cache" "$here/.import_linter_cache"; do
        [ ! -e "$made" ] || chown -hR "$owner" "$made"
    done
    find "$here/lab" "$here/tests" "$here/scenarios" -name __pycache__ -exec chown -hR "$owner" {} +
}

# --- verbs ---------------------------------------------------------------------------------------------------------------------

# One set-up of a checkout at a time; a second call waits for the first and finds its work done.
set_up() {
    if command -v flock >/dev/null 2>&1; then
        exec 9< "$here/lab.sh"
        flock 9
    fi
    if [ "$2" = always ] || ! ready "$1"; then
        ensure_packages
        ensure_optional_packages
        [ "$1" = run ] || ensure_test_packages
        ensure_venv "$1"
    fi
    exec 9<&-
}
ensure() { ready "$1" || set_up "$1" once; }

# Runs a tool on the checkout, and gives back to its owner what the tool left there.
on_checkout() {
    trap : INT    # the tool ends by itself, and then we go on
    status=0
    "$@" || status=$?
    give_back
    return $status
}

case ${1-} in
    setup)
        set_up run always
        say "ready: $venv/bin/python -m lab"
        ;;
    test)
        shift
        ensure test
        cd "$here"
        set -- "$venv/bin/python" -m pytest -n auto --dist loadfile "$@"
        in_anothers_checkout || exec "$@"
        on_checkout "$@"
        ;;
    lint)
        ensure dev
        cd "$here"
        failed=0
        for tool in "ruff check ." mypy lint-imports; do
            say "$tool"
            # shellcheck disable=SC2086 # a command line
            on_checkout "$venv/bin/"$tool || failed=1
        done
        exit $failed
        ;;
    *)
        ensure run
        exec "$venv/bin/python" -m lab "$@"
        ;;
esac
