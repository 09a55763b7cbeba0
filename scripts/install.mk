# Puts the C library, its headers, pkg-config and CMake files, and the server in place; included by the Makefile.
#
#   make install PREFIX=/usr/local [LIBDIR=…] [INCLUDEDIR=…] [DESTDIR=…]
#   make uninstall, with the same

PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
BINDIR ?= $(PREFIX)/bin
DOCDIR ?= $(PREFIX)/share/doc/rtcswarm
DESTDIR ?=
INSTALL ?= install
# Empty to keep the debugging symbols.
STRIP ?= strip

RTCSWARM_VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
# What the shared library is called inside, and who is compatible; as in build.rs.
RTCSWARM_MAJOR := $(firstword $(subst ., ,$(RTCSWARM_VERSION)))
ifeq ($(RTCSWARM_MAJOR),0)
RTCSWARM_INTERFACE := 0.$(word 2,$(subst ., ,$(RTCSWARM_VERSION)))
else
RTCSWARM_INTERFACE := $(RTCSWARM_MAJOR)
endif

# What a program needs beside the static library: what `rustc --print native-static-libs` says, without libgcc_s and libc,
# which every C compiler adds in the form that fits. A test holds it to rustc.
ifeq ($(shell uname -s),Darwin)
RTCSWARM_BUILT := librtcswarm.dylib
RTCSWARM_REAL := librtcswarm.$(RTCSWARM_VERSION).dylib
RTCSWARM_SONAME := librtcswarm.$(RTCSWARM_INTERFACE).dylib
RTCSWARM_PRIVATE_LIBS ?= -framework Security -framework CoreFoundation -liconv -lm
RTCSWARM_STRIP_FLAGS := -S
RTCSWARM_STATIC_STRIP_FLAGS := -S
else
RTCSWARM_BUILT := librtcswarm.so
RTCSWARM_REAL := librtcswarm.so.$(RTCSWARM_VERSION)
RTCSWARM_SONAME := librtcswarm.so.$(RTCSWARM_INTERFACE)
RTCSWARM_PRIVATE_LIBS ?= -lutil -lrt -lpthread -lm -ldl
RTCSWARM_STRIP_FLAGS := --strip-unneeded
RTCSWARM_STATIC_STRIP_FLAGS := --strip-debug
endif

RTCSWARM_PKGCONFIG := $(LIBDIR)/pkgconfig
RTCSWARM_CMAKE := $(LIBDIR)/cmake/rtcswarm
# The CMake package finds its way from where it lies, so that the whole may be moved, where that can be.
ifeq ($(LIBDIR) $(INCLUDEDIR),$(PREFIX)/lib $(PREFIX)/include)
RTCSWARM_CMAKE_INCLUDEDIR := $${_rtcswarm_libdir}/../include
else
RTCSWARM_CMAKE_INCLUDEDIR := $(INCLUDEDIR)
endif

RTCSWARM_FILL = sed \
	-e 's|@PREFIX@|$(PREFIX)|g' \
	-e 's|@LIBDIR@|$(patsubst $(PREFIX)/%,$${prefix}/%,$(LIBDIR))|g' \
	-e 's|@INCLUDEDIR@|$(patsubst $(PREFIX)/%,$${prefix}/%,$(INCLUDEDIR))|g' \
	-e 's|@CMAKE_INCLUDEDIR@|$(RTCSWARM_CMAKE_INCLUDEDIR)|g' \
	-e 's|@VERSION@|$(RTCSWARM_VERSION)|g' \
	-e 's|@INTERFACE@|$(RTCSWARM_INTERFACE)|g' \
	-e 's|@REAL@|$(RTCSWARM_REAL)|g' \
	-e 's|@SONAME@|$(RTCSWARM_SONAME)|g' \
	-e 's|@PRIVATE_LIBS@|$(RTCSWARM_PRIVATE_LIBS)|g'

.PHONY: install uninstall

# Each symbol of the library that is installed has a version. rustc cannot give it one: it names what is exported by a script
# of its own, beside which the linker takes no second. So the shared library is linked once more, of the static one.
$(RELEASE)/$(RTCSWARM_REAL): $(RELEASE)/librtcswarm.a bindings/c/rtcswarm.map.in
ifeq ($(shell uname -s),Darwin)
	cp $(RELEASE)/$(RTCSWARM_BUILT) $@
