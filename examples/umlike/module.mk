# examples/umlike: a small UML-like kernel, and an initrd with Debian's static busybox for it.
UMLIKE := build/examples/umlike
UMLIKE_OBJ := $(patsubst %.c,$(UMLIKE)/%.o,$(notdir $(wildcard examples/umlike/*.c)))
BUSYBOX ?= /bin/busybox

$(UMLIKE)/%.o: examples/umlike/%.c
	@mkdir -p $(@D)
	$(CC) $(KERNEL_CFLAGS) -MMD -MP -c $< -o $@
$(UMLIKE)/umlike: $(UMLIKE_OBJ) build/libpolder-resident.a ld/resident.ld
	$(CC) $(KERNEL_LDFLAGS) $(UMLIKE_OBJ) build/libpolder-resident.a -o $@

# Busybox, a link for each of its applets, and /init. The same bytes every time: names in order, times and numbers fixed.
$(UMLIKE)/initrd.cpio: $(BUSYBOX) examples/umlike/init examples/umlike/module.mk
	@rm -rf $(UMLIKE)/root
	@mkdir -p $(UMLIKE)/root/bin $(UMLIKE)/root/etc
	install $(BUSYBOX) $(UMLIKE)/root/bin/busybox
	install examples/umlike/init $(UMLIKE)/root/init
	@for applet in $$($(BUSYBOX) --list); do \
		test -e $(UMLIKE)/root/bin/$$applet || ln -s busybox $(UMLIKE)/root/bin/$$applet; \
	done
	echo 'root:x:0:0:root:/:/bin/sh' > $(UMLIKE)/root/etc/passwd
	echo 'root:x:0:' > $(UMLIKE)/root/etc/group
	find $(UMLIKE)/root -exec touch -h -d @0 {} +
	cd $(UMLIKE)/root && find . -mindepth 1 | LC_ALL=C sort | cpio -o -H newc -R +0:+0 --reproducible --quiet > ../initrd.cpio
	rm -rf $(UMLIKE)/root

umlike: $(UMLIKE)/umlike $(UMLIKE)/initrd.cpio
.PHONY: umlike
