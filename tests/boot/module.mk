# tests/boot: kernels for the tests of `polder boot`, in assembly and by abi.h alone. One image for all; each kernel is an
# entry of it.
BOOT_KERNELS := calls entry echo deaf initrd memory edges fuzz timer cpus second_faults read_file write_rw cut_file cut_file_ring3 \
	read_nowhere write_code execute_data undefined not_canonical no_stack triple hang wrong_port beyond_ram write_file \
	last_run hostile hostile_tables
BOOT_KERNEL_FILES := $(BOOT_KERNELS:%=$(B)/tests/boot/%.kernel)
BOOT_KERNEL_OBJ := $(patsubst %.S,$(B)/%.o,$(wildcard tests/boot/*.S))

$(BOOT_KERNEL_OBJ): $(B)/%.o: %.S tests/boot/lib.h include/polder/abi.h
	@mkdir -p $(@D)
	$(CC) -Iinclude -Itests/boot -c $< -o $@
$(BOOT_KERNEL_FILES): $(B)/tests/boot/%.kernel: $(BOOT_KERNEL_OBJ) tests/boot/kernel.ld
	$(LD) -z max-page-size=4096 -T tests/boot/kernel.ld -e $* $(BOOT_KERNEL_OBJ) -o $@

$(B)/tests/kvm/boot: tests/boot/boot.sh $(B)/polder $(BOOT_KERNEL_FILES)
	@mkdir -p $(@D)
	install $< $@
