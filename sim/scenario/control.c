// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/scenario/control.c -- virtual machines as user worlds: vmx, vm, esxcli and esxtop on a hosted VM.
 *
 * control        a shell script starts machines of a test guest by their .vmx files and ends
 *                them in every way there is: by themselves, by a reset, by kill -t soft, hard
 *                and force, by killing their vmx. What the programs print is checked; after
 *                each way nothing of a machine is left in the owner counts.
 *
 * Invariants
 *   - Lines that begin with "= " are the script's own, and the only ones that are compared.
 * Locking    the console's output comes from one CPU at a time; only this file reads it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/host.h"
#include "fs/tty.h"
#include "fs/vfs.h"
#include "mem/page.h"
#include "sim/engine/guest.h"
#include "sim/scenario/root_disk.h"
#include "sim/scenario/scenario.h"
#include "user/user.h"
#include "vmm/vmm_state.h"
#include "vmm/vt.h"

static char screen[1 << 18];
static size_t shown;

static void show(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (text[i] != '\r' && shown < sizeof(screen) - 1)
            screen[shown++] = text[i];
    }
    screen[shown] = 0;
}

#define VMX(called, words, more)                                                               \
    {                                                                                          \
        .name = "vms/" called ".vmx",                                                          \
        .text = "displayName = \"" called "\"\nmemSize = \"16\"\nnumvcpus = \"1\"\n"           \
                "orrery.kernel = \"rpc.elf\"\norrery.cmdline = \"" words "\"\n" more           \
    }

static const char script[] =
    "cd /vms\n"
    "gone() { i=0; while vm list | grep -q ' on '; do i=$((i+1)); [ $i -lt 99 ] || break;"
    " sleep 0.1; done; esxcli --formatter=csv hardware memory owners list |"
    " awk -F, '$2 == \"guest\" { print \"= guest pages\", $3 }'; }\n"
    "world() { esxcli --formatter=keyvalue vm process list | sed -n"
    " 's/.*WorldID.integer=//p'; }\n"
    // By itself.
    "vmx rpc.vmx; echo \"= rpc ends $?\"; gone\n"
    "echo \"= $(grep -c 'Guest: hello from the guest' vmware.log) line of the guest\"\n"
    "echo \"= $(grep -c 'Guest: guestinfo.colour' vmware.log) value of the guest\"\n"
    "grep PASS rpc.out | sed 's/^/= /'; grep 'exits\\|Calls' vmware.log\n"
    // A reset.
    "vmx reset.vmx; echo \"= reset ends $?\"; tr -d '\\r' <reset.out | grep 'reset$\\|PASS' | "
    "sed 's/^/= /'; "
    "gone\n"
    // Started, listed, killed.
    "for how in soft hard force; do\n"
    "vm start stay.vmx; echo \"= start $?\"; vm start /vms/stay.vmx 2>/dev/null;"
    " echo \"= start again $?\"\n"
    "esxcli vm process list; esxcli vm process list | grep -c 'VMX Cartel ID: [1-9]' |"
    " sed 's/^/= listed /'\n"
    "vm list; vm console stay </dev/null | tr -d '\\r' | grep -c staying | sed 's/^/= console "
    "/'\n"
    "esxcli vm process kill -t $how -w $(world); echo \"= kill $how $?\"; gone\n"
    "[ $how = hard ] || tail -n 1 vmware.log | sed 's/.*I005: /= log: /'\n"
    "done\n"
    // The vmx is killed while its guest never halts.
    "vm start spin.vmx; kill -9 $(esxcli --formatter=keyvalue vm process list |"
    " sed -n 's/.*VMXCartelID.integer=//p'); gone\n"
    // Errors.
    "esxcli vm process kill -t soft -w 1; echo \"= nobody $?\"\n"
    "esxcli vm process kill -t gently -w 1; echo \"= usage $?\"\n"
    "vmx bad.vmx; echo \"= bad $?\"; vmx nowhere.vmx; echo \"= nowhere $?\"\n"
    "vmx nokernel.vmx; echo \"= nokernel $?\"; vmx script; echo \"= junk $?\"; gone\n"
    // Somebody else's.
    "mkdir /vms/other; cp rpc.elf stay.vmx /vms/other; chown -R nobody:nobody /vms/other\n"
    "vm start /vms/other/stay.vmx; vm list | awk '$3 == \"stay\" { print \"= owner\", $8 }'\n"
    "grep -o 'uid=[0-9]*' /vms/other/vmware.log | sed 's/^/= /'\n"
    "vm start spin.vmx; W=$(vm list | awk '$3 == \"spin\" { print $1 }')\n"
    "O=$(vm list | awk '$3 == \"stay\" { print $1 }')\n"
    "su -s /bin/sh nobody -c \"esxcli vm process kill -t force -w $W\"; echo \"= not his $?\"\n"
    "su -s /bin/sh nobody -c \"esxcli sched set -i $W -s 2000\"; echo \"= not his shares $?\"\n"
    "su -s /bin/sh nobody -c \"esxcli sched set -i $O -s 2000\"; echo \"= his shares $?\"\n"
    "su -s /bin/sh nobody -c \"esxcli vm process kill -t hard -w $O\"; echo \"= his $?\"\n"
    "esxcli sched set -i $W -x 500; echo \"= limit $?\"; esxcli sched world list\n"
    // Figures.
    "esxtop -b -d 1 -n 2 >top.csv; echo \"= esxtop $?, $(wc -l <top.csv) lines\"\n"
    "head -c 26 top.csv; echo; awk -F'\",\"' '{ print NF }' top.csv | sort -u | wc -l |"
    " sed 's/^/= widths /'\n"
    "esxtop -n 2 -d 1 </dev/null; echo; echo \"= screen $?\"\n"
    "grep -c 'Group Cpu([0-9]*:spin)' top.csv | sed 's/^/= spin in titles /'\n"
    // Keys: a process and a VM are killed.
    "sleep 999 & echo keys; esxtop -d 1; echo; echo \"= keys $?\"; wait $!;"
    " echo \"= sleep $?\"; gone\n"
    "vm start spin.vmx; vm kill spin; echo \"= vm kill $?\"; gone\n"
    // The list.
    "for f in stay rpc; do vm register $f.vmx; done; echo \"= registered $(vm list |"
    " grep -c ' off ')\"; vm register stay.vmx; echo \"= twice $?\"\n"
    "vm autostart; vm list | awk '$4 == \"on\" { print \"= auto\", $3 }'; vm stop --off stay;"
    " echo \"= stop $?\"; vim-cmd vmsvc/getallvms; vm unregister stay; echo \"= unregistered "
    "$?\";"
    " gone\n"
    // What there is to read.
    "esxcli system version get; esxcli system hostname get; esxcli system uuid get\n"
    "esxcli system process list | head -n 5; esxcli hardware cpu list | head -n 4\n"
    "esxcli hardware memory get; esxcli storage filesystem list; esxcli sched group list\n"
    "esxcli --formatter=xml system version get | head -n 6; esxcli vm; vm --help | head -n 3\n"
    "echo = end\n";

