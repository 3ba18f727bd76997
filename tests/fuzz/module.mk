# tests/fuzz: a target for each fuzz_*.c. `make check` replays seeds and mutations of them (driver.c), `make fuzz` feeds
# clang's libFuzzer for as long as one likes.
FUZZ_NAMES := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_TESTS := $(FUZZ_NAMES:%=$(B)/tests/fuzz/%)
FUZZ_SHARED := $(B)/tests/fuzz/failed.o $(if $(FUZZ),,$(B)/tests/fuzz/driver.o)
FUZZ_BOOT = $(patsubst %,$(B)/monitor/boot/%.o,$(1))

$(B)/tests/fuzz/elf: $(patsubst %,$(B)/monitor/linux/%.o,elf load)
$(B)/tests/fuzz/frame: $(B)/monitor/linux/frame.o
$(B)/tests/fuzz/strace: $(B)/tests/unit/linux.a $(B)/libpolder.a
$(B)/tests/fuzz/image: $(call FUZZ_BOOT,image symbols message)
$(B)/tests/fuzz/image: LDLIBS += -lelf -lz
$(B)/tests/fuzz/device_tree: $(call FUZZ_BOOT,device_tree)
$(B)/tests/fuzz/device_tree: LDLIBS += -lfdt
COMMA := ,
# KVM and what of the host would wait, print or start threads is played by the target.
$(B)/tests/fuzz/machine: $(call FUZZ_BOOT,hypercall ram console windows walk layout device_tree cpu report image symbols) \
	$(B)/monitor/area.o $(B)/guest-stub/early.o
$(B)/tests/fuzz/machine: LDLIBS += -lfdt -lelf -lz
$(B)/tests/fuzz/machine: LDFLAGS += $(patsubst %,-Wl$(COMMA)--wrap=%,mmap munmap poll ppoll read write fwrite pthread_create pthread_sigmask \
	sem_wait sem_post)
# Spaces on a CPU that is played; and again on the one at hand, as a test of kvm/.
FUZZ_SOFT := kvm vcpu entry flavour_native flavour_synchronised sandbox stub_image
$(B)/tests/fuzz/apply: $(B)/tests/fuzz/soft_cpu.o $(filter-out $(FUZZ_SOFT:%=$(B)/monitor/%.o) $(B)/monitor/proceed/%,$(LIB_OBJ))
KVM_TESTS += $(B)/tests/kvm/fuzz_apply
$(B)/tests/fuzz/driver_kvm.o: tests/fuzz/driver.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) -DFUZZ_PART=25 -c $< -o $@
$(B)/tests/kvm/fuzz_apply: $(B)/tests/fuzz/fuzz_apply.o $(B)/tests/fuzz/failed.o $(B)/tests/fuzz/driver_kvm.o $(B)/libpolder.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) $(LDFLAGS) $^ -o $@ -pthread
# Pieces of kernels: compiled as such, but for where everything else here runs.
FUZZ_KERNEL_CFLAGS = -std=gnu11 $(OPT) $(WARN) -ffreestanding -Iinclude $(1) -MMD -MP $(SANFLAGS) $(CFLAGS)
$(B)/tests/fuzz/umlike/%.o: examples/umlike/%.c
	@mkdir -p $(@D)
	$(CC) $(call FUZZ_KERNEL_CFLAGS) -c $< -o $@
$(B)/tests/fuzz/resident/%.o: guest-stub/resident/%.c
	@mkdir -p $(@D)
	$(CC) $(call FUZZ_KERNEL_CFLAGS,-Iguest-stub/resident -Imonitor) -c $< -o $@
$(B)/tests/fuzz/fuzz_cpio.o: CFLAGS_ALL = $(call FUZZ_KERNEL_CFLAGS,-Iexamples/umlike)
$(B)/tests/fuzz/fuzz_tree.o: CFLAGS_ALL = $(call FUZZ_KERNEL_CFLAGS,-Iguest-stub/resident -Imonitor)
$(B)/tests/fuzz/cpio: $(patsubst %,$(B)/tests/fuzz/umlike/%.o,cpio path ramfs string)
$(B)/tests/fuzz/tree: $(B)/tests/fuzz/resident/machine.o
$(B)/tests/fuzz/tree: LDLIBS += -lfdt

$(FUZZ_TESTS): $(B)/tests/fuzz/%: $(B)/tests/fuzz/fuzz_%.o $(FUZZ_SHARED)
	$(CC) $(CFLAGS_ALL) $(if $(FUZZ),-fsanitize=fuzzer) $(LDFLAGS) $^ -o $@ $(LDLIBS) -pthread
.SECONDARY: $(FUZZ_NAMES:%=$(B)/tests/fuzz/fuzz_%.o) $(FUZZ_SHARED)

# By hand. What libFuzzer has found to be worth keeping stays in build/fuzz/NAME, what ended a target is left there too.
FUZZ_SECONDS = $(or $(SECONDS),60)
fuzz:
	$(call install-packages,$(FUZZ_DEPS))
	@$(MAKE) --no-print-directory FUZZ=1 fuzz-run
fuzz-run: $(addprefix $(B)/tests/fuzz/,$(or $(TARGET),$(FUZZ_NAMES)))
	@for program in $^; do \
		name=$${program##*/}; kept=build/fuzz/$$name; mkdir -p $$kept/corpus; \
		echo "fuzz: $$name for $(FUZZ_SECONDS) s"; \
		ASAN_OPTIONS=detect_leaks=1 nice -n 10 $$program -max_total_time=$(FUZZ_SECONDS) -max_len=4096 -timeout=20 -rss_limit_mb=4096 \
			-print_final_stats=1 -verbosity=1 -artifact_prefix=$$kept/ $$kept/corpus tests/fuzz/seeds/$$name >$$kept/log 2>&1 || { \
			tail -n 60 $$kept/log; \
			echo "fuzz: $$name died; $$program FILE repeats it, FILE being one of:"; ls -t $$kept/*-* | head -n 3; exit 1; \
		}; \
		grep -E 'DONE|number_of_executed_units' $$kept/log; \
	done
.PHONY: fuzz fuzz-run
