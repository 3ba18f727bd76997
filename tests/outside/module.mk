# tests/outside: what comes from outside, signals and faults of the kernel and of KVM.
# The library's parts and libc, with a wrapper between them that fails to order: inject.c.
OUTSIDE_WRAPPED := record_alloc table_alloc tables_alloc_fixed frame_alloc frame_alloc_block mmap mprotect munmap madvise \
	open fcntl pipe2 epoll_create1 epoll_ctl memfd_create ftruncate read pread pwrite ioctl pthread_key_create pthread_atfork
OUTSIDE_INJECTED := $(addprefix $(B)/tests/outside/,inject kvm)

$(OUTSIDE_INJECTED): LDFLAGS += $(OUTSIDE_WRAPPED:%=-Wl,--wrap=%)
$(OUTSIDE_INJECTED): $(B)/tests/outside/%: $(B)/tests/outside/test_%.o $(B)/tests/outside/inject.o $(B)/tests/kvm/sandbox.o \
		$(B)/tests/kvm/snippets.o $(B)/libpolder.a
	$(CC) $(CFLAGS_ALL) $(LDFLAGS) $^ -o $@ -lcmocka -pthread
$(addprefix $(B)/tests/outside/,device streams refused): $(B)/tests/outside/%: $(B)/tests/outside/test_%.o $(B)/tests/kvm/sandbox.o $(B)/tests/kvm/snippets.o \
		$(B)/libpolder.a $(B)/polder | $(B)/tests/kvm/boot
	$(CC) $(CFLAGS_ALL) $(LDFLAGS) $(filter %.o %.a,$^) -o $@ -lcmocka -lutil -pthread
$(B)/tests/outside/soak: $(B)/tests/outside/test_soak.o $(B)/tests/kvm/sandbox.o $(B)/tests/kvm/snippets.o $(B)/libpolder.a
	$(CC) $(CFLAGS_ALL) $(LDFLAGS) $^ -o $@ -lcmocka -pthread
.SECONDARY: $(patsubst tests/outside/%.c,$(B)/tests/outside/%.o,$(wildcard tests/outside/*.c))

# The program itself among such wrappers, and some more.
OUTSIDE_PROGRAM_WRAPPED := malloc calloc aligned_alloc reallocarray eventfd signalfd pthread_create
$(B)/tests/outside/refused: | $(B)/tests/outside/polder-refused
$(B)/tests/outside/polder-refused: $(PROG_OBJ) $(B)/tests/outside/inject.o $(B)/tests/outside/refused.o $(B)/libpolder.a
	$(CC) $(SANFLAGS) $(LDFLAGS) $(if $(SANFLAGS),-pie,-static-pie) $(patsubst %,-Wl$(comma)--wrap=%,$(OUTSIDE_WRAPPED) \
		$(OUTSIDE_PROGRAM_WRAPPED)) $^ -o $@ -lfdt -lelf -lz -pthread
$(B)/tests/outside/polder-refused: CFLAGS += -fPIE
comma := ,
# The same for the run-time inside the guest, from its objects: in the archive its names are local.
OUTSIDE_RESIDENT_WRAPPED := frame_alloc frame_alloc_zeroed table_alloc root_alloc record_alloc
build/tests/outside/resident_inject.kernel: build/tests/resident/obj/tests/outside/kernel_inject.c.o $$(RESIDENT_TEST_SHARED) \
		$(RESIDENT_OBJ) ld/resident.ld
	$(CC) $(KERNEL_LDFLAGS) $(OUTSIDE_RESIDENT_WRAPPED:%=-Wl,--wrap=%) $(filter %.o,$^) "$$($(CC) -print-file-name=libfdt.a)" -o $@
build/tests/outside/resident_inject: tests/resident/boot.sh build/tests/outside/resident_inject.kernel build/polder
	sed 's/@CPUS@/1/; s/@MEMORY@/64M/' $< >$@
	chmod +x $@
$(B)/tests/outside/soak.kernel: build/tests/resident/obj/tests/outside/kernel_soak.c.o $$(RESIDENT_TEST_SHARED) \
		build/libpolder-resident.a ld/resident.ld
	@mkdir -p $(@D)
	$(resident-kernel)
$(B)/tests/outside/soak_resident: $(B)/tests/outside/test_soak_resident.o $(B)/tests/kvm/sandbox.o $(B)/tests/kvm/snippets.o \
		$(B)/libpolder.a | $(B)/tests/outside/soak.kernel $(B)/polder
	$(CC) $(CFLAGS_ALL) $(LDFLAGS) $^ -o $@ -lcmocka -pthread

OUTSIDE_TESTS := $(OUTSIDE_INJECTED) $(addprefix $(B)/tests/outside/,device streams refused soak soak_resident)
KVM_TESTS += $(OUTSIDE_TESTS) build/tests/outside/resident_inject

# Ten minutes of either, by hand.
SOAK_SECONDS ?= 600
soak: $(B)/tests/outside/soak $(B)/tests/outside/soak_resident
	SOAK_SECONDS=$(SOAK_SECONDS) $(B)/tests/outside/soak
	SOAK_SECONDS=$(SOAK_SECONDS) $(B)/tests/outside/soak_resident
.PHONY: soak
