// SPDX-License-Identifier: BSD-2-Clause
/*
 * boot/user_boot.c -- the boot's way into ring 3.
 *
 * Process 1 is what init= names, else /sbin/init unless `batch` is there; its terminal is what
 * console= names, else /dev/console. A host without files still runs its VMs. Tardisks that
 * came as members of the module archive are loaded here, because fs/ sees boot modules only.
 *
 * Invariants
 *   - Process 1 exists before user_boot_start() says true.
 * Locking    none: one world.
 */
#include "boot/user_boot.h"

#include "boot/boot_fs.h"
#include "boot/vm_files.h"
#include "core/core.h"
#include "core/host.h"
#include "core/log.h"
#include "fs/dump/dump.h"
#include "fs/fat/fat_vfs.h"
#include "fs/tty.h"
#include "fs/vfs.h"
#include "fs/visorfs/visorfs.h"
#include "fs/vmfs/datastore.h"
#include "fs/vmfs/vmfs_vfs.h"
#include "lib/format.h"
#include "lib/string.h"
#include "plat/plat.h"
#include "user/user.h"
#include "vmm/boot_file.h"
#include "vmm/vmm_mem.h"

#define ARGUMENTS_MAX 8u
#define INIT          "/sbin/init"
#define CONSOLE       "/dev/console"

static void load_member_tardisks(void)
{
    const struct plat_module *modules;
    size_t count = plat_modules(&modules);
    const char *name;
    const void *data;
    size_t size;

    for (size_t i = 0; boot_file_at(i, &name, &data, &size); i++) {
        bool module = false;

        for (size_t m = 0; m < count; m++)
            module |= modules[m].data == data;
        if (!module && visorfs_tardisk_name(name))
            (void)!visorfs_tardisk_load(name, data, size);
    }
}

/*
 * autoPartition=TRUE or FALSE; without it the first boot makes a datastore, but not for a batch
 * run.
 */
static enum datastore_auto auto_partition(void)
{
    char word[8];

    if (!core_option("autoPartition", word, sizeof(word)))
        return core_option_flag("batch") ? DATASTORE_AUTO_NEVER : DATASTORE_AUTO_FIRST;
    if (!strcmp(word, "TRUE") || !strcmp(word, "true"))
        return DATASTORE_AUTO_ALL;
    if (strcmp(word, "FALSE") != 0 && strcmp(word, "false") != 0)
        vmk_log(VMK_LOG_WARN, "Boot: autoPartition=%s: TRUE or FALSE; taken as FALSE", word);
    return DATASTORE_AUTO_NEVER;
}

static void datastores_up(void)
{
    (void)datastore_scan();
    (void)datastore_first_boot(auto_partition());
}

static bool files_up(void)
{
    vmk_status status = fs_init();

    if (status != VMK_OK) {
        vmk_log(VMK_LOG_ERROR, "Boot: no files: %s", vmk_status_text(status));
        return false;
    }
    vmm_mem_proc_start();
    load_member_tardisks();
    status = vmfs_type_register();
    if (status == VMK_OK)
        status = datastore_proc_register();
    if (status == VMK_OK)
        datastores_up();
    else
        vmk_log(VMK_LOG_ERROR, "Boot: no datastores: %s", vmk_status_text(status));
    status = fat_type_register();
    if (status != VMK_OK)
        vmk_log(VMK_LOG_ERROR, "Boot: no FAT: %s", vmk_status_text(status));
    else
        (void)datastore_scratch_mount();
    dump_start();
    status = boot_fs_start();
    if (status != VMK_OK)
        vmk_log(VMK_LOG_ERROR, "Boot: no boot modules below /boot: %s",
                vmk_status_text(status));
    vm_files_init();
    return true;
}

/* Cuts "path,word,word" into words in place. */
static size_t split(char *text, const char **words, size_t room)
{
    size_t count = 0;

    while (count + 1 < room) {
        char *comma = strchr(text, ',');

        words[count++] = text;
        if (!comma)
            break;
        *comma = 0;
        text = comma + 1;
    }
    words[count] = NULL;
    return count;
}

static bool path_exists(const char *path)
{
    const struct vfs_where where = vfs_where_kernel();
    struct vfs_attr attr;

    return vfs_stat(&where, path, 0, &attr) == VMK_OK;
}

bool user_boot_starts_vms(void)
{
    char line[8];

    return !core_option("init", line, sizeof(line));
}

bool user_boot_start(void)
{
    static const char *const environment[] = {"PATH=/bin:/sbin:/usr/bin:/usr/sbin", "HOME=/",
                                              "TERM=linux", NULL};
    const char *words[ARGUMENTS_MAX + 1];
    char line[256], console[64];
    uint32_t pid;

    if (!files_up())
        return false;
    user_init();
    if (!core_option("init", line, sizeof(line))) {
        if (core_option_flag("batch"))
            return false;
        if (!path_exists(INIT)) {
            vmk_log(VMK_LOG_WARN, "Boot: no %s in any tardisk, so no host shell", INIT);
            return false;
        }
        (void)vmk_snprintf(line, sizeof(line), "%s", INIT);
    }
    if (!core_option("console", console, sizeof(console)))
        (void)vmk_snprintf(console, sizeof(console), "%s", CONSOLE);
    (void)!tty_console_poll_start(0);
    (void)split(line, words, ARGUMENTS_MAX + 1);
    return user_start(words[0], words, environment, console, &pid) == VMK_OK;
}

enum user_end user_boot_wait(void)
{
    enum user_end end = USER_END_EXIT;
    int status = 0;

    if (user_wait_end(1, &end, &status) == VMK_OK && end == USER_END_EXIT)
        vmk_log(VMK_LOG_INFO, "User: init ended, status %d",
                status & 0x7f ? 128 + (status & 0x7f) : status >> 8);
    return end;
}

void user_boot_end(void)
{
    log_console_levels_set(4);
    user_swap_stop();
    vfs_sync();
    datastore_scratch_unmount();
    (void)datastore_unmount_all();
}
