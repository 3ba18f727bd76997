# tests/hostile: what ring 3 can try, against the hosted library (hostile/NAME) and in a kernel that has the run-time
# inside the guest (resident/hostile-NAME). Each test_NAME.c is both, but those of HOSTILE_HOSTED; code_NAME.S is its code
# of ring 3, where it has any that bytes in C cannot say.
HOSTILE_HOSTED := files limits
HOSTILE_NAMES := $(patsubst tests/hostile/test_%.c,%,$(wildcard tests/hostile/test_*.c))
HOSTILE_RESIDENT := $(filter-out $(HOSTILE_HOSTED),$(HOSTILE_NAMES))
HOSTILE_PROGRAMS := $(HOSTILE_NAMES:%=$(B)/tests/hostile/%)
HOSTILE_SHARED := $(B)/tests/hostile/attack.o $(B)/tests/hostile/innocent.o
hostile_random_code := tests/hostile/instructions.c
# What else a test is made of.
hostile_parts = $(wildcard tests/hostile/code_$(1).S) $(hostile_$(1))

$(B)/tests/hostile/%.o: tests/hostile/%.S
	@mkdir -p $(@D)
	$(CC) -Iinclude -MMD -MP -c $< -o $@
.SECONDEXPANSION:
$(HOSTILE_PROGRAMS): $(B)/tests/hostile/%: $(B)/tests/hostile/test_%.o $$(addsuffix .o,$$(addprefix $(B)/,$$(basename $$(call hostile_parts,$$*)))) \
		$(HOSTILE_SHARED) $$(KVM_TEST_SHARED) $(B)/libpolder.a
	$(CC) $(CFLAGS_ALL) $(LDFLAGS) $^ -o $@ -lcmocka -pthread
KVM_TESTS += $(HOSTILE_PROGRAMS)

HOSTILE_RESIDENT_SHARED := build/tests/resident/obj/tests/hostile/attack.c.o build/tests/resident/obj/tests/hostile/innocent.S.o
$(HOSTILE_RESIDENT:%=build/tests/resident/hostile-%.kernel): build/tests/resident/hostile-%.kernel: \
		build/tests/resident/obj/tests/hostile/test_%.c.o \
		$$(addsuffix .o,$$(addprefix build/tests/resident/obj/,$$(call hostile_parts,$$*))) \
		$(HOSTILE_RESIDENT_SHARED) $$(RESIDENT_TEST_SHARED) build/libpolder-resident.a ld/resident.ld
	$(resident-kernel)
.SECONDARY: $(HOSTILE_NAMES:%=$(B)/tests/hostile/test_%.o) $(HOSTILE_SHARED)
