// SPDX-License-Identifier: BSD-2-Clause
/*
 * agents/vmtools/esxcli_system.c -- esxcli system: version, names, processes, load, time, shutdown.
 *
 * Invariants: none.
 * Locking    none: one thread.
 * Sources    [ESXCLI] "system"
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "agents/vmtools/esxcli.h"

#define UUID_FILE "/etc/vmware/esx.conf"
#define UUID_KEY  "/system/uuid = \""

static int version_get(const struct call *call)
{
    struct records *r = records_begin(RECORDS_SIMPLE, "VersionGet", false);
    struct vmk_host host;

    vmk_host_get(&host);
    records_add(r, NULL);
    records_text(r, "Product", "Orrery");
    records_text(r, "Version", "%s", host.version);
    records_text(r, "Build", "Releasebuild-%s", host.build[0] ? host.build : "0");
    records_text(r, "Update", "0");
    records_text(r, "Patch", "0");
    records_end(r, call->form);
    return EXIT_DONE;
}

/* The one in the file, or a new one, which root keeps there. */
static bool uuid_find(char out[64])
{
    uint8_t bytes[16];
    size_t size;
    char *text = file_text(UUID_FILE, 65536, &size);
    const char *found = text ? strstr(text, UUID_KEY) : NULL;
    int fd, n;

    if (found) {
        found += sizeof(UUID_KEY) - 1;
        snprintf(out, 64, "%.*s", (int)strcspn(found, "\"\n"), found);
        free(text);
        return true;
    }
    free(text);
    if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
        return false;
    // ESXi's form: four groups, the last of six bytes.
    n = 0;
    for (int i = 0; i < 16; i++)
        n += snprintf(out + n, 64 - (size_t)n, "%02x%s", bytes[i],
                      i == 3 || i == 7 || i == 9 ? "-" : "");
    fd = open(UUID_FILE, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd < 0 || dprintf(fd, "%s%s\"\n", UUID_KEY, out) < 0)
        complain("%s: the new UUID is not kept: %s", UUID_FILE, strerror(errno));
    if (fd >= 0)
        close(fd);
    return true;
}

static int uuid_get(const struct call *call)
{
    char uuid[64];

    (void)call;
    if (!uuid_find(uuid))
        fail(EXIT_FAILED, "system uuid get: no random bytes: %s", strerror(errno));
    puts(uuid);
    return EXIT_DONE;
}

static int hostname_get(const struct call *call)
{
    struct records *r = records_begin(RECORDS_SIMPLE, "HostnameGet", false);
    struct utsname name;
    char *dot;

    if (uname(&name) < 0)
        fail(EXIT_FAILED, "uname: %s", strerror(errno));
    dot = strchr(name.nodename, '.');
    records_add(r, NULL);
    records_text(r, "Domain Name", "%s", dot ? dot + 1 : "");
    records_text(r, "Fully Qualified Domain Name", "%s", name.nodename);
    records_text(r, "Host Name", "%.*s", (int)strcspn(name.nodename, "."), name.nodename);
    records_end(r, call->form);
    return EXIT_DONE;
}

static int hostname_set(const struct call *call)
{
    const char *name = call->values[0];
    size_t length = strlen(name);
    int fd;

    if (length == 0 || length > 63 ||
        strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.") !=
            length)
        fail(EXIT_USAGE, "system hostname set: --fqdn=%s: letters, digits, - and . up to 63",
             name);
    if (sethostname(name, length) < 0)
        fail(EXIT_FAILED, "system hostname set: %s", strerror(errno));
    fd = open("/etc/hostname", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || dprintf(fd, "%s\n", name) < 0)
        fail(EXIT_FAILED, "/etc/hostname: %s", strerror(errno));
    close(fd);
    return EXIT_DONE;
}

