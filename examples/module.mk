# examples: programs of the README, built with the library and run by the tests; what they print is compared.
EXAMPLES := $(B)/examples/hello $(B)/examples/bothways $(B)/examples/bothways-kernel
$(B)/examples/hello $(B)/examples/bothways: $(B)/examples/%: examples/%.c $(B)/libpolder.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) $(LDFLAGS) $^ -o $@ -pthread
# The same source as a kernel.
$(B)/examples/bothways-kernel: examples/bothways.c build/libpolder-resident.a ld/resident.ld
	@mkdir -p $(@D)
	$(CC) $(KERNEL_CFLAGS) $(KERNEL_LDFLAGS) $(filter %.c %.a,$^) -o $@
$(B)/tests/kvm/example: examples/hello.sh $(B)/examples/hello
	@mkdir -p $(@D)
	install $< $@
$(B)/tests/kvm/bothways: examples/bothways.sh $(B)/examples/bothways $(B)/examples/bothways-kernel $(B)/polder
	@mkdir -p $(@D)
	install $< $@
KVM_TESTS += $(B)/tests/kvm/example $(B)/tests/kvm/bothways
