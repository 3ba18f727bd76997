/* SPDX-License-Identifier: MIT */
#include "instructions.h"

#include "attack.h"

/*
 * What follows an opcode (Intel SDM vol. 2, appendix A):
 *   -  nothing          m  ModRM            M  ModRM and imm8     N  ModRM and imm16/32
 *   b  imm8             w  imm16            z  imm16/32           q  imm16/32/64
 *   e  imm16 and imm8   a  an address       j  8 bits of distance J  32 bits of distance
 *   t  ModRM, and imm8 for TEST             T  ModRM, and imm16/32 for TEST
 *   p  a prefix or another table            i  no instruction in code of 64 bits; in code of 32 it may have operands
 */
static const char one_byte[] = "mmmmbziimmmmbzip"
                               "mmmmbziimmmmbzii"
                               "mmmmbzpimmmmbzpi"
                               "mmmmbzpimmmmbzpi"
                               "pppppppppppppppp"
                               "----------------"
                               "iipmppppzNbM----"
                               "jjjjjjjjjjjjjjjj"
                               "MNiMmmmmmmmmmmmm"
                               "----------i-----"
                               "aaaa----bz------"
                               "bbbbbbbbqqqqqqqq"
                               "MMw-ppMNe-w--bi-"
                               "mmmmiii-mmmmmmmm"
                               "jjjjbbbbJJij----"
                               "p-pp--tT------mm";
static const char after_0f[] = "mmmmi-----i-im-M"
                               "mmmmmmmmmmmmmmmm"
                               "mmmmiiiimmmmmmmm"
                               "------i-pipiiiii"
                               "mmmmmmmmmmmmmmmm"
                               "mmmmmmmmmmmmmmmm"
                               "mmmmmmmmmmmmmmmm"
                               "MMMMmmm-mmiimmmm"
                               "JJJJJJJJJJJJJJJJ"
                               "mmmmmmmmmmmmmmmm"
                               "---mMmii---mMmmm"
                               "mmmmmmmmmmMmmmmm"
                               "mmMmMMMm--------"
                               "mmmmmmmmmmmmmmmm"
                               "mmmmmmmmmmmmmmmm"
                               "mmmmmmmmmmmmmmmm";

struct maker {
    uint8_t *to;
    size_t length;
    uint64_t *seed;
    const uint64_t *places;
    size_t place_count;
    bool wide, rex_w, operand16;
};

static uint32_t chance(struct maker *m, uint32_t n)
{
    return (uint32_t)(random_next(m->seed) >> 33) % n;
}

static void put(struct maker *m, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        m->to[m->length++] = (uint8_t)(value >> 8 * i);
}

static void put_immediate(struct maker *m, size_t bytes)
{
    put(m, chance(m, 2) ? random_next(m->seed) : chance(m, 9), bytes);
}

static uint64_t place(struct maker *m)
{
    return m->places[chance(m, (uint32_t)m->place_count)] + chance(m, 64) - 8;
}

/* ModRM, SIB and displacement (SDM vol. 2A, 2.1.3); returns ModRM. */
static uint8_t put_modrm(struct maker *m)
{
    uint8_t modrm = (uint8_t)random_next(m->seed), sib = (uint8_t)random_next(m->seed), mod = modrm >> 6;

    put(m, modrm, 1);
    if (mod == 3)
        return modrm;
    if ((modrm & 7) == 4)
        put(m, sib, 1);
    if (mod == 1)
        put_immediate(m, 1);
    else if (mod == 2)
        put(m, chance(m, 8) ? chance(m, 512) : random_next(m->seed), 4);
    else if ((modrm & 7) == 5 || ((modrm & 7) == 4 && (sib & 7) == 5))
        put(m, place(m), 4);
    return modrm;
}

static void put_operands(struct maker *m, char form, bool *wild)
{
    const size_t z = m->operand16 ? 2 : 4;
    const bool far = chance(m, 8) == 0;

    switch (form) {
    case 'm':
        put_modrm(m);
        break;
    case 'M':
        put_modrm(m);
        put_immediate(m, 1);
        break;
    case 'N':
        put_modrm(m);
        put_immediate(m, z);
        break;
    case 't':
    case 'T':
        if ((put_modrm(m) & 0x30) == 0)
            put_immediate(m, form == 't' ? 1 : z);
        break;
    case 'b':
        put_immediate(m, 1);
        break;
    case 'w':
        put_immediate(m, 2);
        break;
    case 'e':
        put_immediate(m, 3);
        break;
    case 'z':
        put_immediate(m, z);
        break;
    case 'q':
        put(m, place(m), m->rex_w ? 8 : z);
        break;
    case 'a':
        put(m, place(m), m->wide ? 8 : 4);
        break;
    case 'j':
    case 'J':
        *wild |= far;
        put(m, far ? random_next(m->seed) % 128 - 64 : 0, form == 'j' ? 1 : 4);
        break;
    default:
        break;
    }
}

