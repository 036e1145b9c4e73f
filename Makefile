# SPDX-License-Identifier: MIT
#
# Shortcuts. Each target works as the first command after a clone: it installs the missing Debian
# packages (.packages) and configures the build. meson does everything else.
#
#   make            build in build/
#   make demo       a demonstration in a temporary folder
#   make check      all tests
#   make bench      figures of timerd and of other programs
#   make fuzz       search for input that causes a failure; FUZZ_SECONDS=60 for each target
#   make faults     tests in which each system or library call fails, at each of its uses
#   make vm         boot a machine, suspend it, set its clocks, and cut its power 500 times
#   make soak       three hosts of a fleet under faults, for 20 minutes; SOAK_SECONDS=1200
#   make check-threads  tests of the library under the thread sanitizer
#   make cross      unit tests on i386, aarch64, s390x and musl
#   make coverage   which code the tests reach: build/coverage/report
#   make install    install; PREFIX=DIR: below DIR instead of /usr/local, without root if you may
#                   write there; DESTDIR=DIR: for packages, changes nothing in the running system
#   make deb        Debian packages, in build/deb
#   make check-deb  install, upgrade, remove and purge these packages in a machine of their own
#   make uninstall  remove what the last `make install` of this clone installed
.PHONY: all check check-threads demo bench fuzz faults soak vm cross coverage install uninstall deb check-deb \
	packages-build packages-test packages-vm packages-bench packages-cross packages-deb
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)

# An empty PREFIX keeps the prefix that this build is configured with. sudo is used only if the user
# may not write there.
PREFIX ?=
INSTALL_SUDO = $(shell d='$(PREFIX)'; while [ -n "$$d" ] && [ ! -e "$$d" ]; do d=$${d%/*}; done; \
	[ -n "$$d" ] && [ -w "$$d" ] || echo '$(SUDO)')
SOAK_SECONDS ?= 1200
BUILD = build
INSTALLED = $(BUILD)/meson-logs/install-log.txt
# True if the units were installed in a folder that systemd reads.
IS_SYSTEM = grep -qsE '^(/usr)?/lib/systemd/system/timerd.socket$$' $(INSTALLED)
HAS_SYSTEMD = [ -d /run/systemd/system ]

all: packages-build
	@[ -e build/build.ninja ] || meson setup build
	@meson compile -C build

# Builds only what the demonstration needs: the tests take minutes to build.
demo: packages-build
	@[ -e build/build.ninja ] || meson setup build
	@meson compile -C build timerd timerqd toytimerctl example-tasks
	@tests/demo build

check: packages-build packages-test packages-vm
	@tests/run-all

fuzz: packages-build packages-test
	@tests/fuzz/run

faults: packages-build packages-test
	@tests/relook build
	@$(MAKE) --no-print-directory all
	@meson test -C build --suite fault

soak: packages-build packages-test
	@tests/relook build
	@$(MAKE) --no-print-directory all
	@meson test -C build test_fleet --verbose --timeout-multiplier 0 --test-args '$(SOAK_SECONDS)'

check-threads: packages-build packages-test
	@tests/threads

cross: packages-build packages-test packages-cross
	@tests/cross/run

vm: packages-build packages-test packages-vm
	@tests/relook build
	@$(MAKE) --no-print-directory all
	@meson test -C build --suite vm --print-errorlogs
	@tests/vm/power_cut --cuts 500 build/daemon/timerd build/daemon/timerqd \
		build/client-lib/toytimerctl build/tests/vm/vm-load

coverage: packages-build packages-test
	@tests/coverage

bench: packages-build packages-bench all
	@tests/bench/run build

deb: packages-build packages-deb
	@packaging/build-deb

check-deb: packages-test deb
	@tests/system/run build packages

install: packages-build
	@tests/relook build
	@$(MAKE) --no-print-directory all
	@[ -z '$(PREFIX)' ] || { meson configure build -Dprefix='$(PREFIX)'; meson compile -C build; }
ifdef DESTDIR
	meson install -C build --no-rebuild
else
	$(INSTALL_SUDO) meson install -C build --no-rebuild
	@! $(IS_SYSTEM) || { set -x; \
		$(SUDO) ldconfig; \
		$(SUDO) systemd-sysusers timerd.conf; \
		! $(HAS_SYSTEMD) || $(SUDO) systemctl daemon-reload; \
	}
	@! $(IS_SYSTEM) || { \
		echo; \
		echo "To start it now and at boot:    systemctl enable --now timerd.socket"; \
		echo "To start a user's own:          systemctl --user enable --now timerd.socket"; \
		echo "To replace one that runs:       systemctl restart timerd"; \
	}
endif

# meson logs what it has installed. The system user stays, so that no other user gets its uid.
uninstall:
	@[ -e $(INSTALLED) ] || { echo "make uninstall: this clone has installed nothing" >&2; exit 1; }
	@! { $(IS_SYSTEM) && $(HAS_SYSTEMD); } || { set -x; \
		$(SUDO) systemctl disable --now timerd.socket timerd.service; \
	}
	@sudo=; while read -r file; do \
		[ ! -e "$$file" ] || [ -w "$${file%/*}" ] || sudo='$(SUDO)'; \
	done <$(INSTALLED); \
	$$sudo ninja -C $(BUILD) uninstall
	@! $(IS_SYSTEM) || { set -x; \
		$(SUDO) ldconfig; \
		! $(HAS_SYSTEMD) || $(SUDO) systemctl daemon-reload; \
	}

# Asks dpkg which packages are missing, and installs only those. So the second time it needs no network.
packages-build packages-test packages-vm packages-bench packages-cross packages-deb:
	@command -v dpkg-query >/dev/null || { echo "this is not Debian: install the packages in .packages yourself"; exit; }; \
	missing=$$(comm -23 <(sed -n 's/^$(@:packages-%=%): *//p' .packages | tr ' ' '\n' | sort -u) \
		<(dpkg-query -W -f '$${db:Status-Status} $${Package}\n' | \
			sed -n 's/^installed //p' | sort -u)); \
	[ -z "$$missing" ] || { \
		$(SUDO) apt-get update; \
		$(SUDO) env DEBIAN_FRONTEND=noninteractive \
			apt-get install -y --no-install-recommends $$missing; \
	}
