// Enough of CUDA for a host compiler to run the kernels: a thread per thread of a block, block
// after block. What it cannot show is what only a GPU has: coalescing, warps, races between blocks.
#include <barrier>
#include <cmath>
#include <thread>
#include <vector>

#define __global__
#define __device__
#define __shared__ static

struct Index { unsigned x = 0, y = 0, z = 0; };
static thread_local Index threadIdx, blockIdx;
static Index blockDim;
static std::barrier<>* block_barrier;

static void __syncthreads() { block_barrier->arrive_and_wait(); }

template <typename A> void run_grid(void (*kernel)(A), const A& a, int width, int height, int block) {
    std::barrier<> barrier(block);
    block_barrier = &barrier;
    blockDim.x = block;
    std::vector<std::thread> threads;
    for (int t = 0; t < block; ++t)
        threads.emplace_back([=, &a] {
            threadIdx.x = t;
            for (int y = 0; y < height; ++y)
                for (int x = 0; x < width; ++x) {
                    blockIdx.x = x;
                    blockIdx.y = y;
                    kernel(a);
                    __syncthreads();  // "shared" memory is one for all blocks
                }
        });
    for (auto& thread : threads) thread.join();
}
