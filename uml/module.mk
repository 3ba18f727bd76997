# uml: user-mode Linux on libpolder, built from Debian's kernel source into build/uml, or $POLDER_UML, which may be kept.
UML_DEPS := linux-source-6.1 flex bison bc patch xz-utils make gcc libc6-dev
POLDER_UML ?= $(CURDIR)/build/uml
export POLDER_UML

uml-deps:
	$(call install-packages,$(UML_DEPS))
uml: deps uml-deps build/libpolder.a
	uml/build
# A shell in it; where there is no terminal, what one would type.
uml-demo: uml
	@if [ -t 0 ] && [ -t 1 ]; then uml/boot; else uml/boot 'set -x; uname -a; ps aux; \
		python3 -c "import platform; print(platform.platform(), 6 * 7)"; \
		cd /tmp; echo "int puts(const char *); int main(void) { puts(\"compiled and run\"); }" >a.c; gcc a.c -o a; ./a'; fi
UML_TEST_DEPS := libpython3.11-testsuite gdb strace sqlite3 openssh-client debootstrap
uml-test-deps:
	$(call install-packages,$(UML_TEST_DEPS))
check-uml: uml uml-tests uml-test-deps
	@$(MAKE) --no-print-directory build/tests/uml/selftests/built .cache/debian/.made
	@tests/run -t 7200 tests/uml/long
.PHONY: uml uml-deps uml-test-deps uml-demo check-uml
