# The programs of tests/programs/cases that no package has, and what tests/programs/run needs. They are ordinary programs
# and know nothing of polder; basic exists in the three forms that a program can have.
PROGRAM_NAMES := avx512 basic descriptors die exec exhaust hostile memory observe processes signals
PROGRAM_TESTS := $(PROGRAM_NAMES:%=build/tests/programs/%) $(addprefix build/tests/programs/basic-,static static-pie) \
	$(addsuffix -static,$(addprefix build/tests/programs/,descriptors memory signals exec))
PROGRAM_CC = $(CC) -std=gnu11 -O1 -g $(WARN) -D_GNU_SOURCE -fno-stack-protector -MMD -MP -MF $@.d $< -o $@ -lm
build/tests/programs/%-static-pie: tests/programs/%.c
	@mkdir -p $(@D)
	$(PROGRAM_CC) -static-pie
build/tests/programs/%-static: tests/programs/%.c
	@mkdir -p $(@D)
	$(PROGRAM_CC) -static
build/tests/programs/%: tests/programs/%.c
	@mkdir -p $(@D)
	$(PROGRAM_CC)
