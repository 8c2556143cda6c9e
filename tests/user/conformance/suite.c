// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/user/conformance/suite.c -- the main of many test programs linked to one: `suite NAME ARGUMENTS`.
 *
 * build.sh makes table.def: a name and the renamed main of each.
 */
#include <stdio.h>
#include <string.h>

#define TEST(id, name) int id(int, char **);
#include "table.def"
#undef TEST
#define TEST(id, name) {name, id},

static const struct {
    const char *name;
    int (*run)(int, char **);
} tests[] = {
#include "table.def"
};

int main(int argc, char **argv)
{
    for (unsigned i = 0; argc > 1 && i < sizeof(tests) / sizeof(tests[0]); i++) {
        if (strcmp(tests[i].name, argv[1]) == 0)
            return tests[i].run(argc - 1, argv + 1);
    }
    fprintf(stderr, "no such test: %s\n", argc > 1 ? argv[1] : "(none named)");
    return 125;
}