else
	$(RTCSWARM_FILL) bindings/c/rtcswarm.map.in >$(RELEASE)/rtcswarm.map
	$(CC) -shared $(LDFLAGS) -o $@.new -Wl,--version-script=$(RELEASE)/rtcswarm.map -Wl,-soname,$(RTCSWARM_SONAME) \
		-Wl,-z,nodelete,-z,relro,-z,now,-z,defs -Wl,--gc-sections -Wl,--as-needed \
		-Wl,--whole-archive $< -Wl,--no-whole-archive $(RTCSWARM_PRIVATE_LIBS)
	mv $@.new $@
endif

install: build
	$(INSTALL) -d "$(DESTDIR)$(INCLUDEDIR)" "$(DESTDIR)$(RTCSWARM_PKGCONFIG)" "$(DESTDIR)$(RTCSWARM_CMAKE)" \
		"$(DESTDIR)$(DOCDIR)" "$(DESTDIR)$(BINDIR)"
	$(INSTALL) -m 755 $(RELEASE)/rtcswarm-server "$(DESTDIR)$(BINDIR)"
	$(INSTALL) -m 644 include/rtcswarm.h bindings/c/rtcswarm.hpp "$(DESTDIR)$(INCLUDEDIR)"
	$(INSTALL) -m 755 $(RELEASE)/$(RTCSWARM_REAL) "$(DESTDIR)$(LIBDIR)/$(RTCSWARM_REAL)"
	$(INSTALL) -m 644 $(RELEASE)/librtcswarm.a "$(DESTDIR)$(LIBDIR)"
	$(if $(STRIP),$(STRIP) $(RTCSWARM_STRIP_FLAGS) "$(DESTDIR)$(LIBDIR)/$(RTCSWARM_REAL)" "$(DESTDIR)$(BINDIR)/rtcswarm-server")
	$(if $(STRIP),$(STRIP) $(RTCSWARM_STATIC_STRIP_FLAGS) "$(DESTDIR)$(LIBDIR)/librtcswarm.a")
	ln -sf $(RTCSWARM_REAL) "$(DESTDIR)$(LIBDIR)/$(RTCSWARM_SONAME)"
	ln -sf $(RTCSWARM_SONAME) "$(DESTDIR)$(LIBDIR)/$(RTCSWARM_BUILT)"
	umask 022 && $(RTCSWARM_FILL) bindings/c/rtcswarm.pc.in >"$(DESTDIR)$(RTCSWARM_PKGCONFIG)/rtcswarm.pc"
	umask 022 && for file in rtcswarmConfig.cmake rtcswarmConfigVersion.cmake; do \
		$(RTCSWARM_FILL) bindings/c/$$file.in >"$(DESTDIR)$(RTCSWARM_CMAKE)/$$file" || exit 1; \
	done
	$(INSTALL) -m 644 LICENSE-APACHE LICENSE-MIT "$(DESTDIR)$(DOCDIR)"

uninstall:
	rm -f "$(DESTDIR)$(INCLUDEDIR)/rtcswarm.h" "$(DESTDIR)$(INCLUDEDIR)/rtcswarm.hpp"
	rm -f "$(DESTDIR)$(LIBDIR)/$(RTCSWARM_BUILT)" "$(DESTDIR)$(LIBDIR)/$(RTCSWARM_SONAME)" \
		"$(DESTDIR)$(LIBDIR)/$(RTCSWARM_REAL)" "$(DESTDIR)$(LIBDIR)/librtcswarm.a"
	rm -f "$(DESTDIR)$(RTCSWARM_PKGCONFIG)/rtcswarm.pc" "$(DESTDIR)$(BINDIR)/rtcswarm-server"
	rm -f "$(DESTDIR)$(RTCSWARM_CMAKE)/rtcswarmConfig.cmake" "$(DESTDIR)$(RTCSWARM_CMAKE)/rtcswarmConfigVersion.cmake"
	rm -f "$(DESTDIR)$(DOCDIR)/LICENSE-APACHE" "$(DESTDIR)$(DOCDIR)/LICENSE-MIT"
	rmdir "$(DESTDIR)$(RTCSWARM_CMAKE)" "$(DESTDIR)$(DOCDIR)" 2>/dev/null || true
