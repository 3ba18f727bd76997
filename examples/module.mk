# examples: programs of the README, built with the library and run by the tests; what they print is compared.
$(B)/examples/hello: examples/hello.c $(B)/libpolder.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) $(LDFLAGS) $^ -o $@ -pthread
$(B)/tests/kvm/example: examples/hello.sh $(B)/examples/hello
	@mkdir -p $(@D)
	install $< $@
KVM_TESTS += $(B)/tests/kvm/example
