# tests/protocol: how page-table entries change. `hosted` is the library's own code in every order of its steps; see
# test_hosted.c. Those of its files whose order of steps matters are compiled with points.h.
#
# `shootdown.sh` has spin look at a model of what resident kernels do.
#
# broken/FILE-WHAT.sed makes FILE.c wrong. `broken-hosted` demands that each of them is found out.

PROTOCOL_FILES := mm mm_fault vcpu entry sandbox tables
PROTOCOL_BROKEN := $(patsubst tests/protocol/broken/%.sed,%,$(wildcard tests/protocol/broken/*.sed))
PROTOCOL_SHARED := $(patsubst %,build/tests/protocol/%.o,schedule machine test_hosted)
PROTOCOL_CFLAGS = -std=gnu11 -O2 -g $(WARN) -D_GNU_SOURCE -Iinclude -Imonitor -Itests/protocol
PROTOCOL_TESTS := build/tests/protocol/hosted build/tests/protocol/broken-hosted tests/protocol/shootdown.sh

build/tests/protocol/%.o: tests/protocol/%.c
	@mkdir -p $(@D)
	$(CC) $(PROTOCOL_CFLAGS) -MMD -MP -c $< -o $@

# $< as one of the library's files, with points; hint.h belongs behind vcpu.c.
compile-with-points = (cat $<; $(if $(findstring /vcpu,$<),cat tests/protocol/hint.h)) | \
	$(CC) $(PROTOCOL_CFLAGS) -include points.h -x c -c - -o $@
build/tests/protocol/steps/%.o: monitor/%.c $(wildcard monitor/*.h tests/protocol/*.h)
	@mkdir -p $(@D)
	$(compile-with-points)
build/tests/protocol/broken/%.c: tests/protocol/broken/%.sed $(PROTOCOL_FILES:%=monitor/%.c)
	@mkdir -p $(@D)
	sed -f $< monitor/$(firstword $(subst -, ,$*)).c >$@
	! cmp -s $@ monitor/$(firstword $(subst -, ,$*)).c || { echo "$<: changes nothing" >&2; rm $@; exit 1; }
build/tests/protocol/broken/%.o: build/tests/protocol/broken/%.c $(wildcard monitor/*.h tests/protocol/*.h)
	$(compile-with-points)

protocol-link = $(CC) -Wl,--wrap=pthread_mutex_lock,--wrap=pthread_mutex_unlock,--wrap=sched_yield \
	-Wl,--wrap=frame_alloc,--wrap=frame_alloc_block,--wrap=table_alloc,--wrap=table_alloc_root
build/tests/protocol/hosted: $(PROTOCOL_SHARED) $(PROTOCOL_FILES:%=build/tests/protocol/steps/%.o) build/libpolder.a
	$(protocol-link) $^ -o $@ -pthread
build/tests/protocol/broken/%.hosted: build/tests/protocol/broken/%.o $(PROTOCOL_SHARED) \
		$(PROTOCOL_FILES:%=build/tests/protocol/steps/%.o) build/libpolder.a
	$(protocol-link) $(filter-out build/tests/protocol/steps/$(firstword $(subst -, ,$*)).o,$^) -o $@ -pthread
.PRECIOUS: build/tests/protocol/broken/%.c build/tests/protocol/broken/%.o build/tests/protocol/steps/%.o
build/tests/protocol/broken/%.sed: tests/protocol/broken/%.sed
	@mkdir -p $(@D)
	cp $< $@
build/tests/protocol/broken-hosted: tests/protocol/broken.sh $(foreach suffix,hosted sed,$(PROTOCOL_BROKEN:%=build/tests/protocol/broken/%.$(suffix)))
	install $< $@

# `stress`: the same promise on real vCPUs, hosted and in a kernel (resident/stress). Its variants are linked with one of
# the library's files made wrong; the object that stands before the archive is taken instead of the one in it.
PROTOCOL_STRESS_BROKEN := mm-no-kick mm-host-stores mm-not-retired entry-loses-edits
PROTOCOL_STRESS_OBJ := build/tests/protocol/test_stress.o build/tests/protocol/patrol.o
PROTOCOL_KVM_SHARED := build/tests/kvm/sandbox.o build/tests/kvm/snippets.o
PROTOCOL_KVM_TESTS := build/tests/protocol/stress build/tests/protocol/broken-stress
build/tests/protocol/patrol.o: tests/protocol/patrol.S
	@mkdir -p $(@D)
	$(CC) -c $< -o $@
build/tests/protocol/stress: $(PROTOCOL_STRESS_OBJ) $(PROTOCOL_KVM_SHARED) build/libpolder.a
	$(CC) $^ -o $@ -lcmocka -pthread
build/tests/protocol/broken/%.plain.o: build/tests/protocol/broken/%.c
	$(CC) $(CFLAGS_ALL) -c $< -o $@
build/tests/protocol/broken/%.stress: build/tests/protocol/broken/%.plain.o $(PROTOCOL_STRESS_OBJ) $(PROTOCOL_KVM_SHARED) build/libpolder.a
	$(CC) $^ -o $@ -lcmocka -pthread
build/tests/protocol/broken-stress: tests/protocol/broken-stress.sh $(foreach suffix,stress sed,$(PROTOCOL_STRESS_BROKEN:%=build/tests/protocol/broken/%.$(suffix))) build/polder
	install $< $@
# patrol.S is ring 3's code there as well.
PROTOCOL_RESIDENT := stress
build/tests/resident/stress.kernel: $(patsubst %,build/tests/resident/obj/tests/protocol/%.o,test_stress.c patrol.S) \
		$$(RESIDENT_TEST_SHARED) build/libpolder-resident.a ld/resident.ld
	$(resident-kernel)
# make stress OPERATIONS=1000000: for as long as it takes.
stress: build/tests/protocol/stress
	OPERATIONS=$(or $(OPERATIONS),1000000) $<
.PHONY: stress
