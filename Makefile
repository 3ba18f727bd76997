# polder: libpolder, the polder program, their tests and measurements. GNU make.
#   make            build/polder, build/libpolder.a, build/libpolder.so
#   make demo       installs what is needed, builds, and shows a real program's system calls coming out of a KVM guest
#   make check      installs what is needed, builds, and runs every test, the nested suite included
#   make help       all targets

B := build
CC ?= gcc
PREFIX ?= /usr/local
WARN := -Wall -Wextra -Werror
OPT ?= -O2 -g
# SAN=address,undefined builds everything that runs on the host with sanitizers, into a folder of its own.
ifdef SAN
B := build/san
SANFLAGS := -fsanitize=$(SAN) -fno-omit-frame-pointer
endif
CFLAGS_ALL = -std=gnu11 $(OPT) $(WARN) -D_GNU_SOURCE -Iinclude -Imonitor -I$(B) -MMD -MP $(SANFLAGS) $(CFLAGS)

# libpolder is everything in monitor/ (its name is its reason to change) but what belongs to the program alone;
# the program is monitor/main.c, monitor/cmd_*.c and the Linux personality.
LIB_SRC := $(filter-out monitor/main.c monitor/cmd_%.c,$(wildcard monitor/*.c)) $(wildcard monitor/proceed/*.c)
PROG_SRC := $(wildcard monitor/main.c monitor/cmd_*.c monitor/linux/*.c)
LIB_OBJ := $(LIB_SRC:%.c=$(B)/%.o) $(B)/monitor/stub_image.o
PIC_OBJ := $(LIB_OBJ:%.o=%.pic.o)
PROG_OBJ := $(PROG_SRC:%.c=$(B)/%.o)

all: $(B)/libpolder.a $(B)/libpolder.so $(B)/polder.pc $(if $(wildcard monitor/main.c),$(B)/polder)

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) -c $< -o $@
$(B)/%.pic.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) -fPIC -fvisibility=hidden -c $< -o $@

include $(wildcard tests/*/module.mk bench/module.mk examples/module.mk)

clean:
	rm -rf build
.PHONY: all clean
-include $(shell find $(B) -name '*.d' 2>/dev/null)
