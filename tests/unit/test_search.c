/* SPDX-License-Identifier: MIT */
/* Finding programs, reading "#!" lines, and telling the names of /proc apart. */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "linux/procfs.h"
#include "linux/search.h"

static char folder[] = "/tmp/polder-search-XXXXXX";

static void make(const char *name, mode_t mode)
{
    int fd = open(name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(chmod(name, mode), 0);
}

static int setup(void **state)
{
    (void)state;
    if (!mkdtemp(folder) || chdir(folder) != 0)
        return -1;
    mkdir("one", 0755);
    mkdir("two", 0755);
    mkdir("two/folder", 0755);
    make("one/plain", 0644);
    make("two/plain", 0755);
    make("one/only", 0644);
    make("two/program", 0755);
    make("here", 0755);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    static const char *const files[] = {"one/plain", "two/plain", "one/only", "two/program", "here"};
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        unlink(files[i]);
    rmdir("two/folder");
    rmdir("one");
    rmdir("two");
    return rmdir(folder);
}

static void path(void **state)
{
    (void)state;
    char found[PATH_MAX];
    assert_int_equal(search_path("program", "one:two", found), 0);
    assert_string_equal(found, "two/program");
    assert_int_equal(search_path("plain", "one:two", found), 0);
    assert_string_equal(found, "two/plain");
    assert_int_equal(search_path("only", "one:two", found), -EACCES);
    assert_int_equal(search_path("folder", "one:two", found), -EACCES);
    assert_int_equal(search_path("nothing", "one:two", found), -ENOENT);
    assert_int_equal(search_path("", "one:two", found), -ENOENT);
    assert_int_equal(search_path("here", "one:", found), 0);
    assert_string_equal(found, "here");
    assert_int_equal(search_path("here", ":one", found), 0);
    assert_int_equal(search_path("here", "one::two", found), 0);
    assert_int_equal(search_path("here", "", found), 0);
    assert_int_equal(search_path("here", "one:two", found), -ENOENT);
    assert_int_equal(search_path("./here", "one", found), 0);
    assert_string_equal(found, "./here");
    assert_int_equal(search_path("./nothing", "one", found), -ENOENT);
    assert_int_equal(search_path("./one", "one", found), -EACCES);
    assert_int_equal(search_path("sh", NULL, found), 0);
    assert_string_equal(found, "/bin/sh");

    char big[PATH_MAX + 10];
    memset(big, 'x', sizeof(big));
    big[sizeof(big) - 1] = '\0';
    assert_int_equal(search_path(big, "one", found), -ENOENT);
    big[0] = '/';
    assert_int_equal(search_path(big, "one", found), -ENAMETOOLONG);
}

static void is_script(const char *line, const char *interpreter, const char *argument)
{
    struct search_script script;
    assert_int_equal(search_script(line, strlen(line), &script), 1);
    assert_string_equal(script.interpreter, interpreter);
    assert_string_equal(script.argument, argument);
}

static void scripts(void **state)
{
    (void)state;
    struct search_script script;
    is_script("#!/bin/sh\necho\n", "/bin/sh", "");
    is_script("#! /bin/sh \n", "/bin/sh", "");
    is_script("#!\t/bin/sh\t-e x \t\n", "/bin/sh", "-e x");
    is_script("#!/usr/bin/env -S perl -w", "/usr/bin/env", "-S perl -w");
    is_script("#!/bin/sh", "/bin/sh", "");
    assert_int_equal(search_script("#", 1, &script), 0);
    assert_int_equal(search_script("\177ELF", 4, &script), 0);
    assert_int_equal(search_script("#!", 2, &script), -ENOEXEC);
    assert_int_equal(search_script("#!  \n/bin/sh", 12, &script), -ENOEXEC);
    assert_int_equal(search_script("#!/bin/sh\0 -x\n", 14, &script), 1);
    assert_string_equal(script.argument, "");

    char line[400];
    memset(line, 'a', sizeof(line));
    memcpy(line, "#!/", 3);
    assert_int_equal(search_script(line, sizeof(line), &script), -ENOEXEC);
    assert_int_equal(search_script(line, SEARCH_SCRIPT_LINE, &script), -ENOEXEC);
    line[SEARCH_SCRIPT_LINE - 1] = '\n';
    assert_int_equal(search_script(line, SEARCH_SCRIPT_LINE, &script), 1);
    assert_int_equal(strlen(script.interpreter), SEARCH_SCRIPT_LINE - 3);
    /* An argument that is cut off is one that Linux cuts off too. */
    line[100] = ' ';
    line[SEARCH_SCRIPT_LINE - 1] = 'a';
    assert_int_equal(search_script(line, sizeof(line), &script), 1);
    assert_int_equal(strlen(script.argument), SEARCH_SCRIPT_LINE - 101);
}

static void proc_names(void **state)
{
    (void)state;
    char own[64], other[64];
    snprintf(own, sizeof(own), "/proc/%d/exe", getpid());
    snprintf(other, sizeof(other), "/proc/%d/exe", getpid() + 1);
    assert_true(procfs_is_own("/proc/self/exe", "exe"));
    assert_true(procfs_is_own("//proc///self/exe", "exe"));
    assert_true(procfs_is_own("/proc/thread-self/exe", "exe"));
    assert_true(procfs_is_own(own, "exe"));
    assert_false(procfs_is_own(other, "exe"));
    snprintf(own, sizeof(own), "/proc/self/task/%d/exe", getpid());
    assert_true(procfs_is_own(own, "exe"));
    assert_false(procfs_is_own("/proc/self/exe/", "exe"));
    assert_false(procfs_is_own("/proc/self/exec", "exe"));
    assert_false(procfs_is_own("proc/self/exe", "exe"));
    assert_false(procfs_is_own("/proc/self", "exe"));
    assert_false(procfs_is_own("/proc/99999999999999999999/exe", "exe"));
    assert_false(procfs_is_own("", "exe"));

    assert_int_equal(procfs_descriptor("/proc/self/fd/7"), 7);
    assert_int_equal(procfs_descriptor("/proc/self/fdinfo/1030"), 1030);
    assert_int_equal(procfs_descriptor("/dev/fd/0"), 0);
    assert_int_equal(procfs_descriptor("/dev/fd/0/x"), 0);
    assert_int_equal(procfs_descriptor("/dev/fd/"), -1);
    assert_int_equal(procfs_descriptor("/dev/fd/x"), -1);
    assert_int_equal(procfs_descriptor("/proc/self/fd"), -1);
    assert_int_equal(procfs_descriptor("/proc/self/fd/99999999999999"), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(path),
        cmocka_unit_test(scripts),
        cmocka_unit_test(proc_names),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
