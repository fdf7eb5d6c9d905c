# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash
#
# What Gyre is built from. Two tables, and one function for each library that is built from source. To add a library:
# a row in `libraries`, and a function build_NAME that is run in its unpacked source and installs into
# $DESTDIR$prefix. Its text is part of the cache's key, so that a changed flag builds again.

# when     Debian package                     what it is looked for by where there is no dpkg
packages() {
	sed -e 's/#.*//' <<'END'
build      gcc                                gcc
build      libc6-dev                          -
build      make                               make
build      pkg-config|pkgconf                 pkg-config
build      meson                              meson
build      ninja-build                        ninja
build      xz-utils                           xz
build      ca-certificates                    -
build      autoconf                           autoconf                # wolfSSL's tarball has no configure
build      automake                           automake
build      libtool                            libtoolize
build      zlib1g-dev                         -              # content codings of `gyre http`; meson can do without
build      libbrotli-dev                      -
build      libzstd-dev                        -
build      libncurses-dev                     -              # the panes of `gyre chat`
build      libsqlite3-dev                     -              # the store of `gyre chat serve`
build      libunistring-dev                   -              # names in chat; meson can do without
test       clang                              clang
test       libclang-rt-14-dev|libclang-rt-19-dev  -          # the run-time library of -fsanitize=fuzzer
test       clang-format                       clang-format
test       clang-tidy                         clang-tidy
test       cppcheck                           cppcheck
test       python3                            python3
test       curl                               curl
test       wrk                                wrk
test       apache2-utils                      ab
test       chromium                           chromium
test       iproute2                           ip             # two network namespaces
test       python3-websockets                 -              # node-ws, which would bring node along, is used where it is
bench      wrk                                wrk
bench      nginx-light|nginx                  nginx
bench      nghttp2-client                     h2load
bench      linux-perf                         perf
bench      python3                            python3
bench      g++                                g++
bench      libbenchmark-dev                   -              # micro-benchmarks
bench      valgrind                           valgrind       # the gate
bench      libenet-dev                        -              # rivals of reliable UDP; meson can do without
bench      libsrt-gnutls-dev|libsrt-openssl-dev  -
bench      libngtcp2-dev                      -
bench      libngtcp2-crypto-gnutls-dev        -
bench      libgnutls28-dev                    -
END
}

# when  name  pkg-config module  at least  pins: Debian version : suite : upstream tarball : sha256
# First choice first; the last one is of a stable suite, where a version stays when sid has moved on (libhdr-histogram
# is in none yet).
libraries() {
	sed -e 's/#.*//' <<'END'
build  liburing  liburing  2.9  2.15-1:sid:liburing_2.15.orig.tar.gz:efd299ff27cde40a45efc7dbb97ebe40a0c461921cb462f1d62611642bb4ee86 2.9-1:trixie:liburing_2.9.orig.tar.gz:57e9b36e4ac1e46b8e0351dfb1694dc59638fc25e384b4ba36d87b800b16db1a
build  wolfssl   wolfssl   5.7.2  5.9.2-1.2:sid:wolfssl_5.9.2.orig.tar.gz:2f4ef3d4fd387a9b3191d36a6316d69116c46ff69bb9583b6c82b36d7b8ca114 5.7.2-0.1+deb13u2:trixie:wolfssl_5.7.2.orig.tar.gz:0f2ed82e345b833242705bbc4b08a2a2037a33f7bf9c610efae6464f6b10e305
test   cmocka    cmocka    1.1.7  2.0.2-1:sid:cmocka_2.0.2.orig.tar.xz:39f92f366bdf3f1a02af4da75b4a5c52df6c9f7e736c7d65de13283f9f0ef416 1.1.7-3:trixie:cmocka_1.1.7.orig.tar.xz:810570eb0b8d64804331f82b29ff47c790ce9cd6b163e98d47a4807047ecad82
test|bench  libhdr-histogram  hdr_histogram  0.11.2  0.11.8-4:sid:libhdr-histogram_0.11.8.orig.tar.gz:bb95351a6a8b242dc9be1f28562761a84d4cf0a874ffc90a9b630770a6468e94
END
}

# Flags of every library: code that may go into a shared object of an embedder, line numbers for a profile, and no
# trace of the folder it was built in.
library_cflags() {
	printf '%s' "-O2 -g1 -fPIC -fno-omit-frame-pointer -ffile-prefix-map=$PWD=."
}

build_liburing() {
	CFLAGS="$(library_cflags)" ./configure --prefix="$prefix" --cc="$CC"
	make -C src -j"$jobs" ENABLE_SHARED=0
	make -C src install ENABLE_SHARED=0 prefix="$DESTDIR$prefix" includedir="$DESTDIR$prefix/include" \
		libdevdir="$DESTDIR$prefix/lib" libdir="$DESTDIR$prefix/lib"
	make liburing.pc
	install -D -m 644 liburing.pc "$DESTDIR$prefix/lib/pkgconfig/liburing.pc"
}

