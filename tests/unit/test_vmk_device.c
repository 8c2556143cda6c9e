// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_vmk_device.c -- /dev/vmk from a program's side: what it refuses, and what is left over.
 *
 * VMs are real, on the engine, with an empty memory: none of them is started.
 *
 * Invariants
 *   - Each test runs in a process of its own (Check forks), so none sees another's host.
 * Locking    none.
 */
#include <stdio.h>
#include <string.h>

#include "sched/esxtop.h"
#include "tests/unit/vmk_fixture.h"
#include "vmm/vm.h"
#include "vmm/vmm_mem.h"

#define NOWHERE 0x7000000000ull
#define KERNEL  0xffff800000000000ull

/* The memory scheduler, and pages of 4 KB. */
static void memory_up(void *unused)
{
    (void)unused;
    vmm_mem_start();
    ck_assert_ptr_nonnull(this_host()->vmm->mem);
    this_host()->vmm->large_above = 0;
}

#define VMK_TEST(name, function)                                                               \
    START_TEST(name)                                                                           \
    {                                                                                          \
        sim_test_begin();                                                                      \
        body = function;                                                                       \
        sim_test_run(user_fixture_up, NULL);                                                   \
        sim_test_run(vmk_one, NULL);                                                           \
    }                                                                                          \
    END_TEST

#define VMK_MEMORY_TEST(name, function)                                                        \
    START_TEST(name)                                                                           \
    {                                                                                          \
        sim_test_begin();                                                                      \
        body = function;                                                                       \
        sim_test_run(user_fixture_up, NULL);                                                   \
        sim_test_run(memory_up, NULL);                                                         \
        sim_test_run(vmk_one, NULL);                                                           \
    }                                                                                          \
    END_TEST

/* ---- heads ---- */

static void heads(void)
{
    struct vmk_list list = {.kind = VMK_LIST_WORLDS};
    struct vmk_host host = {.head = {1, 99}};

    list.head = (struct vmk_head){sizeof(list) - 1, VMK_ABI_VERSION};
    ck_assert_int_eq(request_raw(device, VMK_LIST, &list, sizeof(list)), -L_EINVAL);
    list.head = (struct vmk_head){sizeof(list), VMK_ABI_VERSION + 1};
    ck_assert_int_eq(request_raw(device, VMK_LIST, &list, sizeof(list)), -L_EINVAL);
    list.head = (struct vmk_head){sizeof(list), 0};
    ck_assert_int_eq(request_raw(device, VMK_LIST, &list, sizeof(list)), -L_EINVAL);
    ck_assert_int_eq(request(device, VMK_LIST, &list, sizeof(list)), 0);
    // The size is part of the number: another size is another request.
    ck_assert_int_eq(request(device, VMK_LIST + (8u << 16), &list, sizeof(list)), -L_ENOTTY);
    ck_assert_int_eq(request(device, VMK_LIST - (8u << 16), &list, sizeof(list)), -L_ENOTTY);
    ck_assert_int_eq(request(device, VMK_VM_GET, &host, sizeof(host)), -L_ENOTTY);
    // How a program finds out what it talks to.
    ck_assert_int_eq(request_raw(device, VMK_HOST_GET, &host, sizeof(host)), 0);
    ck_assert_uint_eq(host.head.size, sizeof(host));
    ck_assert_uint_eq(host.head.version, VMK_ABI_VERSION);
    ck_assert_str_eq(host.virtualization, "the Unicorn engine");
    ck_assert_uint_ge(host.processes, 1);
}
VMK_TEST(test_vmk_head__wrong_size_or_version__einval, heads)

/* ---- pointers ---- */

