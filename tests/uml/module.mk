# tests/uml: user-mode Linux on libpolder. Its programs are static: they are run with an initramfs of busybox too.
U := build/tests/uml
UML_PROGRAMS := $(patsubst tests/uml/programs/%.c,$(U)/%,$(wildcard tests/uml/programs/*.c))
UML_TESTS := tests/uml/run

$(UML_PROGRAMS): $(U)/%: tests/uml/programs/%.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -O1 -g $(WARN) -D_GNU_SOURCE -static -pthread -MMD -MP -MF $@.d $< -o $@
$(U)/boot $(U)/init: $(U)/%: uml/%
	@mkdir -p $(@D)
	install $< $@
$(U)/initrd.cpio: $(BUSYBOX) tests/uml/init tests/uml/module.mk
	@rm -rf $(U)/root
	@mkdir -p $(U)/root/bin $(U)/root/dev $(U)/root/proc $(U)/root/sys $(U)/root/tmp $(U)/root/etc
	install $(BUSYBOX) $(U)/root/bin/busybox
	install tests/uml/init $(U)/root/init
	@for applet in $$($(BUSYBOX) --list); do test -e $(U)/root/bin/$$applet || ln -s busybox $(U)/root/bin/$$applet; done
	echo 'root:x:0:0:root:/:/bin/sh' > $(U)/root/etc/passwd
	cd $(U)/root && find . -mindepth 1 | LC_ALL=C sort | cpio -o -H newc -R +0:+0 --quiet > ../initrd.cpio
	rm -rf $(U)/root
$(U)/linux: build/libpolder.a $(wildcard uml/* uml/*/*)
	uml/build
	@mkdir -p $(@D)
	install $(POLDER_UML)/linux $@
# The kernel's own tests of its memory management, for the long set.
$(U)/selftests/built: tests/uml/module.mk
	@mkdir -p $(@D)
	tar -xf $(or $(POLDER_UML_SOURCE),/usr/src/linux-source-6.1.tar.xz) -C $(@D) --strip-components=4 \
		--wildcards '*/tools/testing/selftests/vm/*.[ch]' '*/tools/testing/selftests/kselftest.h'
	cd $(@D) && for name in map_fixed_noreplace map_populate mlock2-tests mremap_dontunmap mremap_test; do \
		$(CC) -w -O1 -D_GNU_SOURCE vm/$$name.c -o $$name || exit 1; \
	done
	touch $@
# A Debian of its own, for the long set. Only root can make one.
.cache/debian/.made: tests/uml/module.mk
	@test "$$(id -u)" = 0 || { echo "make check-uml makes a root with debootstrap: please run it as root" >&2; exit 1; }
	@rm -rf $(@D)
	debootstrap --variant=minbase --include=python3,perl,sqlite3,gcc,libc6-dev,make,busybox-static bookworm $(@D) >$(@D).log || { tail -n 3 $(@D).log; exit 1; }
	touch $@
uml-tests: $(U)/linux $(U)/boot $(U)/init $(U)/initrd.cpio $(UML_PROGRAMS)
.PHONY: uml-tests
