/* SPDX-License-Identifier: MIT */
/* Programs of 32 bits and their system calls are refused: ENOEXEC and SIGSEGV. */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
    Elf32_Ehdr header = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS32, ELFDATA2LSB, EV_CURRENT},
        .e_type = ET_EXEC,
        .e_machine = EM_386,
        .e_version = EV_CURRENT,
        .e_ehsize = sizeof(header),
        .e_phentsize = sizeof(Elf32_Phdr)};
    int file = open("old", O_WRONLY | O_CREAT, 0755), status, wrong = 0;
    char *arguments[] = {"old", NULL};

    if (file < 0 || write(file, &header, sizeof(header)) != sizeof(header))
        return 2;
    close(file);
    execv("./old", arguments);
    if (errno != ENOEXEC) {
        perror("exec");
        wrong = 1;
    }
    if (fork() == 0) {
        __asm__ volatile("int $0x80" ::"a"(20));
        _exit(0);
    }
    wait(&status);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSEGV) {
        printf("int 0x80: status %#x\n", status);
        wrong = 1;
    }
    if (syscall(SYS_modify_ldt, 0, NULL, 0) >= 0 || errno != ENOSYS) {
        perror("modify_ldt");
        wrong = 1;
    }
    return wrong;
}