static void pointers(void)
{
    static const uint64_t bad[] = {NOWHERE, KERNEL,         READ_ONLY,
                                   0,       UINT64_MAX - 4, OUT + SIZE - 16};
    struct vmk_list list = {
        .kind = VMK_LIST_WORLDS, .entry_size = sizeof(struct vmk_world), .room = 8};
    struct vmk_vm_create create = {
        .text_size = 100, .owner_uid = VMK_CALLER, .owner_gid = VMK_CALLER};

    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        list.buffer = bad[i];
        ck_assert_int_eq(request(device, VMK_LIST, &list, sizeof(list)), -L_EFAULT);
        if (bad[i] == READ_ONLY)
            continue;
        create.text = bad[i];
        ck_assert_int_eq(request(device, VMK_VM_CREATE, &create, sizeof(create)), -L_EFAULT);
        ck_assert_int_eq(call3(SYS_IOCTL, (uint64_t)device, VMK_LIST, bad[i]), -L_EFAULT);
    }
    // What did not fit the buffer was not written anywhere else.
    list.buffer = OUT;
    ck_assert_int_eq(request(device, VMK_LIST, &list, sizeof(list)), 0);
    ck_assert_uint_ge(list.count, 2);
}
VMK_TEST(test_vmk_pointer__not_mapped__efault, pointers)

/* ---- lists ---- */

static void sizes(void)
{
    struct vmk_world world;
    uint8_t large[sizeof(world) + 64];
    uint8_t pattern[4 * sizeof(large)];
    uint32_t count = list_of(VMK_LIST_WORLDS, 0, 0).count;
    struct vmk_list list;

    ck_assert_uint_ge(count, 2);
    // One entry of room: the rest of the buffer stays.
    memset(pattern, 0x5a, sizeof(pattern));
    ck_assert_int_eq(aspace_copy_out(me->as, OUT, pattern, sizeof(pattern)), VMK_OK);
    ck_assert_uint_eq(list_of(VMK_LIST_WORLDS, sizeof(world), 1).count, count);
    ck_assert_int_eq(aspace_copy_in(me->as, pattern, OUT, sizeof(pattern)), VMK_OK);
    memcpy(&world, pattern, sizeof(world));
    ck_assert_uint_ne(world.world_id, 0x5a5a5a5au);
    ck_assert_uint_eq(pattern[sizeof(world)], 0x5a);
    // A program that knows more: the rest of its entry is 0. One that knows less: cut.
    (void)list_of(VMK_LIST_WORLDS, sizeof(large), 2);
    ck_assert_int_eq(aspace_copy_in(me->as, large, OUT, sizeof(large)), VMK_OK);
    ck_assert_int_eq(memcmp(large, &world, 16), 0);
    for (size_t i = sizeof(world); i < sizeof(large); i++)
        ck_assert_uint_eq(large[i], 0);
    memset(pattern, 0x5a, sizeof(pattern));
    ck_assert_int_eq(aspace_copy_out(me->as, OUT, pattern, sizeof(pattern)), VMK_OK);
    (void)list_of(VMK_LIST_WORLDS, 8, 1);
    ck_assert_int_eq(aspace_copy_in(me->as, pattern, OUT, sizeof(pattern)), VMK_OK);
    ck_assert_int_eq(memcmp(pattern, &world, 8), 0);
    ck_assert_uint_eq(pattern[8], 0x5a);
    // Nonsense.
    list = (struct vmk_list){.kind = 77, .entry_size = 8, .room = 1, .buffer = OUT};
    ck_assert_int_eq(request(device, VMK_LIST, &list, sizeof(list)), -L_EINVAL);
    list = (struct vmk_list){.kind = VMK_LIST_WORLDS, .room = 1, .buffer = OUT};
    ck_assert_int_eq(request(device, VMK_LIST, &list, sizeof(list)), -L_EINVAL);
    list = (struct vmk_list){
        .kind = VMK_LIST_WORLDS, .room = UINT32_MAX, .entry_size = 8, .buffer = OUT};
    ck_assert_int_eq(request(device, VMK_LIST, &list, sizeof(list)), -L_EINVAL);
    list = (struct vmk_list){
        .kind = VMK_LIST_WORLDS, .room = 1, .entry_size = UINT32_MAX, .buffer = OUT};
    ck_assert_int_eq(request(device, VMK_LIST, &list, sizeof(list)), -L_EINVAL);
}
VMK_TEST(test_vmk_list__entries_of_other_sizes__cut_or_zeroed, sizes)

