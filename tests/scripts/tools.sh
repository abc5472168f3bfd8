#!/bin/bash
# Brings what `make test` needs beyond the Rust toolchain: a C compiler (for zstd and ring), and the packages of
# tools.txt, unpacked into target/tools. Nothing is installed system-wide except the compiler, iproute2 (namespaces for
# the network tests) and chromium (the console's views), and those only for root: without them their tests are skipped.
# The packages come, signed, from the Debian mirror that this machine is configured with. Quick when all is there.
set -euo pipefail
cd "$(dirname "$0")/../.."
list=tests/scripts/tools.txt
tools=$PWD/target/tools
say() { echo "tools: $*" >&2; }
fail() { say "$*"; exit 1; }

compiler() {
    command -v cc >/dev/null && return
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null ||
        fail "no C compiler: install the Debian packages gcc and libc6-dev (apt-get install gcc libc6-dev)"
    say "no C compiler: installing the Debian packages gcc and libc6-dev"
    { apt-get update -q && apt-get install -qy --no-install-recommends gcc libc6-dev; } >&2 ||
        fail "could not install gcc and libc6-dev; see above"
}

# The mirror of this machine's own release, section main.
mirror() {
    local codename
    codename=$(. /etc/os-release && [ "$ID" = debian ] && echo "$VERSION_CODENAME") ||
        fail "this is not Debian: the tests need $(names), put into $tools/bin by hand"
    apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
        awk -v release="$codename" '$1 == release && $2 == "main" { print $3; exit }'
}

wanted() { grep -v '^#' "$list"; }
names() { wanted | awk '{ print $2, $3 }' | paste -sd,; }

# An apt of our own: its lists, cache and sources lie below target/tools; /etc/apt gives proxies and keys alone.
own_apt() {
    local uri=$1 suite
    mkdir -p "$tools/apt/lists/partial" "$tools/apt/cache/archives/partial"
    : >"$tools/apt/status"
    wanted | awk '{ print $1 }' | sort -u | while read -r suite; do
        echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $uri $suite main"
    done >"$tools/apt/sources.list"
    cat >"$tools/apt/apt.conf" <<END
Dir::Etc::sourcelist "$tools/apt/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::State::lists "$tools/apt/lists";
Dir::State::status "$tools/apt/status";
Dir::Cache "$tools/apt/cache";
APT::Sandbox::User "";
Acquire::Retries "2";
Acquire::Languages "none";
APT::Update::Error-Mode "any";
END
    export APT_CONFIG=$tools/apt/apt.conf
}

packages() {
    local stamp=$tools/.stamp uri suite package version files file
    [ "$(cat "$stamp" 2>/dev/null)" = "$(sha256sum <"$list")" ] && return
    command -v apt-get >/dev/null || fail "no apt-get: this is not Debian; the tests need $(names), put into $tools/bin by hand"
    uri=$(mirror)
    [ -n "$uri" ] || fail "no Debian mirror in /etc/apt: add the section main of this machine's release"
    say "unpacking into target/tools: $(names)"
    rm -rf "$tools/bin" "$tools/deb" "$tools/apt"
    own_apt "$uri"
    apt-get update -qq >&2 || fail "cannot read the Debian mirror that /etc/apt names (see above); this needs the network once"
    mkdir -p "$tools/bin" "$tools/deb"
    wanted | while read -r suite package version files; do
        (cd "$tools/deb" && apt-get download -qq "$package=$version" >&2) || fail \
            "$suite has no $package $version (there: $(apt-cache madison "$package" | awk '{print $3}' | paste -sd' ')): put a version that is there into $list"
        dpkg-deb -x "$tools"/deb/"$package"_*.deb "$tools/deb/$package"
        for file in $files; do
            mv "$tools/deb/$package/$file" "$tools/bin/" || fail "$package $version has no $file: correct $list"
        done
    done
    rm -rf "$tools/deb" "$tools/apt"
    sha256sum <"$list" >"$stamp"
}

# Programs that cannot be run from a folder of their own.
programs() {
    local missing=() pair
    for pair in ip:iproute2 chromium:chromium; do
        command -v "${pair%:*}" >/dev/null || missing+=("${pair#*:}")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        say "without ${missing[*]} some tests are skipped (apt-get install ${missing[*]})"
        return 0
    fi
    say "installing the Debian packages ${missing[*]}"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qqy --no-install-recommends "${missing[@]}"; } >&2 ||
        fail "could not install ${missing[*]}; see above"
}

# What mtr is linked with; the other tools need the C library alone.
libraries() {
    ldconfig -p | grep libjansson.so.4 >/dev/null && return
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null ||
        { say "without libjansson4, libncurses6 and libcap2 mtr does not run (apt-get install libjansson4 libncurses6 libcap2)"; return 0; }
    say "installing the Debian packages libjansson4, libncurses6 and libcap2"
    { apt-get update -qq && apt-get install -qqy --no-install-recommends libjansson4 libncurses6 libcap2; } >&2 ||
        fail "could not install the libraries of mtr; see above"
}

compiler
programs
libraries
packages
