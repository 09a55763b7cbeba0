# The Python package as others get it; included by the Makefile.
#
#   make wheel        dist/*.whl and the sdist. The wheel's name says which glibc it needs; that of this system, mostly
#   make zig          puts zig into the environment of the tests; from then on `make wheel` builds against glibc 2.17,
#                     which is a whole build of its own
#
# RTCSWARM_LIBRARY names a library that is built already.

DIST ?= dist

.PHONY: wheel zig

wheel: $(VENV)/ready
	$(VENV)/bin/python scripts/wheel.py --out $(DIST)

zig: $(VENV)/ready
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -r bindings/python/requirements-wheel.txt
