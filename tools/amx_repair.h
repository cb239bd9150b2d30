/* Tells GCC what the AMX tile intrinsics read and write.
 *
 * GCC's <amxtileintrin.h> declares `_tile_loadconfig` as reading 8 bytes although the instruction reads 64
 * (PR target/114098; 12.2 has the fault), so the optimizer drops the rest of the configuration as dead stores
 * and the tiles fault. Its tile loads declare no memory operand at all. Here every one of them gets GCC's
 * documented "memory" clobber: memory is up to date before the instruction and read anew after it.
 *
 * Meant for `-include` on the command line. Does nothing unless GCC is generating AMX code.
 */
#if defined(__GNUC__) && !defined(__clang__) && defined(__AMX_TILE__) && defined(__x86_64__)

#include <immintrin.h>

/* A struct of the true size, so that the operand itself names all 64 bytes. */
struct amx_repair_config {
    unsigned char byte[64];
};

static __inline__ __attribute__((__always_inline__)) void amx_repair_loadconfig(const void * config) {
    __asm__ volatile("ldtilecfg\t%X0" : : "m"(*(const struct amx_repair_config *) config) : "memory");
}

/* The tile is pasted into the register's name, so `TMM0` must be expanded first: hence two levels of macros. */
#define AMX_REPAIR_LOAD(name, tile, base, stride)                                                     \
    __asm__ volatile("{" name "\t(%0,%1,1), %%tmm" #tile "|" name "\t%%tmm" #tile ", [%0+%1*1]}"      \
                     : : "r"((const void *) (base)), "r"((long) (stride)) : "memory")
#define AMX_REPAIR_STORE(tile, base, stride)                                                          \
    __asm__ volatile("{tilestored\t%%tmm" #tile ", (%0,%1,1)|tilestored\t[%0+%1*1], %%tmm" #tile "}"  \
                     : : "r"((void *) (base)), "r"((long) (stride)) : "memory")

#undef _tile_loadconfig
#undef _tile_loadd
#undef _tile_stream_loadd
#undef _tile_stored
#define _tile_loadconfig(config) amx_repair_loadconfig(config)
#define _tile_loadd(tile, base, stride) AMX_REPAIR_LOAD("tileloadd", tile, base, stride)
#define _tile_stream_loadd(tile, base, stride) AMX_REPAIR_LOAD("tileloaddt1", tile, base, stride)
#define _tile_stored(tile, base, stride) AMX_REPAIR_STORE(tile, base, stride)

#endif
