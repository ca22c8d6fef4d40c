/* Threads. Nothing else in the project knows OpenMP. */
#include "fastrnn.h"

#include <string.h>

#ifdef _OPENMP
#include <omp.h>
#include <pthread.h>
#endif
#if FR_X86
#include <immintrin.h>
#endif

/* Denormal numbers cost 100 to 180 times a normal one; fading states and gradients are full of them. The mode is a thread's own, so it
 * is set where the work is and put back afterwards: by the callers of fr_team, and for the threads that it adds. */
uint64_t fr_flush_denormals(void)
{
#if FR_X86
    unsigned old = _mm_getcsr();
    _mm_setcsr(old | 0x8040); /* FTZ | DAZ */
    return old;
#elif FR_ARM64
    uint64_t old;
    __asm__ volatile("mrs %0, fpcr" : "=r"(old));
    __asm__ volatile("msr fpcr, %0" : : "r"(old | (1u << 24)));
    return old;
#else
    return 0;
#endif
}

void fr_restore_denormals(uint64_t old)
{
#if FR_X86
    _mm_setcsr((unsigned)old);
#elif FR_ARM64
    __asm__ volatile("msr fpcr, %0" : : "r"(old));
#else
    (void)old;
#endif
}

void fr_team(int threads, fr_member member, void *arg)
{
#ifdef _OPENMP
    if (threads > 1 && !omp_in_parallel()) {
#pragma omp parallel num_threads(threads)
        {
            const uint64_t mode = fr_flush_denormals();
            member(arg, omp_get_thread_num(), omp_get_num_threads());
            fr_restore_denormals(mode);
        }
        return;
    }
#endif
    (void)threads;
    member(arg, 0, 1);
}

/* How many tasks of a member's share are taken, in a cache line of its own */
typedef struct {
    _Alignas(64) ptrdiff_t n;
} fr_taken;

typedef struct {
    ptrdiff_t n;
    fr_task task;
    void *arg;
    fr_taken *taken;
} fr_loop;

/* Each member takes its own share first, the same one in every loop over as many tasks: rows of a batch stay with a thread, and in its cache.
 * Then it takes what others have not come to. */
static void take_tasks(void *arg, int i, int members)
{
    fr_loop *loop = arg;
    for (int k = 0; k < members; k++) {
        const int owner = (i + k) % members;
        const ptrdiff_t first = loop->n * owner / members, n = loop->n * (owner + 1) / members - first;
        for (ptrdiff_t t; (t = __atomic_fetch_add(&loop->taken[owner].n, 1, __ATOMIC_RELAXED)) < n;) loop->task(loop->arg, first + t);
    }
}

void fr_parallel_for(int threads, ptrdiff_t n, fr_task task, void *arg)
{
    if (threads <= 1 || n <= 1) {
        for (ptrdiff_t t = 0; t < n; t++) task(arg, t);
        return;
    }
    const int members = n < threads ? (int)n : threads;
    fr_taken taken[members];
    memset(taken, 0, sizeof taken);
    fr_loop loop = {n, task, arg, taken};
    fr_team(members, take_tasks, &loop);
}

void fr_barrier(void)
{
#ifdef _OPENMP
#pragma omp barrier
#endif
}

int fr_openmp(void)
{
#ifdef _OPENMP
    return _OPENMP;
#else
    return 0;
#endif
}

int fr_max_threads(void)
{
#ifdef _OPENMP
    return omp_get_max_threads();
#else
    return 1;
#endif
}

/* A forked child inherits a libgomp that believes in threads which are not there, and hangs in its first parallel region
 * (GCC bug 60035). Giving the pool back just before the fork lets the child start afresh. LLVM's and Intel's libomp look after
 * themselves and may crash on this call (llvm-project#154204), so it is for libgomp alone. */
#if defined(_OPENMP) && defined(__GNUC__) && !defined(__clang__) && _OPENMP >= 201511
static void before_fork(void)
{
    if (!omp_in_parallel()) omp_pause_resource_all(omp_pause_soft);
}
void fr_install_fork_guard(void) { pthread_atfork(before_fork, NULL, NULL); }
#else
void fr_install_fork_guard(void) {}
#endif
