// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_vmx_config.c -- what a .vmx file may say, and what each error names.
 */
#include "tests/unit/device_fixture.h"

static struct vm_config config;
static char error[160];

static vmk_status parse(const char *text)
{
    return vmx_config_parse("vm.vmx", text, strlen(text), &config, error, sizeof(error));
}

#define KERNEL "orrery.kernel = \"k\"\n"

START_TEST(test_vmx_config__every_key)
{
    ck_assert_int_eq(parse("# a comment\r\n"
                           ".encoding = \"UTF-8\"\n"
                           "displayName = \"web server\"\r\n"
                           "MEMSIZE = \"256\"\n"
                           "  numvcpus=\"2\"   # two\n"
                           "sched.cpu.shares = \"high\"\n"
                           "sched.cpu.min = \"500\"\n"
                           "sched.cpu.max = \"1500\"\n"
                           "sched.cpu.affinity = \"0,2,4-6\"\n"
                           "sched.mem.shares = \"3000\"\n"
                           "sched.mem.minSize = \"64\"\n"
                           "sched.mem.max = \"200\"\n"
                           "sched.mem.maxmemctl = \"100\"\n"
                           "sched.mem.pshare.enable = \"FALSE\"\n"
                           "sched.mem.pshare.salt = \"team a\"\n"
                           "orrery.kernel = \"vmlinuz\"\n"
                           "orrery.initrd = \"initrd.gz\"\n"
                           "orrery.cmdline = \"console=ttyS0 x=|22y|22\"\n"
                           "serial0.fileName = \"com2\"\n"
                           "uuid.bios = \"56 4d 01 02 03 04 05 06-07 08 09 0a 0b 0c 0d FE\""),
                     VMK_OK);
    ck_assert_str_eq(config.name, "web server");
    ck_assert_uint_eq(config.memory_mb, 256);
    ck_assert_uint_eq(config.vcpus, 2);
    ck_assert_uint_eq(config.shares, 2000);
    ck_assert(!config.shares_of_vm);
    ck_assert_uint_eq(config.min_mhz, 500);
    ck_assert_uint_eq(config.max_mhz, 1500);
    ck_assert_uint_eq(config.affinity, 0x75);
    ck_assert_uint_eq(config.mem_shares, 3000);
    ck_assert_uint_eq(config.mem_min_mb, 64);
    ck_assert_uint_eq(config.mem_max_mb, 200);
    ck_assert_uint_eq(config.mem_balloon_mb, 100);
    ck_assert(config.mem_unshared);
    ck_assert(config.mem_salted && config.mem_salt != 0);
    ck_assert_str_eq(config.kernel, "vmlinuz");
    ck_assert_str_eq(config.initrd, "initrd.gz");
    ck_assert_str_eq(config.cmdline, "console=ttyS0 x=\"y\"");
    ck_assert_int_eq(config.serial_port, 1);
    ck_assert_uint_eq(config.uuid[0], 0x56);
    ck_assert_uint_eq(config.uuid[15], 0xfe);
}
END_TEST

START_TEST(test_vmx_config__defaults)
{
    uint8_t uuid[16];

    ck_assert_int_eq(parse(KERNEL), VMK_OK);
    ck_assert_str_eq(config.name, "vm");
    ck_assert_uint_eq(config.memory_mb, 32);
    ck_assert_uint_eq(config.vcpus, 1);
    ck_assert_uint_eq(config.shares, 1000);
    ck_assert_int_eq(config.serial_port, -1);
    memcpy(uuid, config.uuid, 16);
    ck_assert_int_eq(parse(KERNEL), VMK_OK);
    ck_assert_mem_eq(uuid, config.uuid, 16);  // the same name, the same UUID
    ck_assert_int_eq(parse(KERNEL "displayName = \"b\""), VMK_OK);
    ck_assert_mem_ne(uuid, config.uuid, 16);
    ck_assert_int_eq(parse(KERNEL "serial0.present = \"FALSE\"\nserial0.fileName = \"com1\""),
                     VMK_OK);
    ck_assert_int_eq(config.serial_port, -1);
}
END_TEST

