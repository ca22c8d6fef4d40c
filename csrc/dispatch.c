/* Which kernel table runs here: CPUID says what the processor can do, XGETBV what the operating system saves. */
#include "fastrnn.h"

#include <string.h>
#if !defined(_WIN32)
#include <unistd.h>
#endif
#if defined(__linux__)
#include <sys/syscall.h>
#endif

#define FR_ISA(name, other) extern const fr_kernels fr_kernels_##name##_f32, fr_kernels_##other##_f32, fr_kernels_##other##_f64;
#include "isas.def"
#undef FR_ISA

#if FR_X86
#include <cpuid.h>

/* __builtin_cpu_supports would do, but answers 0 to everything under some compilers (zig cc), silently. */
static int x86_has(const char *isa)
{
    unsigned a, b, c, d, xcr0, high;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return 0;
    const int osxsave = c >> 27 & 1, fma = c >> 12 & 1;
    if (!osxsave || !fma) return 0;
    __asm__ volatile("xgetbv" : "=a"(xcr0), "=d"(high) : "c"(0));
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
    if (!strcmp(isa, "avx2")) return (xcr0 & 0x06) == 0x06 && (b >> 5 & 1);
    if (!strcmp(isa, "amx")) {
#if defined(FR_AMX_EMULATED)
        return x86_has("avx512"); /* by tests/native/amx_emulation.h */
#endif
        const int tile = d >> 24 & 1, bf16 = d >> 22 & 1;
        if (!tile || !bf16 || (xcr0 & 0x60000) != 0x60000 || !x86_has("avx512")) return 0;
#if defined(__linux__) && defined(SYS_arch_prctl)
        return syscall(SYS_arch_prctl, 0x1023 /* ARCH_REQ_XCOMP_PERM */, 18 /* XTILEDATA */) == 0; /* a process has to ask for the tiles */
#else
        return 0;
#endif
    }
    /* avx512: F, DQ, BW, VL */
    return (xcr0 & 0xE6) == 0xE6 && (b >> 5 & 1) && (b >> 16 & 1) && (b >> 17 & 1) && (b >> 30 & 1) && (b >> 31 & 1);
}
#endif

static const struct {
    const char *name;
    const fr_kernels *f32, *other_f32, *f64;
} isas[] = {
#define FR_ISA(name, other) {#name, &fr_kernels_##name##_f32, &fr_kernels_##other##_f32, &fr_kernels_##other##_f64},
#include "isas.def"
#undef FR_ISA
};

const char *fr_isa_name(int i) { return i < (int)(sizeof isas / sizeof *isas) ? isas[i].name : NULL; }

int fr_isa_supported(const char *isa)
{
    for (int i = 0; fr_isa_name(i); i++)
        if (!strcmp(isas[i].name, isa)) {
#if FR_X86
            return !strcmp(isa, "scalar") || x86_has(isa);
#else
            return 1; /* neon is part of every AArch64 */
#endif
        }
    return 0;
}

/* Recurrent layers of a unit that has nothing else, and the rest from the other. */
static const fr_kernels *completed(const fr_kernels *k, const fr_kernels *other)
{
    static fr_kernels whole;
    if (!whole.isa) {
        whole = *other;
        whole.forward[FR_OP_rnn] = k->forward[FR_OP_rnn];
        whole.backward[FR_OP_rnn] = k->backward[FR_OP_rnn];
        whole.rnn_sizes = k->rnn_sizes;
        whole.isa = k->isa;
    }
    return &whole;
}

const fr_kernels *fr_find_kernels(const char *isa, fr_dtype dtype)
{
    if (!fr_isa_supported(isa)) return NULL;
    for (int i = 0; fr_isa_name(i); i++)
        if (!strcmp(isas[i].name, isa)) {
            if (dtype == FR_F64) return isas[i].f64;
            return isas[i].f32->update ? isas[i].f32 : completed(isas[i].f32, isas[i].other_f32);
        }
    return NULL;
}

/* Speed alone depends on it, no bit of a result: how far the input product runs ahead, whether weights are prefetched, how the batch is divided. */
ptrdiff_t fr_l2_bytes(void)
{
    static ptrdiff_t size; /* two threads may find it at once, and find the same */
    ptrdiff_t n = __atomic_load_n(&size, __ATOMIC_RELAXED);
    if (n) return n;
#ifdef _SC_LEVEL2_CACHE_SIZE
    n = sysconf(_SC_LEVEL2_CACHE_SIZE);
#endif
    if (n < 256 * 1024) n = 1024 * 1024;
    if (n > 4096 * 1024) n = 4096 * 1024; /* more than one core's own */
    __atomic_store_n(&size, n, __ATOMIC_RELAXED);
    return n;
}