static void contents(void)
{
    struct vmk_process process;
    struct vmk_owner owner;
    struct sched_sample sample;
    struct vmk_cpu cpu;
    struct vmk_host_memory host = {.level = 77};
    struct vmk_memory_set set = {.id = 2, .what = VMK_SET_SHARES, .shares = 5};

    ck_assert_int_eq(request(device, VMK_MEMORY_GET, &host, sizeof(host)), 0);
    ck_assert_str_eq(host.level_name, "");  // the memory scheduler does not run
    ck_assert_uint_eq(host.total_kb, page_total_count() * 4);
    ck_assert_uint_eq(host.managed_kb, 0);
    ck_assert_int_eq(request(device, VMK_MEMORY_SET, &set, sizeof(set)), -L_ENOENT);
    ck_assert_uint_eq(list_of(VMK_LIST_PROCESSES, sizeof(process), 4).count, 1);
    ck_assert_int_eq(aspace_copy_in(me->as, &process, OUT, sizeof(process)), VMK_OK);
    ck_assert_uint_eq(process.pid, me->process->pid);
    ck_assert_uint_gt(process.resident_kb, 0);
    ck_assert_uint_eq(list_of(VMK_LIST_OWNERS, sizeof(owner), 1).count, MEM_OWNER_COUNT);
    ck_assert_int_eq(aspace_copy_in(me->as, &owner, OUT, sizeof(owner)), VMK_OK);
    ck_assert_str_eq(owner.name, mem_owner_name((enum mem_owner)0));
    ck_assert_uint_ge(list_of(VMK_LIST_SAMPLES, sizeof(sample), 64).count, 3);
    ck_assert_int_eq(aspace_copy_in(me->as, &sample, OUT, sizeof(sample)), VMK_OK);
    ck_assert_uint_eq(sample.kind, SCHED_SAMPLE_POOL);
    ck_assert_uint_eq(list_of(VMK_LIST_CPUS, sizeof(cpu), 4).count, 1);
    ck_assert_uint_eq(list_of(VMK_LIST_VM_MEMORY, sizeof(struct vmk_vm_memory), 4).count, 0);
    ck_assert_uint_eq(list_of(VMK_LIST_VMS, sizeof(struct vmk_vm), 4).count, 0);
    ck_assert_uint_eq(list_of(VMK_LIST_ADAPTERS, sizeof(struct vmk_adapter), 4).count, 0);
    ck_assert_uint_eq(list_of(VMK_LIST_DEVICES, sizeof(struct vmk_device), 4).count, 0);
}
VMK_TEST(test_vmk_list__each_kind__what_is_there, contents)

static void file_info(void)
{
    struct vmk_file_info info = {.fd = 99};

    ck_assert_int_eq(request(device, VMK_FILE_INFO, &info, sizeof(info)), -L_EBADF);
    info.fd = (int32_t)device;
    ck_assert_int_eq(request(device, VMK_FILE_INFO, &info, sizeof(info)), -L_EINVAL);
}
VMK_TEST(test_vmk_file__not_open_or_not_on_vmfs__ebadf_einval, file_info)

/* ---- VMs ---- */

static const char good[] = "displayName = \"one\"\nmemSize = \"8\"\norrery.kernel = \"k\"\n";

static struct vmk_vm_create create_with(const char *text, uint32_t uid, int64_t wanted)
{
    struct vmk_vm_create c = {.text = OUT,
                              .text_size = (uint32_t)strlen(text),
                              .owner_uid = uid,
                              .owner_gid = VMK_CALLER,
                              .config_file = "/vms/one.vmx"};

