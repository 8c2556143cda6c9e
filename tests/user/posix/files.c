// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/user/posix/files.c -- open flags, seeks, links, renames, permissions, times, directories, vectors.
 */
#include "posix.h"

#include <dirent.h>
#include <sys/stat.h>
#include <sys/uio.h>

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* What has no name: as a path through /proc; and what is in one pipe once more in another. */
static void nameless(void)
{
    int from[2], to[2];
    struct stat direct, named;
    char path[32], text[8] = "";

    SHOW(pipe(from));
    SHOW(pipe(to));
    snprintf(path, sizeof(path), "/proc/self/fd/%d", from[0]);
    SHOW(fstat(from[0], &direct));
    SHOW(stat(path, &named));
    SHOW(S_ISFIFO(named.st_mode) && named.st_ino == direct.st_ino);
    SHOW(access(path, R_OK));
    SHOW(write(from[1], "twice", 5));
    SHOW(tee(from[0], to[1], 100, 0));
    SHOW(read(to[0], text, sizeof(text)) == 5 && memcmp(text, "twice", 5) == 0);
    SHOW(read(from[0], text, sizeof(text)) == 5 && memcmp(text, "twice", 5) == 0);
    SHOW(tee(from[0], to[1], 100, SPLICE_F_NONBLOCK));
    SHOW(tee(from[0], from[1], 100, 0));
    SHOW(tee(from[0], 0, 100, 0));
    SHOW(posix_fadvise(from[0], 0, 0, POSIX_FADV_NORMAL) == ESPIPE);
    for (int i = 0; i < 2; i++) {
        close(from[i]);
        close(to[i]);
    }
}

int test_files(void)
{
    char first[4], second[10], buffer[64] = "";
    struct iovec out[2] = {{.iov_base = "abc", .iov_len = 3},
                           {.iov_base = "defgh", .iov_len = 5}};
    struct iovec in[2] = {{.iov_base = first, .iov_len = 3},
                          {.iov_base = second, .iov_len = 9}};
    struct timespec times[2] = {{.tv_sec = 1000, .tv_nsec = 5}, {.tv_nsec = UTIME_OMIT}};
    struct dirent **names;
    struct stat about;
    int fd, other, dir, n;

    umask(022);
    SHOW(mkdir("files-dir", 0777));
    SHOW(mkdir("files-dir", 0777));
    dir = open("files-dir", O_RDONLY | O_DIRECTORY);
    fd = openat(dir, "a", O_RDWR | O_CREAT | O_EXCL, 0666);
    SHOW(openat(dir, "a", O_RDWR | O_CREAT | O_EXCL, 0666));
    SHOW(open("files-dir", O_RDWR));
    SHOW(open("files-dir/a/b", O_RDONLY));
    SHOW(writev(fd, out, 2));
    SHOW(lseek(fd, -2, SEEK_END));
    SHOW(lseek(fd, -20, SEEK_CUR));
    other = open("/dev/full", O_RDWR);
    SHOW(lseek(other, -20, SEEK_SET));
    SHOW(read(other, buffer, 8));
    SHOW(lseek(other, 100, SEEK_CUR));
    close(other);
    SHOW(lseek(fd, 0, SEEK_SET));
    SHOW(readv(fd, in, 2));
    printf("%.3s %.5s\n", first, second);
    SHOW(pwrite(fd, "far", 3, 100000));
    fstat(fd, &about);
    printf("size %ld, mode %o, links %ld\n", (long)about.st_size, about.st_mode,
           (long)about.st_nlink);
    SHOW(pread(fd, buffer, 5, 50000));
    SHOW(linkat(dir, "a", dir, "b", 0));
    SHOW(symlinkat("a", dir, "l"));
    SHOW(readlinkat(dir, "l", buffer, sizeof(buffer)));
    SHOW(fstatat(dir, "l", &about, AT_SYMLINK_NOFOLLOW));
    printf("link %d, size %ld\n", S_ISLNK(about.st_mode), (long)about.st_size);
    SHOW(symlink("loop", "files-dir/loop"));
    SHOW(open("files-dir/loop", O_RDONLY));
    SHOW(open("files-dir/l", O_RDONLY | O_NOFOLLOW));
    SHOW(renameat(dir, "b", dir, "c"));
    SHOW(rename("files-dir", "files-dir/below"));
    SHOW(unlink("files-dir"));
    SHOW(rmdir("files-dir"));
    SHOW(fchmod(fd, 04755));
    fstat(fd, &about);
    printf("mode %o\n", about.st_mode);
    SHOW(futimens(fd, times));
    fstat(fd, &about);
    printf("read at %ld.%ld\n", (long)about.st_atim.tv_sec, about.st_atim.tv_nsec);
    SHOW(faccessat(dir, "a", X_OK, 0));
    other = openat(dir, "a", O_WRONLY | O_APPEND);
    SHOW(lseek(other, 3, SEEK_SET));
    SHOW(write(other, "tail", 4));
    SHOW(lseek(fd, 0, SEEK_END));
    SHOW(read(other, buffer, 1));
    SHOW(ftruncate(fd, 4));
    SHOW(pread(fd, buffer, sizeof(buffer), 0));
    n = scandir("files-dir", &names, NULL, by_name);
    for (int i = 0; i < n; i++)
        printf("entry %s type %d\n", names[i]->d_name, names[i]->d_type);
    SHOW(unlinkat(dir, "a", 0) + unlinkat(dir, "c", 0));
    SHOW(pread(fd, buffer, 4, 0));  // open still
    fstat(fd, &about);
    printf("links %ld\n", (long)about.st_nlink);
    SHOW(unlinkat(dir, "l", 0) + unlinkat(dir, "loop", 0));
    SHOW(unlinkat(AT_FDCWD, "files-dir", AT_REMOVEDIR));
    SHOW(openat(dir, "x", O_CREAT | O_WRONLY, 0600));
    SHOW(dup2(fd, 100));
    SHOW(fcntl(100, F_GETFD));
    SHOW(fcntl(fd, F_DUPFD_CLOEXEC, 200));
    SHOW(fcntl(200, F_GETFD));
    SHOW(close(999));
    close(100);
    close(200);
    close(fd);
    close(other);
    close(dir);
    nameless();
    return 0;
}
