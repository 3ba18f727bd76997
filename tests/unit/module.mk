# tests/unit: pieces that need no KVM, one program for each test_*.c. The personality's objects go into an archive, so that
# a test is linked with what it uses and nothing else.

UNIT_TEST_NAMES := $(patsubst tests/unit/test_%.c,%,$(wildcard tests/unit/test_*.c))
UNIT_TESTS := $(UNIT_TEST_NAMES:%=$(B)/tests/unit/%)
UNIT_LINUX_OBJ := $(patsubst %.c,$(B)/%.o,$(wildcard monitor/linux/*.c))

$(B)/tests/unit/linux.a: $(UNIT_LINUX_OBJ)
	@mkdir -p $(@D)
	@rm -f $@
	$(AR) rcs $@ $^
# What `polder boot` makes of a kernel's file.
$(B)/tests/unit/boot_image: LDLIBS += -lelf -lz
$(B)/tests/unit/boot_image: $(B)/monitor/boot/image.o $(B)/monitor/boot/symbols.o $(B)/monitor/boot/message.o
# host_call is the host's side of polder_proceed: this test plays it.
$(B)/tests/unit/proceed: LDFLAGS += -Wl,--wrap=host_call
$(UNIT_TESTS): $(B)/tests/unit/%: $(B)/tests/unit/test_%.o $(B)/tests/unit/linux.a $(B)/libpolder.a
	$(CC) $(CFLAGS_ALL) $(LDFLAGS) $^ -o $@ -lcmocka $(LDLIBS) -pthread
.SECONDARY: $(UNIT_TEST_NAMES:%=$(B)/tests/unit/test_%.o)

unit-tests: $(UNIT_TESTS)
.PHONY: unit-tests
