#include "boot/report.h"
#include <stdio.h>
void report(struct machine *machine)
{
    fprintf(stderr, "polder boot: %d %s\n", machine->ending.kind, machine->ending.text);
}
