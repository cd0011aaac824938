// y = clamp(gain * leaky_relu(scale * upfirdn2d(x) + bias + noise)), and the activation's gradient.
//
// Everything that StyleGAN2 does between two convolutions, in one pass over the picture. Tensors
// are [N, C, H, W], dense, in channels_last (LAST) or contiguous memory. blockIdx.y is the sample,
// so that all other indices fit 32 bits. V neighbours in memory are one thread's: channels of one
// pixel (LAST) or pixels of one channel.

template <typename A> struct FirAct {
    const void* x;
    void* y;
    const A* scale;     // [N, C] or null
    const A* bias;      // [C] or null
    const A* noise;     // [N or 1, 1, H, W] or null
    const void* saved;  // y of the forward pass, for the gradient
    int channels, in_height, in_width, out_height, out_width;
    int before;      // rows and columns of zeros before the first of the up-sampled picture
    int threads;     // per sample
    int noise_step;  // from one sample's noise to the next: H * W, or 0 if they share it
    A taps[4], slope, gain, clamp;
};

template <typename A>
__device__ inline A finish(const FirAct<A>& a, A value, int sample, int channel, int pixel) {
    if (a.scale) value *= a.scale[sample * a.channels + channel];
    if (a.bias) value += a.bias[channel];
    if (a.noise) value += a.noise[(long long)sample * a.noise_step + pixel];
    value = (value > 0 ? value : value * a.slope) * a.gain;
    value = value > a.clamp ? a.clamp : value;
    return value < -a.clamp ? -a.clamp : value;
}

// Without a filter. GRAD: x is the gradient of y, and y tells where the activation was linear.
template <typename T, int V, bool LAST, bool GRAD>
__device__ void act(const FirAct<Sum<T>>& a) {
    typedef Lanes<T, V> Vector;
    const int thread = blockIdx.x * blockDim.x + threadIdx.x, sample = blockIdx.y;
    if (thread >= a.threads) return;
    const int area = a.out_height * a.out_width, first = thread * V;
    const int channel = LAST ? first % a.channels : first / area;
    const int pixel = LAST ? first / a.channels : first % area;
    const long long at = (long long)sample * a.threads + thread;
    Vector x = static_cast<const Vector*>(a.x)[at];
    Vector saved;
    if (GRAD) saved = static_cast<const Vector*>(a.saved)[at];
    for (int v = 0; v < V; ++v) {
        Sum<T> value = read(x.lane[v]);
        if (GRAD) {
            const Sum<T> y = read(saved.lane[v]);
            const bool inside = y < a.clamp && y > -a.clamp;
            value *= inside ? a.gain * (y > 0 ? Sum<T>(1) : a.slope) : Sum<T>(0);
        } else {
            value = finish(a, value, sample, LAST ? channel + v : channel, LAST ? pixel : pixel + v);
        }
        write(x.lane[v], value);
    }
    static_cast<Vector*>(a.y)[at] = x;
}

// Weight of tap number `offset` (`offset + 1` where the first tap meets an inserted zero), else 0.
template <int UP, typename A> __device__ inline A tap(const FirAct<A>& a, int offset, int odd) {
    const A even = offset >= 0 && offset < 4 ? a.taps[3 - offset] : A(0);
    if (UP == 1) return even;
    const A shifted = offset >= -1 && offset < 3 ? a.taps[2 - offset] : A(0);
    return odd ? shifted : even;
}

const int ROWS = 4;  // of the result, one column of them a thread: 7 rows are read, not 16

// The separable filter of four taps, up-sampling by UP or down-sampling by DOWN, then `finish`.
template <typename T, int UP, int DOWN, int V, bool LAST>
__device__ void fir_act(const FirAct<Sum<T>>& a) {
    typedef Sum<T> A;
    typedef Lanes<T, V> Vector;
    const int thread = blockIdx.x * blockDim.x + threadIdx.x, sample = blockIdx.y;
    if (thread >= a.threads) return;
    const int groups = a.channels / V, strips = (a.out_height + ROWS - 1) / ROWS;
    const int channel = V * (LAST ? thread % groups : thread / a.out_width / strips);
    const int column = (LAST ? thread / groups : thread) % a.out_width;
    const int row = ROWS * (LAST ? thread / groups / a.out_width : thread / a.out_width % strips);

    const int in_area = a.in_height * a.in_width, out_area = a.out_height * a.out_width;
    const int x_step = LAST ? a.channels : 1, plane = LAST ? 1 : in_area;
    const T* x = static_cast<const T*>(a.x) + (long long)sample * a.channels * in_area;
    x += (long long)channel * plane;
    T* y = static_cast<T*>(a.y) + (long long)sample * a.channels * out_area;
    y += (long long)channel * (LAST ? 1 : out_area);

    // In the up-sampled picture; only every UP-th of its rows and columns is not zero.
    const int top = row * DOWN - a.before, left = column * DOWN - a.before;
    const int odd_row = UP == 1 ? 0 : top & 1, odd_column = UP == 1 ? 0 : left & 1;
    const int COUNT = ((ROWS - 1) * DOWN + 4 + UP - 1) / UP;
    A sums[ROWS][V] = {};
#pragma unroll
    for (int i = 0; i < COUNT; ++i) {
        const int up_row = top + odd_row + i * UP;
        if (up_row < 0 || up_row >= a.in_height * UP) continue;
        A filtered[V] = {};
#pragma unroll
        for (int j = 0; j < 4 / UP; ++j) {
            const int up_column = left + odd_column + j * UP;
            if (up_column < 0 || up_column >= a.in_width * UP) continue;
            const int pixel = up_row / UP * a.in_width + up_column / UP;
            const Vector near = *reinterpret_cast<const Vector*>(x + (long long)pixel * x_step);
            const A weight = tap<UP>(a, j * UP, odd_column);
            for (int v = 0; v < V; ++v) filtered[v] += weight * read(near.lane[v]);
        }
#pragma unroll
        for (int r = 0; r < ROWS; ++r) {
            const int offset = i * UP - r * DOWN;
            if (offset <= -UP || offset >= 4) continue;  // known when compiled
            const A weight = tap<UP>(a, offset, odd_row);
            for (int v = 0; v < V; ++v) sums[r][v] += weight * filtered[v];
        }
    }
#pragma unroll
    for (int r = 0; r < ROWS; ++r) {
        if (row + r >= a.out_height) return;
        const int pixel = (row + r) * a.out_width + column;
        Vector out;
        for (int v = 0; v < V; ++v)
            write(out.lane[v], finish(a, sums[r][v], sample, channel + v, pixel));
        *reinterpret_cast<Vector*>(y + (long long)pixel * x_step) = out;
    }
}
