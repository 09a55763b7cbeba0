# make install PREFIX=… DESTDIR=…: headers, libraries, pkg-config, CMake package, the server.

PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
BINDIR ?= $(PREFIX)/bin
DOCDIR ?= $(PREFIX)/share/doc/rtcswarm
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
# Before 1.0 a minor version may change the interface, so it is in the SONAME (build.rs).
SONAME_VERSION := $(shell echo $(VERSION) | cut -d. -f1,2)
ifeq ($(UNAME),Darwin)
  REAL := librtcswarm.$(VERSION).dylib
  SONAME := librtcswarm.$(SONAME_VERSION).dylib
  STATIC_LIBS := -framework Security -framework CoreFoundation -liconv -lm
else
  REAL := librtcswarm.so.$(VERSION)
  SONAME := librtcswarm.so.$(SONAME_VERSION)
  # What `rustc --print native-static-libs` names, without libgcc_s and libc: the C compiler adds them in the form that fits,
  # also where everything is static. A test holds it to rustc.
  STATIC_LIBS := -lutil -lrt -lpthread -lm -ldl
endif

.PHONY: install uninstall

fill = sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(LIBDIR)|' -e 's|@INCLUDEDIR@|$(INCLUDEDIR)|' \
  -e 's|@VERSION@|$(VERSION)|' -e 's|@SHARED@|$(REAL)|' -e 's|@SONAME@|$(SONAME)|' \
  -e 's|@STATIC_LIBS@|$(STATIC_LIBS)|' \
  -e "s|@INCLUDE_FROM_LIB@|$$(realpath -m --relative-to=$(LIBDIR) $(INCLUDEDIR))|"

install: build
	install -d $(DESTDIR)$(INCLUDEDIR) $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(LIBDIR)/cmake/rtcswarm \
	  $(DESTDIR)$(BINDIR) $(DESTDIR)$(DOCDIR)
	install -m 644 include/rtcswarm.h bindings/c/rtcswarm.hpp $(DESTDIR)$(INCLUDEDIR)
	install -m 755 $(RELEASE)/$(SHARED) $(DESTDIR)$(LIBDIR)/$(REAL)
	strip -S $(DESTDIR)$(LIBDIR)/$(REAL)
	ln -sf $(REAL) $(DESTDIR)$(LIBDIR)/$(SONAME)
	ln -sf $(SONAME) $(DESTDIR)$(LIBDIR)/$(SHARED)
	install -m 644 $(RELEASE)/librtcswarm.a $(DESTDIR)$(LIBDIR)/librtcswarm.a
	strip -S $(DESTDIR)$(LIBDIR)/librtcswarm.a
	install -m 755 $(RELEASE)/rtcswarm-server $(DESTDIR)$(BINDIR)/rtcswarm-server
	strip -S $(DESTDIR)$(BINDIR)/rtcswarm-server
	$(fill) bindings/c/rtcswarm.pc.in > $(DESTDIR)$(LIBDIR)/pkgconfig/rtcswarm.pc
	$(fill) bindings/c/cmake/rtcswarmConfig.cmake > $(DESTDIR)$(LIBDIR)/cmake/rtcswarm/rtcswarmConfig.cmake
	$(fill) bindings/c/cmake/rtcswarmConfigVersion.cmake \
	  > $(DESTDIR)$(LIBDIR)/cmake/rtcswarm/rtcswarmConfigVersion.cmake
	install -m 644 LICENSE-MIT LICENSE-APACHE README.md CHANGELOG.md $(DESTDIR)$(DOCDIR)

uninstall:
	rm -f $(DESTDIR)$(INCLUDEDIR)/rtcswarm.h $(DESTDIR)$(INCLUDEDIR)/rtcswarm.hpp \
	  $(DESTDIR)$(LIBDIR)/$(REAL) $(DESTDIR)$(LIBDIR)/$(SONAME) $(DESTDIR)$(LIBDIR)/$(SHARED) \
	  $(DESTDIR)$(LIBDIR)/librtcswarm.a $(DESTDIR)$(LIBDIR)/pkgconfig/rtcswarm.pc $(DESTDIR)$(BINDIR)/rtcswarm-server
	rm -rf $(DESTDIR)$(LIBDIR)/cmake/rtcswarm $(DESTDIR)$(DOCDIR)
