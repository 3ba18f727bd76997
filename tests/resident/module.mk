# tests/resident: kernels that `polder boot` runs, and a program for each that runs it, so that tests/run need know
# nothing of them. Those of RESIDENT_SAME are the hosted library's own tests, tests/kvm/test_*.c, compiled against the
# run-time inside the guest and the shim; the others are of the run-time alone.
RESIDENT_SAME := apply maps copy faults errors random self fpu threads signals
RESIDENT_OWN := cpus privileged time memory references once
# tests/protocol's and tests/hostile's, which are both as well; named by their module.mk, whose rules make the kernels.
RESIDENT_HOSTILE := $(HOSTILE_RESIDENT:%=hostile-%)
RESIDENT_TESTS := $(patsubst %,build/tests/resident/%,$(RESIDENT_SAME) $(RESIDENT_OWN) $(RESIDENT_HOSTILE) $(PROTOCOL_RESIDENT))
resident_cpus = $(if $(filter threads stress hostile-holes hostile-loops signals fpu errors self cpus references,$(1)),4,1)
resident_memory = $(if $(filter memory,$(1)),16M,$(if $(filter hostile-many,$(1)),32M,256M))

RESIDENT_TEST_CFLAGS := $(KERNEL_CFLAGS) -nostdinc -isystem $(shell $(CC) -print-file-name=include) \
	-Itests/resident/shim -Itests/resident -Itests/kvm -Itests/hostile
RESIDENT_TEST_SHARED := $(patsubst %,build/tests/resident/obj/%.o,$(wildcard tests/resident/shim/*.c tests/resident/shim/*.S) tests/resident/code.S \
	tests/kvm/sandbox.c tests/kvm/snippets.S)

build/tests/resident/obj/%.c.o: %.c
	@mkdir -p $(@D)
	$(CC) $(RESIDENT_TEST_CFLAGS) -MMD -MP -c $< -o $@
build/tests/resident/obj/%.S.o: %.S
	@mkdir -p $(@D)
	$(CC) -Iinclude -MMD -MP -c $< -o $@
resident-kernel = $(CC) $(KERNEL_LDFLAGS) $(filter %.o %.a,$^) -o $@
$(RESIDENT_SAME:%=build/tests/resident/%.kernel): build/tests/resident/%.kernel: \
		build/tests/resident/obj/tests/kvm/test_%.c.o $(RESIDENT_TEST_SHARED) build/libpolder-resident.a ld/resident.ld
	$(resident-kernel)
$(RESIDENT_OWN:%=build/tests/resident/%.kernel): build/tests/resident/%.kernel: \
		build/tests/resident/obj/tests/resident/test_%.c.o $(RESIDENT_TEST_SHARED) build/libpolder-resident.a ld/resident.ld
	$(resident-kernel)
$(RESIDENT_TESTS): build/tests/resident/%: tests/resident/boot.sh build/tests/resident/%.kernel build/polder
	@mkdir -p $(@D)
	sed 's/@CPUS@/$(call resident_cpus,$*)/; s/@MEMORY@/$(call resident_memory,$*)/' $< >$@
	chmod +x $@
.SECONDARY: $(RESIDENT_TESTS:=.kernel)
.PRECIOUS: build/tests/resident/obj/%.o