static const char *const wanted[] = {
    "rpc ends 0", "guest pages 0", "1 line of the guest", "1 value of the guest", "PASS rpc",
    "reset ends 0", "before the reset", "after the reset", "PASS rpc", "guest pages 0",
    //
    "start 0", "start again 1", "listed 1", "console 1", "kill soft 0", "guest pages 0",
    "log: VMX ends with status 143",
    //
    "start 0", "start again 1", "listed 1", "console 1", "kill hard 0", "guest pages 0",
    //
    "start 0", "start again 1", "listed 1", "console 1", "kill force 0", "guest pages 0",
    "log: VMX ends with status 1",
    //
    "guest pages 0", "nobody 1", "usage 2", "bad 3", "nowhere 3", "nokernel 3", "junk 3",
    "guest pages 0",
    //
    "owner nobody", "uid=65534", "not his 3", "not his shares 3", "his shares 0", "his 0",
    "limit 0", "esxtop 0, 3 lines", "widths 1", "screen 0", "spin in titles 1", "keys 0",
    "sleep 137", "guest pages 0", "vm kill 0", "guest pages 0",
    //
    "registered 2", "twice 1", "auto stay", "stop 0", "unregistered 0", "guest pages 0", "end"};

static bool control_prepare(void)
{
    char *vmtools = strdup(root_disk_built("agents/vmtools"));
    char *guest = strdup(root_disk_built("guest/rpc.elf"));
    char *console = strdup(root_disk_built("agents/vm-console"));
    const struct root_disk_entry entries[] = {
        {.name = "bin/vmtools", .path = vmtools},
        {.name = "bin/vm-console", .path = console},
        {.name = "bin/vm", .link = "vmtools"},
        {.name = "bin/vmx", .link = "vmtools"},
        {.name = "bin/esxcli", .link = "vmtools"},
        {.name = "bin/esxtop", .link = "vmtools"},
        {.name = "bin/vim-cmd", .link = "vmtools"},
        {.name = "etc/passwd",
         .text = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n",
         .mode = 0644},
        {.name = "etc/group", .text = "root:x:0:\nnobody:x:65534:\n", .mode = 0644},
        {.name = "etc/vmware"},
        {.name = "vms"},
        {.name = "vms/rpc.elf", .path = guest},
        VMX("rpc", "", "serial0.fileType = \"file\"\nserial0.fileName = \"rpc.out\"\n"),
        VMX("reset", "reset",
            "serial0.fileType = \"file\"\nserial0.fileName = \"reset.out\"\n"),
        VMX("stay", "stay", "autostart = \"poweron\"\n"),
        VMX("spin", "spin", ""),
        VMX("bad", "", "memSize = \"many\"\n"),
        {.name = "vms/nokernel.vmx", .text = "orrery.kernel = \"none.elf\"\n"},
        {.name = "vms/script", .text = "#!/bin/sh\necho\n"},
    };

    return root_disk_add(script) &&
           root_disk_more("vmtools.v00", entries, ARRAY_COUNT(entries));
}