    ck_assert_int_eq(aspace_copy_out(me->as, OUT, text, strlen(text) + 1), VMK_OK);
    ck_assert_int_eq(request(device, VMK_VM_CREATE, &c, sizeof(c)), wanted);
    return c;
}

static void refused(const char *text, const char *why)
{
    struct vmk_vm_create c = create_with(text, VMK_CALLER, 0);

    ck_assert_int_eq(c.fd, -1);
    ck_assert_msg(strstr(c.error, why), "'%s' does not say '%s'", c.error, why);
}

static void bad_texts(void)
{
    struct vmk_vm_create c;

    refused("memSize = \"many\"\n", "/vms/one.vmx:1: memSize: not a number");
    refused("memSize = \"8\"\n", "orrery.kernel: missing");
    refused("", "an empty file");
    c = create_with(good, VMK_CALLER, 0);
    ck_assert_int_ge(c.fd, 0);
    ck_assert_str_eq(c.error, "");
    ck_assert_str_eq(c.name, "one");
    ck_assert_str_eq(c.kernel, "k");
    ck_assert_uint_eq(c.memory_low_bytes, 8u << 20);
    c = (struct vmk_vm_create){.text = OUT, .text_size = UINT32_MAX, .owner_uid = VMK_CALLER};
    ck_assert_int_eq(request(device, VMK_VM_CREATE, &c, sizeof(c)), 0);
    ck_assert(c.fd == -1 && strstr(c.error, "16384"));
    c.reserved = 1;
    ck_assert_int_eq(request(device, VMK_VM_CREATE, &c, sizeof(c)), -L_EINVAL);
}
VMK_TEST(test_vmk_vm_create__bad_text__says_where, bad_texts)

static void not_root(void)
{
    char text[200];

    become(1000);
    (void)create_with(good, 0, -L_EPERM);
    (void)create_with(good, 1001, -L_EPERM);
    ck_assert_int_ge(create_with(good, VMK_CALLER, 0).fd, 0);
    snprintf(text, sizeof(text), "memSize = \"%u\"\norrery.kernel = \"k\"\n",
             (unsigned)(page_free_count() / 2 / 256));
    refused(text, "memSize: more than a quarter");
    refused("memSize = \"4\"\norrery.kernel = \"k\"\nserial0.fileName = \"com1\"\n",
            "serial0.fileName: only root");
    refused("memSize = \"4\"\norrery.kernel = \"k\"\nscsi0.present = \"TRUE\"\nscsi0:0.present "
            "= \"TRUE\"\n"
            "scsi0:0.fileName = \"host:disk\"\n",
            "host:disk: only root");
    refused("memSize = \"4\"\norrery.kernel = \"k\"\nscsi0.present = \"TRUE\"\nscsi0:0.present "
            "= \"TRUE\"\n"
            "scsi0:0.fileName = \"/dev/null/x\"\n",
            "no such file");
    refused("memSize = \"4\"\norrery.kernel = \"k\"\nscsi0.present = \"TRUE\"\nscsi0:0.present "
            "= \"TRUE\"\n"
            "scsi0:0.fileName = \"/dev/vm\"\n",
            "its owner may not use it");
}
VMK_TEST(test_vmk_vm_create__not_root__only_what_is_his, not_root)

/* Each machine has a fifth of what is free at first. */
static void users_together(void)
{
    char text[200];

    snprintf(text, sizeof(text), "memSize = \"%u\"\norrery.kernel = \"k\"\n",
             (unsigned)(page_free_count() / 5 / 256));
    become(1000);
    ck_assert_int_ge(create_with(text, VMK_CALLER, 0).fd, 0);
    refused(text, "memory for this user's machines");
    become(1001);
    ck_assert_int_ge(create_with(text, VMK_CALLER, 0).fd, 0);
    become(1002);
    refused(text, "memory for users who are not root");
    become(0);
    ck_assert_int_ge(create_with(text, VMK_CALLER, 0).fd, 0);
}
VMK_TEST(test_vmk_vm_create__several_users__bounded_together, users_together)

