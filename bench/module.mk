# bench: what things cost. `make bench` prints one table; build/bench/bench by itself takes options. Everything is
# linked statically, so that the same files can be carried into the nested machine.

BENCH_OBJ := $(patsubst %,$(B)/bench/%.o,bench bare bare_guest peers hosted counted programs)
BENCH := $(B)/bench/bench $(B)/bench/hash $(B)/bench/touch

$(B)/bench/bare_guest.o: bench/bare_guest.S
	@mkdir -p $(@D)
	$(CC) -c $< -o $@
$(B)/bench/bench: $(BENCH_OBJ) $(B)/libpolder.a
	$(CC) $(CFLAGS_ALL) $(LDFLAGS) -static $^ -o $@ -lm -pthread
$(B)/bench/hash $(B)/bench/touch: $(B)/bench/%: $(B)/bench/%.o
	$(CC) $(CFLAGS_ALL) $(LDFLAGS) -static $^ -o $@

bench-programs: $(BENCH)
bench: all $(BENCH)
	$(B)/bench/bench

.PHONY: bench bench-programs