/* The lines of the script, one by one. */
static void compare(void)
{
    const char *at = screen;

    for (unsigned i = 0; i < ARRAY_COUNT(wanted); i++) {
        size_t length = strlen(wanted[i]);

        at = strstr(at, "= ");
        while (at && at > screen && at[-1] != '\n')
            at = strstr(at + 1, "= ");
        sim_check(at, "line %u is missing: '%s'", i, wanted[i]);
        sim_check(strncmp(at + 2, wanted[i], length) == 0 && at[2 + length] == '\n',
                  "line %u is '%.60s', not '%s'", i, at + 2, wanted[i]);
        at++;
    }
}

/*
 * What is typed when the screen shows that; in front of it `id_of`: the number that the last
 * line with that begins with.
 */
static const struct {
    const char *shows, *id_of, *text;
} keys[] = {
    {"\nkeys\n", NULL, ""},
    {" spin ", NULL, "e"},
    {"roll up (GID): ", " spin ", "\r"},
    {" vmm0:spin ", NULL, "h"},
    {"as e shows it", NULL, "c"},
    {" vmm0:spin ", NULL, "k"},
    {"World to kill (ID): ", NULL, "999999999\r"},
    {"there is no world 999999999", NULL, "k"},
    {"World to kill (ID): ", NULL, "1\r"},
    {"is a world of the VMkernel", NULL, "k"},
    {"World to kill (ID): ", " sleep ", "\r"},
    {"Kill sleep? y or n: ", NULL, "n\r"},
    {" sleep ", NULL, "k"},
    {"World to kill (ID): ", " sleep ", "\r"},
    {"Kill sleep? y or n: ", NULL, "y\r"},
    {"(sleep) is killed", NULL, "k"},
    {"World to kill (ID): ", " vmm0:spin ", "\r"},
    {"Kill the VM of vmm0:spin? y or n: ", NULL, "y\r"},
    {"(vmm0:spin) is killed", NULL, "q"},
};

static unsigned long id_on_screen(const char *name)
{
    const char *at = NULL;

    for (const char *next = screen; (next = strstr(next, name)); next++)
        at = next;
    while (at && at > screen && at[-1] != '\n')
        at--;
    return at ? strtoul(at, NULL, 10) : 0;
}

static void type_keys(void)
{
    size_t seen = 0;

    for (unsigned i = 0, ms = 0; i < ARRAY_COUNT(keys); ms++) {
        const char *at = strstr(screen + seen, keys[i].shows);
        char id[16] = "";

        sim_check(i == 0 || ms < 5000, "esxtop does not show '%s'", keys[i].shows);
        sim_check(world_sleep_until(plat_time_now() + 1000000) == VMK_OK, "sleep");
        if (!at)
            continue;
        if (keys[i].id_of)
            snprintf(id, sizeof(id), "%lu", id_on_screen(keys[i].id_of));
        seen = (size_t)(at - screen) + strlen(keys[i].shows);
        tty_console_input(id, strlen(id));
        tty_console_input(keys[i].text, strlen(keys[i].text));
        i++;
        ms = 0;
    }
}

static void control_run(unsigned host)
{
    static const char *const environment[] = {"PATH=/bin", "HOME=/", "TERM=linux", NULL};
    const char *const arguments[] = {"sh", "/etc/script", NULL};
    uint64_t guest, tables, vmm;
    uint32_t pid = 0;
    int result = -1;
    vmk_status status;

    (void)host;
    this_host()->vmm->backend = &vt_backend_unicorn;
    sim_check(vt_init_cpu() == VMK_OK, "the engine cannot run guests");
    status = fs_init();
    sim_check(status == VMK_OK, "fs_init: %s", vmk_status_text(status));
    user_init();
    tty_console_output(show);
    guest = page_owned_count(MEM_OWNER_GUEST);
    tables = page_owned_count(MEM_OWNER_P2M);
    vmm = heap_owned(MEM_OWNER_VMM);
    status = user_start("/bin/sh", arguments, environment, "/dev/console", &pid);
    sim_check(status == VMK_OK, "user_start: %s", vmk_status_text(status));
    type_keys();
    status = user_wait(pid, &result);
    sim_check(status == VMK_OK, "user_wait: %s", vmk_status_text(status));
    fputs(screen, stdout);
    compare();
    sim_check(strstr(screen, "PCPU USED(%):") && strstr(screen, "   %USED"), "esxtop's screen");
    sim_check(page_owned_count(MEM_OWNER_GUEST) == guest, "guest pages leaked");
    sim_check(page_owned_count(MEM_OWNER_P2M) == tables, "nested tables leaked");
    sim_check(heap_owned(MEM_OWNER_VMM) == vmm, "%llu bytes of VMs leaked",
              (unsigned long long)(heap_owned(MEM_OWNER_VMM) - vmm));
}

const struct scenario scenario_control = {.name = "control",
                                          .what = "vmx, vm, esxcli and esxtop on hosted VMs",
                                          .cpus = 2,
                                          .cpus_fixed = true,
                                          .one_host = true,
                                          .prepare = control_prepare,
                                          .run = control_run};
