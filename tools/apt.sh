# shellcheck shell=sh
# Read by the other tools: `apt_install PACKAGE...` installs Debian packages where it may.
# Returns non-zero, and changes nothing, where there is no apt, or no right to use it unasked.
apt_install() {
    command -v apt-get >/dev/null 2>&1 || return 1
    if [ "$(id -u)" -eq 0 ]; then
        as_root=
    elif sudo -n true >/dev/null 2>&1; then
        as_root='sudo -n'
    else
        return 1
    fi
    echo "Installing by apt: $*"
    $as_root apt-get -qq -o Acquire::Retries=3 update >&2 || return 1
    # dpkg writes a line for every file group that it unpacks: kept for the case of failure only.
    apt_log=$(mktemp)
    if $as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o Acquire::Retries=3 \
        -o DPkg::Lock::Timeout=120 install --no-install-recommends "$@" \
        </dev/null >"$apt_log" 2>&1; then
        rm -f "$apt_log"
        return 0
    fi
    cat "$apt_log" >&2
    rm -f "$apt_log"
    return 1
}
