# bench: what things cost. `make bench` prints one table; build/bench/bench by itself takes options. Everything is
# linked statically, so that the same files can be carried into the nested machine.

BENCH_OBJ := $(patsubst %,$(B)/bench/%.o,bench bare bare_guest peers hosted resident umlike uml counted programs)
BENCH := $(B)/bench/bench $(B)/bench/hash $(B)/bench/touch $(B)/bench/resident-kernel $(B)/bench/processes

$(B)/bench/bare_guest.o: bench/bare_guest.S
	@mkdir -p $(@D)
	$(CC) -c $< -o $@
$(B)/bench/bench: $(BENCH_OBJ) $(B)/libpolder.a
	$(CC) $(CFLAGS_ALL) $(LDFLAGS) -static $^ -o $@ -lm -pthread
$(B)/bench/hash $(B)/bench/touch $(B)/bench/processes: $(B)/bench/%: $(B)/bench/%.o
	$(CC) $(CFLAGS_ALL) $(LDFLAGS) -static $^ -o $@

$(B)/bench/resident-kernel: bench/resident_kernel.c build/libpolder-resident.a ld/resident.ld
	@mkdir -p $(@D)
	$(CC) $(KERNEL_CFLAGS) $(KERNEL_LDFLAGS) $(filter %.c %.a,$^) -o $@

bench-programs: $(BENCH) umlike
bench: all $(BENCH) umlike
	$(B)/bench/bench

# Both kernels of user-mode Linux, into build/bench/uml, from where the nested machine takes them: it needs
# `-f bench/uml -m 3072' and the files of bench/uml/compiler for them, and wants `uml' as the argument.
bench-uml: uml uml-tests bench-programs
	uml/build -p
	@mkdir -p build/bench/uml
	cp $(POLDER_UML)/linux $(POLDER_UML)/linux-ptrace build/bench/uml/
	$(B)/bench/bench uml

.PHONY: bench bench-programs bench-uml