static void foreign(void)
{
    struct vmk_vm_create c = create_with(good, VMK_CALLER, 0);
    struct vmk_vm vm = {.world_id = 0};
    struct vmk_vm_kill k = {.how = VMK_KILL_FORCE};
    struct vmk_sched_set s = {.what = VMK_SET_SHARES, .shares = 500};
    struct vmk_console_open console = {.fd = 7};

    ck_assert_int_eq(request(c.fd, VMK_VM_GET, &vm, sizeof(vm)), 0);
    k.world_id = s.id = console.world_id = vm.cartel_id;
    ck_assert_uint_eq(vm.cartel_id, me->process->pid);
    become(1000);
    ck_assert_int_eq(request(device, VMK_VM_KILL, &k, sizeof(k)), -L_EPERM);
    ck_assert_int_eq(request(device, VMK_SCHED_SET, &s, sizeof(s)), -L_EPERM);
    ck_assert_int_eq(request(device, VMK_CONSOLE_OPEN, &console, sizeof(console)), -L_EPERM);
    ck_assert_uint_eq(list_of(VMK_LIST_VMS, sizeof(vm), 1).count, 1);  // seeing is free
    become(0);
    ck_assert_int_eq(request(device, VMK_CONSOLE_OPEN, &console, sizeof(console)), 0);
    ck_assert_int_ge(console.fd, 0);
    k.how = 0;
    ck_assert_int_eq(request(device, VMK_VM_KILL, &k, sizeof(k)), -L_EINVAL);
    k.how = VMK_KILL_FORCE;
    k.world_id = 0;
    ck_assert_int_eq(request(device, VMK_VM_KILL, &k, sizeof(k)), -L_ENOENT);
    s.what = 0x100;
    ck_assert_int_eq(request(device, VMK_SCHED_SET, &s, sizeof(s)), -L_EINVAL);
    s.what = VMK_SET_SHARES;
    s.id = 99999;
    ck_assert_int_eq(request(device, VMK_SCHED_SET, &s, sizeof(s)), -L_ENOENT);
}
VMK_TEST(test_vmk_vm__of_another_user__eperm, foreign)

static struct vmk_vm_memory vm_memory(void)
{
    struct vmk_vm_memory m;

    ck_assert_uint_eq(list_of(VMK_LIST_VM_MEMORY, sizeof(m), 1).count, 1);
    ck_assert_int_eq(aspace_copy_in(me->as, &m, OUT, sizeof(m)), VMK_OK);
    return m;
}

static int64_t memory(uint64_t number, int64_t fd, uint64_t size, uint64_t gpa)
{
    const uint64_t arguments[6] = {(uint64_t)fd, OUT, size, gpa, 0, 0};

    return user_fixture_call(me, number, arguments);
}

