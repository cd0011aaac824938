// y = gain * w s / sqrt(sum (w s)^2 + epsilon): the weights of one sample, one block per filter.

template <typename A> struct Modulate {
    const A* weight;  // [O, I, K], K taps
    const A* styles;  // [I]
    void* y;          // [O, I, K], or in channels_last memory (LAST) [O, K, I]
    int channels, taps;
    A gain, epsilon;
};

const int MODULATE_BLOCK = 128;

template <typename T, bool LAST> __device__ void modulate(const Modulate<Sum<T>>& a) {
    typedef Sum<T> A;
    __shared__ A partial[MODULATE_BLOCK];
    const int size = a.channels * a.taps, thread = threadIdx.x;
    const A* weight = a.weight + (long long)blockIdx.x * size;
    A energy = 0;
    for (int j = thread; j < size; j += MODULATE_BLOCK) {
        const A value = weight[j] * a.styles[j / a.taps];
        energy += value * value;
    }
    partial[thread] = energy;
    for (int half = MODULATE_BLOCK / 2; half > 0; half /= 2) {
        __syncthreads();
        if (thread < half) partial[thread] += partial[thread + half];
    }
    __syncthreads();
    const A factor = a.gain / sqrt(partial[0] + a.epsilon);
    T* y = static_cast<T*>(a.y) + (long long)blockIdx.x * size;
    // In the order of the result: scattered reads of what the first pass left in the cache.
    for (int j = thread; j < size; j += MODULATE_BLOCK) {
        const int channel = LAST ? j % a.channels : j / a.taps;
        const int tap = LAST ? j / a.channels : j % a.taps;
        write(y[j], weight[channel * a.taps + tap] * a.styles[channel] * factor);
    }
}
