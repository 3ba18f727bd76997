/* SPDX-License-Identifier: MIT */
/* A resident kernel's file, as `polder boot` reads it: segments, the note, and the symbols that a report looks up. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include <polder/abi.h>

#include "boot/image.h"
#include "boot/symbols.h"

#define SPAN_MAX (1ull << 20)

/* What image.h says of every answer that is given. */
static void hold(const struct image *image)
{
    uint64_t end = BOOT_IMAGE_MIN;
    CHECK(image->count >= 1 && image->count <= IMAGE_MAX_SEGMENTS);
    for (unsigned i = 0; i < image->count; i++) {
        const struct image_segment *s = &image->segment[i];
        CHECK(s->vaddr % 4096 == 0 && s->vaddr >= end && s->vaddr >= image->low);
        CHECK(s->offset <= image->file_size && s->filesz <= image->file_size - s->offset);
        CHECK(s->filesz <= s->memsz && s->memsz <= image->high - s->vaddr);
        CHECK(!(s->writable && s->executable));
        end = (s->vaddr + s->memsz + 4095) & ~4095ull;
    }
    CHECK(image->high - image->low <= IMAGE_MAX_SPAN && image->high >= end);
    CHECK(image->entry >= image->low && image->entry < image->high);
}

static void load(const struct image *image)
{
    if (image->high - image->low > SPAN_MAX)
        return;
    char *to = calloc(1, image->high - image->low);
    CHECK(to);
    image_load(image, to);
    free(to);
}

static void name(const struct image *image, uint64_t address)
{
    static const size_t sizes[] = {128, 1, 2, 30};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        char *text = malloc(sizes[i]);
        CHECK(text);
        bool found = symbols_name(image, address, i % 2, text, sizes[i]);
        CHECK(strnlen(text, sizes[i]) < sizes[i] && found == (text[0] != '\0'));
        for (const char *at = text; *at; at++)
            CHECK(*at >= ' ' && *at <= '~');
        free(text);
    }
}

const unsigned fuzz_mutations = 40000;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct image image = {.file_size = size};
    struct image_reason reason = {""};
    if (!size)
        return 0; /* image_read refuses an empty file */
    image.file = malloc(size);
    CHECK(image.file);
    memcpy(image.file, data, size);
    if (image_check(&image, &reason)) {
        hold(&image);
        load(&image);
        name(&image, image.entry);
        name(&image, image.low);
        name(&image, image.high - 1);
        name(&image, 0);
    } else {
        CHECK(reason.text[0]);
    }
    free(image.file);
    return 0;
}