static void descriptor(void)
{
    struct vmk_vm_create c = create_with(good, VMK_CALLER, 0);
    struct vmk_vm_start start = {.mode = 9};
    struct vmk_vm_answer answer = {.vcpu = 0, .sequence = 1};
    struct vmk_vm_event event = {.kind = 0};
    struct vmk_vm_vcpu vcpu = {.vcpu = 1};
    struct vmk_vm_power power = {.op = 17};
    struct vmk_vm_tables tables = {.rsdp = 0};

    ck_assert_int_eq(memory(SYS_PWRITE, c.fd, 0x20000, 0x1000), 0x20000);
    ck_assert_uint_ge(page_owned_count(MEM_OWNER_GUEST), 32);
    ck_assert_int_eq(memory(SYS_PREAD, c.fd, 16, (8u << 20) - 16), 16);
    ck_assert_int_eq(memory(SYS_PREAD, c.fd, 16, (8u << 20) - 8), -L_EINVAL);
    ck_assert_int_eq(memory(SYS_PWRITE, c.fd, 16, 0xfee00000), -L_EINVAL);
    ck_assert_int_eq(memory(SYS_PWRITE, c.fd, 16, 1ull << 62), -L_EINVAL);
    ck_assert_int_eq(request(c.fd, VMK_VM_TABLES, &tables, sizeof(tables)), 0);
    ck_assert_uint_ne(tables.rsdp, 0);
    ck_assert_int_eq(request(c.fd, VMK_VM_START, &start, sizeof(start)), -L_EINVAL);
    start = (struct vmk_vm_start){.mode = VMK_START_LONG, .cr3 = UINT64_MAX};
    ck_assert_int_eq(request(c.fd, VMK_VM_START, &start, sizeof(start)), -L_EINVAL);
    ck_assert_int_eq(request(c.fd, VMK_VM_ANSWER, &answer, sizeof(answer)), -L_ENOENT);
    answer.vcpu = UINT32_MAX;
    ck_assert_int_eq(request(c.fd, VMK_VM_ANSWER, &answer, sizeof(answer)), -L_ENOENT);
    ck_assert_int_eq(request(c.fd, VMK_VM_VCPU, &vcpu, sizeof(vcpu)), -L_EINVAL);
    vcpu.vcpu = 0;
    ck_assert_int_eq(request(c.fd, VMK_VM_VCPU, &vcpu, sizeof(vcpu)), 0);
    ck_assert_int_eq(request(c.fd, VMK_VM_POWER, &power, sizeof(power)), -L_EINVAL);
    ck_assert_int_eq(request(c.fd, VMK_LIST, &tables, sizeof(tables)), -L_EINVAL);
    ck_assert_int_eq(call3(SYS_FCNTL, (uint64_t)c.fd, 4, VFS_O_NONBLOCK), 0);
    ck_assert_int_eq(request(c.fd, VMK_VM_EVENT, &event, sizeof(event)), -L_EAGAIN);
    // The last close gives everything back, at once.
    ck_assert_int_eq(call3(SYS_CLOSE, (uint64_t)c.fd, 0, 0), 0);
    ck_assert_uint_eq(page_owned_count(MEM_OWNER_GUEST), 0);
    ck_assert_uint_eq(list_of(VMK_LIST_VMS, sizeof(struct vmk_vm), 1).count, 0);
}
VMK_TEST(test_vmk_vm__requests_out_of_range__refused, descriptor)

static void memory_rows(void)
{
    struct vmk_host_memory after;
    struct vmk_vm_memory m;
    struct vmk_vm_create c;

    c = create_with("displayName = \"one\"\nmemSize = \"8\"\norrery.kernel = \"k\"\n"
                    "sched.mem.min = \"2\"\nsched.mem.shares = \"50\"\n",
                    VMK_CALLER, 0);
    ck_assert_int_ge(c.fd, 0);
    ck_assert_int_eq(memory(SYS_PWRITE, c.fd, 0x20000, 0x1000), 0x20000);
    m = vm_memory();
    ck_assert_str_eq(m.name, "one");
    ck_assert_uint_eq(m.size_kb, 8192);
    ck_assert_uint_eq(m.granted_kb, 128);
    ck_assert_uint_eq(m.min_kb, 2048);
    ck_assert_uint_eq(m.max_kb, UINT64_MAX);
    ck_assert_uint_eq(m.shares, 50);
    ck_assert_uint_ne(m.memory_id, 0);
    ck_assert_uint_eq(m.least_kb, 0);
    ck_assert_uint_eq(m.balloon_kb + m.swapped_kb + m.compressed_kb + m.shared_kb, 0);
    ck_assert_int_eq(request(device, VMK_MEMORY_GET, &after, sizeof(after)), 0);
    ck_assert_str_eq(after.level_name, "high");
    ck_assert_uint_eq(after.managed_kb, page_total_count() * 4);
    ck_assert_uint_eq(after.size_kb, 8192);
    ck_assert_uint_ge(after.reserved_kb, 2048);
    ck_assert_uint_le(after.least_free_kb, after.free_kb);
    ck_assert_uint_gt(after.least_free_kb, 0);
}
VMK_MEMORY_TEST(test_vmk_memory__a_vm_with_a_reservation__its_row_and_the_hosts, memory_rows)

