# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash
#
# What the scripts of ci/ share: where things live, how a step is shown, how a build directory is configured.
# Sourced, never run. The caller has done `set -euo pipefail`.

# The script lives in ci/, whatever the caller's directory is.
gy_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
gy_cache=${XDG_CACHE_HOME:-${HOME:?is not set, so there is nowhere to keep the built libraries}/.cache}/gyre
gy_build=$gy_root/build
gy_logs=$gy_build/log
gy_program=$(basename "$0")

# An inherited locale or pager must not change what we parse.
export LC_ALL=C.UTF-8
CC=${CC:-gcc}

if [ -t 2 ]; then gy_tty=1; else gy_tty=0; fi
if [ "$gy_tty" = 1 ] && [ -z "${NO_COLOR:-}" ]; then
	gy_red=$'\e[31m' gy_green=$'\e[32m' gy_dim=$'\e[2m' gy_plain=$'\e[0m'
else
	gy_red='' gy_green='' gy_dim='' gy_plain=''
fi

say() {
	printf '%s\n' "$*" >&2
}

# die WHAT [WAY OUT]...: one line of what failed, then what the reader can do about it.
die() {
	printf '%s%s: %s%s\n' "$gy_red" "$gy_program" "$1" "$gy_plain" >&2
	shift
	local line
	for line in "$@"; do
		printf '  %s\n' "$line" >&2
	done
	exit 1
}

# step TITLE LOG COMMAND...: runs COMMAND with its output in LOG, shows one line with the elapsed seconds, and returns
# the command's status. On a terminal the seconds count up while it runs; in a pipe there is one line when it is over.
step() {
	local title=$1 log=$2 began=$SECONDS pid status=0
	shift 2
	mkdir -p "$(dirname "$log")"
	# A process group of its own, so that an interrupt can stop all of it.
	set -m
	"$@" >"$log" 2>&1 </dev/null &
	set +m
	pid=$!
	gy_step_pid=$pid
	if [ "$gy_tty" = 1 ]; then
		while kill -0 "$pid" 2>/dev/null; do
			printf '\r\e[K  %s %s%ds%s' "$title" "$gy_dim" $((SECONDS - began)) "$gy_plain" >&2
			sleep 0.2
		done
		printf '\r\e[K' >&2
	fi
	wait "$pid" || status=$?
	gy_step_pid=
	if [ "$status" = 0 ]; then
		printf '  %sok%s    %s %s%ds%s\n' "$gy_green" "$gy_plain" "$title" "$gy_dim" $((SECONDS - began)) "$gy_plain" >&2
	else
		printf '  %sfailed%s %s (status %d, after %ds)\n' "$gy_red" "$gy_plain" "$title" "$status" \
			$((SECONDS - began)) >&2
	fi
	return "$status"
}

# must TITLE LOG WAY_OUT COMMAND...: a step without which there is no going on.
must() {
	local title=$1 log=$2 way_out=$3
	shift 3
	step "$title" "$log" "$@" && return 0
	say ''
	tail -n 25 "$log" | sed 's/^/    | /' >&2
	say ''
	die "the step \"$title\" failed" "$way_out" "The whole log: $log"
}

# An interrupt stops the step that is running, with everything it started.
gy_step_pid=
gy_interrupted() {
	trap '' INT TERM
	if [ -n "$gy_step_pid" ]; then
		kill -TERM -- "-$gy_step_pid" 2>/dev/null || true
		wait "$gy_step_pid" 2>/dev/null || true
	fi
	# Steps that run beside each other do the same with theirs.
	jobs -rp | xargs -r kill -TERM 2>/dev/null || true
	say ''
	say "$gy_program: stopped"
	exit "$1"
}
trap 'gy_interrupted 130' INT
trap 'gy_interrupted 143' TERM

# configure NAME ARGUMENT...: meson setup of build/NAME, done again from nothing when the arguments, the compiler or
# the libraries found by ci/setup differ from those it was configured with; otherwise it is left alone, and ninja
# notices by itself when a meson.build changes.
configure() {
	local name=$1 dir stamp want
	shift
	dir=$gy_build/$name
	stamp=$dir/configured-with
	want=$(printf '%s\n' "$@" "PKG_CONFIG_PATH=${PKG_CONFIG_PATH:-}" "CFLAGS=${CFLAGS:-} LDFLAGS=${LDFLAGS:-}" \
		"$($CC --version | head -n 1)")
	if [ -f "$dir/build.ninja" ] && [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ]; then
		return 0
	fi
	rm -rf "${dir:?}"
	must "configure build/$name" "$gy_logs/configure-$name.log" \
		"Is everything there? Run ci/setup, then this again." \
		env CC="$CC" meson setup "$dir" "$gy_root" "$@"
	printf '%s\n' "$want" >"$stamp"
}

# The three builds. The release that people run is optimised as a whole; a warning of a compiler we have not met must not
# keep them from it. The debug build is what the tests run in; clang's has the fuzzers besides.
configure_release() {
	CC=gcc configure release --buildtype=release -Db_lto=true -Db_pie=true -Dwerror=false
}

configure_debug() {
	CC=gcc configure debug --buildtype=debug -Db_sanitize=address,undefined -Dtests=enabled
}

configure_clang() {
	CC=clang configure clang --buildtype=debugoptimized -Db_sanitize=address,undefined -Db_lundef=false \
		-Dc_args=-gline-tables-only -Dtests=enabled -Dfuzzing=true
}

# What of clang's build is run: the program and the fuzzers. What clang has to say about the tests, clang-tidy passes on.
build_clang() {
	local fuzzers
	fuzzers=$(ninja -C "$gy_build/clang" -t targets all | sed -n 's,^\(tests/fuzz/fuzz-[^ :]*\): .*,\1,p')
	# shellcheck disable=SC2086 # names are words
	ninja -C "$gy_build/clang" gyre $fuzzers
}

# our_files PATTERN...: the project's own files, tracked or new, relative to its root. Without git (a released
# tarball), all there are outside build/.
our_files() {
	if git -C "$gy_root" rev-parse --git-dir >/dev/null 2>&1; then
		git -C "$gy_root" ls-files --cached --others --exclude-standard -- "$@" |
			while IFS= read -r file; do if [ -f "$gy_root/$file" ]; then echo "$file"; fi; done
	else
		(
			cd "$gy_root"
			local pattern
			for pattern in "$@"; do
				find . -path ./build -prune -o -type f -path "*/$pattern" -print | sed 's,^\./,,'
			done | sort -u
		)
	fi
}
