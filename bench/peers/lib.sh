# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash
#
# What the files of peers/ share; sourced, never run. Each is one rival: `install` gets its package, `run PORT DIR [ROOT]`
# serves in the foreground until SIGTERM or SIGINT, with its configuration and files in DIR, which the caller makes and
# removes; files below ROOT, or without it one greeting. Fair means: one worker, no access log, no limit on the requests of a
# connection, and for the greeting the least work that the server can be told to do.

# Debian starts a service as it installs it. A measuring machine wants none, so the policy that forbids it is put in place
# while the package is set up, unless the machine has a policy of its own.
install_package() {
	local policy=/usr/sbin/policy-rc.d sudo=
	[ "$(id -u)" -eq 0 ] || sudo=sudo
	if [ ! -e "$policy" ]; then
		printf '#!/bin/sh\nexit 101\n' | $sudo tee "$policy" >/dev/null
		$sudo chmod 755 "$policy"
		# shellcheck disable=SC2064
		trap "$sudo rm -f $policy" EXIT
	fi
	$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"
}

# need PROGRAM PACKAGE: sets `program` to its path. 69 (EX_UNAVAILABLE) tells callers from a server that failed.
need() {
	program=$(command -v "$1" || command -v "/usr/sbin/$1" || true)
	if [ -z "$program" ]; then
		echo "$1 is not installed: apt-get install $2 (or $0 install, which leaves no service running)" >&2
		exit 69
	fi
}

# peer_main PACKAGE ARGUMENT...: `run` and `version` are the sourcing file's.
peer_main() {
	local package=$1
	shift
	case "${1-}" in
	install) install_package "$package" ;;
	package) echo "$package" ;;
	version) version ;;
	run) run "${2:?usage: $0 run PORT DIR [ROOT]}" "${3:?usage: $0 run PORT DIR [ROOT]}" "${4-}" ;;
	*)
		echo "usage: $0 install | package | version | run PORT DIR [ROOT]" >&2
		exit 2
		;;
	esac
}

# path_peer NAME PACKAGES ARGUMENT...: a rival that is a library. The program around it, path/path_NAME.c, is built where the
# library is (in GYRE_BUILD, else build/release); `run PORT FLAG...` is its server, `send PORT FLAG...` its client.
path_peer() {
	local name=$1 packages=$2 action=${3-} port=${4-} program
	program=${GYRE_BUILD:-$(dirname "$0")/../../build/release}/bench/path-$name
	shift 3 || true
	case $action in
	install)
		# shellcheck disable=SC2086 # packages are words
		install_package $packages
		;;
	package) echo "$packages" ;;
	version | run | send)
		if [ ! -x "$program" ]; then
			echo "$program was not built: $0 install, then meson setup --reconfigure and ninja (ci/start does both)" >&2
			exit 69
		fi
		[ "$action" != version ] || exec "$program" --version
		shift || true
		[ "$action" != run ] || set -- --serve "$@"
		exec "$program" --port "${port:?usage: $0 $action PORT [FLAG]...}" "$@"
		;;
	*)
		echo "usage: $0 install | package | version | run PORT [FLAG]... | send PORT [FLAG]..." >&2
		exit 2
		;;
	esac
}
