/* Threads. Nothing else in the project knows OpenMP. */
#include "fastrnn.h"

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

typedef struct {
    ptrdiff_t n, taken;
    fr_task task;
    void *arg;
} fr_loop;

/* The first task by number, so that a thread finds in its cache what it left there, the others as they come. */
static void take_tasks(void *arg, int i, int members)
{
    fr_loop *loop = arg;
    for (ptrdiff_t t = i; t < loop->n; t = members + __atomic_fetch_add(&loop->taken, 1, __ATOMIC_RELAXED)) loop->task(loop->arg, t);
}

void fr_parallel_for(int threads, ptrdiff_t n, fr_task task, void *arg)
{
    if (threads <= 1 || n <= 1) {
        for (ptrdiff_t t = 0; t < n; t++) task(arg, t);
        return;
    }
    fr_loop loop = {n, 0, task, arg};
    fr_team(n < threads ? (int)n : threads, take_tasks, &loop);
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
