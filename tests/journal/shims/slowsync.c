/* Makes every fsync and fdatasync take RDSCSI_SYNC_MICROSECONDS longer, as on a real disk: LD_PRELOAD. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static void wait_longer(void) {
    const char *microseconds = getenv("RDSCSI_SYNC_MICROSECONDS");
    if (microseconds) usleep((useconds_t)atoi(microseconds));
}

int fsync(int fd) { wait_longer(); return (int)syscall(SYS_fsync, fd); }
int fdatasync(int fd) { wait_longer(); return (int)syscall(SYS_fdatasync, fd); }