# Debian's packages are built without the processor's instructions for AES: a twentieth of the speed. Its own make takes
# all processors, hence no job server of its own.
build_wolfssl() {
	local assembly=()
	case $($CC -dumpmachine) in
	# GCM by the processor's instructions needs no table in every connection.
	x86_64-*) assembly=(--enable-intelasm --enable-aesgcm=small --enable-sp=yes,4096 --enable-sp-asm) ;;
	aarch64-*) assembly=(--enable-armasm --enable-sp=yes,4096 --enable-sp-asm) ;;
	esac
	# The look-up in Curve25519's table of points leaves the upper half of a register as it was, so that every other
	# public key is wrong after code that used it. (5.9.2; an encoding that clears it has the same operands.)
	sed -i 's/^\( *\)movd\t%rbx, %xmm9$/\1vmovq\t%rbx, %xmm9/' wolfcrypt/src/fe_x25519_asm.S
	# Randomness comes from core/tls_memory.c: without it each connection seeds and keeps a generator of its own.
	# shellcheck disable=SC2016 # sed's $ is the end of a line
	sed -i 's/^#if defined(CUSTOM_RAND_GENERATE_BLOCK)$/&\n    extern int CUSTOM_RAND_GENERATE_BLOCK(byte* output, word32 sz);/' \
		wolfssl/wolfcrypt/random.h
	# For who links wolfSSL without core/tls.
	cat >>wolfcrypt/src/random.c <<'END'
#include <errno.h>
#include <sys/random.h>
__attribute__((weak)) int CUSTOM_RAND_GENERATE_BLOCK(byte* output, word32 sz)
{
    while (sz > 0) {
        ssize_t got = getrandom(output, sz, 0);
        if (got < 0 && errno != EINTR)
            return -1;
        output += got > 0 ? got : 0;
        sz -= got > 0 ? (word32)got : 0;
    }
    return 0;
}
int wc_GenerateSeed(OS_Seed* os, byte* output, word32 sz)
{
    (void)os;
    return CUSTOM_RAND_GENERATE_BLOCK(output, sz);
}
END
	./autogen.sh
	./configure CC="$CC" CFLAGS="-O3 $(library_cflags | sed s/-O2//) -DHAVE_AES_ECB -DCUSTOM_RAND_GENERATE_BLOCK=gy_tls_random_block -DNO_KEEP_PEER_CERT -DWOLFSSL_ALT_NAMES -DWOLFSSL_IP_ALT_NAME -DHAVE_SECRET_CALLBACK" --prefix="$prefix" --libdir="$prefix/lib" \
		--enable-static --disable-shared --disable-examples --disable-crypttests --enable-jobserver=no \
		--disable-oldtls --disable-dependency-tracking --disable-debug --disable-hashdrbg "${assembly[@]}" \
		--enable-tls13 --enable-alpn --enable-sni --enable-session-ticket --enable-earlydata --enable-psk \
		--enable-quic --enable-aesecb --enable-curve25519 --enable-ed25519 --enable-opensslextra --enable-harden \
		--enable-certgen --enable-certreq --enable-certext --enable-keygen --enable-altcertchains \
		--enable-ocspstapling --enable-mlkem --enable-scrypt
	# What it was configured with would be in every program, folders included.
	printf '#define LIBWOLFSSL_%s ""\n' CONFIGURE_ARGS GLOBAL_CFLAGS >.build_params
	make -j"$jobs"
	make install DESTDIR="$DESTDIR"
}

build_cmocka() {
	# Its own meson.build still says 1.1.5, and pkg-config repeats that.
	sed -i "s/version : '1\.1\.5'/version : '$upstream'/" meson.build
	CFLAGS="$(library_cflags)" meson setup build --prefix="$prefix" --libdir=lib --buildtype=plain \
		-Ddefault_library=static
	meson install -C build
}

# By hand: its own build wants cmake for seven files.
build_libhdr-histogram() {
	local name objects=()
	for name in hdr_encoding hdr_histogram hdr_histogram_log hdr_interval_recorder hdr_thread hdr_time \
		hdr_writer_reader_phaser; do
		# shellcheck disable=SC2046 # flags are words
		$CC $(library_cflags) -std=gnu11 -Iinclude -c "src/$name.c" -o "$name.o"
		objects+=("$name.o")
	done
	ar rcs libhdr_histogram.a "${objects[@]}"
	install -D -m 644 libhdr_histogram.a "$DESTDIR$prefix/lib/libhdr_histogram.a"
	install -D -m 644 -t "$DESTDIR$prefix/include/hdr" include/hdr/*.h
	mkdir -p "$DESTDIR$prefix/lib/pkgconfig"
	cat >"$DESTDIR$prefix/lib/pkgconfig/hdr_histogram.pc" <<END
Name: hdr_histogram
Description: High dynamic range histograms
Version: $upstream
Cflags: -I$prefix/include
Libs: -L$prefix/lib -lhdr_histogram -lz -lm -pthread
END
}
