# tests/kvm: the interface against the /dev/kvm at hand. `make check-kvm` runs them all; a program that finds no
# /dev/kvm exits 77, which is no failure here and is said aloud.

KVM_TEST_NAMES := errors maps faults copy threads signals fpu self fork apply allocator random boot_terminal
KVM_TEST_PROGRAMS := $(KVM_TEST_NAMES:%=$(B)/tests/kvm/%)
KVM_TESTS += $(KVM_TEST_PROGRAMS) $(B)/tests/kvm/bypass $(B)/tests/kvm/info $(B)/tests/kvm/boot
KVM_TEST_SHARED := $(B)/tests/kvm/sandbox.o $(B)/tests/kvm/snippets.o

$(B)/tests/kvm/snippets.o: tests/kvm/snippets.S
	@mkdir -p $(@D)
	$(CC) -c $< -o $@
$(KVM_TEST_PROGRAMS): $(B)/tests/kvm/%: $(B)/tests/kvm/test_%.o $(KVM_TEST_SHARED) $(B)/libpolder.a
	$(CC) $(CFLAGS_ALL) $(LDFLAGS) $^ -o $@ -lcmocka -pthread
# The test of stale translations, with a library that it must find fault with: see bypass.sh. The object that stands
# before the archive is taken instead of the one in it.
$(B)/tests/kvm/mm-bypass.o: monitor/mm.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) -DPOLDER_BYPASS_EDITS -c $< -o $@
$(B)/tests/kvm/threads-bypass: $(B)/tests/kvm/test_threads.o $(KVM_TEST_SHARED) $(B)/tests/kvm/mm-bypass.o $(B)/libpolder.a
	$(CC) $(CFLAGS_ALL) $(LDFLAGS) $^ -o $@ -lcmocka -pthread
$(B)/tests/kvm/bypass: tests/kvm/bypass.sh $(B)/tests/kvm/threads-bypass $(B)/polder
	install $< $@
$(B)/tests/kvm/info: tests/kvm/info.sh $(B)/polder
	@mkdir -p $(@D)
	install $< $@
$(B)/tests/kvm/boot_terminal: | $(B)/tests/kvm/boot
.SECONDARY: $(KVM_TEST_NAMES:%=$(B)/tests/kvm/test_%.o) $(KVM_TEST_SHARED)

kvm-tests: $(KVM_TESTS)

check-kvm: $(KVM_TESTS)
	@failed=; for t in $(KVM_TESTS); do \
	    $$t; status=$$?; \
	    case $$status in 0) ;; 77) echo "$$t: not run" ;; *) echo "$$t: exit status $$status"; failed="$$failed $$t" ;; esac; \
	done; \
	if [ -n "$$failed" ]; then echo "failed:$$failed"; exit 1; fi

.PHONY: kvm-tests check-kvm
