# tests/umlike: examples/umlike, compared with Linux. The programs are static: they are what umlike runs.
UMLIKE_TEST_PROGRAMS := $(addprefix $(B)/tests/umlike/,semantics exhaust)
$(UMLIKE_TEST_PROGRAMS): $(B)/tests/umlike/%: tests/umlike/%.c tests/umlike/check.h
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -O1 -g $(WARN) -D_GNU_SOURCE -static $< -o $@
$(B)/tests/umlike/terminal: tests/umlike/terminal.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -O1 -g $(WARN) -D_GNU_SOURCE $< -o $@ -lutil
$(B)/tests/kvm/umlike: tests/umlike/run $(UMLIKE_TEST_PROGRAMS) $(B)/tests/umlike/terminal $(B)/polder \
		build/examples/umlike/umlike build/examples/umlike/initrd.cpio
	@mkdir -p $(@D)
	install $< $@
KVM_TESTS += $(B)/tests/kvm/umlike
