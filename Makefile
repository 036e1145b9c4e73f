# SPDX-License-Identifier: MIT
#
# For people: each target works as the first command after a clone, as it sees to the Debian
# packages that it needs (.packages) and to the build. All that it is about is meson's.
#
#   make            build below build/
#   make demo       see it work, in a temporary folder
#   make check      all tests
#   make bench      figures, beside those of others
#   make fuzz       look for input that breaks something; FUZZ_SECONDS=60 for each target
#   make faults     every call of the daemon and the library fails, at each of its uses
#   make vm         boot a machine, suspend it, set its clocks, and cut its power 500 times
#   make coverage   what the tests reach: build/coverage/report
#   make install    into the system; DESTDIR=DIR for a packager, who does the rest; PREFIX=DIR for
#                   another place than /usr/local, without root if you may write there
#   make uninstall  takes away what the last make install of this clone has installed
.PHONY: all check demo bench fuzz faults vm coverage install uninstall
.PHONY: packages-build packages-test packages-vm packages-bench
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)

# Where make install puts things; without it, where this build was configured for. No root is needed
# where one may write.
PREFIX ?=
INSTALL_SUDO = $(shell d='$(PREFIX)'; while [ -n "$$d" ] && [ ! -e "$$d" ]; do d=$${d%/*}; done; \
	[ -n "$$d" ] && [ -w "$$d" ] || echo '$(SUDO)')
BUILD = build
INSTALLED = $(BUILD)/meson-logs/install-log.txt
# Whether what was installed is known to this machine's systemd.
IS_SYSTEM = grep -qsE '^(/usr)?/lib/systemd/system/timerd.socket$$' $(INSTALLED)
HAS_SYSTEMD = [ -d /run/systemd/system ]

all: packages-build
	@[ -e build/build.ninja ] || meson setup build
	@meson compile -C build

demo: all
	@tests/demo build

check: packages-build packages-test packages-vm
	@tests/run-all

fuzz: packages-build packages-test
	@tests/fuzz/run

faults: packages-build packages-test
	@tests/relook build
	@$(MAKE) --no-print-directory all
	@meson test -C build --suite fault

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

# meson logs what it has installed. The system user stays, so that no other gets its number.
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

# Asks dpkg, and apt only for what is missing, so that it needs no network the second time.
packages-build packages-test packages-vm packages-bench:
	@command -v dpkg-query >/dev/null || { echo "not Debian: no package is installed"; exit; }; \
	missing=$$(comm -23 <(sed -n 's/^$(@:packages-%=%): *//p' .packages | tr ' ' '\n' | sort -u) \
		<(dpkg-query -W -f '$${db:Status-Status} $${Package}\n' | \
			sed -n 's/^installed //p' | sort -u)); \
	[ -z "$$missing" ] || { \
		$(SUDO) apt-get update; \
		$(SUDO) env DEBIAN_FRONTEND=noninteractive \
			apt-get install -y --no-install-recommends $$missing; \
	}