static const struct {
    const char *text, *message;
} bad[] = {
    {"memSize = \"256\"", "vm.vmx:1: orrery.kernel: missing"},
    {KERNEL "memSize = \"3\"", "vm.vmx:2: memSize: must be from 4 to 1048576"},
    {KERNEL "memSize = \"12 MB\"", "vm.vmx:2: memSize: not a number"},
    {KERNEL "memSize = \"99999999999999999999\"", "vm.vmx:2: memSize: not a number"},
    {KERNEL "numvcpus = \"0\"", "vm.vmx:2: numvcpus: must be from 1 to 8"},
    {KERNEL "numvcpus = \"9\"", "vm.vmx:2: numvcpus: must be from 1 to 8"},
    {KERNEL "sched.cpu.shares = \"lots\"", "vm.vmx:2: sched.cpu.shares: not a number"},
    {KERNEL "sched.cpu.affinity = \"3-1\"",
     "vm.vmx:2: sched.cpu.affinity: must be all, or CPUs below 64 like 0,2,4-7"},
    {KERNEL "sched.cpu.affinity = \"64\"",
     "vm.vmx:2: sched.cpu.affinity: must be all, or CPUs below 64 like 0,2,4-7"},
    {KERNEL "sched.cpu.affinity = \"1,\"",
     "vm.vmx:2: sched.cpu.affinity: must be all, or CPUs below 64 like 0,2,4-7"},
    {KERNEL "\n\norrery.KERNEL = \"k\"", "vm.vmx:4: orrery.KERNEL: given twice"},
    {KERNEL "a = \"1\"\nb = \"2\"\nA = \"3\"", "vm.vmx:4: A: given twice"},
    {KERNEL "memSize", "vm.vmx:2: memSize: expected: key = \"value\""},
    {KERNEL "memSize = 4", "vm.vmx:2: memSize: value without quotes"},
    {KERNEL "memSize = \"4", "vm.vmx:2: memSize: no closing quote"},
    {KERNEL "memSize = \"4\" x", "vm.vmx:2: memSize: text after the value"},
    {KERNEL "= \"4\"", "vm.vmx:2: line: no key"},
    {KERNEL "displayName = \"\"", "vm.vmx:2: displayName: empty"},
    {KERNEL "displayName = \"|00\"", "vm.vmx:2: displayName: a zero byte"},
    {KERNEL "serial0.fileName = \"/tmp/x\"", "vm.vmx:2: serial0.fileName: must be com1, com2 "
                                             "or none; serial0.fileType = \"file\" for a "
                                             "file"},
    {KERNEL "uuid.bios = \"56 4d\"",
     "vm.vmx:2: uuid.bios: expected 16 bytes of two hexadecimal digits"},
    {KERNEL "uuid.bios = \"00 00 00 00 00 00 00 00-00 00 00 00 00 00 00 00 0\"",
     "vm.vmx:2: uuid.bios: expected 16 bytes, found more"},
    {KERNEL "memSize = \"64\"\nsched.mem.minSize = \"65\"",
     "vm.vmx:3: sched.mem.minSize: is more than memSize"},
    {KERNEL "memSize = \"64\"\nsched.mem.min = \"20\"\nsched.mem.max = \"10\"",
     "vm.vmx:4: sched.mem.max: is less than sched.mem.min"},
};

START_TEST(test_vmx_config__errors_name_file_line_key)
{
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        memset(&config, 0x5a, sizeof(config));
        ck_assert_int_eq(parse(bad[i].text), VMK_BAD_FORMAT);
        ck_assert_str_eq(error, bad[i].message);
    }
}
END_TEST

START_TEST(test_vmx_config__long_values_and_files)
{
    char text[20000];

    memset(text, 'x', sizeof(text));
    ck_assert_int_eq(vmx_config_parse("f", text, sizeof(text), &config, error, sizeof(error)),
                     VMK_BAD_FORMAT);
    ck_assert_str_eq(error, "f:0: line: file longer than 16384 bytes");
    memcpy(text, "orrery.cmdline = \"", 18);
    text[18 + VM_CMDLINE_SIZE - 1] = '"';
    text[18 + VM_CMDLINE_SIZE] = '\n';
    strcpy(text + 18 + VM_CMDLINE_SIZE + 1, KERNEL);
    ck_assert_int_eq(parse(text), VMK_OK);
    ck_assert_uint_eq(strlen(config.cmdline), VM_CMDLINE_SIZE - 1);
    memset(text, 'x', sizeof(text));
    memcpy(text, "orrery.kernel = \"", 17);
    text[17 + VM_NAME_SIZE] = '"';
    text[17 + VM_NAME_SIZE + 1] = '\0';
    ck_assert_int_eq(parse(text), VMK_BAD_FORMAT);
    ck_assert_str_eq(error, "vm.vmx:1: orrery.kernel: value too long");
}
END_TEST

#define SCSI_0 "scsi0.present = \"TRUE\"\nscsi0.virtualDev = \"pvscsi\"\n"

