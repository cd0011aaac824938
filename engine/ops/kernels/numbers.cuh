// Number formats of the kernels: what a tensor holds (T) and what is computed in (Sum<T>).
//
// Put in front of each kernel by engine/ops/launch.py. Nothing is included, so that NVRTC needs
// no headers, and `float <-> half` are written out, so that no architecture is left out:
// cuda_bf16.h has no conversions of its own before sm_80.

struct Half { unsigned short bits; };
struct Bfloat { unsigned short bits; };

template <typename T> struct Compute { typedef float type; };
template <> struct Compute<double> { typedef double type; };
template <typename T> using Sum = typename Compute<T>::type;

union FloatBits { float value; unsigned bits; };

__device__ inline double read(double x) { return x; }
__device__ inline float read(float x) { return x; }
__device__ inline float read(Bfloat x) {
    FloatBits wide;
    wide.bits = (unsigned)x.bits << 16;
    return wide.value;
}

__device__ inline void write(double& to, double x) { to = x; }
__device__ inline void write(float& to, float x) { to = x; }
__device__ inline void write(Bfloat& to, float x) {
    FloatBits wide;
    wide.value = x;
    // Round to nearest, ties to even; the carry would turn some NaNs into infinity.
    unsigned rounded = wide.bits + 0x7fffu + ((wide.bits >> 16) & 1u);
    to.bits = (unsigned short)((x != x ? wide.bits | 0x400000u : rounded) >> 16);
}

#ifdef __CUDACC__
__device__ inline float read(Half x) {
    float wide;
    asm("cvt.f32.f16 %0, %1;" : "=f"(wide) : "h"(x.bits));
    return wide;
}
__device__ inline void write(Half& to, float x) {
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(to.bits) : "f"(x));
}
#else  // a host compiler, in tests
__device__ inline float read(Half x) { return (float)__builtin_bit_cast(_Float16, x.bits); }
__device__ inline void write(Half& to, float x) {
    to.bits = __builtin_bit_cast(unsigned short, (_Float16)x);
}
#endif

// V neighbours in memory, moved in one access.
template <typename T, int V> struct alignas(sizeof(T) * V) Lanes { T lane[V]; };