static void process_list_add(struct records *r, const struct call *call, const void *entry)
{
    const struct vmk_world *w = entry;

    (void)call;
    records_add(r, NULL);
    records_number(r, "Id", w->world_id);
    records_flag(r, "System?", w->kind != VMK_WORLD_USER);
    records_number(r, "CartelID", w->cartel_id);
    records_text(r, "Name", "%s", w->name);
}

static int process_list(const struct call *call)
{
    return list_records(call, RECORDS_TABLE, "Process", VMK_LIST_WORLDS,
                        sizeof(struct vmk_world), process_list_add);
}

static int load_get(const struct call *call)
{
    static const char *const names[] = {"Load1Minute", "Load5Minutes", "Load15Minutes"};
    struct records *r = records_begin(RECORDS_SIMPLE, "SystemLoad", false);
    struct vmk_host host;

    vmk_host_get(&host);
    records_add(r, NULL);
    for (int i = 0; i < 3; i++)
        records_text(r, names[i], "%u.%02u", host.load_avg[i] / 2048,
                     host.load_avg[i] % 2048 * 100 / 2048);
    records_end(r, call->form);
    return EXIT_DONE;
}

static int running_get(const struct call *call)
{
    struct vmk_host host;

    (void)call;
    vmk_host_get(&host);
    printf("%u\n", host.processes);
    return EXIT_DONE;
}

static int uptime_get(const struct call *call)
{
    struct vmk_host host;

    (void)call;
    vmk_host_get(&host);
    printf("%llu\n", (unsigned long long)(host.uptime_ns / 1000));
    return EXIT_DONE;
}

static int time_get(const struct call *call)
{
    char text[32];
    time_t now = time(NULL);
    struct tm date;

    (void)call;
    gmtime_r(&now, &date);
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &date);
    puts(text);
    return EXIT_DONE;
}

static int shut_down(const char *program, const struct call *call)
{
    uint64_t delay = call->values[1] ? option_number("delay", call->values[1], 86400) : 0;

    if (geteuid() != 0)
        fail(EXIT_FAILED, "system shutdown: only root may");
    if (delay)
        sleep((unsigned)delay);
    execl(program, program, (char *)NULL);
    fail(EXIT_FAILED, "%s: %s", program, strerror(errno));
}

static int shutdown_poweroff(const struct call *call)
{
    return shut_down("/sbin/poweroff", call);
}

static int shutdown_reboot(const struct call *call)
{
    return shut_down("/sbin/reboot", call);
}

static const struct option_row hostname_options[] = {
    {'f', "fqdn", false, true, "the host's name"},
};
static const struct option_row shutdown_options[] = {
    {'r', "reason", false, true, "why, for the log"},
    {'d', "delay", false, false, "seconds to wait first"},
};

const struct esxcli_command esxcli_system[] = {
    {"system hostname get", "Get the host, domain or fully qualified name of this host.",
     hostname_get, NULL, 0},
    {"system hostname set", "Set the name of this host.", hostname_set, hostname_options,
     COUNT_OF(hostname_options)},
    {"system process list", "List the worlds: what the scheduler schedules.", process_list,
     NULL, 0},
    {"system process stats load get", "The load of all CPUs: 1.00 is all of them busy.",
     load_get, NULL, 0},
    {"system process stats running get", "The number of user processes.", running_get, NULL, 0},
    {"system shutdown poweroff", "Power the system off.", shutdown_poweroff, shutdown_options,
     COUNT_OF(shutdown_options)},
    {"system shutdown reboot", "Reboot the system.", shutdown_reboot, shutdown_options,
     COUNT_OF(shutdown_options)},
    {"system stats uptime get", "Microseconds since the host came up.", uptime_get, NULL, 0},
    {"system time get", "The time of this host, UTC.", time_get, NULL, 0},
    {"system uuid get", "Get the system UUID.", uuid_get, NULL, 0},
    {"system version get", "Display the product name, version and build information.",
     version_get, NULL, 0},
    {NULL, NULL, NULL, NULL, 0},
};