/*
 * Pages of equal contents, joined by the table itself: half of a pair is saved, zeroes are
 * known as such.
 */
static void memory_shared(void)
{
    struct share_table *share;
    struct vmk_vm_memory m;
    struct vmk_vm_create c;
    uint8_t page[4096];

    share = this_host()->vmm->share;
    c = create_with(good, VMK_CALLER, 0);
    memset(page, 0x33, sizeof(page));
    for (unsigned i = 0; i < 4; i++) {
        if (i == 2)
            memset(page, 0, sizeof(page));
        ck_assert_int_eq(aspace_copy_out(me->as, OUT, page, sizeof(page)), VMK_OK);
        ck_assert_int_eq(memory(SYS_PWRITE, c.fd, sizeof(page), 0x100000 + i * 4096), 4096);
    }
    this_host()->vmm->vms[0]->state = VM_STATE_ON;  // pages of others are not looked at
    for (unsigned round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < 4; i++)
            (void)share_page(share, 0, 0x100 + i, this_host()->vmm->vms[0]->share_salt);
    }
    this_host()->vmm->vms[0]->state = VM_STATE_NEW;
    m = vm_memory();
    ck_assert_uint_eq(m.shared_kb, 16);
    ck_assert_uint_eq(m.saved_kb, 8);
    ck_assert_uint_eq(m.zero_kb, 8);
    ck_assert_uint_eq(m.granted_kb, 16);
}
VMK_MEMORY_TEST(test_vmk_memory__equal_pages__shared_zero_and_saved, memory_shared)

static uint64_t salt_of(const char *line)
{
    char text[200];
    struct vmk_vm_create c;
    uint64_t salt;

    snprintf(text, sizeof(text), "memSize = \"4\"\norrery.kernel = \"k\"\n%s", line);
    c = create_with(text, VMK_CALLER, 0);
    ck_assert_int_ge(c.fd, 0);
    salt = this_host()->vmm->vms[0]->share_salt;
    ck_assert_int_eq(call3(SYS_CLOSE, (uint64_t)c.fd, 0, 0), 0);
    return salt;
}

/* As by default: of one salt, or alone. */
static void memory_salts(void)
{
    static const char a[] = "sched.mem.pshare.salt = \"a\"\n",
                      b[] = "sched.mem.pshare.salt = \"b\"\n";

    ck_assert_uint_eq(salt_of(a), salt_of(a));
    ck_assert_uint_ne(salt_of(a), salt_of(b));
    ck_assert_uint_ne(salt_of(""), salt_of(""));
    ck_assert_uint_ne(salt_of(""), salt_of(a));
    refused("memSize = \"4\"\norrery.kernel = \"k\"\nsched.mem.pshare.salt = \"\"\n",
            "pshare.salt: must not be empty");
}
VMK_MEMORY_TEST(test_vmk_memory__salts__equal_texts_share, memory_salts)

