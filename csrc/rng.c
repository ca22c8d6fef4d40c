/* Random bits as a function of (seed, stream, index): SplitMix64's finaliser (Steele, Lea & Flood 2014) over a Weyl sequence. */
#include "fastrnn.h"

static uint64_t finalise(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

uint64_t fr_mix(uint64_t seed, uint64_t stream, uint64_t i)
{
    return finalise(finalise(seed + stream * 0xD1342543DE82EF95u) + (i + 1) * 0x9E3779B97F4A7C15u);
}