START_TEST(test_vmx_config__disks__in_order_whatever_the_order_of_keys)
{
    ck_assert_int_eq(parse(KERNEL "scsi0:12.fileName = \"c.vmdk\"\n"
                                  "scsi0:1.fileName = \"/vmfs/volumes/d/b.vmdk\"\n"
                                  "orrery.virtio0:0.fileName = \"ramdisk:1M\"\n"
                                  "orrery.virtio0:0.present = \"true\"\n"
                                  "scsi0:1.present = \"TRUE\"\nSCSI0:12.PRESENT = \"TRUE\"\n"
                                  "scsi0:12.mode = \"independent-nonpersistent\"\n"
                                  "scsi0:1.mode = \"independent-persistent\"\n"
                                  "scsi0:1.deviceType = \"scsi-hardDisk\"\n"
                                  "scsi0:2.fileName = \"not-present.vmdk\"\n"
                                  "scsi0:3.present = \"FALSE\"\n"
                                  "scsi0:1.redo = \"\"\n"
                                  "sched.scsi0:1.shares = \"high\"\n"
                                  "sched.scsi0:1.throughputCap = \"off\"\n"
                                  "sched.scsi0:12.shares = \"3000\"\n"
                                  "sched.scsi0:2.shares = \"low\"\n"
                                  "sata0:0.present = \"FALSE\"\n"
                                  "orrery.virtio0.present = \"TRUE\"\n" SCSI_0),
                     VMK_OK);
    ck_assert_uint_eq(config.disk_count, 3);
    ck_assert(config.buses[VM_DISK_SCSI][0] && config.buses[VM_DISK_VIRTIO][0]);
    ck_assert(!config.buses[VM_DISK_SCSI][1]);
    ck_assert_str_eq(config.disks[0].file, "/vmfs/volumes/d/b.vmdk");
    ck_assert_uint_eq(config.disks[0].unit, 1);
    ck_assert_uint_eq(config.disks[0].io_shares, 2000);
    ck_assert_uint_eq(config.disks[1].io_shares, 3000);
    ck_assert_uint_eq(config.disks[2].io_shares, 0);
    ck_assert_int_eq(config.disks[0].mode, VM_DISK_PERSISTENT);
    ck_assert_str_eq(config.disks[1].file, "c.vmdk");
    ck_assert_int_eq(config.disks[1].mode, VM_DISK_NONPERSISTENT);
    ck_assert_int_eq(config.disks[2].bus, VM_DISK_VIRTIO);
    ck_assert_str_eq(config.disks[2].file, "ramdisk:1M");
}
END_TEST

START_TEST(test_vmx_config__disk_errors__name_line_and_key)
{
    static const struct {
        const char *text, *error;
    } wrong[] = {
        {"scsi0.virtualDev = \"lsilogic\"",
         "1: scsi0.virtualDev: no such adapter here; use pvscsi"},
        {"scsi4.present = \"TRUE\"", "1: scsi4.present: there are buses 0 to 3"},
        {"scsi0:7.present = \"TRUE\"", "1: scsi0:7.present: there are units 0 to 15, and 7 is"},
        {"scsi0:16.present = \"TRUE\"", "1: scsi0:16.present: there are units 0 to 15"},
        {"scsi0:x.present = \"TRUE\"", "1: scsi0:x.present: there are units"},
        {"\nscsi0:0.present = \"maybe\"", "2: scsi0:0.present: must be TRUE or FALSE"},
        {"scsi0:0.mode = \"undoable\"", "1: scsi0:0.mode: must be persistent"},
        {"scsi0:0.deviceType = \"cdrom-image\"", "1: scsi0:0.deviceType: must be disk or"},
        {"scsi0:0.fileName = \"\"", "1: scsi0:0.fileName: empty"},
        {"sched.scsi0:0.shares = \"much\"", "1: sched.scsi0:0.shares: not a number"},
        {"sched.scsi0:0.shares = \"4001\"", "1: sched.scsi0:0.shares: "},
        {"sched.scsi4:0.shares = \"low\"", "1: sched.scsi4:0.shares: there are buses"},
        {"nvme0:0.present = \"TRUE\"", "1: nvme0:0.present: no such controller here"},
        {SCSI_0 "scsi0:0.present = \"TRUE\"\n" KERNEL,
         "4: scsi0:0: present but without fileName"},
        {"scsi1:0.present = \"TRUE\"\nscsi1:0.fileName = \"a\"\n" KERNEL,
         "3: scsi1:0: its bus is not present"},
        {"firmware = \"efi\"", "1: firmware: must be bios"},
    };

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        ck_assert_int_eq(parse(wrong[i].text), VMK_BAD_FORMAT);
        ck_assert_msg(strncmp(error, "vm.vmx:", 7) == 0 &&
                          strncmp(error + 7, wrong[i].error, strlen(wrong[i].error)) == 0,
                      "%s", error);
    }
}
END_TEST

START_TEST(test_vmx_config__bios__needs_no_kernel)
{
    ck_assert_int_eq(parse("firmware = \"BIOS\"\n"), VMK_OK);
    ck_assert_int_eq(config.firmware, VM_FIRMWARE_BIOS);
    ck_assert_str_eq(config.bios, "bios-256k.bin");
    ck_assert_int_eq(parse("firmware = \"bios\"\norrery.bios = \"other.bin\"\n"), VMK_OK);
    ck_assert_str_eq(config.bios, "other.bin");
    ck_assert_int_eq(parse(""), VMK_BAD_FORMAT);
}
END_TEST

TEST_MAIN("vmx_config", test_vmx_config__every_key, test_vmx_config__defaults,
          test_vmx_config__errors_name_file_line_key, test_vmx_config__long_values_and_files,
          test_vmx_config__disks__in_order_whatever_the_order_of_keys,
          test_vmx_config__disk_errors__name_line_and_key,
          test_vmx_config__bios__needs_no_kernel)
