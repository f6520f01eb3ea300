#!/bin/sh
# Installs the system packages that are missing, where the user may; names them plainly where not.
# With the argument "manim": those that Manim's parts are built with, instead.
# Never fails: each package's absence costs something that `t2v doctor` names, but not the program.
set -u
wanted=""
need() { # need PACKAGE WHY COMMAND-THAT-SUCCEEDS-WHEN-IT-IS-THERE
    sh -c "$3" >/dev/null 2>&1 && return
    wanted="$wanted $1"
    echo "missing: $1 ($2)"
}
if [ "${1:-}" = manim ]; then
    need libcairo2-dev "building pycairo for Manim" "pkg-config --exists cairo"
    need libpango1.0-dev "building ManimPango for Manim" "pkg-config --exists pangocairo"
    need pkg-config "building Manim's parts" "command -v pkg-config"
    need gcc "building Manim's parts" "command -v gcc || command -v cc"
    need python3-dev "building Manim's parts" "python3 -c 'import os, sysconfig; os.stat(sysconfig.get_path(\"include\") + \"/Python.h\")'"
else
need chromium "browser tests" "command -v chromium || command -v chromium-browser || command -v google-chrome"
need fonts-dejavu-core "text in browser screenshots" "fc-list | grep -qi dejavu || ls /usr/share/fonts/truetype/dejavu"
need libegl1 "drawing with skia" "ldconfig -p | grep -q libEGL.so.1 || ls /usr/lib/*/libEGL.so.1 || test \"\$(uname)\" = Darwin"
need libgl1 "drawing with skia" "ldconfig -p | grep -q libGL.so.1 || ls /usr/lib/*/libGL.so.1 || test \"\$(uname)\" = Darwin"
fi
[ -z "$wanted" ] && exit 0

if ! command -v apt-get >/dev/null 2>&1; then
    echo "Install with this system's package manager:$wanted"
    exit 0
fi
as_root=""
if [ "$(id -u)" -ne 0 ]; then
    if command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
        as_root="sudo -n"
    else
        echo "Install with: sudo apt-get install$wanted"
        exit 0
    fi
fi
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086 # the list is meant to be split
{ $as_root apt-get update -qq && $as_root apt-get install -y -qq --no-install-recommends $wanted; } >/dev/null 2>&1 ||
    echo "Could not install$wanted; try: sudo apt-get install$wanted"
exit 0
