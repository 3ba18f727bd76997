# tests/confine: what polder gives up before its guest runs, and what --allow and --deny do. Runs as kvm/confine and
# kvm/policy.
CONFINE_TEST_OBJ := $(patsubst %,$(B)/monitor/confine/%.o,confine filter landlock)
$(B)/tests/kvm/confine: $(B)/tests/confine/test_confine.o $(CONFINE_TEST_OBJ) | $(B)/polder $(B)/tests/kvm/boot
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) $(LDFLAGS) $^ -o $@ -lcmocka
.SECONDARY: $(B)/tests/confine/test_confine.o
# It runs in a sandbox, and is the same whatever polder is built with.
$(B)/tests/confine/calls: tests/confine/calls.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -O1 -g $(WARN) -nostdlib -static -ffreestanding -fno-stack-protector -fno-pie -no-pie $< -o $@
$(B)/tests/kvm/policy: tests/confine/policy.sh $(B)/tests/confine/calls $(B)/polder
	@mkdir -p $(@D)
	install $< $@
KVM_TESTS += $(B)/tests/kvm/confine $(B)/tests/kvm/policy
