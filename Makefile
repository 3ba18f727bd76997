# polder: libpolder, the polder program, their tests and measurements. GNU make.
#   make            build/polder, build/libpolder.a, build/libpolder.so, build/libpolder-resident.a
#   make demo       installs what is needed, builds, and shows a real program's system calls coming out of a KVM guest, and a kernel in one
#   make check      installs what is needed, builds, and runs every test, the nested suite included
#   make help       all targets

B := build
CC ?= gcc
PREFIX ?= /usr/local
WARN := -Wall -Wextra -Werror
OPT ?= -O2 -g
# SAN=address,undefined builds everything that runs on the host with sanitizers, into a folder of its own.
ifdef SAN
B := build/san
SANFLAGS := -fsanitize=$(SAN) -fno-omit-frame-pointer
endif
# FUZZ=1 is for `make fuzz`: the same, by clang, and watched by libFuzzer.
ifdef FUZZ
B := build/fuzz/built
CC := clang
SANFLAGS := -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
endif
CFLAGS_ALL = -std=gnu11 $(OPT) $(WARN) -D_GNU_SOURCE -Iinclude -Imonitor -I$(B) -MMD -MP $(SANFLAGS) $(CFLAGS)

# libpolder is everything in monitor/ (its name is its reason to change) but what belongs to the program alone;
# the program is monitor/main.c, monitor/cmd_*.c, the Linux personality, the machine of `polder boot` and its confinement.
LIB_SRC := $(filter-out monitor/main.c monitor/cmd_%.c monitor/kvm_probe.c,$(wildcard monitor/*.c)) $(wildcard monitor/proceed/*.c)
PROG_SRC := $(wildcard monitor/main.c monitor/cmd_*.c monitor/kvm_probe.c monitor/linux/*.c monitor/boot/*.c) \
	$(filter-out monitor/confine/generate.c,$(wildcard monitor/confine/*.c))
LIB_OBJ := $(LIB_SRC:%.c=$(B)/%.o) $(B)/monitor/stub_image.o
PIC_OBJ := $(LIB_OBJ:%.o=%.pic.o)
PROG_OBJ := $(PROG_SRC:%.c=$(B)/%.o) $(B)/guest-stub/early.o

all: $(B)/libpolder.a $(B)/libpolder.so $(B)/polder.pc $(B)/polder build/libpolder-resident.a build/polder-resident.pc

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) -c $< -o $@
$(B)/%.pic.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) -fPIC -fvisibility=hidden -c $< -o $@

include $(wildcard uml/module.mk guest-stub/*/module.mk tests/*/module.mk bench/module.mk examples/module.mk examples/*/module.mk)

# The stub: assembled, linked flat, and carried in the library as bytes. Its size is told at every build.
$(B)/guest-stub/stub.o: guest-stub/stub.S include/polder/abi.h
	@mkdir -p $(@D)
	$(CC) -Iinclude -c $< -o $@
$(B)/stub.bin: $(B)/guest-stub/stub.o ld/stub.ld
	$(LD) -T ld/stub.ld $< -o $(B)/guest-stub/stub.elf
	$(OBJCOPY) -O binary -j .text $(B)/guest-stub/stub.elf $@
	@echo "stub: $$(stat -c %s $@) of 8192 bytes, native trap $$($(OBJDUMP) -d --no-show-raw-insn $< | awk '/<native_syscall>:/{f=1;next} /<native_trap>:/{f=0} /<native_save>:/{f=1} /<native_resume>/{f=0} f&&/^ /{n++} END{print n}') instructions, synchronised 1"
$(B)/monitor/stub_image.o $(B)/monitor/stub_image.pic.o: guest-stub/image.S $(B)/stub.bin
	@mkdir -p $(@D)
	$(CC) -I$(B) -c $< -o $@
# The first traps of a kernel that `polder boot` runs: a page of bytes in the program.
$(B)/guest-stub/early.o: guest-stub/early.S include/polder/abi.h monitor/boot/early.h
	@mkdir -p $(@D)
	$(CC) -Iinclude -Imonitor -c $< -o $@
# The filters of system calls, as C: made by libseccomp from lists and the library's table of calls.
$(B)/confine-generate: $(B)/monitor/confine/generate.o $(B)/libpolder.a
	$(CC) $(SANFLAGS) $(LDFLAGS) $^ -o $@ -lseccomp -pthread
$(B)/confine_filters.h: $(B)/confine-generate
	$< >$@.new
	mv $@.new $@
$(B)/monitor/confine/filter.o: $(B)/confine_filters.h
OBJCOPY ?= objcopy
OBJDUMP ?= objdump

$(B)/libpolder.a: $(LIB_OBJ)
	@rm -f $@
	$(AR) rcs $@ $^
$(B)/libpolder.so: $(PIC_OBJ) ld/libpolder.map
	$(CC) $(SANFLAGS) -shared -Wl,-soname,libpolder.so.0 -Wl,--version-script=ld/libpolder.map -Wl,-z,defs,-z,now,-z,relro -o $@ $(PIC_OBJ) $(if $(SANFLAGS),-Wl,-z,undefs)
# The program is static and position-independent: the kernel then puts it, its heap and its stack into the upper part of
# the address space, where no program that it runs wants to be. A sanitizer's run-time cannot be linked like that.
$(B)/polder: $(PROG_OBJ) $(B)/libpolder.a
	$(CC) $(SANFLAGS) $(LDFLAGS) $(if $(SANFLAGS),-pie,-static-pie) $(PROG_OBJ) $(B)/libpolder.a -o $@ -lfdt -lelf -lz -pthread
$(PROG_OBJ): CFLAGS += -fPIE
$(B)/polder.pc: Makefile
	@mkdir -p $(@D)
	printf 'prefix=$(PREFIX)\nlibdir=$${prefix}/lib\nincludedir=$${prefix}/include\n\nName: polder\nDescription: Address-space descriptors and run_sandbox on KVM\nVersion: 0.1.0\nLibs: -L$${libdir} -lpolder\nCflags: -I$${includedir}\n' > $@

# For kernels: pkg-config --cflags --libs polder-resident.
build/polder-resident.pc: Makefile guest-stub/resident/module.mk
	@mkdir -p $(@D)
	printf 'prefix=$(PREFIX)\nlibdir=$${prefix}/lib\nincludedir=$${prefix}/include\n\nName: polder-resident\nDescription: polder inside the guest, for kernels that polder boot runs\nVersion: 0.1.0\nLibs: $(subst -T ld/resident.ld,,$(KERNEL_LDFLAGS)) -L$${libdir} -T polder/resident.ld -lpolder-resident\nCflags: $(KERNEL_ABI_CFLAGS) -I$${includedir}\n' > $@

clean:
	rm -rf build
.PHONY: all clean
-include $(shell find $(B) -name '*.d' 2>/dev/null)

# ---- Packages. Installed only if something is missing, so that this is quick and needs no network afterwards.
# make check compares these programs with themselves, natively and in a sandbox; QEMU and cpio are for tests/nested.
DEPS := gcc libc6-dev binutils make pkg-config libcmocka-dev libseccomp-dev libelf-dev libfdt-dev libbsd-dev strace \
	busybox-static coreutils diffutils findutils gawk sed grep xz-utils perl python3 sqlite3 bc \
	qemu-system-x86 cpio device-tree-compiler spin
LINT_DEPS := shellcheck clang-format
FUZZ_DEPS := clang libclang-rt-dev
install-packages = @missing=; for p in $(1); do \
		dpkg-query -W -f '$${db:Status-Status}' $$p 2>/dev/null | grep -qx installed || missing="$$missing $$p"; \
	done; \
	test -z "$$missing" || { \
		command -v apt-get >/dev/null || { echo "polder: no apt-get here; please install what Debian calls$$missing" >&2; exit 1; }; \
		test "$$(id -u)" = 0 || root=sudo; \
		echo "polder: installing$$missing"; \
		$$root apt-get update -q && \
		$$root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $$missing; \
	}
deps:
	$(call install-packages,$(DEPS))

# ---- A real program's system calls coming out of a KVM guest, and a kernel in one that runs programs.
DEMO := build/polder info && echo && echo '$$ polder trace ls -l LICENSE' && build/polder trace ls -l LICENSE && \
	echo && echo '$$ polder boot --initrd initrd.cpio --append INIT umlike' && \
	build/polder boot --initrd build/examples/umlike/initrd.cpio --append 'init=/bin/sh -- -c "uname -a; seq 1000 | sort -rn | head -1"' \
		build/examples/umlike/umlike
demo: deps
	@$(MAKE) --no-print-directory -j$$(nproc) all umlike
	@if (: <>/dev/kvm) 2>/dev/null; then $(DEMO); else \
		echo "/dev/kvm cannot be used on this machine: here is the demonstration in an emulated machine that has one."; \
		tests/nested/run -f LICENSE "$(subst $$,\$$,$(subst ",\",$(DEMO)))"; \
	fi

# ---- Tests. The lists are made by tests/*/module.mk. TESTS=part-of-a-name narrows every one of these targets, and
# KIND=npt or KIND=npt0 the nested machine.
# What umlike shows of the monitor, kvm/boot shows too, and sooner.
SAN_TESTS := $(patsubst build/%,build/san/%,$(UNIT_TESTS) $(FUZZ_TESTS) $(filter-out %/umlike %/resident_inject,$(KVM_TESTS)))
export NESTED_TESTS := $(KVM_TESTS) $(PROTOCOL_KVM_TESTS) $(RESIDENT_TESTS) $(if $(PROGRAM_TESTS),tests/programs/run) $(UML_TESTS)
export TESTS KIND
tests: all $(UNIT_TESTS) $(FUZZ_TESTS) $(PROTOCOL_TESTS) $(PROTOCOL_KVM_TESTS) $(KVM_TESTS) $(RESIDENT_TESTS) $(PROGRAM_TESTS)
san-tests:
	@$(MAKE) --no-print-directory SAN=address,undefined $(SAN_TESTS)
check: deps uml-deps
	@$(MAKE) --no-print-directory -j$$(nproc) tests san-tests uml-tests
	@tests/run $(UNIT_TESTS) $(NESTED_TESTS) $(FUZZ_TESTS) $(PROTOCOL_TESTS) tests/install/run $(SAN_TESTS) tests/nested/suite
check-host: tests
	@tests/run $(UNIT_TESTS) $(NESTED_TESTS) $(FUZZ_TESTS) $(PROTOCOL_TESTS) tests/install/run
check-asan: san-tests
	@tests/run $(SAN_TESTS)
check-nested: tests
	@tests/run tests/nested/suite

# ---- Installing.
libdir := $(DESTDIR)$(PREFIX)/lib
INSTALLED = $(DESTDIR)$(PREFIX)/bin/polder $(libdir)/libpolder.a $(libdir)/libpolder.so $(libdir)/libpolder.so.0 \
	$(libdir)/libpolder-resident.a $(libdir)/polder/resident.ld $(libdir)/pkgconfig/polder-resident.pc \
	$(libdir)/pkgconfig/polder.pc $(patsubst include/%,$(DESTDIR)$(PREFIX)/include/%,$(wildcard include/polder/*.h)) \
	$(foreach page,$(wildcard docs/man/*.[1-8]),$(DESTDIR)$(PREFIX)/share/man/man$(subst .,,$(suffix $(page)))/$(notdir $(page)))
install: all
	install -d $(sort $(dir $(INSTALLED)))
	install $(B)/polder $(DESTDIR)$(PREFIX)/bin/
	install -m 644 $(B)/libpolder.a build/libpolder-resident.a $(libdir)/
	install -m 644 ld/resident.ld $(libdir)/polder/
	install -m 644 $(B)/libpolder.so $(libdir)/libpolder.so.0
	ln -sf libpolder.so.0 $(libdir)/libpolder.so
	for pc in $(B)/polder.pc build/polder-resident.pc; do \
		sed 's,^prefix=.*,prefix=$(PREFIX),' $$pc > $(libdir)/pkgconfig/$$(basename $$pc); \
	done
	install -m 644 include/polder/*.h $(DESTDIR)$(PREFIX)/include/polder/
	for page in $(wildcard docs/man/*.[1-8]); do install -m 644 $$page $(DESTDIR)$(PREFIX)/share/man/man$${page##*.}/; done
uninstall:
	rm -f $(INSTALLED)
	-rmdir $(DESTDIR)$(PREFIX)/include/polder

# ---- Form. Not part of check: releases of clang-format do not agree with each other.
SCRIPTS := tests/run tests/nested/kernel tests/nested/run tests/nested/suite tests/nested/init \
	tests/programs/run tests/programs/guest-files tests/install/run tests/boot/boot.sh tests/resident/boot.sh \
	tests/umlike/run tests/confine/policy.sh tests/protocol/broken.sh tests/protocol/broken-stress.sh tests/protocol/shootdown.sh examples/hello.sh examples/bothways.sh examples/umlike/init uml/build uml/boot uml/init \
	tests/uml/run tests/uml/long tests/uml/driver tests/uml/init $(filter-out %.py,$(wildcard tests/uml/scripts/*)) bench/uml/make bench/uml/python bench/uml/root bench/uml/compiler .ci/run
SOURCES = $(shell git ls-files '*.c' '*.h')
lint:
	$(call install-packages,$(LINT_DEPS))
	shellcheck $(SCRIPTS)
	clang-format --dry-run -Werror $(SOURCES)
format:
	$(call install-packages,$(LINT_DEPS))
	clang-format -i $(SOURCES)

help:
	@echo 'make              build/polder, build/libpolder.a, .so and build/libpolder-resident.a'
	@echo 'make demo         install packages, build, and see the system calls of a real program come out of a KVM guest'
	@echo 'make check        install packages, build, and run every test: here, with sanitizers, and in the nested machine'
	@echo 'make check-host   the unit, kvm and program tests here only'
	@echo 'make check-asan   the unit and kvm tests here, built with address and undefined-behaviour sanitizers'
	@echo 'make check-nested the tests in an emulated machine, with nested and with shadow paging; needs neither root nor KVM'
	@echo '                  TESTS=kvm/faults narrows all of these, KIND=npt or KIND=npt0 the last'
	@echo 'make fuzz         clang and libFuzzer on what reads hostile bytes, for a minute each; TARGET=elf SECONDS=600 for one'
	@echo 'make deps         install the Debian packages that all this needs'
	@echo 'make uml          user-mode Linux on libpolder: build/uml/linux; uml/boot boots it'
	@echo 'make uml-demo     a shell in it, or a show where there is no terminal; make check-uml tests it at length'
	@echo 'make install      with DESTDIR= and PREFIX= (/usr/local); make uninstall'
	@echo 'make lint         shellcheck and clang-format; make format'
	@echo 'make clean        remove build/ (downloads stay in .cache/)'
.PHONY: deps demo tests san-tests check check-host check-asan check-nested install uninstall lint format help