/* VEX of three bytes, or EVEX (SDM vol. 2A, 2.3 and 2.7). */
static void put_vector(struct maker *m, bool *wild)
{
    const bool evex = chance(m, 2);
    const uint8_t map = (uint8_t)(chance(m, 8) ? 1 + chance(m, 3) : chance(m, 32)), opcode = (uint8_t)chance(m, 256);

    put(m, evex ? 0x62 : 0xc4, 1);
    if (evex) /* the two bits that must be 0 and the one that must be 1, mostly */
        put(m, (random_next(m->seed) & 0xfb00f4) | 0x400 | (map & 7), 3);
    else
        put(m, (random_next(m->seed) & 0xffe0) | map, 2);
    put(m, opcode, 1);
    put_operands(m, map == 3 ? 'M' : map == 1 && after_0f[opcode] == 'M' ? 'M' : 'm', wild);
}

static size_t make(uint8_t *to, bool wide, const uint64_t *places, size_t place_count, bool *wild, uint64_t *seed)
{
    static const uint8_t prefixes[] = {0x66, 0xf2, 0xf3, 0xf0, 0x64, 0x65, 0x67, 0x2e, 0x36};
    struct maker m = {.to = to, .seed = seed, .places = places, .place_count = place_count, .wide = wide};

    while (m.length < 14 && chance(&m, 6) == 0) {
        const uint8_t prefix = prefixes[chance(&m, sizeof(prefixes))];
        m.operand16 |= prefix == 0x66;
        put(&m, prefix, 1);
    }
    const uint32_t kind = chance(&m, 100);
    if (kind < 8) {
        put_vector(&m, wild);
        return m.length;
    }
    if (wide && chance(&m, 2)) {
        const uint8_t rex = 0x40 | (uint8_t)chance(&m, 16);
        m.rex_w = rex & 8;
        m.operand16 &= !m.rex_w;
        put(&m, rex, 1);
    }
    uint8_t opcode = (uint8_t)chance(&m, 256);
    if (kind < 68) {
        while (one_byte[opcode] == 'p' || (wide && one_byte[opcode] == 'i' && chance(&m, 16)))
            opcode = (uint8_t)chance(&m, 256);
        put(&m, opcode, 1);
        put_operands(&m, one_byte[opcode], wild);
        return m.length;
    }
    put(&m, 0x0f, 1);
    if (kind < 94) {
        while (after_0f[opcode] == 'p')
            opcode = (uint8_t)chance(&m, 256);
        put(&m, opcode, 1);
        put_operands(&m, after_0f[opcode], wild);
    } else {
        put(&m, kind < 97 ? 0x38 : 0x3a, 1);
        put(&m, opcode, 1);
        put_operands(&m, kind < 97 ? 'm' : 'M', wild);
    }
    return m.length;
}

/*
 * Somebody may jump into the middle of an instruction, so that it is any byte that counts. QEMU 7.2's emulation dies of
 * LOCK BTC with a register and of some VEX and EVEX forms, and its IRET and far returns let ring 3 have flags and stack
 * accesses that no processor gives it.
 */
bool instruction_byte_is_safe(uint8_t byte)
{
    static const uint8_t unsafe[] = {0xf0, 0xc4, 0xc5, 0x62, 0xcf, 0xca, 0xcb, 0x38, 0x3a};

    for (size_t i = 0; processor_is_tcg() && i < sizeof(unsafe); i++)
        if (byte == unsafe[i])
            return false;
    return true;
}

size_t instruction_make(uint8_t *to, bool wide, const uint64_t *places, size_t place_count, bool *wild, uint64_t *seed)
{
    size_t length, i;
    bool far;

    do {
        far = *wild;
        length = make(to, wide, places, place_count, &far, seed);
        for (i = 0; i < length && instruction_byte_is_safe(to[i]); i++)
            ;
    } while (i < length);
    *wild = far;
    return length;
}