static void memory_settings(void)
{
    struct vmk_memory_set s = {.what = VMK_SET_MIN | VMK_SET_MAX, .min_mb = 4, .max_mb = 6};
    struct vmk_vm_memory m;

    s.id = 99;
    ck_assert_int_eq(request(device, VMK_MEMORY_SET, &s, sizeof(s)), -L_ENOENT);
    ck_assert_int_ge(create_with(good, VMK_CALLER, 0).fd, 0);
    s.id = vm_memory().memory_id;
    ck_assert_int_eq(request(device, VMK_MEMORY_SET, &s, sizeof(s)), 0);
    ck_assert_str_eq(s.reason, "");
    m = vm_memory();
    ck_assert_uint_eq(m.min_kb, 4096);
    ck_assert_uint_eq(m.max_kb, 6144);
    s = (struct vmk_memory_set){.id = s.id, .what = VMK_SET_MAX, .max_mb = VMK_UNLIMITED};
    ck_assert_int_eq(request(device, VMK_MEMORY_SET, &s, sizeof(s)), 0);
    ck_assert_uint_eq(vm_memory().max_kb, UINT64_MAX);
    s = (struct vmk_memory_set){.id = s.id, .what = VMK_SET_MIN, .min_mb = 9};
    ck_assert_int_eq(request(device, VMK_MEMORY_SET, &s, sizeof(s)), -L_EINVAL);
    s.min_mb = UINT32_MAX - 1;
    ck_assert_int_eq(request(device, VMK_MEMORY_SET, &s, sizeof(s)), -L_EINVAL);
    s = (struct vmk_memory_set){.id = s.id, .what = VMK_SET_SHARES};
    ck_assert_int_eq(request(device, VMK_MEMORY_SET, &s, sizeof(s)), -L_EINVAL);
    s = (struct vmk_memory_set){.id = s.id, .what = VMK_SET_AFFINITY};
    ck_assert_int_eq(request(device, VMK_MEMORY_SET, &s, sizeof(s)), -L_EINVAL);
    s = (struct vmk_memory_set){.id = s.id};
    ck_assert_int_eq(request(device, VMK_MEMORY_SET, &s, sizeof(s)), -L_EINVAL);
    s = (struct vmk_memory_set){.id = 1, .what = VMK_SET_SHARES, .shares = 5};
    ck_assert_int_eq(request(device, VMK_MEMORY_SET, &s, sizeof(s)), -L_ENOENT);  // the root
    become(1000);
    s.id = vm_memory().memory_id;
    ck_assert_int_eq(request(device, VMK_MEMORY_SET, &s, sizeof(s)), -L_EPERM);
}
VMK_MEMORY_TEST(test_vmk_memory__settings__checked_and_root_only, memory_settings)

/* As many as there may be, and the process ends with all of them open (vmk_one() compares). */
static void many(void)
{
    for (unsigned i = 0; i < VMM_VMS_MAX; i++) {
        struct vmk_vm_create c = create_with(good, VMK_CALLER, 0);

        ck_assert_int_ge(c.fd, 0);
        ck_assert_int_eq(memory(SYS_PWRITE, c.fd, 0x4000, 0x1000), 0x4000);
    }
    refused(good, "cannot be made");
    ck_assert_uint_eq(list_of(VMK_LIST_VMS, sizeof(struct vmk_vm), 1).count, VMM_VMS_MAX);
}
VMK_TEST(test_vmk_vm__process_ends_with_all_open__nothing_left, many)

KERNEL_TEST_MAIN("vmk_device", RUNS(test_vmk_head__wrong_size_or_version__einval),
                 RUNS(test_vmk_pointer__not_mapped__efault),
                 RUNS(test_vmk_list__entries_of_other_sizes__cut_or_zeroed),
                 RUNS(test_vmk_list__each_kind__what_is_there),
                 RUNS(test_vmk_file__not_open_or_not_on_vmfs__ebadf_einval),
                 RUNS(test_vmk_vm_create__bad_text__says_where),
                 RUNS(test_vmk_vm_create__not_root__only_what_is_his),
                 RUNS(test_vmk_vm_create__several_users__bounded_together),
                 RUNS(test_vmk_vm__of_another_user__eperm),
                 RUNS(test_vmk_vm__requests_out_of_range__refused),
                 RUNS(test_vmk_memory__a_vm_with_a_reservation__its_row_and_the_hosts),
                 RUNS(test_vmk_memory__equal_pages__shared_zero_and_saved),
                 RUNS(test_vmk_memory__salts__equal_texts_share),
                 RUNS(test_vmk_memory__settings__checked_and_root_only),
                 RUNS(test_vmk_vm__process_ends_with_all_open__nothing_left))
