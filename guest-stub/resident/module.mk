# libpolder-resident.a: the interface inside the guest. One object whose internal names are local, so that a kernel can
# have an mm_map of its own; libfdt from Debian's archive is in it.
KERNEL_ABI_CFLAGS := -ffreestanding -mgeneral-regs-only -mno-red-zone -mcmodel=kernel -fno-pic -fno-pie -fcf-protection=none \
	-fno-stack-protector -fno-omit-frame-pointer -fno-asynchronous-unwind-tables
RESIDENT_CFLAGS := -std=gnu11 $(OPT) $(WARN) $(KERNEL_ABI_CFLAGS)
KERNEL_CFLAGS := $(RESIDENT_CFLAGS) -Iinclude
KERNEL_LDFLAGS := -nostdlib -static -no-pie -T ld/resident.ld -Wl,-z,noexecstack -Wl,--build-id=none -Wl,-z,max-page-size=4096
RESIDENT_OBJ := $(patsubst %,build/resident/%.o,$(wildcard guest-stub/resident/*.c guest-stub/resident/*.S) monitor/region.c monitor/map_args.c)

build/resident/%.c.o: %.c
	@mkdir -p $(@D)
	$(CC) $(RESIDENT_CFLAGS) -fvisibility=hidden -Iinclude -Iguest-stub/resident -Imonitor -MMD -MP -c $< -o $@
build/resident/%.S.o: %.S
	@mkdir -p $(@D)
	$(CC) -Iinclude -Iguest-stub/resident -MMD -MP -c $< -o $@
build/resident/all.o: $(RESIDENT_OBJ)
	$(LD) -r -o $@ $^ "$$($(CC) -print-file-name=libfdt.a)"
	$(OBJCOPY) --localize-hidden --wildcard --localize-symbol='fdt_*' $@
build/libpolder-resident.a: build/resident/all.o
	@rm -f $@
	$(AR) rcs $@ $^
